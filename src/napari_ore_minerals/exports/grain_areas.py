"""Areas by the pixels of the grain map, as fractions of the same as the areas of the cells, and where both differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from napari_ore_minerals.maps.estimating import MATTERS
from napari_ore_minerals.maps.grain_areas import BY_GRAINS, grain_areas_px, shares_of
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from typing import Any

    from napari_ore_minerals.exports.shown import Shown


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
    pixels = grain_areas_px(shown.grains, shown.mineral_map)
    minerals = shown.grains.minerals
    table = pd.DataFrame(
        {
            "code": [*minerals.codes, UNCLASSIFIED],
            "mineral": [*(mineral.name for mineral in minerals), "unclassified"],
            "area_px": pixels.round().astype(int),
            "fraction": shares_of(pixels, shown.seen.whole),
        }
    )
    return table[(table["code"] != UNCLASSIFIED) | (table["area_px"] > 0)]


def disagreement(shown: Shown) -> str:
    """Say which minerals the grain map gives another fraction than the evidence of the map, by more than its error.

    Both follow from the same answers of the classifier, whose error moves them alike: what they differ by is
    therefore held against the error of sampling alone.
    """
    if shown.grains is None or not shown.grains.complete:
        return ""
    column, table = BY_GRAINS, shown.seen.table
    if column not in table:
        if shown.of_regions:  # only who measured the regions knows the grains in them
            return ""
        column, table = "fraction", areas_by_grains(shown)
    shares = dict(zip(table["code"].astype(int), table[column].astype(float), strict=True))
    off = [
        f"{row['mineral']} {shares[int(row['code'])]:.1%} against {float(row['fraction']):.1%}"
        for row in shown.seen.table.to_dict("records")
        if int(row["code"]) in shares and _differ(shares[int(row["code"])], row)
    ]
    if not off:
        return ""
    return (
        "the grains give other fractions than the evidence of the map, by more than the error of sampling: "
        f"{', '.join(off)}; look at both before either is used"
    )


def _differ(share: float, row: Mapping[Hashable, Any]) -> bool:
    value, accuracy = float(row["fraction"]), float(row["relative_accuracy"])
    half_width = 0.0 if math.isnan(accuracy) else value * accuracy / 100
    return abs(share - value) > max(MATTERS, half_width)
