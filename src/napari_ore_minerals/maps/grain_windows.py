"""A picture made smaller by a whole factor, window by window, and the windows that it is cut into."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_ore_minerals.images.pixels import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph

Inner = tuple[slice, slice]


class ReducedPicture:
    """A micrograph of which factor x factor pixels become one, their mean.

    Parameters
    ----------
    micrograph
        Read window by window.
    factor
        1 leaves the pixels as they are.
    """

    def __init__(self, micrograph: Micrograph, factor: int) -> None:
        self._micrograph, self._factor = micrograph, factor
        self.shape = (-(-micrograph.height_px // factor), -(-micrograph.width_px // factor))

    def blocks(self, side: int) -> Iterator[Window]:
        """Windows of at most side x side that cover every pixel once, row by row."""
        height, width = self.shape
        for row, column in product(range(0, height, side), range(0, width, side)):
            yield Window(row, column, min(side, height - row), min(side, width - column))

    def window_of(self, window: Window) -> Window:
        """Pixels of the small picture whose first pixel of the large one lies in its `window`; at least one."""
        top, left = (
            min(-(-start // self._factor), size - 1)
            for start, size in zip(window[:2], self.shape, strict=True)
        )
        bottom = -(-(window.row + window.height) // self._factor)
        right = -(-(window.column + window.width) // self._factor)
        return Window(top, left, max(1, bottom - top), max(1, right - left))

    def grown(self, window: Window, reach: int) -> Window:
        """Return the window with a margin on each side, inside the picture."""
        top, left = max(0, window.row - reach), max(0, window.column - reach)
        bottom = min(self.shape[0], window.row + window.height + reach)
        right = min(self.shape[1], window.column + window.width + reach)
        return Window(top, left, bottom - top, right - left)

    def read(self, window: Window, reach: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Inner]:
        """Read a window with a margin.

        Returns
        -------
        rgb : (height, width, 3) uint8 array
        finite : (height, width) bool array
            False where any pixel has no data.
        inner : two slices
            Where the window is in them.
        """
        large, factor = self.grown(window, reach), self._factor
        top, left = large.row * factor, large.column * factor
        height = min(large.height * factor, self._micrograph.height_px - top)
        width = min(large.width * factor, self._micrograph.width_px - left)
        rgb, finite = self._micrograph.read(Window(top, left, height, width))
        missing = ((0, large.height * factor - height), (0, large.width * factor - width))
        known = np.ones((height, width), np.bool_) if finite is None else finite
        rgb = np.pad(rgb, (*missing, (0, 0)), mode="edge")
        whole = np.pad(known, missing, mode="edge")
        cut = (large.height, factor, large.width, factor)
        small = cv2.resize(rgb, (large.width, large.height), interpolation=cv2.INTER_AREA)
        inner = (
            slice(window.row - large.row, window.row - large.row + window.height),
            slice(window.column - large.column, window.column - large.column + window.width),
        )
        data = np.asarray(whole.reshape(cut).all(axis=(1, 3)), np.bool_)
        return small, data, inner
