"""Grains counted and measured: sizes, shapes, who touches whom, and how free each mineral is.

A grain is a connected area of one mineral (pixels that share a side).  Two grains of one mineral that
touch are one: a section does not show where one ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.measure import label, regionprops_table

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.minerals import Mineral, MineralTable

SIZE_PERCENTILES = (10, 25, 50, 75, 90)
FEWEST_GRAINS = 5  # whole ones of a mineral, for its sizes to be drawn as a curve
LIBERATION_CLASSES = (0.1, 0.3, 0.5, 0.7, 0.9)  # bounds of the shares of a particle


@dataclass(frozen=True)
class GrainTables:
    """What the grains of one map measure.

    Attributes
    ----------
    grains : pandas.DataFrame
        A row per grain; see `grain_table`.
    sizes : pandas.DataFrame
        A row per mineral; see `size_table`.
    association : pandas.DataFrame
        Length of the boundary between each two minerals; see `association_table`.
    liberation : pandas.DataFrame
        A row per ore mineral; see `liberation_table`.
    """

    grains: pd.DataFrame
    sizes: pd.DataFrame
    association: pd.DataFrame
    liberation: pd.DataFrame


@dataclass(frozen=True)
class SizeCurve:
    """Sizes of the whole grains of a mineral.

    Attributes
    ----------
    mineral : Mineral
    diameters : (n,) float64 array
        Rising, in um where um/px is known, else in pixels.
    shares : (n,) float64 array
        Of their area in grains up to each diameter, rising to 1.
    """

    mineral: Mineral
    diameters: NDArray[np.float64]
    shares: NDArray[np.float64]


def grain_tables(grain_map: GrainMap, *, least_places: int = 9) -> GrainTables:
    """Measure all four tables; grains of fewer values of the map than `least_places` are not counted."""
    grains = grain_table(grain_map, least_places=least_places)
    return GrainTables(
        grains, size_table(grain_map, grains), association_table(grain_map), liberation_table(grain_map)
    )


def grain_table(grain_map: GrainMap, *, least_places: int = 9) -> pd.DataFrame:
    """Measure each grain of each mineral, gangue among them.

    Parameters
    ----------
    grain_map
        The map.
    least_places
        Smaller grains are left out: at the limit of what can be seen, count and shape mean nothing.

    Returns
    -------
    pandas.DataFrame
        code, mineral; row, column of the centre in pixels of the picture; area_px; diameter_px (of the
        circle of this area); aspect (longest by shortest axis of the ellipse of the same moments, 1 where it
        is round); cut (touches the picture's edge, or what has no answer, so that its size is not known);
        area_um2 and diameter_um, missing where um/px is not known.

    Raises
    ------
    OptionError
        If `least_places` is less than 1.
    """
    if least_places < 1:
        raise OptionError(f"grains have at least 1 pixel, not {least_places}")
    factor = grain_map.factor
    numbered = _numbered(grain_map.codes, grain_map.minerals.codes)
    found = pd.DataFrame(
        regionprops_table(
            numbered,
            intensity_image=grain_map.codes,
            properties=(
                "label",
                "intensity_max",
                "centroid",
                "area",
                "axis_major_length",
                "axis_minor_length",
            ),
        )
    )
    kept = found[found["area"] >= least_places]
    axes = np.maximum(kept[["axis_major_length", "axis_minor_length"]].to_numpy(float), 1.0)  # one pixel wide
    names = {mineral.code: mineral.name for mineral in grain_map.minerals}
    area = pd.Series(_areas_px(grain_map, numbered)[kept["label"]], index=kept.index)
    table = pd.DataFrame(
        {
            "code": kept["intensity_max"].astype(int),
            "mineral": kept["intensity_max"].astype(int).map(names),
            "row": (kept["centroid-0"] + 0.5) * factor,
            "column": (kept["centroid-1"] + 0.5) * factor,
            "area_px": area,
            "diameter_px": np.sqrt(4 * area / np.pi),
            "aspect": axes[:, 0] / axes[:, 1],
            "cut": kept["label"].isin(_cut(numbered, grain_map.codes)),
        }
    ).reset_index(drop=True)
    scale = np.nan if grain_map.um_per_px is None else grain_map.um_per_px
    table["area_um2"] = table["area_px"] * scale**2
    table["diameter_um"] = table["diameter_px"] * scale
    return table


def size_table(grain_map: GrainMap, grains: pd.DataFrame) -> pd.DataFrame:
    """Count the grains of each mineral, and distribute their sizes, those that are cut left out.

    Parameters
    ----------
    grain_map
        The map.
    grains
        Of `grain_table`.

    Returns
    -------
    pandas.DataFrame
        code, mineral, grains, whole (not cut), mean_diameter_px, d10_px .. d90_px (diameter below which this
        per cent of the whole grains are, by number), d50_by_area_px (half of the area of whole grains is in
        smaller ones), mean_aspect; the same diameters in um, missing where um/px is not known.  One whole
        grain has no distribution, so only its mean is given.  Sizes are those of sections through grains,
        which are smaller than the grains.
    """
    rows = []
    for mineral in grain_map.minerals:
        mine = grains[grains["code"] == mineral.code]
        whole = mine[~mine["cut"]].sort_values("diameter_px")
        row: dict[str, object] = {
            "code": mineral.code,
            "mineral": mineral.name,
            "grains": len(mine),
            "whole": len(whole),
        }
        diameters = whole["diameter_px"].to_numpy(float)
        row["mean_diameter_px"] = diameters.mean() if len(whole) else np.nan
        for percent in SIZE_PERCENTILES:
            row[f"d{percent}_px"] = np.percentile(diameters, percent) if len(whole) > 1 else np.nan
        row["d50_by_area_px"] = _middle_by_area(diameters) if len(whole) > 1 else np.nan
        row["mean_aspect"] = whole["aspect"].mean() if len(whole) else np.nan
        rows.append(row)
    table = pd.DataFrame(rows)
    scale = np.nan if grain_map.um_per_px is None else grain_map.um_per_px
    for name in [name for name in table.columns if name.endswith("_px")]:
        table[name.removesuffix("_px") + "_um"] = table[name].astype(float) * scale
    return table


def size_curves(grains: pd.DataFrame, minerals: MineralTable) -> tuple[list[SizeCurve], list[str], str]:
    """Curves of the sizes of whole grains, names of minerals with fewer than `FEWEST_GRAINS` whole ones, and the unit.

    Parameters
    ----------
    grains
        Of `grain_table`.
    minerals
        Those to look for.
    """
    unit = "um" if grains["diameter_um"].notna().any() else "px"
    curves, few = [], []
    for mineral in minerals:
        mine = grains[grains["code"] == mineral.code]
        diameters = np.sort(mine.loc[~mine["cut"], f"diameter_{unit}"].to_numpy(float))
        if len(diameters) >= FEWEST_GRAINS:
            curves.append(SizeCurve(mineral, diameters, np.cumsum(diameters**2) / np.sum(diameters**2)))
        elif len(mine):
            few.append(mineral.name)
    return curves, few, unit


def association_table(grain_map: GrainMap) -> pd.DataFrame:
    """Measure who touches whom: length of the boundary between each two minerals.

    Returns
    -------
    pandas.DataFrame
        Symmetric, minerals by name in rows and columns, in pixels of the picture; the diagonal is 0.
        Lengths are counted along pixel sides and divided by 4 / pi, which is right on average over all
        directions.  What has no answer is nobody's neighbour.
    """
    codes = grain_map.codes
    places = np.full(256, -1)
    places[list(grain_map.minerals.codes)] = np.arange(len(grain_map.minerals))
    count = len(grain_map.minerals)
    sides = np.zeros((count, count), np.int64)
    for one, other in ((codes[1:], codes[:-1]), (codes[:, 1:], codes[:, :-1])):
        differ = (one != other) & (one != UNCLASSIFIED) & (other != UNCLASSIFIED)
        pairs = places[one[differ]] * count + places[other[differ]]
        sides += np.bincount(pairs, minlength=count**2).reshape(count, count)
    names = [mineral.name for mineral in grain_map.minerals]
    lengths = (sides + sides.T) * (grain_map.factor * np.pi / 4)
    return pd.DataFrame(lengths, index=names, columns=names)


def liberation_table(grain_map: GrainMap, *, bounds: Sequence[float] = LIBERATION_CLASSES) -> pd.DataFrame:
    """Measure how free each ore mineral is: what share of its particle it makes up, by area.

    A particle is a connected area of ore, surrounded by gangue, resin or the picture's edge.

    Parameters
    ----------
    grain_map
        The map.
    bounds
        Between the classes of the share, rising, each between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        A row per ore mineral: code, mineral, area_px, liberation (mean share of the particle, weighted with
        the mineral's own area), then for each class the share of the mineral's area in particles of it; these
        add up to 1 where there is any.
    """
    edges = [0.0, *bounds, 1.0]
    ore = [mineral for mineral in grain_map.minerals if mineral.kind == "ore"]
    particles, _ = ndimage.label(np.isin(grain_map.codes, [mineral.code for mineral in ore]))
    whole = _areas_px(grain_map, particles)
    rows = []
    for mineral in ore:
        own = _areas_px(grain_map, np.where(grain_map.codes == mineral.code, particles, 0), len(whole))
        own[0] = 0.0
        share, total = own / np.maximum(whole, 1), int(own.sum())
        row: dict[str, object] = {
            "code": mineral.code,
            "mineral": mineral.name,
            "area_px": total,
            "liberation": float(share @ own / total) if total else np.nan,
        }
        classes = np.clip(np.searchsorted(edges, share, side="left") - 1, 0, len(edges) - 2)
        for number, area in enumerate(np.bincount(classes, own, minlength=len(edges) - 1)):
            row[f"{edges[number]:.0%} to {edges[number + 1]:.0%}"] = area / total if total else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _numbered(codes: NDArray[np.uint8], minerals: Sequence[int]) -> NDArray[np.intp]:
    """Number of the grain of each value, 0 for none."""
    shown = np.where(np.isin(codes, minerals), codes, UNCLASSIFIED)
    numbered: NDArray[np.intp] = label(shown, background=UNCLASSIFIED, connectivity=1)
    return numbered


def _areas_px(grain_map: GrainMap, numbered: NDArray[np.integer], least: int = 0) -> NDArray[np.float64]:
    """Pixels of the picture of each number; values that the picture's edge cuts count as far as they reach."""
    weights = np.outer(*grain_map.sides_px()).ravel()
    return np.bincount(numbered.ravel(), weights, minlength=least).astype(np.float64, copy=False)


def _cut(numbered: NDArray[np.intp], codes: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Numbers of grains that touch the picture's edge or what has no answer."""
    edge = np.ones(codes.shape, bool)
    edge[1:-1, 1:-1] = False
    edge |= ndimage.binary_dilation(codes == UNCLASSIFIED)
    return np.unique(numbered[edge & (numbered > 0)])


def _middle_by_area(diameters: NDArray[np.float64]) -> float:
    """Diameter below which half of the area is; they must rise."""
    if not len(diameters):
        return float("nan")
    area = np.cumsum(diameters**2)
    return float(diameters[np.searchsorted(area, area[-1] / 2)])
