"""What cutting and polishing leave on a section: cracks and pits (part of the mask), scratches, relief, texture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_ore_minerals.minerals import GANGUE

from .simulated_habits import blebs
from .simulated_light import ORE_SUBSTANCES, SUBSTANCES
from .simulated_noise import fractal_noise, log_uniform, smooth_noise
from .simulated_section import Section, distance_px, outline_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SOFTNESS = {  # how readily a mineral is scratched; from Vickers hardness, 1 = gold and stibnite
    "gold": 1.0, "stibnite": 1.0, "chalcopyrite": 0.8, "pyrite": 0.25, "arsenopyrite": 0.3,
}  # fmt: skip
_POLISH = {  # share of the light that the least perfect polish, or tarnish, leaves
    "gold": 0.85, "stibnite": 0.75, "chalcopyrite": 0.58, "pyrite": 0.85, "arsenopyrite": 0.85,
}  # fmt: skip
_ROUGHNESS = {  # deviation of brightness within a grain
    "gold": 0.012, "stibnite": 0.02, "chalcopyrite": 0.018, "pyrite": 0.008, "arsenopyrite": 0.01,
    "quartz": 0.06, "calcite": 0.12, "dolomite": 0.1, "sericite": 0.2, "resin": 0.03, "void": 0.4,
}  # fmt: skip


def damage(section: Section, rng: np.random.Generator) -> None:
    """Add cracks and pits: holes that are gangue in the mask, black or filled with resin."""
    shape = section.shape
    if rng.random() < 0.5:
        section.paint_part("void", _gaps(section, rng), rng)
    holes = _cracks(rng, shape) | _pits(rng, shape)
    filling = "void" if rng.random() < 0.7 else "resin"
    section.paint_part(filling, holes.astype(np.bool_), rng)


def _gaps(section: Section, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Black gaps where gangue broke away from the ore."""
    ore = section.mask() != GANGUE.code
    away = distance_px(ore)
    width = log_uniform(rng, 1.5, 20) * (smooth_noise(rng, section.shape, 90) + rng.uniform(-0.5, 1.0))
    gaps: NDArray[np.bool_] = ~ore & (away < width + 0.3 * width * smooth_noise(rng, section.shape, 8))
    return gaps


def _cracks(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.uint8]:
    canvas = np.zeros(shape, dtype=np.uint8)
    count = int(rng.choice([0, 0, 1, 2, 4, 8, 16]))
    direction = rng.uniform(0, 2 * np.pi)
    for _ in range(count):
        length = int(log_uniform(rng, 6, 90))
        bends = np.convolve(rng.normal(0, 0.45, length + 3), [0.5, 0.5, 0.5, 0.5], mode="valid")
        heading = direction + rng.normal(0, 0.5) + bends + rng.normal(0, 0.012) * np.arange(length)
        steps = rng.uniform(6, 16) * np.stack([np.cos(heading), np.sin(heading)], axis=1)
        path = np.cumsum(steps + rng.normal(0, 1.5, steps.shape), axis=0) + rng.uniform(0, 1, 2) * shape[::-1]
        widths = log_uniform(rng, 0.8, 7) * np.exp(rng.normal(0, 0.35, length))
        widths *= np.sin(np.linspace(0.15, np.pi - 0.15, length)) ** 0.5
        points = np.rint(path).astype(np.int32)
        for start, end, width in zip(points[:-1], points[1:], widths[1:], strict=True):
            cv2.line(canvas, start.tolist(), end.tolist(), 1, max(1, round(float(width))))
    return canvas


def _pits(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.uint8]:
    canvas = np.zeros(shape, dtype=np.uint8)
    density = float(log_uniform(rng, 2, 500)) / 1024**2
    count = int(rng.poisson(density * shape[0] * shape[1]))
    if count == 0:
        return canvas
    crowd = smooth_noise(rng, shape, 250)  # pits come in swarms
    places = rng.uniform(0, 1, (4 * count, 2)) * (shape[0] - 1, shape[1] - 1)
    weight = crowd[places[:, 0].astype(int), places[:, 1].astype(int)]
    places = places[np.argsort(-weight + rng.normal(0, 0.8, len(weight)))[:count]]
    outlines = blebs(rng, count, rng.uniform(0.3, 1.1))[:, :: int(rng.choice([6, 20, 45]))]
    radii = log_uniform(rng, 1.0, 3.5) * np.exp(rng.normal(0, 0.55, count))
    angle = rng.uniform(0, np.pi, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    points = np.einsum("nij,nkj->nki", turn, outlines) * radii[:, np.newaxis, np.newaxis]
    points = np.rint(points + places[:, np.newaxis, ::-1]).astype(np.int32)
    for outline in points:
        cv2.fillPoly(canvas, [outline], 1)
    return canvas


def surface(section: Section, rng: np.random.Generator) -> NDArray[np.float32]:
    """Factor on the reflectance of every pixel, (height, width): relief, scratches and fine texture."""
    kinds = section.substances()
    roughness = np.array([_ROUGHNESS[name] for name in SUBSTANCES], dtype=np.float32)[kinds]
    softness = np.array([_SOFTNESS.get(name, 0.15) for name in SUBSTANCES], dtype=np.float32)[kinds]
    roughness *= np.float32(log_uniform(rng, 0.3, 2.0))
    gangue = kinds >= len(ORE_SUBSTANCES)
    tilt = np.where(gangue, 0.16, 0.006).astype(np.float32) * rng.standard_normal(section.count, np.float32)
    polish = np.array([rng.uniform(_POLISH.get(name, 1.0), 1.02) for name in SUBSTANCES], dtype=np.float32)
    texture = fractal_noise(rng, section.shape, float(log_uniform(rng, 6, 120)), octaves=6, gain=0.75)
    texture *= roughness[section.grain]
    texture += tilt[section.grain]
    texture -= softness[section.grain] * _scratches(rng, section.shape)
    factor: NDArray[np.float32] = np.clip(1 + texture, 0.05, 2.0) * polish[kinds][section.grain]
    factor *= _relief(section, rng)
    return factor


def _scratches(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Darkening by scratches, signed: their far wall can be bright."""
    canvas = np.zeros(shape, dtype=np.uint8)
    count = int(rng.choice([0, 15, 50, 120, 250]))
    main = rng.uniform(0, np.pi)
    spread = float(rng.choice([0.05, 0.4, 2.0]))
    reach = float(np.hypot(*shape))
    for _ in range(count):
        angle = main + rng.normal(0, spread)
        step = log_uniform(rng, 0.05, 1.0) * reach / 2 * np.array([np.cos(angle), np.sin(angle)])
        middle = rng.uniform(0, 1, 2) * shape[::-1]
        start, end = np.rint(16 * (middle - step)).astype(int), np.rint(16 * (middle + step)).astype(int)
        strength = int(50 + 200 * rng.random() ** 2)
        cv2.line(canvas, start.tolist(), end.tolist(), strength, 1, cv2.LINE_AA, 4)
    depth = np.float32(log_uniform(rng, 0.08, 1.2))
    lines: NDArray[np.float32] = depth * cv2.GaussianBlur(canvas, (0, 0), 0.6).astype(np.float32) / 255
    lines[1:] -= rng.uniform(0, 0.5) * lines[:-1]
    return lines


def _relief(section: Section, rng: np.random.Generator) -> NDArray[np.float32]:
    """Dark lines where hard meets soft, with a faint light line beside them, and fine grain boundaries."""
    away = np.minimum(distance_px(outline_px(section.mask())), 100)
    uneven = np.clip(1 + 0.6 * smooth_noise(rng, section.shape, 60), 0.1, 2.5)
    width = np.float32(log_uniform(rng, 0.6, 5.0))
    depth = np.float32(rng.uniform(0.0, 0.9))
    relief: NDArray[np.float32] = np.exp(-((away / (width * uneven)) ** 2))
    relief *= np.minimum(depth * uneven, 0.97)
    light = np.float32(rng.uniform(0.0, 0.06))
    relief -= light * np.exp(-((away / width - 2.5) ** 2))
    seams = cv2.GaussianBlur(outline_px(section.grain).astype(np.float32), (0, 0), 0.7)
    seams *= np.float32(rng.uniform(0.0, 0.35) if rng.random() < 0.5 else 0.0)
    left: NDArray[np.float32] = np.maximum(1 - relief - seams, 0.02)
    return left
