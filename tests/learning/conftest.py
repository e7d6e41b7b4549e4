"""Small separable samples: each class has a colour of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from napari_ore_minerals.learning import tile_cache
from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.dataset import TileSamples, joined, masked_samples
from napari_ore_minerals.learning.tile_cache import tile_sha256
from napari_ore_minerals.learning.tile_table import COLUMNS, PARTS
from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable

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


def three_minerals(folder: Path) -> TileDataset:
    """Write 27 photographs of one mineral each, four tiles a photograph, nine photographs a part."""
    (folder / "pictures").mkdir(parents=True)
    minerals = MineralTable.of([DEFAULT_MINERALS[1], DEFAULT_MINERALS[3], DEFAULT_MINERALS[5]])
    random, rows = np.random.default_rng(0), []
    for number in range(27):
        mineral, name = minerals[number % 3], f"{number:02d}.png"
        colours = np.array(COLOURS[mineral.code]) + random.normal(0, 12, (4, 3))
        picture = colours.repeat(32, axis=0) + random.normal(0, 8, (32, 128, 3))
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / name)
        content = hashlib.sha256((folder / "pictures" / name).read_bytes()).hexdigest()
        for column in range(4):
            values = {
                "tile": f"{number:02d}-r0-c{column}",
                "photograph": f"{number:02d}",
                "picture": f"../pictures/{name}",
                "picture_sha256": content,
                "row_px": 0,
                "column_px": 32 * column,
                "tile_px": 32,
                "deposit": "",
                "mineral": mineral.name,
                "fraction": 1.0,
                "origin": "folder",
                "sure": True,
                "part": PARTS[number // 9],
                "sha256": tile_sha256(pixels[:, 32 * column : 32 * column + 32]),
            }
            rows.append(values)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    dataset = TileDataset(folder / "dataset", "three-minerals", minerals, 32, table, {})
    dataset.write()
    return TileDataset.open(dataset.folder)


@pytest.fixture(scope="session")
def written_dataset(tmp_path_factory: pytest.TempPathFactory) -> TileDataset:
    return three_minerals(tmp_path_factory.mktemp("three"))


@pytest.fixture
def dataset(
    written_dataset: TileDataset, tmp_path_factory: pytest.TempPathFactory, monkeypatch
) -> TileDataset:
    """Small separable tiles of three minerals; what is kept of them is kept with the tests."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setattr(tile_cache, "user_cache_path", lambda *_: cache)
    return written_dataset


@pytest.fixture(scope="session")
def three_mineral_model(written_dataset: TileDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A micro Swin that has learnt the training tiles of `dataset` for a few epochs."""
    from napari_ore_minerals.learning.training import TrainOptions, train_steps
    from napari_ore_minerals.models.architectures import build_network
    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.models.store import save_model
    from napari_ore_minerals.progress import run

    torch.manual_seed(0)
    options = TrainOptions(
        epochs=8, learning_rate=3e-3, batch_size=16, augmentation="none", device="cpu", precision="fp32"
    )
    folder = tmp_path_factory.mktemp("trained") / "three"
    training, validation = (
        written_dataset.samples(part, input_px=32, cache=folder.parent) for part in ("training", "validation")
    )
    result = run(train_steps(build_network("ore_swin_micro", 3), training, validation, options))
    minerals = written_dataset.minerals.minerals
    save_model(
        folder,
        ModelCard(name="three", architecture="ore_swin_micro", minerals=minerals, tile_px=32, input_px=32),
        result.network,
    )
    return folder
