"""What a mineral map says of each pixel by its place, and which of its cells the user spoke of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from napari_ore_minerals.maps.places import said_by_user
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.pixels import Window
    from napari_ore_minerals.maps.mineral_map import MineralMap


def corrected_cells(mineral_map: MineralMap) -> NDArray[np.uint8]:
    """Codes of the cells that the user corrected or confirmed, (rows, columns); 0 elsewhere."""
    known = np.isin(mineral_map.labels, mineral_map.minerals.codes)
    return np.where(said_by_user(mineral_map) & known, mineral_map.labels, np.uint8(UNCLASSIFIED))


class PlaceShares:
    """Probabilities at the places of the class maps, bilinear in between.

    Parameters
    ----------
    mineral_map
        The map.
    factor
        Pixels of the picture to a pixel that is asked for, along one side.
    corrected : (rows, columns) uint8 array
        Codes of `corrected_cells`, which are taken as they are.
    """

    def __init__(self, mineral_map: MineralMap, factor: int, corrected: NDArray[np.uint8]) -> None:
        self.minerals = mineral_map.minerals
        self._map, self._factor, self._corrected = mineral_map, factor, corrected
        self._known = mineral_map.processed | (corrected > 0)

    def of(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read off a window of the small picture.

        Returns
        -------
        shares : (height, width, minerals) float32 array
        known : (height, width) bool array
            False in cells that have no answer.
        """
        rows = np.arange(window.row, window.row + window.height)
        columns = np.arange(window.column, window.column + window.width)
        stride, places = self._map.grid.stride_px, self._map.places_per_cell
        middles = [(ends + 0.5) * self._factor for ends in (rows, columns)]
        limits = [count * places for count in self._map.grid.shape]
        (top, down), (left, right) = (
            _between(middle * places / stride - 0.5, limit)
            for middle, limit in zip(middles, limits, strict=True)
        )
        shares = self._shares(slice(top[0], top[-1] + 2), slice(left[0], left[-1] + 2))
        top, left = top - top[0], left - left[0]
        lines = (
            shares[top] * (1 - down)[:, None, None]
            + shares[np.minimum(top + 1, len(shares) - 1)] * down[:, None, None]
        )
        nexts = np.minimum(left + 1, shares.shape[1] - 1)
        found = lines[:, left] * (1 - right)[:, None] + lines[:, nexts] * right[:, None]
        cells = np.ix_(
            *(
                np.minimum(middle // stride, count - 1).astype(np.intp)
                for middle, count in zip(middles, self._map.grid.shape, strict=True)
            )
        )
        return found.astype(np.float32), self._known[cells]

    def _shares(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Probabilities of a rectangle of places: (r, c, minerals)."""
        places = self._map.places_per_cell
        logits = self._map.class_maps[:, rows, columns].astype(np.float32) / np.float32(
            self._map.run.temperature
        )
        shares: NDArray[np.float32] = np.moveaxis(softmax(logits, axis=0), 0, -1).astype(np.float32)
        cells = np.ix_(
            *(
                np.arange(part.start, part.start + length) // places
                for part, length in zip((rows, columns), shares.shape[:2], strict=True)
            )
        )
        corrected, known = self._corrected[cells], self._known[cells]
        shares[~known] = 1 / len(self.minerals)
        own = np.array(self.minerals.codes) == corrected[corrected > 0][:, np.newaxis]
        shares[corrected > 0] = own
        return shares


def _between(positions: NDArray[np.floating], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The place before each position, and how far it is on the way to the next one."""
    inside = np.clip(positions, 0, count - 1)
    before = np.floor(inside).astype(np.intp)
    return before, (inside - before).astype(np.float32)
