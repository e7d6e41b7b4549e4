"""Tables of grains as they are read in the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from napari_ore_minerals.maps.grain_tables import GrainTables

SIZES, TOUCHING, LIBERATION = "sizes", "which mineral touches which", "liberation"
VIEWS = (SIZES, TOUCHING, LIBERATION)
NOTHING = "–"


def frame_of(view: str, tables: GrainTables) -> pd.DataFrame:
    """One of `VIEWS` as texts; minerals without grains are left out."""
    if view == TOUCHING:
        return _touching(tables)
    return _liberation(tables) if view == LIBERATION else _sizes(tables)


def _sizes(tables: GrainTables) -> pd.DataFrame:
    sizes = tables.sizes[tables.sizes["grains"] > 0]
    unit, sign = ("um", "µm") if sizes["d50_um"].notna().any() else ("px", "px")
    return pd.DataFrame(
        {
            "mineral": sizes["mineral"],
            "grains": sizes["grains"].map("{:,}".format),
            "whole": sizes["whole"].map("{:,}".format),
            f"d50 {sign}": sizes[f"d50_{unit}"].map(_length),
            f"d90 {sign}": sizes[f"d90_{unit}"].map(_length),
            "aspect": _figures(sizes["mean_aspect"], "{:.2f}"),
        }
    )


def _touching(tables: GrainTables) -> pd.DataFrame:
    """Share of each mineral's boundary that is with each other one, per cent, a row each."""
    lengths = tables.association
    seen = lengths.sum(axis=1) > 0
    lengths = lengths.loc[seen, seen]
    shares = 100 * lengths.div(lengths.sum(axis=1), axis=0)
    texts = shares.map(lambda share: f"{share:.0f} %" if share else NOTHING)
    return texts.rename_axis("mineral").reset_index()


def _liberation(tables: GrainTables) -> pd.DataFrame:
    table = tables.liberation[tables.liberation["area_px"] > 0]
    found = pd.DataFrame(
        {"mineral": table["mineral"], "mean": _figures(100 * table["liberation"], "{:.0f} %")}
    )
    for name in [name for name in table.columns if " to " in name]:
        found[name] = _figures(100 * table[name], "{:.0f} %")
    return found


def _length(value: float) -> str:
    if pd.isna(value):
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _figures(values: pd.Series, how: str) -> pd.Series:
    return values.map(lambda value: NOTHING if pd.isna(value) else how.format(value))
