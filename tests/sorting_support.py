"""A dataset of tiles that nobody has sorted yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.tile_options import TileOptions
from napari_ore_minerals.learning.tiling import tile_steps
from napari_ore_minerals.progress import run

TILE_PX = 32


def unsorted_dataset(folder: Path, *, photographs: int = 2, rows: int = 3, columns: int = 5) -> TileDataset:
    """Tiles of noise, of which no two are the same, with pyrite and gold to sort into."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    random = np.random.default_rng(5)
    for number in range(photographs):
        rgb = random.integers(0, 255, (rows * TILE_PX, columns * TILE_PX, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(pictures / f"PS-{number:02d}.png")
    options = TileOptions(tile_px=TILE_PX, labels="none", minerals=("pyrite", "gold"))
    return run(tile_steps([pictures], folder / "ores", options))
