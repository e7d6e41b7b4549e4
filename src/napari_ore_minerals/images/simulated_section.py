"""The polished section before it is photographed: which grain of which substance lies under every pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_ore_minerals.minerals import DEFAULT_MINERALS, GANGUE

from .simulated_habits import (
    aggregate,
    blebs,
    count_for,
    cubic_sections,
    laths,
    mosaic,
    rhombs,
    rounded,
    scattered,
)
from .simulated_light import SUBSTANCES
from .simulated_noise import bent, coordinates, log_uniform, smooth_noise, upper_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINERAL_NAMES = tuple(mineral.name for mineral in DEFAULT_MINERALS if mineral != GANGUE)
_ORDER = ("stibnite", "chalcopyrite", "arsenopyrite", "pyrite", "gold")
"""Later ones are drawn over earlier ones: crystals that grew first keep their form."""

_CODES = np.array(
    [next((m.code for m in DEFAULT_MINERALS if m.name == name), GANGUE.code) for name in SUBSTANCES],
    dtype=np.uint8,
)
MOST_GRAINS = 65_000


@dataclass
class Section:
    """A section being made: grains are painted over one another.

    Attributes
    ----------
    grain : uint16 (height, width)
        Number of the grain under each pixel.
    substance : list of arrays
        Index in `SUBSTANCES` of each grain.
    orientation : list of arrays
        0 to 1: where each grain lies between its least and its greatest reflectance.
    """

    grain: NDArray[np.uint16]
    substance: list[NDArray[np.intp]] = field(default_factory=list)
    orientation: list[NDArray[np.float32]] = field(default_factory=list)
    count: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.grain.shape[0], self.grain.shape[1]

    def paint(self, name: str, layer: NDArray[np.uint16], rng: np.random.Generator) -> None:
        """Paint the grains of a layer (0 = nothing) as new grains of a substance, with random orientation."""
        grains = int(layer.max())
        if grains == 0:
            return
        room = MOST_GRAINS - self.count
        inside = layer > 0
        self.grain[inside] = self.count + (layer[inside] - 1) % room
        grains = min(grains, room)
        self.substance.append(np.full(grains, SUBSTANCES.index(name)))
        angle = rng.uniform(0, np.pi, grains)
        self.orientation.append((np.cos(angle) ** 2).astype(np.float32))
        self.count += grains

    def paint_part(self, name: str, part: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Paint a region as one grain."""
        self.paint(name, part.astype(np.uint16), rng)

    def substances(self) -> NDArray[np.intp]:
        """Index in `SUBSTANCES` of every grain."""
        return np.concatenate(self.substance)

    def orientations(self) -> NDArray[np.float32]:
        """Orientation of every grain, 0 to 1."""
        return np.concatenate(self.orientation)

    def mask(self) -> NDArray[np.uint8]:
        """Codes of `DEFAULT_MINERALS` under every pixel."""
        codes: NDArray[np.uint8] = _CODES[self.substances()][self.grain]
        return codes


def draw_minerals(rng: np.random.Generator) -> tuple[str, ...]:
    """Draw one to three ore minerals, or none: a picture of gangue."""
    count = rng.choice([0, 1, 2, 3], p=[0.08, 0.36, 0.36, 0.20])
    return tuple(str(name) for name in rng.choice(MINERAL_NAMES, size=count, replace=False))


def grow(
    rng: np.random.Generator, shape: tuple[int, int], minerals: tuple[str, ...], px_per_um: float
) -> Section:
    """Grow an ore: a matrix of quartz, carbonate and sericite, then the minerals in their own habits."""
    section = Section(np.zeros(shape, dtype=np.uint16))
    _matrix(section, rng, px_per_um)
    present = [name for name in _ORDER if name in minerals]
    rich = rng.choice(present) if present and rng.random() < 0.8 else None
    for name in present:
        share = float(rng.beta(2.5, 0.8) if name == rich else log_uniform(rng, 0.02, 0.3))
        size_px = float(log_uniform(rng, 80 if name == rich else 40, 1500)) * px_per_um
        layer = _HABITS[name](rng, shape, size_px, share)
        section.paint(name, _with_inclusions(layer, rng, size_px), rng)
    return section


def _matrix(section: Section, rng: np.random.Generator, px_per_um: float) -> None:
    shape = section.shape
    first, second = rng.choice(["quartz", "calcite", "dolomite", "sericite"], size=2, replace=False)
    section.paint(str(first), mosaic(rng, shape, float(log_uniform(rng, 60, 1200)) * px_per_um), rng)
    part = aggregate(
        rng, shape, float(log_uniform(rng, 100, 800)), rng.uniform(0.05, 0.5), rng.uniform(0.3, 0.65)
    )
    stretch = 6.0 if second == "sericite" else 1.5
    layer = mosaic(rng, shape, float(log_uniform(rng, 25, 300)) * px_per_um, stretch)
    section.paint(str(second), layer * part.astype(np.uint16), rng)
    plucked = rng.uniform(-0.05, 0.2)  # holes that polishing tore
    if plucked > 0.002:
        part = aggregate(rng, shape, float(log_uniform(rng, 10, 200)), plucked, rng.uniform(0.3, 0.7))
        section.paint_part("void", part, rng)
    if rng.random() < 0.3:
        section.paint_part("resin", aggregate(rng, shape, 900, rng.uniform(0.05, 0.5), 0.35), rng)


def _with_inclusions(
    layer: NDArray[np.uint16], rng: np.random.Generator, size_px: float
) -> NDArray[np.uint16]:
    """Let the matrix show through in a mineral: patches of gangue it grew around."""
    if rng.random() < 0.5:
        return layer
    share = float(log_uniform(rng, 0.003, 0.08))
    holes = aggregate(
        rng, layer.shape[:2], float(np.clip(0.15 * size_px, 8, 120)), share, rng.uniform(0.0, 0.55)
    )
    return np.where(holes, np.uint16(0), layer)


def _massive(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, share: float, ragged: float
) -> NDArray[np.uint16]:
    part = aggregate(rng, shape, max(0.8 * size_px, 150), share, ragged)
    return mosaic(rng, shape, size_px * rng.uniform(0.15, 0.8)) * part.astype(np.uint16)


def _pyrite(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, share: float
) -> NDArray[np.uint16]:
    kind = rng.random()
    if kind < 0.2:
        return _massive(rng, shape, size_px, share, rng.uniform(0.0, 0.45))
    outlines = cubic_sections(rng, count_for(share, shape, size_px))
    if kind < 0.55:
        outlines = rounded(outlines, rng, rng.uniform(0.3, 1.0))
    layer = scattered(outlines, rng, shape, size_px)
    return bent(layer, rng, rng.uniform(0.0, 0.02) * size_px, 0.25 * size_px, 0.4)


def _chalcopyrite(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, share: float
) -> NDArray[np.uint16]:
    ragged = rng.uniform(0.35, 0.68)
    if rng.random() < 0.6:
        return _massive(rng, shape, size_px, share, ragged)
    layer = scattered(blebs(rng, count_for(share, shape, size_px), 0.6), rng, shape, size_px)
    return bent(layer, rng, 0.1 * size_px, 0.3 * size_px, ragged)


def _arsenopyrite(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, share: float
) -> NDArray[np.uint16]:
    if rng.random() < 0.2:
        return _massive(rng, shape, size_px, share, rng.uniform(0.0, 0.4))
    layer = scattered(rhombs(rng, count_for(share, shape, size_px)), rng, shape, size_px)
    return bent(layer, rng, rng.uniform(0.0, 0.012) * size_px, 0.2 * size_px, 0.4)


def _stibnite(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, share: float
) -> NDArray[np.uint16]:
    if rng.random() < 0.45:
        part = aggregate(rng, shape, max(size_px, 200), share, rng.uniform(0.2, 0.5))
        stretch = float(log_uniform(rng, 1.5, 8.0))
        grains = mosaic(rng, shape, 0.5 * size_px, stretch)
        return _with_lamellae(grains, rng) * part.astype(np.uint16)
    count = count_for(2.0 * share, shape, size_px)
    spread = np.pi if rng.random() < 0.4 else rng.uniform(0.1, 0.6)
    layer = scattered(laths(rng, count), rng, shape, 1.3 * size_px, spread)
    return bent(_with_lamellae(layer, rng), rng, rng.uniform(0.0, 0.01) * size_px, 0.3 * size_px, 0.4)


def _with_lamellae(layer: NDArray[np.uint16], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Divide some grains of stibnite by pressure twins: parallel lamellae that reflect otherwise."""
    grains = int(layer.max())
    if rng.random() < 0.6 or 2 * grains > MOST_GRAINS:
        return layer
    rows, columns = coordinates(layer.shape)
    angle = rng.uniform(0, np.pi, grains + 1).astype(np.float32)[layer]
    phase = (rows * np.sin(angle) + columns * np.cos(angle)) / np.float32(log_uniform(rng, 8, 80))
    width = rng.uniform(-1.2, 0.8, grains + 1).astype(np.float32)[layer]
    lamella = (np.sin(phase) + 0.6 * np.sin(phase * np.float32(0.37)) < width - 0.5) & (layer > 0)
    return np.where(lamella, layer + np.uint16(grains), layer)


def _gold(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, share: float
) -> NDArray[np.uint16]:
    if rng.random() < 0.3:  # fillings along crevices
        crevice = -np.abs(smooth_noise(rng, shape, max(size_px, 60)))
        crevice += 0.5 * smooth_noise(rng, shape, max(0.4 * size_px, 30))  # wide here, closed there
        part = upper_part(crevice, min(0.5 * share, 0.3)) | aggregate(rng, shape, size_px, 0.5 * share, 0.0)
        return bent(part.astype(np.uint16), rng, 0.04 * size_px, 0.3 * size_px, 0.25)
    layer = scattered(blebs(rng, count_for(share, shape, size_px), 0.4), rng, shape, size_px)
    return bent(layer, rng, 0.06 * size_px, 0.35 * size_px, rng.uniform(0.1, 0.35))


_HABITS = {
    "pyrite": _pyrite,
    "chalcopyrite": _chalcopyrite,
    "arsenopyrite": _arsenopyrite,
    "stibnite": _stibnite,
    "gold": _gold,
}


def outline_px(grain: NDArray[np.uint16] | NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour has another number."""
    edges = np.zeros(grain.shape, dtype=np.bool_)
    edges[:, :-1] |= grain[:, :-1] != grain[:, 1:]
    edges[:-1] |= grain[:-1] != grain[1:]
    return edges


def distance_px(edges: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of every pixel from the nearest edge."""
    distances: NDArray[np.float32] = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, 3)
    return distances
