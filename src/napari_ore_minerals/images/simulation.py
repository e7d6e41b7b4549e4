"""Simulated reflected-light micrographs of gold ores, with exact masks.

A section is grown and polished (`simulated_section`, `simulated_polish`), its reflectances are
turned to light (`simulated_light`) and a laboratory photographs it (`simulated_camera`).
The same seed gives the same picture with the same versions of numpy, scipy and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from .simulated_camera import Laboratory, draw_laboratory, photograph
from .simulated_light import SUBSTANCES, linear_colours
from .simulated_noise import fractal_noise, log_uniform, smooth_noise
from .simulated_polish import damage, surface
from .simulated_section import MINERAL_NAMES, Section, draw_minerals, grow

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "SAMPLES",
    "Laboratory",
    "SimulatedMicrograph",
    "SimulationOptions",
    "sample_micrographs",
    "simulate",
]

_ISOTROPIC = ("gold", "pyrite")  # their range is of composition and source: one value in a section
_TRANSPARENCY = {"quartz": 1.0, "calcite": 1.0, "dolomite": 0.9, "sericite": 0.8, "resin": 0.8, "void": 0.1}
"""Share of the light from inside that reaches the surface."""
_Side = Annotated[int, Field(ge=64, le=8192)]


class SimulationOptions(BaseModel):
    """What to simulate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height_px: _Side = Field(1024, title="Height", description="Height of the picture in pixels.")
    width_px: _Side = Field(1024, title="Width", description="Width of the picture in pixels.")
    um_per_px: float = Field(
        1.0,
        ge=0.05,
        le=10.0,
        title="Scale",
        description="Micrometres per pixel; grains are 40 to 1500 micrometres wide.",
    )
    minerals: tuple[str, ...] | None = Field(
        None,
        max_length=len(MINERAL_NAMES),
        title="Minerals",
        description="Names of the ore minerals to show; none given: drawn by chance.",
    )

    @field_validator("minerals")
    @classmethod
    def _known(cls, minerals: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = set(minerals or ()) - set(MINERAL_NAMES)
        if unknown:
            raise ValueError(
                f"cannot simulate {', '.join(sorted(unknown))}; known: {', '.join(MINERAL_NAMES)}"
            )
        return minerals


@dataclass(frozen=True)
class SimulatedMicrograph:
    """A simulated picture and what it shows.

    Attributes
    ----------
    rgb : uint8 (height, width, 3)
        The photograph, sRGB.
    mask : uint8 (height, width)
        Codes of `DEFAULT_MINERALS`; cracks, pits and resin are gangue.
    um_per_px : float
        Micrometres per pixel.
    seed : int
        Seed it was made from.
    laboratory : Laboratory
        Lamp and camera.
    """

    rgb: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    um_per_px: float
    seed: int
    laboratory: Laboratory


def simulate(
    seed: int, options: SimulationOptions | None = None, *, laboratory: Laboratory | None = None
) -> SimulatedMicrograph:
    """Simulate one micrograph.

    Parameters
    ----------
    seed
        All randomness comes from it; 0 or more.
    options
        Size, scale and minerals; None for the defaults.
    laboratory
        Lamp and camera; None draws them.  The section does not depend on it: the same seed under
        two laboratories is the same section photographed twice.

    Returns
    -------
    SimulatedMicrograph
    """
    options = options or SimulationOptions()
    camera = np.random.default_rng([seed, 1])
    laboratory = laboratory or draw_laboratory(camera)
    section, light = base_colours(seed, options, laboratory)
    polish = np.random.default_rng([seed, 2])
    light *= surface(section, polish)[..., np.newaxis]
    depth = np.array([_TRANSPARENCY.get(name, 0.0) for name in SUBSTANCES], dtype=np.float32)
    light += (
        _internal_reflections(section, polish) * depth[section.substances()][section.grain][..., np.newaxis]
    )
    rgb = photograph(light, laboratory, camera)
    return SimulatedMicrograph(rgb, section.mask(), options.um_per_px, seed, laboratory)


def base_colours(
    seed: int, options: SimulationOptions, laboratory: Laboratory
) -> tuple[Section, NDArray[np.float32]]:
    """Grow the section of a seed and colour it by reflectance and orientation alone.

    Returns
    -------
    section : Section
    light : float32 (height, width, 3)
        Linear sRGB of a perfect polish under the laboratory's lamp; a flat white is (1, 1, 1).
    """
    rng = np.random.default_rng([seed, 0])
    minerals = draw_minerals(rng) if options.minerals is None else options.minerals
    section = grow(rng, (options.height_px, options.width_px), minerals, 1 / options.um_per_px)
    damage(section, rng)
    kinds = section.substances()
    one_value = np.array([rng.beta(1.0, 2.0) if name in _ISOTROPIC else np.nan for name in SUBSTANCES])[kinds]
    between = np.where(np.isnan(one_value), section.orientations(), one_value).astype(np.float32)
    ends = linear_colours(laboratory.spectrum())[kinds]
    colours = ends[:, 0] + between[:, np.newaxis] * (ends[:, 1] - ends[:, 0])
    light: NDArray[np.float32] = colours[section.grain]
    return section, light


def _internal_reflections(section: Section, rng: np.random.Generator) -> NDArray[np.float32]:
    """Light that comes back from inside transparent minerals, tinted by them."""
    haze = np.float32(log_uniform(rng, 0.0005, 0.03))
    cloud = np.exp(0.5 * fractal_noise(rng, section.shape, float(log_uniform(rng, 60, 600)), gain=0.6))
    spots = np.maximum(smooth_noise(rng, section.shape, float(log_uniform(rng, 5, 60))) - 2.0, 0)
    strength = haze * cloud + np.float32(log_uniform(rng, 0.002, 0.1)) * spots
    tint = np.exp(rng.normal(0, 0.12, 3) + rng.normal(0, 0.15) * np.array([1.0, 0.1, -1.0]))
    light: NDArray[np.float32] = strength[..., np.newaxis] * tint.astype(np.float32)
    return light


SAMPLES: dict[str, tuple[int, SimulationOptions]] = {
    "Pyrite and chalcopyrite in quartz": (
        105,
        SimulationOptions(height_px=1280, width_px=1536, um_per_px=2.0, minerals=("pyrite", "chalcopyrite")),
    ),
    "Gold with arsenopyrite and stibnite": (
        806,
        SimulationOptions(
            height_px=1280, width_px=1536, um_per_px=2.0, minerals=("gold", "arsenopyrite", "stibnite")
        ),
    ),
}
"""The two pictures offered as napari sample data: name, seed and options."""


def sample_micrographs() -> dict[str, SimulatedMicrograph]:
    """Simulate the two sample pictures, by name."""
    return {name: simulate(seed, options) for name, (seed, options) in SAMPLES.items()}
