"""Simulated micrographs: reproducible, exact, and true to the published reflectances."""

from __future__ import annotations

import numpy as np

from napari_ore_minerals.images.simulation import SimulationOptions, simulate
from napari_ore_minerals.minerals import DEFAULT_MINERALS

SMALL = SimulationOptions(height_px=200, width_px=240)


def test_same_seed_same_picture() -> None:
    first, again, other = simulate(3, SMALL), simulate(3, SMALL), simulate(4, SMALL)
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert not np.array_equal(first.rgb, other.rgb)


def test_shapes_and_codes() -> None:
    for seed in range(5):
        picture = simulate(seed, SMALL)
        assert picture.rgb.shape == (200, 240, 3)
        assert picture.rgb.dtype == picture.mask.dtype == np.uint8
        assert set(np.unique(picture.mask)) <= set(DEFAULT_MINERALS.codes)
