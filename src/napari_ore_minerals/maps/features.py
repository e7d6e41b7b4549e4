"""What the network saw in each cell, kept from the classification so that it can be learnt from at once."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_ore_minerals.maps.mineral_map import area_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.tiles import TileGrid

PERCENTILES = (5, 25, 50, 75, 95)
COLOURS = 6 * (2 + len(PERCENTILES))
MIDDLE, STEP = 100.0, 10.0  # colours as they are, in steps of which some make another mineral
LARGEST_IN_MEMORY = 512 << 20
_SIDE_PX = 28  # pixels of a tile that its colours are taken from, along one side
_CELLS_AT_ONCE = 4096


@dataclass
class CellFeatures:
    """Features and colours of the cells of a picture, filled while it is classified.

    A tile's feature map is averaged over the cells that it covers, a cell's features are the mean over
    the tiles that cover it: the model's head applied to them gives the logits of the cell.

    Attributes
    ----------
    grid : TileGrid
        `maps.predict.plan` gives it.
    tiles : (rows, columns) uint16 array
        How many tiles have answered for a cell.
    """

    grid: TileGrid
    largest_in_memory: int = LARGEST_IN_MEMORY
    tiles: NDArray[np.uint16] = field(init=False)
    _features: NDArray[np.floating] | None = field(init=False, default=None, repr=False)
    _colours: NDArray[np.float32] = field(init=False, repr=False)
    _moments: tuple[NDArray[np.float32], NDArray[np.float32]] | None = field(
        init=False, default=None, repr=False
    )

    def __post_init__(self) -> None:
        self.tiles = np.zeros(self._whole, np.uint16)
        self._colours = np.zeros((*self._whole, COLOURS), np.float32)

    @property
    def _whole(self) -> tuple[int, int]:
        """Rows and columns of cells, those that tiles cover beyond the picture's edge among them."""
        overlap = self.grid.overlap
        return self.grid.tile_rows + overlap - 1, self.grid.tile_columns + overlap - 1

    @property
    def known(self) -> NDArray[np.bool_]:
        """Cells that have features, (rows, columns)."""
        found: NDArray[np.bool_] = self.tiles[: self.grid.rows, : self.grid.columns] > 0
        return found

    def add(self, row: int, column: int, feature_map: NDArray[np.float32], pixels: NDArray[np.uint8]) -> None:
        """Add the (h, w, d) feature map and the (s, s, 3) pixels of one tile."""
        overlap = self.grid.overlap
        down, across = (area_weights(size, overlap) for size in feature_map.shape[:2])
        parts = np.einsum("ah,hwd,bw->abd", down, feature_map, across, optimize=True)
        if self._features is None:
            self._features = self._array(parts.shape[-1])
        here = (slice(row, row + overlap), slice(column, column + overlap))
        self._features[here] += parts.astype(self._features.dtype)
        self._colours[here] = colour_statistics(pixels, overlap)  # of the same pixels for each tile
        self.tiles[here] += 1
        self._moments = None

    def standardised(self, cells: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """Features and colours of cells, each relative to the picture.

        Parameters
        ----------
        cells : (n, 2) int array, optional
            Rows and columns of known cells; None for all, row by row.

        Returns
        -------
        (n, d + colours) float32 array
            Mean 0 and variance 1 over all known cells of the picture.  The rows of features, and those of
            colours, have a mean square of 1 each, so that colours weigh as much as features.
        """
        wanted = np.argwhere(self.known) if cells is None else cells
        if self._features is None or not len(wanted):
            return np.zeros((0, COLOURS), np.float32)
        mean, spread = self._mean_and_spread()
        width = self._features.shape[-1]
        share = np.sqrt(np.r_[np.full(width, width), np.full(COLOURS, COLOURS)]).astype(np.float32)
        scale = 1 / (np.maximum(spread, 1e-6) * share)
        values = np.empty((len(wanted), width + COLOURS), np.float32)
        for start in range(0, len(wanted), _CELLS_AT_ONCE):
            part = slice(start, start + _CELLS_AT_ONCE)
            values[part] = (self._raw(wanted[part]) - mean) * scale
        return values

    def colours(self, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        """Colours of (n, 2) cells as they are, which mean the same in every picture of one laboratory.

        Returns
        -------
        (n, colours) float32 array
            In steps of `STEP` from `MIDDLE`, the weight of all together being that of one column.
        """
        rows, columns = cells.T
        found: NDArray[np.float32] = (self._colours[rows, columns] - MIDDLE) / np.float32(STEP * COLOURS**0.5)
        return found

    def _raw(self, cells: NDArray[np.intp]) -> NDArray[np.float32]:
        rows, columns = cells.T
        features = self._features
        if features is None:
            return np.zeros((len(cells), COLOURS), np.float32)
        tiles = self.tiles[rows, columns, np.newaxis].astype(np.float32)
        return np.concatenate([features[rows, columns] / tiles, self._colours[rows, columns]], axis=1)

    def _mean_and_spread(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._moments is None:
            cells = np.argwhere(self.known)
            total, squares = 0.0, 0.0
            shift = self._raw(cells[:1]).astype(np.float64)
            for start in range(0, len(cells), _CELLS_AT_ONCE):
                values = self._raw(cells[start : start + _CELLS_AT_ONCE]) - shift
                total, squares = total + values.sum(axis=0), squares + (values**2).sum(axis=0)
            mean = total / len(cells)
            spread = np.sqrt(np.maximum(squares / len(cells) - mean**2, 0))
            self._moments = (shift[0] + mean).astype(np.float32), np.asarray(spread, np.float32)
        return self._moments

    def _array(self, width: int) -> NDArray[np.floating]:
        """Zeros for the features: float16 where nothing is added up, on disk where they are large."""
        kind = np.dtype(np.float16 if self.grid.overlap == 1 else np.float32)
        shape = (*self._whole, width)
        if int(np.prod(shape)) * kind.itemsize <= self.largest_in_memory:
            return np.zeros(shape, kind)
        with tempfile.TemporaryFile(prefix="ore-minerals-features-") as file:
            return np.memmap(file, kind, "w+", shape=shape)


def colour_statistics(pixels: NDArray[np.uint8], parts: int = 1) -> NDArray[np.float32]:
    """Mean, standard deviation and percentiles of red, green, blue, hue, saturation and value.

    Parameters
    ----------
    pixels : (s, s, 3) uint8 array
        RGB; about 28 x 28 of its pixels are looked at.
    parts
        Number of parts along one side.

    Returns
    -------
    (parts, parts, 42) float32 array
    """
    side = -(-_SIDE_PX // parts)
    steps = ((np.arange(parts * side) + 0.5) * pixels.shape[0] / (parts * side)).astype(np.intp)
    small = np.ascontiguousarray(pixels[np.ix_(steps, steps)])
    values = np.concatenate([small, cv2.cvtColor(small, cv2.COLOR_RGB2HSV)], axis=2).astype(np.float32)
    values = values.reshape(parts, side, parts, side, 6).swapaxes(1, 2).reshape(parts, parts, side**2, 6)
    ordered = np.sort(values, axis=2)
    ranks = [round(percent / 100 * (side**2 - 1)) for percent in PERCENTILES]
    spread = ordered[:, :, ranks].reshape(parts, parts, -1)
    return np.concatenate([values.mean(axis=2), values.std(axis=2), spread], axis=2)
