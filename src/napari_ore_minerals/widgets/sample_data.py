"""Samples: simulated micrographs, for File > Open Sample."""

from __future__ import annotations

from typing import Any

SAMPLE_KEYS = ("sample_first", "sample_second")
LayerData = tuple[Any, dict[str, Any], str]


def sample_first() -> list[LayerData]:
    """First simulated micrograph."""
    return _sample(0)


def sample_second() -> list[LayerData]:
    """Second simulated micrograph."""
    return _sample(1)


def _sample(number: int) -> list[LayerData]:
    from napari_ore_minerals.images.simulation import SAMPLES, simulate

    name, (seed, options) = list(SAMPLES.items())[number]
    sample = simulate(seed, options)
    scale = (sample.um_per_px, sample.um_per_px)
    return [(sample.rgb, {"name": name, "rgb": True, "scale": scale, "units": ("um", "um")}, "image")]
