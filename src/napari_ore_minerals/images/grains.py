"""Grains with each mineral's own habit, intergrown in a matrix: which mineral is where, without light.

Habits are those of Cai et al. (2024), Table 1: gold in smooth irregular blebs; pyrite in sections of
cubes and pentagonal dodecahedra with smooth edges; chalcopyrite in anhedral aggregates with
broken edges; arsenopyrite in rhombs, spears and columns; stibnite in long columns and laths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_ore_minerals.minerals import DEFAULT_MINERALS, GANGUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

CODES = {mineral.name: mineral.code for mineral in DEFAULT_MINERALS}
ORES = tuple(mineral.name for mineral in DEFAULT_MINERALS if mineral.kind == "ore")
SMALLEST_GRAIN_PX, LARGEST_GRAIN_PX = 40.0, 1500.0
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Section:
    """A polished section without light.

    Attributes
    ----------
    codes : (height, width) uint8 array
        Mineral codes; cracks and pits are gangue.
    turn : (height, width) float32 array
        Orientation of each grain, 0 for its least and 1 for its greatest reflectance.
    holes : (height, width) bool array
        Cracks and pits, which are darker than other gangue.
    """

    codes: NDArray[np.uint8]
    turn: NDArray[np.float32]
    holes: NDArray[np.bool_]


def grow(random: Generator, shape: tuple[int, int], minerals: tuple[str, ...] | None = None) -> Section:
    """Grow grains of some minerals in a matrix.

    Parameters
    ----------
    random
        Source of all randomness.
    shape
        Height and width in pixels.
    minerals
        Names of ore minerals that must be there; None draws one to four.
    """
    if minerals is None:
        names = [str(name) for name in random.permutation(ORES)[: random.choice([1, 2, 2, 3, 3, 4])]]
    else:
        names = [str(name) for name in random.permutation(list(minerals))]
    size_px = float(np.exp(random.uniform(np.log(SMALLEST_GRAIN_PX), np.log(LARGEST_GRAIN_PX))))
    canvas = _Canvas(random, shape)
    if names and random.random() < 0.45:  # massive ore: one mineral is the ground, gangue lies in it
        canvas.ground(names[0], size_px)
        names = [*names[1:], GANGUE.name]
        random.shuffle(names)
    for name in names:
        cover = float(random.uniform(0.08, 0.5))
        size = float(np.clip(size_px * np.exp(random.normal(0, 0.5)), 25, 1.2 * LARGEST_GRAIN_PX))
        if name == GANGUE.name or (name == "chalcopyrite" and random.random() < 0.5):
            canvas.patches(name, size, cover)
        else:
            canvas.grains(name, size, cover)
    canvas.veinlets()
    return canvas.broken()


class _Canvas:
    """What has grown so far."""

    def __init__(self, random: Generator, shape: tuple[int, int]) -> None:
        self.random, self.shape = random, shape
        self.codes = np.full(shape, GANGUE.code, np.uint8)
        self.turn = np.full(shape, random.uniform(), np.float32)

    def draw(self, name: str, points: NDArray[np.float64]) -> None:
        _fill(self.codes, points, CODES[name])
        _fill(self.turn, points, float(self.random.uniform()))

    def place(self) -> NDArray[np.float64]:
        return self.random.uniform(-0.1, 1.1, 2) * self.shape

    def ground(self, name: str, size_px: float) -> None:
        """Fill everything with one mineral in grains of several orientations."""
        self.codes[:] = CODES[name]
        count = int(min(200, 3 * np.prod(self.shape) / size_px**2 + 4))
        for _ in range(count):
            points = _moved(
                HABITS[name](self.random) * size_px * 1.6, self.random.uniform(0, 7), self.place()
            )
            _fill(self.turn, points, float(self.random.uniform()))

    def patches(self, name: str, size_px: float, cover: float) -> None:
        """Add an aggregate without crystal faces, where a fractal field is high."""
        field = fractal(self.random, self.shape, max(size_px, 30.0), octaves=5, roughness=0.55)
        inside = field > np.quantile(field[::8, ::8], 1 - cover)
        self.codes[inside] = CODES[name]
        self.turn[inside] = self.random.uniform()

    def grains(self, name: str, size_px: float, cover: float) -> None:
        """Add single and clustered grains until they cover the wanted share."""
        random = self.random
        size_px *= random.uniform(0.4, 1.0) if name == "gold" else 1.0
        bundle = random.uniform(0, 7)
        centres: list[NDArray[np.float64]] = []
        for number in range(1, 401):
            centre = self.place()
            if centres and random.random() < 0.55:
                centre = centres[random.integers(len(centres))] + random.normal(0, 0.8 * size_px, 2)
            centres.append(centre)
            parallel = name == "stibnite" and random.random() < 0.8
            angle = bundle + random.normal(0, 0.35) if parallel else random.uniform(0, 7)
            self.draw(
                name, _moved(HABITS[name](random) * size_px * np.exp(random.normal(0, 0.45)), angle, centre)
            )
            if number % 10 == 0 and (self.codes[::8, ::8] == CODES[name]).mean() > cover:
                return

    def veinlets(self) -> None:
        """Cut the ore by thin veins of gangue in about half of the sections."""
        if self.random.random() < 0.5:
            return
        thin = np.abs(fractal(self.random, self.shape, self.random.uniform(80, 500))) < self.random.uniform(
            0.01, 0.05
        )
        there = fractal(self.random, self.shape, 300.0, octaves=2) > self.random.uniform(-0.5, 1.0)
        self.codes[thin & there] = GANGUE.code

    def broken(self) -> Section:
        """Add cracks and pits."""
        random, holes = self.random, np.zeros(self.shape, np.uint8)
        for _ in range(random.poisson(random.choice([0, 2, 6]))):
            count, step = int(random.integers(6, 40)), random.uniform(8, 40)
            angles = (
                random.uniform(0, 7)
                + random.normal(0, 0.35, count)
                + np.cumsum(random.normal(0, 0.08, count))
            )
            path = np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=1) * step, axis=0) + self.place()
            points = _subpixel(path)
            cv2.polylines(holes, [points], False, 255, int(random.integers(1, 6)), cv2.LINE_8, _SUBPIXEL_BITS)
        for _ in range(random.poisson(60 * random.choice([0, 0.5, 2, 6]))):
            corners = _circle(7) * [1.0, random.uniform(0.4, 1.0)] * random.uniform(0.5, 1.3, (7, 1))
            size = float(np.exp(random.normal(1.6, 0.7)))
            _fill(holes, _moved(corners * size, random.uniform(0, 7), self.place()), 255)
        self.codes[holes > 0] = GANGUE.code
        return Section(self.codes, self.turn, holes > 0)


def fractal(
    random: Generator, shape: tuple[int, int], coarse_px: float, *, octaves: int = 4, roughness: float = 0.5
) -> NDArray[np.float32]:
    """Sum of smooth noises of halving size, of standard deviation 1."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cell = max(coarse_px / 2**octave, 1.5)
        knots = random.standard_normal((int(height / cell) + 4, int(width / cell) + 4), dtype=np.float32)
        smooth = cv2.resize(knots, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        row = int(random.integers(max(1, smooth.shape[0] - height)))
        column = int(random.integers(max(1, smooth.shape[1] - width)))
        total += roughness**octave * smooth[row : row + height, column : column + width]
    scaled: NDArray[np.float32] = total / (total.std() + 1e-6)
    return scaled


def _pyrite(random: Generator) -> NDArray[np.float64]:
    sides = int(random.choice([4, 4, 5, 5, 6]))
    if sides == 4:
        points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [0.5, 0.5 * random.uniform(0.7, 1.0)]
    else:
        points = _circle(sides) * [0.6, 0.6 * random.uniform(0.75, 1.0)]
    return _bevelled(points * random.uniform(0.92, 1.08, points.shape), random.uniform(0.02, 0.08))


def _arsenopyrite(random: Generator) -> NDArray[np.float64]:
    rhomb = np.array([[-1, 0], [0, -0.5], [1, 0], [0, 0.5]]) * [0.7, random.uniform(0.7, 1.3)]
    spear = np.array([[-1.2, 0], [-0.8, -0.16], [0.8, -0.2], [1.25, 0], [0.8, 0.2], [-0.8, 0.16]])
    column = np.array([[-1, -0.25], [1, -0.25], [1.1, 0.2], [-0.9, 0.25]])
    points = (rhomb, spear * [1, random.uniform(0.7, 1.6)], column * [1, random.uniform(0.6, 1.6)])[
        random.integers(3)
    ]
    return _bevelled(0.7 * points * random.uniform(0.94, 1.06, points.shape), 0.015)


def _stibnite(random: Generator) -> NDArray[np.float64]:
    long = random.uniform(1.2, 3.0)
    wide = long / random.uniform(5, 16)
    points = 0.5 * np.array(
        [
            [-long, -0.6 * wide],
            [-0.9 * long, -wide],
            [0.92 * long, -wide],
            [long, -0.3 * wide],
            [0.95 * long, wide],
            [-0.93 * long, wide],
        ]
    )
    return _bevelled(points * random.uniform(0.96, 1.04, points.shape), 0.01)


def _gold(random: Generator) -> NDArray[np.float64]:
    return _bleb(random, waves=range(2, 6), fall=1.1, swing=random.uniform(0.15, 0.4))


def _chalcopyrite(random: Generator) -> NDArray[np.float64]:
    return _bleb(random, waves=range(2, 40), fall=random.uniform(1.15, 1.5), swing=random.uniform(0.2, 0.5))


def _bleb(random: Generator, *, waves: range, fall: float, swing: float) -> NDArray[np.float64]:
    angles = np.arange(160) * 2 * np.pi / 160
    radius = np.ones(160)
    for wave in waves:
        radius += swing * random.normal() / wave**fall * np.cos(wave * angles + random.uniform(0, 7))
    circle = np.stack([np.cos(angles) * random.uniform(0.6, 1.4), np.sin(angles)], axis=1)
    return 0.5 * circle * np.clip(radius, 0.15, 2.2)[:, np.newaxis]


HABITS: dict[str, Callable[[Generator], NDArray[np.float64]]] = {
    "pyrite": _pyrite,
    "arsenopyrite": _arsenopyrite,
    "stibnite": _stibnite,
    "gold": _gold,
    "chalcopyrite": _chalcopyrite,
}


def _circle(count: int) -> NDArray[np.float64]:
    angles = np.arange(count) * 2 * np.pi / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _bevelled(points: NDArray[np.float64], cut: float) -> NDArray[np.float64]:
    """Cut the corners of a closed outline."""
    ahead = np.roll(points, -1, axis=0)
    side = ahead - points
    share = np.minimum(cut / (np.linalg.norm(side, axis=1, keepdims=True) + 1e-9), 0.3)
    return np.stack([points + side * share, ahead - side * share], axis=1).reshape(-1, 2)


def _moved(points: NDArray[np.float64], angle: float, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle), np.sin(angle)
    moved: NDArray[np.float64] = points @ np.array([[cosine, sine], [-sine, cosine]]) + centre
    return moved


def _subpixel(points: NDArray[np.float64]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.round(points[:, ::-1] * 2**_SUBPIXEL_BITS).astype(np.int32)
    return fixed


def _fill(canvas: NDArray[np.generic], points: NDArray[np.float64], value: float) -> None:
    cv2.fillPoly(canvas, [_subpixel(points)], value, cv2.LINE_8, _SUBPIXEL_BITS)
