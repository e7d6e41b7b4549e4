"""Real photographs: what the bundled model sees in LumenStone S1 and S2, and what can be learnt there.

    python benchmarks/lumenstone.py zero-shot [--model FOLDER] [--into-card]
    python benchmarks/lumenstone.py learn [--most PHOTOGRAPHS] [--seeds DRAWS] [--only-kept]
        [--fine-tune CELLS] [--only-fine-tune] [--half reporting]
    python benchmarks/lumenstone.py areas [--most PHOTOGRAPHS]
    python benchmarks/lumenstone.py train [--quick] [--seen TILES] [--spread TILES] [--only ROWS]
        [--kept FOLDER]

The photographs (Khvostikov et al. 2021, ISPRS Archives XLIV-2/W1-2021, 113-118)
are read from ``$ORE_MINERALS_LUMENSTONE``, else from ``../shared/data/lumenstone``
beside the checkout; they are no part of this project.  Where they are absent the
benchmark says so and ends well.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from platformdirs import user_cache_path

from napari_ore_minerals.images.tile_reader import resize_tile
from napari_ore_minerals.learning.baseline import ColourForest
from napari_ore_minerals.learning.evaluation import balanced_accuracy, confusion_matrix, grouped_interval
from napari_ore_minerals.learning.simulated import SimulatedPictures, simulated_samples_steps
from napari_ore_minerals.learning.tile_options import DOMINANT
from napari_ore_minerals.minerals import CHALCOPYRITE, DEFAULT_MINERALS, GANGUE, PYRITE
from napari_ore_minerals.models.card import CARD_NAME, read_card
from napari_ore_minerals.models.classifier import Classifier, bundled
from napari_ore_minerals.models.devices import prepare_process
from napari_ore_minerals.progress import run

CODES = {0: GANGUE, 1: CHALCOPYRITE, 6: PYRITE}  # LumenStone's mask codes that the model knows
SCORED = [DEFAULT_MINERALS.codes.index(mineral.code) for mineral in (CHALCOPYRITE, PYRITE, GANGUE)]
SIDES = (128, 256)  # pixels of the half-size photographs: 256 and 512 of the camera's own
FOREST_PICTURES = SimulatedPictures(3_000_000, 60)


class Tiles(NamedTuple):
    """Clear tiles of the three scored classes."""

    pixels: NDArray[np.uint8]  # (n, 224, 224, 3)
    truth: NDArray[np.int64]  # (n,) index in DEFAULT_MINERALS
    photographs: NDArray[np.int64]  # (n,)


def dataset_folder() -> Path | None:
    """Return where the photographs are, or None."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "lumenstone"
    folder = Path(os.environ.get("ORE_MINERALS_LUMENSTONE", default))
    return folder if (folder / "S1" / "images").is_dir() else None


def photographs(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Pairs of a photograph and its mask, in a fixed order."""
    for series in ("S1", "S2"):
        masks = {path.stem: path for path in (folder / series / "masks").iterdir()}
        for path in sorted((folder / series / "images").iterdir()):
            if path.stem in masks:
                yield path, masks[path.stem]


def clear_tiles(folder: Path, side: int) -> Tiles:
    """Cut the photographs into tiles of which one scored class covers at least 80 %."""
    pixels, truth, groups = [], [], []
    for number, (path, mask_path) in enumerate(photographs(folder)):
        rgb, mask = np.asarray(Image.open(path).convert("RGB")), np.asarray(Image.open(mask_path))
        for row in range(0, mask.shape[0] - side + 1, side):
            for column in range(0, mask.shape[1] - side + 1, side):
                part = (slice(row, row + side), slice(column, column + side))
                values, counts = np.unique(mask[part], return_counts=True)
                found = int(values[counts.argmax()])
                if found in CODES and counts.max() >= DOMINANT * side**2:
                    pixels.append(resize_tile(np.ascontiguousarray(rgb[part]), 224))
                    truth.append(DEFAULT_MINERALS.codes.index(CODES[found].code))
                    groups.append(number)
    return Tiles(np.stack(pixels), np.array(truth), np.array(groups))


def network_answers(classifier: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Index of the best of the six classes for each tile."""
    parts = [classifier.predict(pixels[start : start + 32]).logits for start in range(0, len(pixels), 32)]
    return np.concatenate(parts).argmax(axis=1)


def report(title: str, tiles: Tiles, answers: NDArray[np.int64]) -> tuple[float, float, float]:
    """Print balanced accuracy with its interval, recalls and confusion; gives the first three."""
    classes = len(DEFAULT_MINERALS)
    confusion = confusion_matrix(tiles.truth, answers, classes)
    low, high = grouped_interval(tiles.truth, answers, tiles.photographs, np.random.default_rng(0))
    accuracy = balanced_accuracy(confusion)
    print(f"  {title}: balanced accuracy {accuracy:.3f} (95 % {low:.3f} to {high:.3f})")
    print(f"    {'true':14}{'recall':>8}   predicted " + "".join(f"{m.symbol:>6}" for m in DEFAULT_MINERALS))
    for index in SCORED:
        row = confusion[index]
        recall = row[index] / max(row.sum(), 1)
        counts = "".join(f"{count:6d}" for count in row)
        print(f"    {DEFAULT_MINERALS[index].name:14}{recall:8.3f}{'':13}{counts}")
    return accuracy, low, high


def zero_shot(chosen: argparse.Namespace) -> int:
    """Score a model that has seen no real photograph."""
    folder = dataset_folder()
    if folder is None:
        print("LumenStone is not here: set ORE_MINERALS_LUMENSTONE to its folder. Nothing was measured.")
        return 0
    prepare_process()
    classifier = Classifier.load(chosen.model)
    card = classifier.card
    print(f"model {card.name} version {card.version}, {card.weights_sha256[:12]}, {classifier.device.title}")
    simulated = run(simulated_samples_steps(FOREST_PICTURES, chosen.cache))
    trees = ColourForest().fit(simulated)
    found: dict[str, float] = {}
    for side in SIDES:
        tiles = clear_tiles(folder, side)
        print(
            f"tiles of {side} px of the half-size photographs ({2 * side} of the camera's own): "
            f"{len(tiles.truth)} tiles, {len(np.unique(tiles.photographs))} photographs"
        )
        accuracy, low, high = report("model", tiles, network_answers(classifier, tiles.pixels))
        forest, _, _ = report(
            "random forest on simulated tile colours",
            tiles,
            trees.probabilities(tiles.pixels).argmax(axis=1),
        )
        print(
            f"  chance: {1 / len(SCORED):.3f} among the scored classes, {1 / len(DEFAULT_MINERALS):.3f} among all"
        )
        title = f"real tiles of {2 * side} px (LumenStone): balanced accuracy"
        found |= {title: accuracy, f"{title}, lower bound": low, f"{title}, upper bound": high}
        found |= {f"{title} of a random forest on colours": forest, f"{title} by chance": 1 / len(SCORED)}
    if chosen.into_card:
        write_into_card(chosen.model or bundled(), found)
    return 0


def write_into_card(model: Path, found: dict[str, float]) -> None:
    """Write figures into the card of a model that is not given to anybody yet; its weights stay as they are."""
    card = read_card(model)
    metrics = card.metrics | {name: round(value, 4) for name, value in found.items()}
    (model / CARD_NAME).write_text(
        card.model_copy(update={"metrics": metrics}).to_json(), encoding="utf-8", newline="\n"
    )


def train(chosen: argparse.Namespace) -> int:
    """Train on some of the photographs and score the others."""
    from lumenstone_train import train as train_on

    folder = dataset_folder()
    if folder is None:
        print("LumenStone is not here: set ORE_MINERALS_LUMENSTONE to its folder. Nothing was measured.")
        return 0
    prepare_process()
    return train_on(chosen, folder)


def measure_areas(chosen: argparse.Namespace) -> int:
    """Measure area fractions and boundaries by tiles, cells, grains and two baselines."""
    from lumenstone_areas import areas

    folder = dataset_folder()
    if folder is None:
        print("LumenStone is not here: set ORE_MINERALS_LUMENSTONE to its folder. Nothing was measured.")
        return 0
    prepare_process()
    return areas(chosen, folder)


def learn(chosen: argparse.Namespace) -> int:
    """Play a user who corrects maps of photographs that the model has not seen."""
    from lumenstone_learn import learn as learn_from

    folder = dataset_folder()
    if folder is None:
        print("LumenStone is not here: set ORE_MINERALS_LUMENSTONE to its folder. Nothing was measured.")
        return 0
    prepare_process()
    return learn_from(chosen, folder)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("zero-shot", help="score a model that has seen no real photograph")
    command.add_argument(
        "--model", type=Path, default=None, help="model folder; the bundled one if not given"
    )
    command.add_argument(
        "--cache",
        type=Path,
        default=user_cache_path("napari-ore-minerals") / "simulated",
        help="where simulated tiles are kept",
    )
    command.add_argument("--into-card", action="store_true", help="write the figures into the model's card")
    command.set_defaults(function=zero_shot)
    command = commands.add_parser("train", help="train on some photographs and score the others")
    command.add_argument(
        "--quick", action="store_true", help="one fold of five and a quarter of the training"
    )
    command.add_argument(
        "--seen",
        type=int,
        default=2400,
        help="tiles that EfficientNet-Lite0 sees in training, a compact Swin a third of them; 0 for no networks",
    )
    command.add_argument(
        "--spread", type=int, default=0, help="test that many tiles of a mineral of a photograph; 0 for all"
    )
    command.add_argument("--seed", type=int, default=0, help="of networks, and of the tiles of --spread")
    command.add_argument(
        "--kept",
        type=Path,
        default=None,
        help="folder of answers: those of an earlier run are read, new ones kept; take another after a change",
    )
    command.add_argument("--only", default="", help="rows whose title holds this text, beside the forest")
    command.set_defaults(function=train)
    command = commands.add_parser("areas", help="area fractions and boundaries, without and with corrections")
    command.add_argument(
        "--most", type=int, default=1000, help="photographs to measure of each half: settings, and others"
    )
    command.add_argument(
        "--cache",
        type=Path,
        default=user_cache_path("napari-ore-minerals") / "lumenstone-areas",
        help="where answers and results are kept between runs; take another folder after a change",
    )
    command.set_defaults(function=measure_areas)
    command = commands.add_parser("learn", help="play a user who corrects what the review proposes")
    command.add_argument(
        "--model", type=Path, default=None, help="model folder; the bundled one if not given"
    )
    command.add_argument("--most", type=int, default=1000, help="photographs, spread over both series")
    command.add_argument("--seeds", type=int, default=3, help="draws of random corrections")
    command.add_argument("--only-kept", action="store_true", help="only photographs classified earlier")
    command.add_argument(
        "--fine-tune", type=int, default=12, metavar="CELLS", help="corrections of a photograph; 0 for none"
    )
    command.add_argument("--only-fine-tune", action="store_true", help="leave out the maps that follow")
    command.add_argument(
        "--half", choices=("settings", "reporting"), default="reporting", help="photographs to fine-tune on"
    )
    command.add_argument(
        "--cache",
        type=Path,
        default=user_cache_path("napari-ore-minerals") / "lumenstone-learn",
        help="where answers and features are kept between runs",
    )
    command.set_defaults(function=learn)
    chosen = parser.parse_args()
    return int(chosen.function(chosen))


if __name__ == "__main__":
    sys.exit(main())
