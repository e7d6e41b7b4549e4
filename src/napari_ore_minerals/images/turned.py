"""Pictures that lie turned or mirrored in their file, as its orientation tag says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ore_minerals.images.blocks import Plane
from napari_ore_minerals.images.pixels import Holes, Window

# Orientation: (rows and columns change places, rows run upwards, columns run leftwards) as seen upright.
_TURNS = {
    1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip


class TurnedPlane:
    """A plane seen upright; `orientation` is that of EXIF and TIFF, 1 to 8."""

    def __init__(self, plane: Plane, orientation: int) -> None:
        self._plane = plane
        self._swapped, self._up, self._left = _TURNS[orientation]
        self.channels, self.dtype = plane.channels, plane.dtype
        sides = (plane.height_px, plane.width_px)
        self.height_px, self.width_px = sides[::-1] if self._swapped else sides

    def read(self, window: Window) -> NDArray[Any]:
        """Values of an upright window, shape (height, width, channels)."""
        return self._upright(self._plane.read(self._stored(window)))

    def there(self, window: Window) -> NDArray[np.bool_] | None:
        """Whether the plane holds each pixel of an upright window, (height, width); None if it holds all."""
        found = self._plane.there(self._stored(window))
        return None if found is None else self._upright(found)

    def holes(self) -> Holes:
        """What is not there or was found damaged so far."""
        return self._plane.holes()

    def sound(self, window: Window) -> bool:
        """Whether no chunk that a window touches was found damaged so far."""
        return self._plane.sound(self._stored(window))

    def _stored(self, window: Window) -> Window:
        row, column, height, width = window
        if self._up:
            row = self.height_px - row - height
        if self._left:
            column = self.width_px - column - width
        return Window(column, row, width, height) if self._swapped else Window(row, column, height, width)

    def _upright(self, values: NDArray[Any]) -> NDArray[Any]:
        if self._swapped:
            values = values.swapaxes(0, 1)
        return values[:: -1 if self._up else 1, :: -1 if self._left else 1]
