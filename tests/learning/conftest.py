"""Small separable samples: each class has a colour of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ore_minerals.learning.dataset import TileSamples, joined, masked_samples
from napari_ore_minerals.minerals import DEFAULT_MINERALS

COLOURS = {
    1: (135, 135, 132),
    2: (190, 160, 90),
    3: (250, 220, 60),
    4: (200, 195, 160),
    5: (90, 95, 110),
    6: (20, 20, 20),
}


def coloured_picture(seed: int, side: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Picture and mask of squares of 32 px, every class among them."""
    random = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(1, 7), random.integers(1, 7, (side // 32) ** 2 - 6)]).astype(np.uint8)
    mask = np.kron(random.permutation(codes).reshape(side // 32, -1), np.ones((32, 32), np.uint8))
    colours = np.zeros((7, 3))
    for code, colour in COLOURS.items():
        colours[code] = colour
    rgb = colours[mask] + random.normal(0, 6, (side, side, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8), mask


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small are slower on several threads, most of all on a busy computer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def samples() -> TileSamples:
    parts = []
    for seed in range(6):
        rgb, mask = coloured_picture(seed)
        parts.append(masked_samples(rgb, mask, DEFAULT_MINERALS, tile_px=32, input_px=32, group=seed))
    return joined(parts)
