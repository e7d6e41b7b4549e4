"""Outlines of the connected areas of a map as polygons with holes, along the sides of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray


def outlines(numbered: NDArray[np.integer]) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Trace every area of one number.

    Parameters
    ----------
    numbered : (rows, columns) int array
        Numbers of at least 0, each of values that hang together by their sides, as
        `skimage.measure.label` with ``connectivity=1`` gives them.

    Returns
    -------
    polygons : (n,) array of shapely.Polygon
        Columns and rows of the corners of values, from 0; holes are kept, neighbours share their corners, and
        areas are exactly the counts of values.
    numbers : (n,) int array
        Of the polygons.
    """
    framed = np.pad(numbered, 1, constant_values=-1)
    across = framed[1:, 1:-1] != framed[:-1, 1:-1]  # (rows + 1, columns): sides that lie
    down = framed[1:-1, 1:] != framed[1:-1, :-1]  # (rows, columns + 1): sides that stand
    corners = _ends(across) & _ends(down.T).T
    lying, standing = _sides(across, corners), _sides(down.T, corners.T)[..., ::-1]
    polygons = shapely.get_parts(shapely.polygonize(shapely.linestrings(np.concatenate([lying, standing]))))
    inside = shapely.point_on_surface(polygons)
    columns, rows = (np.floor(of(inside)).astype(np.intp) for of in (shapely.get_x, shapely.get_y))
    return polygons, numbered[rows, columns].astype(np.intp)


def _ends(sides: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Places that a side in the direction of the last axis touches, one more than there are sides."""
    touched = np.zeros((sides.shape[0], sides.shape[1] + 1), bool)
    touched[:, :-1] |= sides
    touched[:, 1:] |= sides
    return touched


def _sides(sides: NDArray[np.bool_], corners: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(n, 2, 2) ends of straight lines along the last axis, cut at every corner: (along, line)."""
    lines, begins = np.nonzero(sides & corners[:, :-1])
    _, ends = np.nonzero(sides & corners[:, 1:])
    return np.stack([np.stack([begins, lines], axis=1), np.stack([ends + 1, lines], axis=1)], axis=1)
