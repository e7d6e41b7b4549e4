"""Files of regions (shapes saved by napari, masks) and of checked cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_ore_minerals.errors import OptionError, OreMineralsError
from napari_ore_minerals.maps.adjusting import olofsson
from napari_ore_minerals.maps.regions import coverage_of_mask, coverage_of_polygon

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_ore_minerals.maps.mineral_map import MineralMap

MOST_REGIONS = 1000
FEWEST_CHECKED = 2  # of a mapped class, for a variance
_AREAS = ("polygon", "rectangle", "ellipse")
_CORNERS = 72
_SHAPES = ["index", "shape-type", "vertex-index"]
_CHECKED = ["mapped", "true", "cells"]


def read_regions(mineral_map: MineralMap, path: Path) -> dict[str, NDArray[np.float64]]:
    """Read regions, by name, as coverages of the places of a map.

    Parameters
    ----------
    mineral_map
        Of the picture that the regions were drawn on.
    path
        CSV as napari saves a Shapes layer, in pixels of the picture (polygons, rectangles and ellipses; lines
        have no area); or a mask picture of the same size, where every value but 0 is a region.

    Raises
    ------
    OptionError
        If it holds no region of this picture.
    """
    if path.suffix.lower() == ".csv":
        return _shapes(mineral_map, path)
    mask = _mask(path)
    values = [int(value) for value in np.unique(mask) if value]
    if not 0 < len(values) <= MOST_REGIONS:
        raise OptionError(
            f"{path} holds {len(values)} regions: 1 to {MOST_REGIONS} values other than 0 are expected"
        )
    if len(values) == 1:
        return {"region": coverage_of_mask(mineral_map, mask > 0)}
    return {f"region {value}": coverage_of_mask(mineral_map, mask == value) for value in values}


def measure_checked(mineral_map: MineralMap, path: Path) -> pd.DataFrame:
    """Adjust the plain count of a map by cells of it that were drawn at random in each class and checked.

    Parameters
    ----------
    mineral_map
        The map.
    path
        CSV with the columns mapped, true, cells: names or symbols, and how many.

    Returns
    -------
    pandas.DataFrame
        code, mineral, symbol, kind, checked (cells mapped as it), fraction_by_cells, fraction_adjusted, error (standard
        error), low, high; see `maps.adjusting.olofsson`.

    Raises
    ------
    OptionError
        If it cannot be read or names other minerals.
    """
    table, minerals = _csv(path, _CHECKED), mineral_map.minerals
    counts = np.zeros((len(minerals), len(minerals)), int)
    for mapped, true, cells in table[_CHECKED].itertuples(index=False):
        try:
            row, column = (minerals.codes.index(minerals.by_name(str(name)).code) for name in (mapped, true))
            counts[row, column] += int(cells)
        except (KeyError, ValueError) as error:
            raise OptionError(f"{path}: {mapped}, {true}, {cells}: {error.args[0]}") from error
    area = mineral_map.grid.cell_area_px() * mineral_map.processed
    mapped_px = np.array([area[mineral_map.labels == code].sum() for code in minerals.codes], float)
    if mapped_px.sum() <= 0 or (counts < 0).any():
        raise OptionError(
            f"{path}: no cell of the map has a mineral, or a number of checked cells is below 0"
        )
    mapped_shares = mapped_px / mapped_px.sum()
    found, errors = olofsson(mapped_shares, counts)
    return pd.DataFrame(
        {
            **{
                name: [getattr(mineral, name) for mineral in minerals]
                for name in ("code", "name", "symbol", "kind")
            },
            "checked": counts.sum(axis=1),
            "fraction_by_cells": mapped_shares,
            "fraction_adjusted": found,
            "error": errors,
            "low": np.clip(found - 1.96 * errors, 0, 1),
            "high": np.clip(found + 1.96 * errors, 0, 1),
        }
    ).rename(columns={"name": "mineral"})


def doubts_of_checked(table: pd.DataFrame) -> tuple[str, ...]:
    """What speaks against the errors of `measure_checked`: too few cells were checked to have any, or to find one."""
    few = table.loc[(table["fraction_by_cells"] > 0) & (table["checked"] < FEWEST_CHECKED), "mineral"]
    sure = table.loc[table["error"] == 0, "mineral"]
    told = []
    if not few.empty:
        told.append(
            f"fewer than {FEWEST_CHECKED} cells mapped as {', '.join(few)} were checked: there are no intervals, and "
            "where none was checked the map is taken as right; check some cells of each"
        )
    if not sure.empty:
        told.append(
            f"no checked cell takes anything from {', '.join(sure)} or adds to it: these intervals have no width, "
            "which is no proof; check more cells, of all mapped minerals"
        )
    return tuple(told)


def _shapes(mineral_map: MineralMap, path: Path) -> dict[str, NDArray[np.float64]]:
    table = _csv(path, _SHAPES)
    axes = [name for name in table.columns if name.startswith("axis-")][-2:]
    if len(axes) < 2:
        raise OptionError(f"{path} has no columns axis-0 and axis-1: save a Shapes layer of napari as CSV")
    found = {}
    for number, (_, shape) in enumerate(table.groupby("index", sort=True), 1):
        kind = str(shape["shape-type"].iloc[0])
        if kind not in _AREAS:
            raise OptionError(f"{path}: shape {number} is a {kind}, which has no area: draw a polygon")
        try:
            corners = shape.sort_values("vertex-index")[axes].to_numpy(float) + 0.5
        except ValueError as error:
            raise OptionError(f"{path}: shape {number} has corners that are no numbers: {error}") from error
        corners = _ellipse(corners) if kind == "ellipse" else corners
        found[f"region {number}"] = coverage_of_polygon(mineral_map, corners)
        if number > MOST_REGIONS:
            raise OptionError(f"{path} holds more than {MOST_REGIONS} shapes: measure fewer at once")
    if not found:
        raise OptionError(f"{path} holds no shapes")
    return found


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Polygon of the ellipse within four corners, as napari saves it."""
    middle = corners.mean(axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[-1] - corners[0]) / 2
    angle = 2 * np.pi * np.arange(_CORNERS)[:, None] / _CORNERS
    polygon: NDArray[np.float64] = middle + np.cos(angle) * one + np.sin(angle) * other
    return polygon


def _csv(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} cannot be read as CSV: {error}") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise OptionError(f"{path} has no column {', '.join(missing)}; expected are {', '.join(columns)}")
    return table


def _mask(path: Path) -> NDArray[np.integer]:
    import tifffile
    from PIL import Image

    try:
        if path.suffix.lower() in {".tif", ".tiff"}:
            mask = np.asarray(tifffile.imread(path))
        else:
            with Image.open(path) as picture:
                mask = np.asarray(picture)
    except (OSError, ValueError) as error:
        if isinstance(error, OreMineralsError):
            raise
        raise OptionError(f"{path} cannot be read as a mask: {error}") from error
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise OptionError(
            f"{path} is {mask.dtype} {mask.shape}: a mask has rows and columns of whole numbers"
        )
    return mask
