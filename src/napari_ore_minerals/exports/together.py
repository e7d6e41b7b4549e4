"""Where the figures of several pictures together come from: what is the same for all, and what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_ore_minerals.maps.measuring import Measurement

MOST_VALUES = 5
_OF_ONE = frozenset(
    {"picture", "picture size", "picture fingerprint", "regions", "result sha256", "made of", "computed"}
)


def facts_together(
    told: Sequence[Mapping[str, str]], measured: Sequence[Measurement], *, pooled: bool = True
) -> dict[str, str]:
    """Where the figures of several pictures together come from, in words.

    Parameters
    ----------
    told
        Facts of each picture, of `exports.shown.facts`.
    measured
        What was measured on each.
    pooled
        Whether intervals are those of all pictures pooled.

    Returns
    -------
    dict of str
        A fact that is the same for all as it is; of one that differs every value, or the first of many; what only
        one picture can have is left out where it differs. Corrections are counted together.
    """
    found = {}
    for name in dict.fromkeys(name for one in told for name in one):
        values = list(dict.fromkeys(one.get(name, "") for one in told))
        if len(values) == 1:
            found[name] = values[0]
        elif name not in _OF_ONE:
            found[name] = _listed([value for value in values if value])
    if len(measured) > 1 and "corrections" in found:
        given, cells = (
            sum(int(one.table[name].sum()) for one in measured) for name in ("corrected_cells", "cells")
        )
        found["corrections"] = (
            f"{given:,} of {cells:,} cells of {len(measured):,} pictures given or confirmed by a user"
        )
    if len(measured) > 1 and pooled and "intervals from" in found:
        found["intervals from"] = f"how {len(measured):,} pictures differ"
    return found


def _listed(values: Sequence[str]) -> str:
    more = f" | and {len(values) - MOST_VALUES:,} more" if len(values) > MOST_VALUES else ""
    return " | ".join(values[:MOST_VALUES]) + more
