"""Make the bundled model: simulate, train, evaluate, write the card.

``python -m napari_ore_minerals.learning.default_model FOLDER`` (or ``make
default-model``).  It sees simulated micrographs only.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from platformdirs import user_cache_path
from tqdm import tqdm

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import CARD_NAME, ModelCard, ReplayRecord, TrainingRecord
from napari_ore_minerals.models.classifier import BUNDLED, Classifier, Evidence
from napari_ore_minerals.models.devices import prepare_process
from napari_ore_minerals.models.durable import replace_synced
from napari_ore_minerals.models.store import save_model
from napari_ore_minerals.progress import Progress, Steps, run

from .area_errors import confusion_record
from .calibration import fitted_temperature
from .dataset import TileSamples
from .evaluation import area_error, confident_from, evaluate
from .simulated import SimulatedPictures, simulated_samples_steps
from .training import EpochRecord, TrainOptions, TrainResult, train_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.models.confusion import ConfusionRecord

NAME = "ore-swin-compact-simulated"
FIRST_SEEDS = (0, 1_000_000, 2_000_000)
WANTED_PRECISION = 0.98
HELD_OUT = "simulated pictures that the model has not learnt from, not real ones"
PROVENANCE = (
    "Trained by this project on simulated reflected-light micrographs only: it has seen no real photograph. "
    "The ranges of lamp, camera and polish in the simulation and the augmentation were chosen with the "
    "training part of LumenStone S1 and S2 (Khvostikov et al. 2021) as a yardstick. "
    "It knows arsenopyrite, chalcopyrite, gold, pyrite, stibnite and gangue, and calls every other mineral "
    "one of these. Figures on simulated pictures say little about real ones: check it on photographs of your "
    "own section, and teach it your lamp and camera by painting corrections. "
    "Temperature, least confidence and all figures named 'simulated' come from held-out simulated pictures."
)
DEFAULT_TRAINING = TrainOptions(
    epochs=40,
    minutes=36.0,
    samples_per_epoch=1024,
    batch_size=32,
    learning_rate=1e-3,
    averaging=0.99,
    label_smoothing=0.05,
    augmentation="laboratory",
    precision="bf16",
    seed=0,
)


@dataclass(frozen=True)
class Recipe:
    """What the default model is made from.

    Attributes
    ----------
    pictures, choosing, held_out : int
        Simulated pictures to learn from, to choose the best epoch and the temperature with, and to measure on.
    cache : Path
        Where simulated tiles are kept.
    workers : int or None
        Processes that simulate.
    training : TrainOptions
    """

    pictures: int = 480
    choosing: int = 16
    held_out: int = 40
    cache: Path = field(default_factory=lambda: user_cache_path("napari-ore-minerals") / "simulated")
    workers: int | None = None
    training: TrainOptions = DEFAULT_TRAINING


def default_model_steps(recipe: Recipe, folder: Path) -> Steps[ModelCard]:
    """Simulate, train, evaluate and write a model folder.

    Parameters
    ----------
    recipe
        What to make it from.
    folder
        Model folder to write; must not exist.

    Yields
    ------
    Progress
        Of simulating in ``"pictures"``, then of training in ``"batches"``.

    Returns
    -------
    ModelCard
        As written. When sent True during training, that of the best network so far.
    """
    if folder.exists():
        raise ModelError(f"{folder} exists; a model is never overwritten: name another folder or remove it")
    samples = yield from _simulated(recipe, 0, recipe.pictures)
    choosing = yield from _simulated(recipe, 1, recipe.choosing)
    torch.manual_seed(recipe.training.seed)
    network = build_network("ore_swin_compact", len(DEFAULT_MINERALS))
    result = yield from train_steps(network, samples, choosing, recipe.training)
    classifier = Classifier(
        _card(recipe, result, len(samples)), result.network, device=recipe.training.device
    )
    held_out = yield from _simulated(recipe, 2, recipe.held_out)
    return save_model(folder, _measured(classifier, choosing, held_out), classifier.network.cpu(), half=True)


def _simulated(recipe: Recipe, part: int, count: int) -> Steps[TileSamples]:
    pictures = SimulatedPictures(FIRST_SEEDS[part], count)
    return (yield from simulated_samples_steps(pictures, recipe.cache, workers=recipe.workers))


def evidence_of(classifier: Classifier, samples: TileSamples, batch_size: int = 32) -> Evidence:
    """Logits and class maps of all samples."""
    starts = range(0, len(samples), batch_size)
    parts = [classifier.predict(np.array(samples.tiles[start : start + batch_size])) for start in starts]
    logits, class_maps = (np.concatenate([part[field] for part in parts]) for field in (0, 1))
    return Evidence(logits, class_maps)


def _card(recipe: Recipe, result: TrainResult, samples: int) -> ModelCard:
    record = TrainingRecord(
        options=recipe.training.model_dump(),
        command="make default-model",
        samples=samples,
        epochs=len(result.history),
        minutes=round(result.minutes, 1),
        device=f"{result.device}, {result.precision}",
        software={name: version(name) for name in ("torch", "timm", "numpy", "napari-ore-minerals")}
        | {"simulation": SimulatedPictures(FIRST_SEEDS[0], recipe.pictures).key()},
    )
    return ModelCard(
        name=NAME,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        architecture="ore_swin_compact",
        minerals=DEFAULT_MINERALS.minerals,
        tile_px=256,
        training=record,
        replay=ReplayRecord(simulated=True),
        provenance=PROVENANCE,
        weights_sha256="0" * 64,
    )


def _measured(classifier: Classifier, choosing: TileSamples, held_out: TileSamples) -> ModelCard:
    """Return the card with temperature, least confidence and metrics."""
    tuned = _of_clear(choosing, evidence_of(classifier, choosing).logits)
    classifier.card = classifier.card.model_copy(update={"temperature": fitted_temperature(*tuned)})
    evidence = evidence_of(classifier, held_out)
    truth, logits = _of_clear(held_out, evidence.logits)
    probabilities = classifier.probabilities(logits)
    found = evaluate(truth, probabilities, DEFAULT_MINERALS)
    cells = classifier.probabilities(np.moveaxis(evidence.class_maps, 1, -1))
    whole = np.eye(len(DEFAULT_MINERALS))[evidence.logits.argmax(axis=1)]
    least = confident_from(truth, probabilities, WANTED_PRECISION)
    metrics = {
        "simulated clear tiles": float(len(truth)),
        "simulated accuracy": found.accuracy,
        "simulated balanced accuracy": found.balanced_accuracy,
        "simulated expected calibration error": found.calibration_error,
    }
    shares = {
        "tile labels": whole,
        "tile probabilities": classifier.probabilities(evidence.logits),
        "cell probabilities": cells.mean(axis=(1, 2)),
    }
    for name, share in shares.items():
        error = 100.0 * area_error(held_out.fractions, share, held_out.groups)
        metrics[f"simulated area error of {name}, percentage points"] = error
    for mineral, score in zip(DEFAULT_MINERALS, found.scores, strict=True):
        metrics[f"simulated recall of {mineral.name}"] = score.recall
    return classifier.card.model_copy(
        update={
            "metrics": {name: round(value, 4) for name, value in metrics.items()},
            "min_confidence": round(float(np.clip(least, 0.4, 0.6)), 2),
            "confusion": _confusion(held_out, cells),
        }
    )


def confusion_steps(recipe: Recipe, folder: Path) -> Steps[ModelCard]:
    """Measure a model made here on the held-out pictures again, and write the confusion into its card."""
    held_out = yield from _simulated(recipe, 2, recipe.held_out)
    classifier = Classifier.load(folder)
    evidence = evidence_of(classifier, held_out)
    cells = classifier.probabilities(np.moveaxis(evidence.class_maps, 1, -1))
    card = classifier.card.model_copy(update={"confusion": _confusion(held_out, cells)})
    replace_synced(folder / CARD_NAME, card.to_json().encode())
    return card


def _confusion(held_out: TileSamples, cells: NDArray[np.float32]) -> ConfusionRecord | None:
    if held_out.dense is None or len(np.unique(held_out.groups)) < 2:
        return None  # nobody knows how pictures differ
    return confusion_record(cells, held_out.dense, held_out.groups, HELD_OUT)


def _of_clear(
    samples: TileSamples, logits: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    clear = samples.clear()
    return samples.labels[clear], logits[clear]


def _show(bar: tqdm[object], progress: Progress) -> None:
    if bar.unit != progress.unit:
        bar.reset()
        bar.unit = progress.unit
    bar.total, bar.n = progress.total, progress.done
    bar.set_description(progress.stage)
    if isinstance(progress.update, EpochRecord):
        tqdm.write(str(progress.update), file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    """Make the default model from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=BUNDLED / NAME, help="model folder to write; must not exist"
    )
    parser.add_argument(
        "--pictures", type=int, default=Recipe.pictures, help="simulated pictures to learn from"
    )
    parser.add_argument("--epochs", type=int, default=DEFAULT_TRAINING.epochs)
    parser.add_argument("--samples-per-epoch", type=int, default=DEFAULT_TRAINING.samples_per_epoch)
    parser.add_argument("--workers", type=int, default=None, help="processes that simulate")
    parser.add_argument("--cache", type=Path, default=None, help="where simulated tiles are kept")
    parser.add_argument("--minutes", type=float, default=DEFAULT_TRAINING.minutes, help="time to train in")
    parser.add_argument(
        "--confusion", action="store_true", help="only measure the confusion of the model that is there"
    )
    chosen = parser.parse_args(arguments)
    prepare_process()
    training = DEFAULT_TRAINING.model_copy(
        update={
            "epochs": chosen.epochs,
            "samples_per_epoch": chosen.samples_per_epoch,
            "minutes": chosen.minutes,
        }
    )
    recipe = Recipe(pictures=chosen.pictures, workers=chosen.workers, training=training)
    if chosen.cache is not None:
        recipe = replace(recipe, cache=chosen.cache)
    with tqdm() as bar:
        steps = confusion_steps if chosen.confusion else default_model_steps
        card = run(steps(recipe, chosen.folder), partial(_show, bar))
    sys.stderr.write(card.to_json())


if __name__ == "__main__":
    main()
