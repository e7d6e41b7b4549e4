"""Which cells of a picture are asked for: those in view, or those under shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.draw import polygon2mask

from napari_ore_minerals.images.pixels import Window
from napari_ore_minerals.widgets.pictures import LayerPicture

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer, Shapes
    from numpy.typing import NDArray

    from napari_ore_minerals.images.tiles import TileGrid

STEPS_PER_CELL = 2
ROUND_CORNERS = 64


def window_in_view(viewer: ViewerModel, layer: Image, picture: LayerPicture) -> Window | None:
    """Part of the picture that the canvas shows; None if it shows none of it."""
    height, width = np.array(viewer.canvas.size, float) / viewer.scene.camera.zoom
    row, column = viewer.scene.camera.center[-2:]
    if not width or not height:
        return None
    corners = [(row + up * height / 2, column + left * width / 2) for up in (-1, 1) for left in (-1, 1)]
    return window_of(layer, np.array(corners), picture)


def step_in_view(viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
    """Index on each axis of a layer that the sliders show; the viewer's own steps count those of all layers."""
    found = np.round(np.asarray(layer.world_to_data(viewer.dims.point))[-layer.ndim :])
    return tuple(int(at) for at in found)


def cells_of_window(grid: TileGrid, window: Window) -> NDArray[np.bool_]:
    """Cells that a window touches, as a (rows, columns) mask."""
    mask = np.zeros(grid.shape, np.bool_)
    top, left = window.row // grid.stride_px, window.column // grid.stride_px
    bottom = -(-(window.row + window.height) // grid.stride_px)
    right = -(-(window.column + window.width) // grid.stride_px)
    mask[top:bottom, left:right] = True
    return mask


def cells_of_shapes(shapes: Shapes, layer: Image, picture: LayerPicture, grid: TileGrid) -> NDArray[np.bool_]:
    """Cells under the selected shapes of a layer, or under all of them where none is selected.

    A cell is taken if its centre lies inside, or if the outline passes through it.
    """
    mask = np.zeros(grid.shape, np.bool_)
    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    for number in chosen:
        kind = str(shapes.shape_type[number])
        world = np.array(
            [shapes.data_to_world(point)[-2:] for point in outline_of(shapes.data[number], kind)]
        )
        points = np.array([to_pixels(layer, point, picture) for point in world]) / grid.stride_px
        closed = kind not in ("path", "line")
        if closed and len(points) > 2:
            mask |= polygon2mask(grid.shape, points - 0.5)
        _add_outline(mask, points, closed=closed)
    return mask


def outline_of(corners: NDArray[Any], kind: str) -> NDArray[Any]:
    """Points of a shape's outline; napari keeps an ellipse as the corners of its box."""
    if kind != "ellipse":
        return corners
    centre = corners.mean(axis=0)
    across, down = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, ROUND_CORNERS, endpoint=False)
    return np.asarray(centre + np.outer(np.cos(angles), across) + np.outer(np.sin(angles), down))


def _add_outline(mask: NDArray[np.bool_], points: NDArray[np.float64], *, closed: bool) -> None:
    following = np.roll(points, -1, axis=0) if closed else points[1:]
    for start, end in zip(points, following, strict=False):
        steps = int(np.abs(end - start).max() * STEPS_PER_CELL) + 2
        cells = np.floor(np.linspace(start, end, steps)).astype(int)
        inside = ((cells >= 0) & (cells < mask.shape)).all(axis=1)
        mask[tuple(cells[inside].T)] = True


def window_of(layer: Layer, corners: NDArray[np.float64], picture: LayerPicture) -> Window | None:
    """Part of a picture that lies in a box of the world.

    Parameters
    ----------
    layer
        The picture's layer.
    corners : (n, 2) array
        Corners of the box in the world's last two axes.
    picture
        As made by `picture_of`.

    Returns
    -------
    Window or None
        In pixels of the level that is read; None if they do not meet.
    """
    points = np.round([to_pixels(layer, corner, picture) for corner in corners], 6)
    low = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int), [picture.height_px, picture.width_px])
    if (high <= low).any():
        return None
    return Window(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def to_pixels(layer: Layer, world: NDArray[np.float64], picture: LayerPicture) -> NDArray[np.float64]:
    """Place in the picture, (row, column) from its first corner, of a point of the world's last two axes."""
    lead = [
        float(layer.data_to_world((*picture.placement.plane, 0, 0))[axis]) for axis in range(layer.ndim - 2)
    ]
    data = np.asarray(layer.world_to_data((*lead, *world)))[-2:]
    return np.asarray((data + 0.5) / np.array(picture.placement.pixel), np.float64)
