"""Regions of a picture: how far each place of a map is covered by a polygon or a mask."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_ore_minerals.maps.mineral_map import MineralMap

SAMPLES = 8  # points of a mask looked at along one side of a place


def coverage_of_polygon(mineral_map: MineralMap, corners: ArrayLike) -> NDArray[np.float64]:
    """Share of each place that lies within a polygon, exactly; what it crosses twice is outside.

    Parameters
    ----------
    mineral_map
        The map.
    corners : (n, 2) float array
        Rows and columns in pixels of the picture, where (0, 0) is the outer corner of the first pixel
        (a Shapes layer over a napari image counts from its middle: add 0.5).

    Returns
    -------
    (rows * m, columns * m) float64 array
        0 to 1.

    Raises
    ------
    OptionError
        With fewer than three corners, or none of the polygon in the picture.
    """
    import shapely

    points = np.asarray(corners, float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise OptionError(f"a region needs at least three corners of (row, column), not {points.shape}")
    grid, step = mineral_map.grid, mineral_map.grid.stride_px / mineral_map.places_per_cell
    edges = [
        np.minimum(np.arange(places + 1) * step, side)
        for places, side in zip(
            mineral_map.class_maps.shape[1:], (grid.height_px, grid.width_px), strict=True
        )
    ]
    polygon = shapely.make_valid(shapely.Polygon(points))
    found = np.zeros(mineral_map.class_maps.shape[1:])
    for row, (top, bottom) in enumerate(pairwise(edges[0])):  # a strip is cheaper to cut than the whole
        strip = shapely.intersection(polygon, shapely.box(top, 0, bottom, grid.width_px))
        if strip.area > 0:
            parts = shapely.intersection(strip, shapely.box(top, edges[1][:-1], bottom, edges[1][1:]))
            whole = (bottom - top) * np.diff(edges[1])
            found[row] = np.divide(shapely.area(parts), whole, out=np.zeros_like(whole), where=whole > 0)
    if not found.any():
        raise OptionError(
            f"the region lies outside the picture of {grid.height_px} x {grid.width_px} px, "
            "or is smaller than can be measured: draw it on the picture"
        )
    return np.minimum(found, 1.0)


def coverage_of_mask(mineral_map: MineralMap, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each place where a mask of the picture's pixels is true.

    Raises
    ------
    OptionError
        If the mask is not of the picture's size, or nowhere true.
    """
    grid = mineral_map.grid
    if mask.shape != (grid.height_px, grid.width_px):
        raise OptionError(
            f"the mask has {mask.shape} pixels, the picture ({grid.height_px}, {grid.width_px}): they must fit"
        )
    if not mask.any():
        raise OptionError("the mask is empty: nothing of the picture would be measured")
    step = grid.stride_px / mineral_map.places_per_cell
    at = [
        _sample_points(places, step, side)
        for places, side in zip(mineral_map.class_maps.shape[1:], mask.shape, strict=True)
    ]
    found = np.empty(mineral_map.class_maps.shape[1:])
    for row in range(len(found)):  # one row of places at a time: memory stays small
        points = np.ix_(at[0][row * SAMPLES : (row + 1) * SAMPLES], at[1])
        found[row] = _means(mask[points].astype(bool))[0]
    return found


def _sample_points(places: int, step: float, side: int) -> NDArray[np.intp]:
    """Pixels looked at along one axis; those of the last place within the picture are all in the picture."""
    begins = np.arange(places) * step
    lengths = np.minimum(begins + step, side) - begins
    within = begins[:, None] + np.maximum(lengths, 0)[:, None] * (np.arange(SAMPLES) + 0.5) / SAMPLES
    points: NDArray[np.intp] = np.minimum(within.ravel().astype(np.intp), side - 1)
    return points


def _means(samples: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, columns = samples.shape[0] // SAMPLES, samples.shape[1] // SAMPLES
    means: NDArray[np.float64] = samples.reshape(rows, SAMPLES, columns, SAMPLES).mean(axis=(1, 3))
    return means
