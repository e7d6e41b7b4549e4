"""The code of every pixel of a picture, from its grains where there are some, else from its cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.images.pixels import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.minerals import MineralTable

SMALLEST_LEVEL_PX = 2048


@dataclass(frozen=True)
class PixelMap:
    """Codes of the pixels of a picture.

    Attributes
    ----------
    codes : (rows, columns) uint8 array
        Each value answers for `factor` x `factor` pixels, beginning at the upper left corner.
    factor : int
    height_px, width_px : int
        Of the picture.
    of_grains : bool
        False where a value is a cell of the mineral map.
    """

    codes: NDArray[np.uint8]
    factor: int
    height_px: int
    width_px: int
    of_grains: bool

    @classmethod
    def of(cls, shown: Shown) -> PixelMap:
        """As it is shown: grains where there are some."""
        grid, grains = shown.mineral_map.grid, shown.grains
        if grains is None:
            return cls(
                shown.mineral_map.labels, grid.stride_px, grid.height_px, grid.width_px, of_grains=False
            )
        return cls(grains.codes, grains.factor, grains.height_px, grains.width_px, of_grains=True)

    def read(self, window: Window, step: int = 1) -> NDArray[np.uint8]:
        """Codes of every `step`-th row and column of a window of the picture."""
        rows = np.arange(window.row, window.row + window.height, step) // self.factor
        columns = np.arange(window.column, window.column + window.width, step) // self.factor
        found: NDArray[np.uint8] = self.codes[rows][:, columns]
        return found


def levels(height_px: int, width_px: int, smallest_px: int = SMALLEST_LEVEL_PX) -> tuple[int, ...]:
    """Steps of the levels of a pyramid: 1, 2, 4 .. until the longest side is at most `smallest_px`."""
    steps = [1]
    while max(height_px, width_px) > smallest_px * steps[-1]:
        steps.append(2 * steps[-1])
    return tuple(steps)


def blocks(height: int, width: int, side: int) -> Iterator[Window]:
    """Squares that cover rows and columns, smaller at the far edges, row by row."""
    for row in range(0, height, side):
        for column in range(0, width, side):
            yield Window(row, column, min(side, height - row), min(side, width - column))


def colours_of(minerals: MineralTable) -> NDArray[np.uint8]:
    """(256, 3) colours by code; black for what is no mineral."""
    colours = np.zeros((256, 3), np.uint8)
    for mineral in minerals:
        colours[mineral.code] = mineral.rgb
    return colours
