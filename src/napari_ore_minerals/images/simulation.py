"""Simulated reflected-light micrographs with exact masks.

A section of grains (`images.grains`) is lit with a lamp, coloured by published
reflectances (`images.reflectance`), and photographed by a camera as they vary
between laboratories.  The ranges of lamp and camera were set so that medians of
pyrite, chalcopyrite and gangue cover those of the training part of LumenStone S1
and S2 (Khvostikov et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_ore_minerals.images.grains import CODES, ORES, Section, fractal, grow
from napari_ore_minerals.images.reflectance import linear_rgb
from napari_ore_minerals.minerals import GANGUE

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray


ISOTROPIC = ("gold", "pyrite")  # their two values are of composition or source, not of orientation
PYRITE_GREEN = 0.52  # linear green of pyrite, which photographs are exposed for


class SimulationOptions(BaseModel):
    """What to simulate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height_px: int = Field(1024, ge=64, le=16_384, title="Height", description="Rows of the picture.")
    width_px: int = Field(1024, ge=64, le=16_384, title="Width", description="Columns of the picture.")
    um_per_px: float = Field(
        1.0, ge=0.001, le=1000.0, title="Scale", description="Micrometres per pixel that the picture claims."
    )
    minerals: tuple[str, ...] | None = Field(
        None,
        title="Minerals",
        description="Ore minerals that must be there; by default one to four are drawn.",
    )

    @field_validator("minerals")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in value or ():
            if name not in ORES:
                raise ValueError(f"{name!r} cannot be simulated; choose from {', '.join(ORES)}")
        return value


@dataclass(frozen=True)
class Laboratory:
    """Lamp, camera and polish of one laboratory.

    Attributes
    ----------
    lamp_kelvin : float
        Colour temperature of the lamp.
    exposure : float
        Digital value of a perfect mirror before the tone curve; above 1 it clips.
    gains : tuple of float
        White balance error of red, green and blue; 1 is none.
    gamma : float
        Exponent of the tone curve.
    saturation : float
        Of the camera's colours; 1 leaves them.
    glare : float
        Share of the mean light that veils the picture.
    vignetting : float
        Loss of light in the corners.
    defocus_px, noise : float
        Standard deviations of blur and of noise (in 8-bit values).
    jpeg_quality : int
    """

    lamp_kelvin: float = 5500.0
    exposure: float = 1.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0 / 2.2
    saturation: float = 1.0
    glare: float = 0.0
    vignetting: float = 0.0
    defocus_px: float = 0.0
    noise: float = 0.0
    jpeg_quality: int = 95

    @classmethod
    def drawn(cls, random: Generator) -> Laboratory:
        """Draw a laboratory from the range of those that take such photographs."""
        gamma = float(random.uniform(0.6, 1.35))
        shown = float(
            np.clip(random.normal(0.73, 0.1), 0.4, 1.05)
        )  # brightness that pyrite gets in the picture
        red, green, blue = np.exp(random.normal((0.015, 0.0, -0.01), (0.025, 0.012, 0.04)))
        return cls(
            lamp_kelvin=float(random.uniform(3200, 6500)),
            exposure=shown ** (1 / gamma) / PYRITE_GREEN,
            gains=(float(red), float(green), float(blue)),
            gamma=gamma,
            saturation=float(np.exp(random.normal(0.0, 0.12))),
            glare=float(random.uniform(0, 0.2)),
            vignetting=float(random.uniform(0, 0.25)),
            defocus_px=float(np.exp(random.normal(-0.2, 0.6))),
            noise=float(random.uniform(0.3, 5)),
            jpeg_quality=int(random.integers(70, 98)),
        )


@dataclass(frozen=True)
class SimulatedMicrograph:
    """A picture whose truth is known.

    Attributes
    ----------
    rgb : (height, width, 3) uint8 array
    mask : (height, width) uint8 array
        Codes of `minerals.DEFAULT_MINERALS`; cracks, pits and resin are gangue.
    um_per_px : float
    seed : int
    laboratory : Laboratory
    """

    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    um_per_px: float
    seed: int
    laboratory: Laboratory


def simulate(seed: int, options: SimulationOptions | None = None) -> SimulatedMicrograph:
    """Simulate a reflected-light micrograph; the same seed and options give the same picture."""
    options = options or SimulationOptions()
    random = np.random.default_rng(seed)
    section = grow(random, (options.height_px, options.width_px), options.minerals)
    laboratory = Laboratory.drawn(random)
    rgb = photograph(random, lit(random, section, laboratory), laboratory)
    return SimulatedMicrograph(rgb, section.codes, options.um_per_px, seed, laboratory)


SAMPLES: dict[str, tuple[int, SimulationOptions]] = {
    "Pyrite and chalcopyrite in quartz": (
        7,
        SimulationOptions(height_px=1536, width_px=2048, um_per_px=0.5, minerals=("pyrite", "chalcopyrite")),
    ),
    "Gold with arsenopyrite and stibnite": (
        11,
        SimulationOptions(
            height_px=1536, width_px=2048, um_per_px=0.5, minerals=("gold", "arsenopyrite", "stibnite")
        ),
    ),
}


def sample_micrographs() -> dict[str, SimulatedMicrograph]:
    """Return the two micrographs that the demo and napari's samples show, by name."""
    return {name: simulate(seed, options) for name, (seed, options) in SAMPLES.items()}


def lit(random: Generator, section: Section, laboratory: Laboratory) -> NDArray[np.float32]:
    """Light that a section reflects, (height, width, 3) float32; 1 is a perfect mirror."""
    light = _gangue_light(random, section)
    for name in ORES:
        here = section.codes == CODES[name]
        if here.any():
            least, greatest = (
                linear_rgb(name, turn, lamp_kelvin=laboratory.lamp_kelvin) for turn in (0.0, 1.0)
            )
            composition = np.exp(random.normal(0, 0.025)) * np.exp(random.normal(0, 0.012, 3))
            if name == "chalcopyrite":  # it tarnishes first
                composition *= random.uniform(0.85, 1.0)
            turn = random.uniform() if name in ISOTROPIC else section.turn[here][:, np.newaxis]
            light[here] = (least + turn * (greatest - least)) * composition
    light[section.holes] = random.uniform(0.005, 0.06) * np.exp(random.normal(0, 0.15, 3))
    polished: NDArray[np.float32] = np.maximum(light * _polish(random, section)[..., np.newaxis], 0.0)
    return polished.astype(np.float32)


def _gangue_light(random: Generator, section: Section) -> NDArray[np.float32]:
    """Quartz, calcite and sericite: Fresnel's 4 to 6 per cent, lifted and tinted by internal reflections."""
    shape = section.codes.shape
    level = 0.045 * (1 + random.gamma(1.2, 0.5))
    grains = np.round(fractal(random, shape, random.uniform(60, 400), octaves=3) * random.uniform(0, 2)) / 2
    fine = fractal(random, shape, random.uniform(4, 40), roughness=0.7)
    ground = level * (1 + random.uniform(0.05, 0.2) * grains + random.uniform(0.02, 0.35) * fine)
    deep = fractal(random, shape, random.uniform(30, 200), octaves=3) - random.uniform(1, 2.5)
    inner = np.maximum(deep, 0) * random.uniform(0, 0.08)
    tint, inner_tint = np.exp(random.normal(0, 0.045, 3)), np.exp(random.normal(0, 0.2, 3))
    light: NDArray[np.float32] = (
        np.maximum(ground, 0.004)[..., np.newaxis] * tint + inner[..., np.newaxis] * inner_tint
    ).astype(np.float32)
    return light


def _polish(random: Generator, section: Section) -> NDArray[np.float32]:
    """Relief at the edges of ore, dark gaps around it, texture, scratches and small pits; 1 is a perfect polish."""
    shape = section.codes.shape
    ore = (section.codes != GANGUE.code).astype(np.float32)
    soft = cv2.GaussianBlur(ore, (0, 0), random.uniform(1, 3))
    down, right = cv2.Sobel(soft, cv2.CV_32F, 0, 1), cv2.Sobel(soft, cv2.CV_32F, 1, 0)
    sun = random.uniform(0, 7)
    factor: NDArray[np.float32] = 1 + random.uniform(0, 0.25) * (np.cos(sun) * right + np.sin(sun) * down)
    factor -= random.uniform(0, 0.35) * np.hypot(down, right)
    if random.random() < 0.6:  # hard grains stand out of softer gangue, which lies in their shadow
        near = cv2.GaussianBlur(ore, (0, 0), random.uniform(2, 7)) * (1 - ore)
        uneven = np.clip(1 + 0.8 * fractal(random, shape, 60.0, octaves=2), 0, 2)
        factor *= 1 - np.clip(near * uneven * random.uniform(0.8, 2.5), 0, 0.92)
    factor *= 1 + random.uniform(0.002, 0.02) * fractal(
        random, shape, random.uniform(3, 12), octaves=3, roughness=0.8
    )
    factor *= 1 + random.uniform(0, 0.02) * fractal(random, shape, random.uniform(100, 400), octaves=2)
    factor *= 1 + _scratches(random, shape)
    pitted = (fractal(random, shape, random.uniform(3, 8), octaves=2) > random.uniform(2.2, 3.2)) & (ore > 0)
    factor[pitted] *= random.uniform(0.2, 0.8)
    return factor


def _scratches(random: Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    lines = np.zeros(shape, np.float32)
    main = random.uniform(0, np.pi)
    for _ in range(random.poisson(random.choice([0, 4, 40]))):
        centre, angle = random.uniform(0, 1, 2) * shape[::-1], main + random.normal(0, 0.6)
        half = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(50, 700)
        ends = [tuple(int(value) for value in np.round((centre + side * half) * 16)) for side in (-1, 1)]
        depth, wide = float(random.uniform(-0.22, 0.05)), int(random.choice([1, 1, 1, 2]))
        cv2.line(lines, ends[0], ends[1], depth, wide, cv2.LINE_8, 4)
    blurred: NDArray[np.float32] = cv2.GaussianBlur(lines, (0, 0), 0.7)
    return blurred


def photograph(random: Generator, light: NDArray[np.float32], laboratory: Laboratory) -> NDArray[np.uint8]:
    """Photograph light (1 is a perfect mirror) as an 8-bit RGB picture."""
    height, width = light.shape[:2]
    light = light + laboratory.glare * light.mean(axis=(0, 1))
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    down, right = random.normal(0, 0.3, 2)
    light *= (1 - laboratory.vignetting * ((rows - down) ** 2 + (columns - right) ** 2) / 2)[..., np.newaxis]
    if laboratory.defocus_px > 0.3:
        light = cv2.GaussianBlur(light, (0, 0), laboratory.defocus_px)
    value = (
        np.clip(light * laboratory.exposure * np.array(laboratory.gains, np.float32), 0, 1)
        ** laboratory.gamma
    )
    grey = value.mean(axis=2, keepdims=True)
    value = grey + (value - grey) * laboratory.saturation
    grain = cv2.GaussianBlur(random.standard_normal(value.shape, dtype=np.float32), (0, 0), 0.6)
    raw = np.clip(np.round(value * 255 + 1.6 * laboratory.noise * grain), 0, 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", raw[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, laboratory.jpeg_quality])
    unpacked = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(unpacked[..., ::-1]).astype(np.uint8)
