"""Random fields for simulated sections: smooth noise, fractal noise, and maps bent by them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
_LOST_BETWEEN_NODES = 1.25  # interpolation lowers the deviation by about this factor


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], feature_px: float) -> NDArray[np.float32]:
    """Smooth noise with mean 0 and deviation about 1 whose bumps are `feature_px` wide."""
    return fractal_noise(rng, shape, feature_px, octaves=1)


def fractal_noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    feature_px: float,
    *,
    octaves: int = 5,
    gain: float = 0.5,
) -> NDArray[np.float32]:
    """Sum of octaves of smooth noise, the coarsest `feature_px` wide, each `gain` times the one before.

    Octaves finer than two pixels are left out.
    """
    octaves = int(np.clip(math.log2(max(feature_px / 2, 1)) + 1, 1, octaves))
    node_px = max(feature_px, 1.0)  # pixels of the picture per node of the grid
    grid = rng.standard_normal([math.ceil(side / node_px) + 5 for side in shape], dtype=np.float32)
    power = 1.0
    for octave in range(1, octaves):
        grid = cv2.resize(grid, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        node_px /= 2
        grid = grid[: math.ceil(shape[0] / node_px) + 5, : math.ceil(shape[1] / node_px) + 5]
        grid += np.float32(gain**octave) * rng.standard_normal(grid.shape, dtype=np.float32)
        power += gain ** (2 * octave)
    grid *= np.float32(_LOST_BETWEEN_NODES / math.sqrt(power))
    size = [math.ceil(side * node_px) for side in grid.shape]
    field: NDArray[np.float32] = cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    row, column = (int(rng.integers(0, large - side + 1)) for large, side in zip(size, shape, strict=True))
    return np.ascontiguousarray(field[row : row + shape[0], column : column + shape[1]])


def bent(
    layer: NDArray[np.uint16], rng: np.random.Generator, amplitude_px: float, feature_px: float, gain: float
) -> NDArray[np.uint16]:
    """Bend a map of grains by fractal noise, so that its straight edges become natural ones.

    Parameters
    ----------
    layer
        Grain numbers, shape (height, width).
    rng
        Source of randomness.
    amplitude_px, feature_px
        How far edges move, and over which length.
    gain
        Share of each finer octave: 0 smooth, 0.7 ragged.
    """
    if amplitude_px < 0.3:
        return layer
    rows, columns = coordinates(layer.shape)
    octaves = 1 if gain <= 0 else 5
    moves = [fractal_noise(rng, layer.shape, feature_px, octaves=octaves, gain=gain) for _ in range(2)]
    map_rows = rows + np.float32(amplitude_px) * moves[0]
    map_columns = columns + np.float32(amplitude_px) * moves[1]
    moved: NDArray[np.uint16] = cv2.remap(
        layer, map_columns, map_rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT
    )
    return moved


def coordinates(shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Row and column of every pixel, each (height, width)."""
    rows, columns = np.indices(shape[:2], dtype=np.float32)
    return rows, columns


def upper_part(field: NDArray[np.float32], share: float) -> NDArray[np.bool_]:
    """The pixels whose values are the highest `share` of the field."""
    if share >= 1.0:
        return np.ones(field.shape, dtype=np.bool_)
    above: NDArray[np.bool_] = field > np.quantile(field[::4, ::4], 1.0 - share)
    return above


def log_uniform(rng: np.random.Generator, low: float, high: float, size: Any = None) -> Any:
    """Draw from the log-uniform distribution between `low` and `high`."""
    return np.exp(rng.uniform(math.log(low), math.log(high), size))
