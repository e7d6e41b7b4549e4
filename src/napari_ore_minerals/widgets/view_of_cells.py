"""Moving the view to a cell of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_ore_minerals.learning.corrections import Cell

CELLS_IN_VIEW = 7


def go_to_cell(viewer: ViewerModel, labels: Labels, cell: Cell) -> None:
    """Put a cell into the middle of the canvas; the zoom changes only where the cell would be very small or large."""
    leading = [0] * (labels.ndim - 2)
    centre = np.asarray(labels.data_to_world((*leading, *cell)))
    beside = np.asarray(labels.data_to_world((*leading, cell[0], cell[1] + 1)))
    side = float(np.linalg.norm(beside - centre))
    camera, canvas = viewer.scene.camera, min(viewer.canvas.size)
    if side and not CELLS_IN_VIEW / 2 <= canvas / camera.zoom / side <= 3 * CELLS_IN_VIEW:
        camera.zoom = canvas / (CELLS_IN_VIEW * side)
    for axis, value in enumerate(centre[:-2]):
        viewer.dims.set_point(axis, float(value))
    camera.center = (0.0, *map(float, centre[-2:]))
