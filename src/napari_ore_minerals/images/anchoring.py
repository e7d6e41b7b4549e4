"""Anchoring: what a place of a micrograph looks like beside the rest of its photograph.

The same mineral differs more between two laboratories than two minerals do in one
photograph, so colours are told relative to the photograph they are from: to its
percentiles, to those of its reflecting part, and as ranks among its pixels.  Nothing
is forced to be grey: a field of pyrite stays yellow, as the ratios of red, green and
blue are kept beside the relative values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from napari_ore_minerals.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
LEVELS = (1, 5, 10, 25, 50, 75, 90, 95, 99)  # per cent, of the whole photograph
REFLECTING_LEVELS = (5, 25, 50, 75, 95)  # per cent, of what reflects
REFLECTING = 0.45  # of the green of the brightest: above gangue, resin and pits
DARK = 4.0  # added to 0..255 before the logarithm, so that noise in pits does not count
PIXELS_PER_CELL = 4
COLOURS = 3 * (2 + len(QUANTILES))
TEXTURES = 12
MEDIAN = slice(3 * 4, 3 * 5)

Look = Literal["anchored", "absolute", "both"]


@dataclass(frozen=True)
class CellColours:
    """Colours and texture of the cells of one photograph, or of a part of it.

    Attributes
    ----------
    statistics : (rows, columns, 33) float32 array
        Mean, standard deviation and `QUANTILES` of red, green and blue, 0 to 255; then how
        rough the cell is at two scales.
    pixels : (4 * rows, 4 * columns, 3) float32 array
        The same part of the photograph, small and without speckles, 0 to 255.
    """

    statistics: NDArray[np.float32]
    pixels: NDArray[np.float32]

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], cell_px: int) -> CellColours:
        """Measure the whole cells of a photograph.

        Parameters
        ----------
        rgb : (height, width, 3) uint8 array
        cell_px
            Side of a cell, a multiple of 8, at least 16.

        Raises
        ------
        OptionError
            If the cell does not fit, or is of another size.
        """
        rows, columns = rgb.shape[0] // cell_px, rgb.shape[1] // cell_px
        if cell_px < 16 or cell_px % 8 or not rows or not columns:
            raise OptionError(
                f"cells must be a multiple of 8 px, at least 16 and no larger than the picture of "
                f"{rgb.shape[1]} x {rgb.shape[0]} px, not {cell_px} px"
            )
        whole = np.ascontiguousarray(rgb[: rows * cell_px, : columns * cell_px])
        half = cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        parts = [
            _colour_statistics(_blocks(half, cell_px // 2)),
            _roughness(whole, cell_px),
            _roughness(half, cell_px // 2),
        ]
        step = cell_px // (2 * PIXELS_PER_CELL)
        pixels = cv2.medianBlur(half, 5)[step // 2 :: step, step // 2 :: step]
        return cls(np.concatenate(parts, axis=2), pixels.astype(np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.statistics.shape[0], self.statistics.shape[1]

    def crop(self, rows: slice, columns: slice) -> CellColours:
        """Return a part, as if the photograph had shown no more; slices of cells."""
        count = PIXELS_PER_CELL
        tall = slice(rows.start * count, rows.stop * count)
        wide = slice(columns.start * count, columns.stop * count)
        return CellColours(self.statistics[rows, columns], self.pixels[tall, wide])

    def relit(self, gains: Sequence[float]) -> CellColours:
        """Return the same part under another lamp: red, green and blue times `gains`, clipped at 255."""
        factors = np.asarray(gains, np.float32)
        colours = np.minimum(self.statistics[..., :COLOURS] * np.tile(factors, COLOURS // 3), 255.0)
        textures = self.statistics[..., COLOURS:] * factors[1]
        return CellColours(
            np.concatenate([colours, textures], axis=2).astype(np.float32),
            np.minimum(self.pixels * factors, 255.0).astype(np.float32),
        )

    def features(self, look: Look = "both") -> NDArray[np.float32]:
        """Describe each cell.

        Parameters
        ----------
        look
            ``"anchored"``: beside the rest of the photograph; ``"absolute"``: colours as they are;
            ``"both"``: the two, and the photograph's own colours.

        Returns
        -------
        (rows, columns, n) float32 array; n is 96 anchored, 36 absolute, 175 for both
        """
        textures = self.statistics[..., COLOURS:]
        cells = _tones(self.statistics[..., MEDIAN])
        parts = [cells[..., 3:], textures]
        if look != "absolute":
            parts += self._beside(cells, photograph=look == "both")
        if look != "anchored":
            parts.append(self.statistics[..., :COLOURS])
        return np.concatenate(parts, axis=2).astype(np.float32)

    def _beside(self, cells: NDArray[np.float32], *, photograph: bool) -> list[NDArray[np.floating]]:
        """Tones of the cells less those of the photograph, their ranks, and its own tones if asked for."""
        pixels = _tones(self.pixels.reshape(-1, 3))
        reflecting = pixels[_reflecting(self.pixels[..., 1].ravel())]
        levels = np.percentile(pixels[:, :3], LEVELS, axis=0)
        brights = np.percentile(reflecting, REFLECTING_LEVELS, axis=0)
        parts = [
            self.statistics[..., COLOURS:] / np.maximum(self.statistics[..., 1:2], DARK),
            _ranks(cells, pixels),
            _ranks(cells, reflecting),
            _differences(cells[..., :3], levels),
            _differences(cells, brights),
        ]
        if photograph:
            share = len(reflecting) / len(pixels)
            tones = np.concatenate([levels.ravel(), brights.ravel(), [share]])
            parts.append(np.broadcast_to(tones, (*self.shape, len(tones))))
        return parts


def _blocks(picture: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """Turn (rows * side, columns * side, channels) into (rows, columns, side * side, channels)."""
    rows, columns, channels = picture.shape[0] // side, picture.shape[1] // side, picture.shape[2]
    split = picture.reshape(rows, side, columns, side, channels).swapaxes(1, 2)
    return split.reshape(rows, columns, side * side, channels)


def _colour_statistics(blocks: NDArray[np.generic]) -> NDArray[np.float32]:
    """Mean, standard deviation and quantiles over each block: (rows, columns, 21)."""
    ordered = np.sort(blocks, axis=2).astype(np.float32)
    count = ordered.shape[2]
    quantiles = [ordered[:, :, min(int(level * count), count - 1)] for level in QUANTILES]
    return np.concatenate([ordered.mean(axis=2), ordered.std(axis=2), *quantiles], axis=2)


def _roughness(rgb: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Slopes, and how far pixels stand out from their surroundings, over each cell: (rows, columns, 6)."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    slopes = _blocks(slope[..., None], side).astype(np.float32)
    stands = _blocks((grey - cv2.GaussianBlur(grey, (0, 0), 3.0))[..., None], side).astype(np.float32)
    parts = [
        slopes.mean(axis=2),
        slopes.std(axis=2),
        np.sqrt(slopes).mean(axis=2),
        stands.std(axis=2),
        stands.min(axis=2),
        stands.max(axis=2),
    ]
    return np.concatenate(parts, axis=2)


def _tones(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithms of red, green and blue, then those of red/green, blue/green and red/blue."""
    logs = np.log(rgb + DARK)
    red, green, blue = logs[..., 0], logs[..., 1], logs[..., 2]
    ratios = np.stack([red - green, blue - green, red - blue], axis=-1)
    return np.concatenate([logs, ratios], axis=-1)


def _reflecting(green: NDArray[np.float32]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = green >= REFLECTING * np.percentile(green, 97)
    return found


def _ranks(cells: NDArray[np.float32], pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of the pixels below each cell, for each tone."""
    ranks = [
        np.searchsorted(np.sort(pixels[:, tone]), cells[..., tone]) / len(pixels)
        for tone in range(cells.shape[-1])
    ]
    return np.stack(ranks, axis=-1)


def _differences(cells: NDArray[np.float32], anchors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Each tone of each cell less each anchor: (rows, columns, anchors * tones)."""
    return (cells[..., None, :] - anchors).reshape(*cells.shape[:2], -1)
