"""A dataset of coloured tiles without pictures, and a training on it for a process of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from napari_ore_minerals.learning.dataset import TileSamples
from napari_ore_minerals.learning.options import TrainOptions
from napari_ore_minerals.learning.runs import train_dataset_steps
from napari_ore_minerals.minerals import PAPER_MINERALS, MineralTable
from napari_ore_minerals.progress import run

SHORT = TrainOptions(
    epochs=3,
    batch_size=16,
    learning_rate=1e-2,
    averaging=0.9,
    augmentation="laboratory",
    device="cpu",
    precision="fp32",
    checkpoint_minutes=0.0,
)


@dataclass(frozen=True)
class ColouredTiles:
    """Tiles of 32 px, each mineral of a colour of its own; what training asks of a dataset."""

    minerals: MineralTable = PAPER_MINERALS
    counts: dict[str, int] = field(default_factory=lambda: {"training": 60, "validation": 30})
    folder: Path = Path("coloured")
    name: str = "coloured"
    tile_px: int = 64

    def sha256(self) -> str:
        return hashlib.sha256(str(sorted(self.counts.items())).encode()).hexdigest()

    def samples(self, part: str | None, *, input_px: int, cache: Path | None = None) -> TileSamples:
        count = self.counts[part]
        random = np.random.default_rng(count)
        labels = np.arange(count) % len(self.minerals)
        colours = np.linspace([230, 40, 90], [40, 220, 160], len(self.minerals))
        noise = random.normal(0, 30, (count, input_px, input_px, 3))
        tiles = np.clip(colours[labels][:, None, None] + noise, 0, 255).astype(np.uint8)
        codes = np.array(self.minerals.codes)[labels]
        return TileSamples.of_labels(tiles, codes, np.arange(count), self.minerals)


def train(out: Path, dataset: ColouredTiles | None = None, options: TrainOptions = SHORT, **more: object):
    """Train the micro Swin in a run folder."""
    torch.set_num_threads(1)
    steps = train_dataset_steps(
        dataset or ColouredTiles(),
        out,
        options,
        **{"architecture": "ore_swin_micro", "weights": "none"} | more,
    )
    return run(steps)
