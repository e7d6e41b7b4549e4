"""Small collections of pictures on disk, each of whose tiles is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.naming import minerals_named
from napari_ore_minerals.learning.tile_cache import picture_reference, tile_sha256

SIDE = 32


def noise(seed: int, height: int = 64, width: int = 96, grey: int = 120) -> np.ndarray:
    values = np.random.default_rng(seed).integers(grey - 40, grey + 40, (height, width, 3))
    return values.astype(np.uint8)


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def collection(
    folder: Path, plan: dict[str, tuple[str, str]], *, minerals: tuple[str, ...] = ("gold", "pyrite")
) -> TileDataset:
    """Pictures of six tiles: `plan` says deposit and part of each; the minerals take turns."""
    rows = []
    for number, (name, (deposit, part)) in enumerate(plan.items()):
        rgb = noise(number)
        path = save(folder / f"{name}.png", rgb)
        for place in range(6):
            row, column = divmod(place, 3)
            part_of = rgb[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
            rows.append(
                {
                    "tile": f"{name}-r{row}-c{column}",
                    "photograph": name,
                    "picture": picture_reference(folder / "dataset", path),
                    "picture_sha256": f"{number:064x}",
                    "row_px": row * SIDE,
                    "column_px": column * SIDE,
                    "tile_px": SIDE,
                    "deposit": deposit,
                    "mineral": minerals[place % len(minerals)],
                    "fraction": 1.0,
                    "origin": "folder",
                    "sure": True,
                    "part": part,
                    "sha256": tile_sha256(part_of),
                }
            )
    return TileDataset(folder / "dataset", "dataset", minerals_named(minerals), SIDE, pd.DataFrame(rows), {})


def numbers(seed: int, photographs: int, deposits: int, minerals: int) -> pd.DataFrame:
    """Table of photographs with random counts of tiles, without pictures."""
    random = np.random.default_rng(seed)
    rows = []
    for photograph in range(photographs):
        deposit = f"d{photograph % deposits}" if deposits else ""
        for mineral in range(minerals):
            for tile in range(int(random.integers(0, 12))):
                rows.append((f"p{photograph:03d}", deposit, f"mineral {'abcdefgh'[mineral]}", tile))
    return pd.DataFrame(rows, columns=["photograph", "deposit", "mineral", "number"])
