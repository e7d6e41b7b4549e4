"""What ``ore-minerals areas`` prints: tables, or JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from napari_ore_minerals.maps.adjusting import Reference
    from napari_ore_minerals.maps.measuring import Measurement
    from napari_ore_minerals.maps.mineral_map import MineralMap

_NAMES = ("mineral", "cells")
_PERCENT = {
    "%": "fraction",
    "adjusted": "fraction_adjusted",
    "by cells": "fraction_by_cells",
}


@dataclass(frozen=True)
class Found:
    """What was found in one result.

    Attributes
    ----------
    parts : tuple of Measurement
        Of the picture, or of its regions and last of all of them together.
    reference : Reference or None
        How the model errs.
    checked : pandas.DataFrame or None
        Adjusted by cells that were checked.
    facts : dict of str
        Where the figures come from.
    """

    parts: tuple[Measurement, ...]
    reference: Reference | None
    checked: pd.DataFrame | None
    facts: dict[str, str]

    @classmethod
    def of(
        cls,
        mineral_map: MineralMap,
        parts: tuple[Measurement, ...],
        reference: Reference | None,
        checked: pd.DataFrame | None,
    ) -> Found:
        """Gather what was found on a map."""
        from napari_ore_minerals.exports.shown import Shown, facts

        return cls(parts, reference, checked, facts(Shown.of(mineral_map, parts)))


def table_of(found: Sequence[Found], pooled: pd.DataFrame | None) -> pd.DataFrame:
    """All rows below each other with their facts in the last columns; pooled rows have those of all together."""
    import pandas as pd

    from napari_ore_minerals.exports.tables import long_table
    from napari_ore_minerals.exports.together import facts_together

    tables = []
    for one in found:
        tables += [long_table(one.parts).assign(**one.facts)]
        tables += [] if one.checked is None else [_rows_of_checked(one.checked, one.facts)]
    if pooled is not None:
        told = facts_together([one.facts for one in found], [part for one in found for part in one.parts])
        tables.append(long_table([], pooled).assign(**told))
    return pd.concat(tables, ignore_index=True)


def _rows_of_checked(checked: pd.DataFrame, facts: Mapping[str, str]) -> pd.DataFrame:
    """Rows of the whole picture as adjusted by checked cells, in columns that say so."""
    from napari_ore_minerals.maps.region_files import doubts_of_checked

    table = checked.rename(
        columns={
            "checked": "checked_cells",
            "fraction_adjusted": "fraction_adjusted_by_checked",
            "error": "checked_error",
            "low": "checked_low",
            "high": "checked_high",
        }
    )
    table.insert(0, "measured", f"{facts['picture']}, adjusted by checked cells")
    notes = "; ".join(doubts_of_checked(checked))
    return table.assign(notes=notes, **{name: text for name, text in facts.items() if name != "regions"})


def print_found(found: Found) -> None:
    """Print the tables of a result."""
    from napari_ore_minerals.maps.region_files import doubts_of_checked

    for part in found.parts:
        print(f"\n{part.name}")
        print(_shown(part.table).to_string(index=False))
        print(
            f"95 % intervals from {part.blocks} blocks of {part.block_px:.0f} px; "
            f"grains of about {part.grain_px:.0f} px"
        )
        for warning in part.warnings:
            print(f"Note: {warning}")
    if found.checked is not None:
        print("\nOf the classified cells, adjusted by those that were checked (Olofsson et al. 2014)")
        shown = found.checked.drop(columns=["code", "symbol", "kind"])
        print(shown.to_string(index=False, float_format="{:.4f}".format, na_rep=""))
        for doubt in doubts_of_checked(found.checked):
            print(f"Note: {doubt}")


def print_pooled(pooled: pd.DataFrame, pictures: int) -> None:
    """Print the table of several pictures together."""
    from napari_ore_minerals.maps.pooling import FEW_PICTURES

    print(f"\nPooled: {pictures} pictures")
    print(_shown(pooled).to_string(index=False))
    if 1 < pictures < FEW_PICTURES:
        print(
            f"Note: {pictures} pictures say little of how pictures differ; with {FEW_PICTURES} or more "
            "the intervals become shorter"
        )


def as_json(found: Sequence[Found], pooled: pd.DataFrame | None, failed: Mapping[str, str]) -> dict[str, Any]:
    """What ``--json`` prints; `failed` tells why by the folder of a result."""

    def rows(table: pd.DataFrame) -> Any:
        return json.loads(table.to_json(orient="records"))

    return {
        "measured": [
            {
                "name": part.name,
                "um_per_px": part.um_per_px,
                "grain_px": part.grain_px,
                "block_px": part.block_px,
                "blocks": part.blocks,
                "areas": rows(part.table),
                "notes": list(part.warnings),
                "facts": one.facts,
            }
            for one in found
            for part in one.parts
        ],
        "pooled": None if pooled is None else rows(pooled),
        "checked": [rows(one.checked) for one in found if one.checked is not None],
        "failed": [{"result": folder, "error": problem} for folder, problem in failed.items()],
    }


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Percentages and intervals as they are printed."""
    import numpy as np

    shown = table[[name for name in _NAMES if name in table]].copy()
    for title, name in _PERCENT.items():
        if name in table:
            shown[title] = (100 * table[name]).map("{:.1f}".format).where(table[name].notna(), "")
        if title == "%":
            shown["95 % interval"] = _ends(table, "low", "high")
    if "picture_low" in table and table["picture_low"].notna().any():
        shown["this picture"] = _ends(table, "picture_low", "picture_high")
    if "effective_n" in table:
        known = np.isfinite(table["effective_n"])
        shown["effective n"] = [
            f"{n:.0f}" if there else "" for n, there in zip(table["effective_n"], known, strict=True)
        ]
    if table["area_mm2"].notna().any():
        shown["area, mm2"] = table["area_mm2"].map("{:.4g}".format)
    return shown


def _ends(table: pd.DataFrame, low: str, high: str) -> list[str]:
    return [
        "" if math.isnan(first) else f"{100 * first:.1f} to {100 * last:.1f}"
        for first, last in zip(table[low], table[high], strict=True)
    ]
