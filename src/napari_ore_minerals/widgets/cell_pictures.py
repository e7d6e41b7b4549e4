"""Pictures of one cell for the review: what is there, and where the evidence lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS
from qtpy.QtGui import QImage, QPixmap
from skimage.transform import resize

from napari_ore_minerals.images.pixels import Window
from napari_ore_minerals.widgets.layers import BLUE_TO_RED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.learning.corrections import Cell
    from napari_ore_minerals.maps.mineral_map import MineralMap

SIDE_PX = 150
AROUND = 0.25  # of the cell's side, so that it is seen in its surroundings
HEAT = 0.45
FRAME = (255, 235, 90)
FRAME_PX = 2


def cell_picture(micrograph: Micrograph, mineral_map: MineralMap, cell: Cell) -> NDArray[np.uint8]:
    """Return a cell in its surroundings, framed: (SIDE_PX, SIDE_PX, 3).  Reads the picture."""
    own, around = mineral_map.grid.cell_window(*cell), _around(mineral_map, cell)
    pixels = micrograph.read(around).rgb
    picture = _resized(pixels)
    scale = np.array([SIDE_PX / around.height, SIDE_PX / around.width])
    top, left = ((np.array([own.row, own.column]) - [around.row, around.column]) * scale).astype(int)
    bottom, right = top + round(own.height * scale[0]), left + round(own.width * scale[1])
    framed = np.zeros(picture.shape[:2], bool)
    framed[top:bottom, left:right] = True
    framed[top + FRAME_PX : bottom - FRAME_PX, left + FRAME_PX : right - FRAME_PX] = False
    picture[framed] = FRAME
    return picture


def with_heat(
    picture: NDArray[np.uint8], mineral_map: MineralMap, cell: Cell, code: int
) -> NDArray[np.uint8]:
    """Lay the evidence for a mineral over the picture of a cell."""
    around = _around(mineral_map, cell)
    step = mineral_map.grid.stride_px / mineral_map.places_per_cell
    heat = mineral_map.heatmap(code)
    rows = ((around.row + (np.arange(SIDE_PX) + 0.5) * around.height / SIDE_PX) / step).astype(int)
    columns = ((around.column + (np.arange(SIDE_PX) + 0.5) * around.width / SIDE_PX) / step).astype(int)
    rows, columns = np.minimum(rows, heat.shape[0] - 1), np.minimum(columns, heat.shape[1] - 1)
    values = heat[np.ix_(rows, columns)]
    colours = AVAILABLE_COLORMAPS[BLUE_TO_RED].map(values.ravel())[:, :3].reshape(*values.shape, 3) * 255
    return np.asarray((1 - HEAT) * picture + HEAT * colours, np.uint8)


def pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    """Return a picture for a label."""
    height, width = picture.shape[:2]
    image = QImage(
        np.ascontiguousarray(picture).tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
    )
    return QPixmap.fromImage(image.copy())


def _around(mineral_map: MineralMap, cell: Cell) -> Window:
    grid, own = mineral_map.grid, mineral_map.grid.cell_window(*cell)
    more = round(grid.stride_px * AROUND)
    top, left = max(0, own.row - more), max(0, own.column - more)
    bottom = min(grid.height_px, own.row + own.height + more)
    right = min(grid.width_px, own.column + own.width + more)
    return Window(top, left, bottom - top, right - left)


def _resized(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    wanted = resize(pixels, (SIDE_PX, SIDE_PX, 3), order=1, preserve_range=True, anti_aliasing=True)
    return np.asarray(np.clip(wanted, 0, 255), np.uint8)
