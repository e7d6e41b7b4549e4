"""What each ingredient of a quick training is worth: it is left out, and the rest stays.

    python benchmarks/presets.py [--minutes 30] [--kept FILE]

EfficientNet-Lite0 from real ImageNet weights, on tiles of LumenStone shrunk to 48 px, so
that it takes minutes.  Each of five rounds has other photographs to learn from, to choose the
epoch with and to measure on, and another seed; all recipes of a round share them.  Rounds are begun
while there is time, counted as time of one processor core; a round takes about eight minutes
of it.  With ``--kept`` what was measured is written to a table, and a later run adds to it.
The photographs are those of benchmarks/lumenstone.py; where they are absent the benchmark says
so and ends well.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from lite0 import lite0_weights
from lumenstone import dataset_folder, photographs
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from napari_ore_minerals.learning.dataset import TileSamples
from napari_ore_minerals.learning.evaluation import balanced_accuracy, confusion_matrix
from napari_ore_minerals.learning.imagenet import normalisation_of
from napari_ore_minerals.learning.options import TrainOptions
from napari_ore_minerals.learning.tile_options import DOMINANT
from napari_ore_minerals.learning.training import train_steps
from napari_ore_minerals.learning.weights import Weights, initial_network
from napari_ore_minerals.minerals import Mineral, MineralTable
from napari_ore_minerals.models.devices import prepare_process
from napari_ore_minerals.progress import run

TILE_PX, INPUT_PX = 128, 48
LEAST_TILES, LEAST_PHOTOGRAPHS = 150, 8
LARGEST = {"training": 384, "validation": 96, "test": 400}
CANDIDATES = TrainOptions.preset("fast").changed(  # all that was thought of; the preset has what is worth it
    {"patience": 4, "averaging": 0.99, "device": "cpu", "precision": "fp32"}
)
RECIPES: dict[str, dict[str, Any]] = {
    "all of them": {},
    "AdamW (Adam, no decay)": {"optimizer": "adam", "weight_decay": 0.0},
    "warm-up": {"warm_up": 0.0},
    "cosine (constant rate)": {"schedule": "constant"},
    "label smoothing": {"label_smoothing": 0.0},
    "class balance": {"balanced": False},
    "early stopping": {"patience": 0},
    "weight averaging": {"averaging": 0.0},
    "(with layer-wise decay)": {"layer_decay": 0.9},
}
NO_TRANSFER = "ImageNet weights"


class Outcome(NamedTuple):
    """Of one training."""

    accuracy: float  # balanced, on photographs that were held back
    epochs: int
    seconds: float


class Kept:
    """Outcomes by round and recipe; with a file, those of earlier runs as well."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.outcomes = path, dict[tuple[int, str], Outcome]()
        if path is not None and path.exists():
            for row in pd.read_csv(path).itertuples():
                self.outcomes[int(row.round), str(row.recipe)] = Outcome(
                    row.accuracy, row.epochs, row.seconds
                )

    def add(self, round_: int, recipe: str, found: Outcome) -> None:
        """Take note of an outcome."""
        self.outcomes[round_, recipe] = found
        if self.path is not None:
            rows = [{"round": key[0], "recipe": key[1]} | one._asdict() for key, one in self.outcomes.items()]
            pd.DataFrame(rows).to_csv(self.path, index=False)

    def rounds(self) -> dict[str, list[Outcome]]:
        """Outcomes of each recipe in the rounds that are whole, in their order."""
        names = [*RECIPES, NO_TRANSFER]
        rounds = sorted({number for number, _ in self.outcomes})
        whole = [number for number in rounds if all((number, name) in self.outcomes for name in names)]
        return {name: [self.outcomes[number, name] for number in whole] for name in names}


def lumenstone_tiles(folder: Path) -> TileSamples:
    """Tiles of the half-size photographs with one mineral on at least 80 % of them."""
    pixels, codes, groups = [], [], []
    for number, (path, mask_path) in enumerate(photographs(folder)):
        rgb, mask = np.asarray(Image.open(path).convert("RGB")), np.asarray(Image.open(mask_path))
        for row in range(0, mask.shape[0] - TILE_PX + 1, TILE_PX):
            for column in range(0, mask.shape[1] - TILE_PX + 1, TILE_PX):
                part = (slice(row, row + TILE_PX), slice(column, column + TILE_PX))
                counts = np.bincount(mask[part].ravel())
                if counts.max() >= DOMINANT * TILE_PX**2:
                    pixels.append(cv2.resize(rgb[part], (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA))
                    codes.append(int(counts.argmax()) + 1)
                    groups.append(number)
    found, photograph = np.array(codes), np.array(groups)
    common = [
        code
        for code in np.unique(found)
        if (found == code).sum() >= LEAST_TILES
        and len(np.unique(photograph[found == code])) >= LEAST_PHOTOGRAPHS
    ]
    names = {int(code): f"LumenStone {code - 1}" for code in common}
    minerals = [
        Mineral(code=code, name=name, symbol=f"L{code - 1}", colour="#808080") for code, name in names.items()
    ]
    kept = np.isin(found, common)
    return TileSamples.of_labels(
        np.stack(pixels)[kept], found[kept], photograph[kept], MineralTable.of(minerals)
    )


def parts_of(samples: TileSamples, round_: int) -> dict[str, TileSamples]:
    """Divide the photographs of a round 3 : 1 : 1, and draw tiles from the parts, as uneven as they are."""
    random = np.random.default_rng(round_)
    folds = StratifiedGroupKFold(5)
    tested = [test for _, test in folds.split(samples.tiles, samples.labels, samples.groups)]
    number = round_ % 5
    chosen = {"test": tested[number], "validation": tested[(number + 1) % 5]}
    others = [tested[(number + step) % 5] for step in (2, 3, 4)]
    chosen["training"] = np.concatenate(others)
    return {
        part: samples.select(np.sort(random.permutation(tiles)[: LARGEST[part]]))
        for part, tiles in chosen.items()
    }


def outcome(parts: dict[str, TileSamples], options: TrainOptions, weights: Weights) -> Outcome:
    """Train once, and measure on the photographs that were held back."""
    begun, test = time.process_time(), parts["test"]
    normalisation = normalisation_of("tf_efficientnet_lite0")
    torch.manual_seed(options.seed)
    network = initial_network("tf_efficientnet_lite0", len(test.minerals), weights)
    training = train_steps(
        network, parts["training"], parts["validation"], options, normalisation=normalisation
    )
    result = run(training)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in normalisation)
    with torch.inference_mode():
        tiles = torch.from_numpy(test.tiles).permute(0, 3, 1, 2).float() / 255.0
        found = result.network((tiles - mean) / std).argmax(dim=1).numpy()
    accuracy = balanced_accuracy(confusion_matrix(test.labels, found, len(test.minerals)))
    return Outcome(accuracy, len(result.history), time.process_time() - begun)


def report(outcomes: dict[str, list[Outcome]]) -> None:
    """Print what is lost without each ingredient."""
    base = np.array([found.accuracy for found in outcomes["all of them"]])
    print(
        f"{'without':26}{'balanced accuracy':>18}{'worth':>9}{'+-':>7}{'epochs':>8}{'s':>7}   {len(base)} rounds"
    )
    for name, found in outcomes.items():
        accuracy = np.array([one.accuracy for one in found])
        lost = base - accuracy
        error = lost.std(ddof=1) / np.sqrt(len(lost)) if len(lost) > 1 else float("nan")
        epochs, seconds = (np.mean([getattr(one, what) for one in found]) for what in ("epochs", "seconds"))
        worth = "" if name == "all of them" else f"{lost.mean():+9.3f}{error:7.3f}"
        print(f"{name:26}{accuracy.mean():18.3f}{worth:16}{epochs:8.1f}{seconds:7.1f}")


def main() -> int:
    """Measure while there is time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="of one core; no round is begun that would end later"
    )
    parser.add_argument(
        "--kept", type=Path, default=None, help="CSV file of outcomes; take another after a change"
    )
    chosen = parser.parse_args()
    folder = dataset_folder()
    if folder is None:
        print("LumenStone is not here: set ORE_MINERALS_LUMENSTONE to its folder. Nothing was measured.")
        return 0
    prepare_process()
    torch.set_num_threads(1)
    begun = time.process_time()
    samples = lumenstone_tiles(folder)
    counts = np.bincount(samples.labels)
    print(
        f"{len(samples)} tiles of {len(np.unique(samples.groups))} photographs; per mineral {counts.tolist()}"
    )
    kept = Kept(chosen.kept)
    with tempfile.TemporaryDirectory() as place:
        weights = lite0_weights(Path(place, "lite0.safetensors"))
        longest, round_ = 0.0, 0
        while time.process_time() - begun + longest < 60.0 * chosen.minutes:
            start, parts = time.process_time(), parts_of(samples, round_)
            for name in [*RECIPES, NO_TRANSFER]:
                if (round_, name) not in kept.outcomes:
                    options = CANDIDATES.changed(RECIPES.get(name, {}) | {"seed": round_})
                    kept.add(
                        round_, name, outcome(parts, options, "none" if name == NO_TRANSFER else weights)
                    )
            longest, round_ = max(longest, time.process_time() - start), round_ + 1
            report(kept.rounds())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
