"""Areas by the pixels of the grain map, as fractions of the same as the areas of the cells, and where both differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_ore_minerals.maps.estimating import MATTERS
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from typing import Any

    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.maps.mineral_map import MineralMap

BY_GRAINS = "fraction_by_grains"  # in tables of areas, where the grains of regions were counted


def areas_by_grains(shown: Shown) -> pd.DataFrame:
    """Area of each mineral by the pixels of the grain map of the whole picture, and of unclassified if there is any.

    Parameters
    ----------
    shown
        With grains.

    Returns
    -------
    pandas.DataFrame
        code, mineral, area_px, and fraction of the same as the areas are of; missing for what is left out of
        that.  What was not processed is no part of it.
    """
    if shown.grains is None:
        return pd.DataFrame(columns=["code", "mineral", "area_px", "fraction"])
    pixels = shown.grains.area_px()
    pixels[UNCLASSIFIED] -= _not_processed_px(shown.grains, shown.mineral_map)
    names = [
        *((mineral.code, mineral.name) for mineral in shown.grains.minerals),
        (UNCLASSIFIED, "unclassified"),
    ]
    rows = [
        (code, name, pixels[code], counts)
        for (code, name), counts in zip(names, shown.seen.whole.tolist(), strict=True)
        if code != UNCLASSIFIED or pixels[code]
    ]
    table = pd.DataFrame(rows, columns=["code", "mineral", "area_px", "counts"])
    counts = table.pop("counts").astype(bool)
    whole = float(table.loc[counts, "area_px"].sum())
    table["fraction"] = (table["area_px"] / whole).where(counts) if whole else np.nan
    return table


def _not_processed_px(grains: GrainMap, mineral_map: MineralMap) -> int:
    """Pixels without a grain in cells that were neither processed nor painted."""
    grid, factor = mineral_map.grid, grains.factor
    gone = ~(mineral_map.processed | (mineral_map.labels != UNCLASSIFIED))
    if not gone.any():
        return 0
    lengths, cells = [], []
    for count, length in zip(grains.codes.shape, (grains.height_px, grains.width_px), strict=True):
        starts = np.arange(count) * factor
        lengths.append(np.minimum(starts + factor, length) - starts)
        cells.append(starts // grid.stride_px)
    open_here = (grains.codes == UNCLASSIFIED) & gone[np.ix_(*cells)]
    return int(lengths[0] @ open_here.astype(np.int64) @ lengths[1])


def disagreement(shown: Shown) -> str:
    """Say which minerals the grain map gives another fraction than the evidence of the map, by more than its error.

    The error is the classifier's where it is known, since both are of this picture, else that of sampling.
    """
    if shown.grains is None or not shown.grains.complete:
        return ""
    column, table = "fraction", areas_by_grains(shown)
    if shown.of_regions:  # only who measured the regions knows the grains in them
        column, table = BY_GRAINS, shown.seen.table
    if column not in table:
        return ""
    shares = dict(zip(table["code"].astype(int), table[column].astype(float), strict=True))
    off = [
        f"{row['mineral']} {shares[int(row['code'])]:.1%} against {float(row['fraction']):.1%}"
        for row in shown.seen.table.to_dict("records")
        if int(row["code"]) in shares and _differ(shares[int(row["code"])], row)
    ]
    if not off:
        return ""
    return (
        f"the grains give other fractions than the evidence of the map, by more than its error: {', '.join(off)}; look "
        "at both before either is used"
    )


def _differ(share: float, row: Mapping[Hashable, Any]) -> bool:
    value = float(row["fraction"])
    low, high = float(row["picture_low"]), float(row["picture_high"])
    if math.isnan(low):
        low, high = float(row["low"]), float(row["high"])
    return abs(share - value) > MATTERS and (share < low or share > high)
