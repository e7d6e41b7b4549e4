"""Networks of whole tiles for the benchmark of LumenStone, with and without weights to begin with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lite0 import lite0_weights
from lumenstone_tiles import Collection, Part
from numpy.typing import NDArray
from torch import nn

from napari_ore_minerals.images.tile_reader import resize_tile
from napari_ore_minerals.learning.dataset import TileSamples, grouped_split
from napari_ore_minerals.learning.imagenet import Normalisation, normalisation_of
from napari_ore_minerals.learning.training import TrainOptions, train_steps
from napari_ore_minerals.learning.weights import initial_network
from napari_ore_minerals.models.architectures import Architecture
from napari_ore_minerals.models.classifier import bundled
from napari_ore_minerals.progress import run

BATCH = 32
EPOCHS = 3
VALIDATION_TILES = 64


class Recipe(NamedTuple):
    """A network, the weights it begins with, the side of its tiles, and its share of the tiles to see."""

    architecture: Architecture
    weights: str  # "imagenet", "bundled" or "none"
    input_px: int
    share: float = 1.0


THIRD = (
    1.0 / 3.0
)  # a compact Swin takes three times as long for a tile, so that all networks get as much time
NETWORKS = {
    "compact Swin from scratch": Recipe("ore_swin_compact", "none", 224, THIRD),
    "compact Swin, bundled weights": Recipe("ore_swin_compact", "bundled", 224, THIRD),
    "EfficientNet-Lite0, ImageNet weights": Recipe("tf_efficientnet_lite0", "imagenet", 128),
    "EfficientNet-Lite0 from scratch": Recipe("tf_efficientnet_lite0", "none", 128),
}


def network_probabilities(
    data: Collection, tiles: Part, *, title: str, seen: int, seed: int
) -> NDArray[np.float32]:
    """Train on `seen` tiles, drawn with minerals alike, and classify those that are tested."""
    recipe = NETWORKS[title]
    random = np.random.default_rng(seed)
    kept, watched = grouped_split(data.photographs[tiles.learnt], 0.15, random)
    watched = random.permutation(watched)[:VALIDATION_TILES]
    options = TrainOptions(
        epochs=EPOCHS,
        samples_per_epoch=max(BATCH, round(seen * recipe.share / EPOCHS)),
        batch_size=BATCH,
        learning_rate=1e-3 if recipe.weights == "none" else 5e-4,
        dense_weight=0.0,
        seed=seed,
        device="cpu",
        precision="fp32",
    )
    torch.manual_seed(seed)
    network = _beginning(recipe, data)
    parts = [samples(data, tiles.learnt[part], recipe.input_px) for part in (kept, watched)]
    normalisation = normalisation_of(recipe.architecture)
    trained = run(train_steps(network, *parts, options, normalisation=normalisation)).network
    return _answers(trained, samples(data, tiles.tested, recipe.input_px).tiles, normalisation)


def samples(data: Collection, chosen: NDArray[np.int64], input_px: int) -> TileSamples:
    """Tiles as the training takes them."""
    pixels = data.pixels[chosen]
    if input_px != pixels.shape[1]:
        pixels = np.stack([resize_tile(tile, input_px) for tile in pixels])
    codes = np.array(data.minerals.codes)[data.truth[chosen]]
    return TileSamples.of_labels(pixels, codes, data.photographs[chosen], data.minerals)


def _beginning(recipe: Recipe, data: Collection) -> nn.Module:
    if recipe.weights == "none":
        return initial_network(recipe.architecture, len(data.minerals), "none")
    if recipe.weights == "bundled":
        return initial_network(recipe.architecture, len(data.minerals), bundled(), minerals=data.minerals)
    with tempfile.TemporaryDirectory() as folder:
        weights = lite0_weights(Path(folder) / "lite0.safetensors")
        return initial_network(recipe.architecture, len(data.minerals), weights)


def _answers(
    network: nn.Module, tiles: NDArray[np.uint8], normalisation: Normalisation
) -> NDArray[np.float32]:
    """Probabilities of each class, (n, classes)."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in normalisation)
    found = []
    with torch.inference_mode():
        for start in range(0, len(tiles), BATCH):
            batch = torch.from_numpy(tiles[start : start + BATCH]).permute(0, 3, 1, 2).float() / 255.0
            found.append(network((batch - mean) / std).softmax(dim=1).numpy())
    return np.concatenate(found)
