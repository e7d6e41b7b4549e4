"""Training on a dataset: from its tiles to a run folder with a model."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import PartialState

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.models.architectures import ARCHITECTURES, Architecture
from napari_ore_minerals.models.card import ModelCard, ReplayRecord, TrainingRecord, read_card
from napari_ore_minerals.models.devices import choose_device, choose_precision
from napari_ore_minerals.progress import Progress, Steps, mapped

from .calibration import calibrated
from .course import EpochRecord
from .imagenet import Normalisation, normalisation_of
from .replay_dataset import reference_to
from .run_folder import RunFolder
from .training import TrainResult, train_steps
from .weights import Weights, identity, initial_network, name_of

if TYPE_CHECKING:
    from torch import nn

    from napari_ore_minerals.minerals import MineralTable

    from .collection import TileDataset
    from .dataset import TileSamples
    from .options import TrainOptions

PARTS = ("training", "validation")
SOFTWARE = ("napari-ore-minerals", "torch", "timm", "accelerate", "safetensors", "numpy")


def train_dataset_steps(
    dataset: TileDataset,
    out: Path,
    options: TrainOptions,
    *,
    architecture: Architecture,
    weights: Weights = "imagenet",
) -> Steps[ModelCard]:
    """Train a network on the training part of a dataset, in a run folder.

    The same call on the folder of a run that was interrupted goes on with it and, on a CPU with one
    thread, ends with the same weights bit for bit; on that of a finished run it returns at once.
    Started in several processes by ``accelerate launch`` it shares the work among them.

    Parameters
    ----------
    dataset
        With tiles in its training and validation parts.
    out
        Run folder: ``model`` (of the best epoch), ``epochs.csv``, ``curves.png``, ``run.json``,
        ``tensorboard`` and, until it is done, ``checkpoint``.
    options
        How to train.
    architecture
        A key of `models.architectures.ARCHITECTURES`.
    weights
        What to begin with, see `weights.initial_network`.

    Yields
    ------
    Progress
        One per batch, in ``"batches"``; `update` is an `EpochRecord` at the end of each epoch.

    Returns
    -------
    ModelCard
        Of the model in the run folder. When sent True, of the best epoch so far; the run can be gone on with.

    Raises
    ------
    DatasetError
        If a part has no tiles or a mineral has none to learn from.
    OptionError
        If the folder holds something else, or weights and architecture do not fit.
    ModelError
        If the weights cannot be had.
    TrainingError
        At the first loss that is not finite, or where the disk refuses.
    DeviceError
        If the device has too little memory or is lost.
    """
    start = _Start.of(architecture, weights)
    folder = RunFolder(out, _facts(dataset, options, start), writer=_is_main_process(options))
    if folder.finished():
        return read_card(folder.model)
    yield Progress(0, 0, "batches", "reading tiles")
    samples, validation = (dataset.samples(part, input_px=start.input_px) for part in PARTS)
    _check_classes(samples, dataset.name)
    folder.facts["dataset"] |= {"training tiles": len(samples), "validation tiles": len(validation)}
    torch.manual_seed(options.seed)
    network = start.network(dataset.minerals, resumed=folder.begun())
    with folder.open():
        training = train_steps(
            network,
            samples,
            validation,
            options,
            normalisation=start.normalisation,
            checkpoints=folder.checkpoints,
        )
        result = yield from mapped(training, partial(_recorded, folder))
        card = calibrated(_card(dataset, folder, start, result), result.network, validation)
        return folder.finish(card, result.network, stopped=result.stopped)


@dataclass(frozen=True)
class _Start:
    """What a training begins with; `parent` is the card of a model folder."""

    architecture: Architecture
    weights: Weights
    parent: ModelCard | None = None

    @classmethod
    def of(cls, architecture: Architecture, weights: Weights) -> _Start:
        is_model = isinstance(weights, Path) and weights.is_dir()
        return cls(architecture, weights, read_card(Path(weights)) if is_model else None)

    @property
    def input_px(self) -> int:
        return self.parent.input_px if self.parent else ARCHITECTURES[self.architecture].input_px

    @property
    def normalisation(self) -> Normalisation:
        return (self.parent.mean, self.parent.std) if self.parent else normalisation_of(self.architecture)

    def network(self, minerals: MineralTable, *, resumed: bool) -> nn.Module:
        """Build the network; a checkpoint holds all weights but not how a model lays its windows."""
        weights = "none" if resumed and not self.parent else self.weights
        return initial_network(self.architecture, len(minerals), weights, minerals=minerals)


def _is_main_process(options: TrainOptions) -> bool:
    device = choose_device(options.device).torch_device
    return bool(PartialState(cpu=device.type == "cpu").is_main_process)


def _facts(dataset: TileDataset, options: TrainOptions, start: _Start) -> dict[str, Any]:
    """What ``run.json`` says from the beginning."""
    device = choose_device(options.device)
    precision, _ = choose_precision(device.torch_device, options.precision)
    return {
        "schema_version": 1,
        "dataset": {"name": dataset.name, "sha256": dataset.sha256()},
        "architecture": start.architecture,
        "weights": identity(start.architecture, start.weights),
        "seed": options.seed,
        "options": options.model_dump(),
        "device": f"{device.title}, {precision}",
        "versions": {name: version(name) for name in SOFTWARE},
        "command": _command(dataset, options, start),
    }


def _command(dataset: TileDataset, options: TrainOptions, start: _Start) -> str:
    flags = f"--architecture {start.architecture} --weights {name_of(start.weights)} {options.flags()}"
    return f"ore-minerals train {dataset.folder.name} --out RUN {flags}"


def _check_classes(samples: TileSamples, name: str) -> None:
    counts = np.bincount(samples.labels, minlength=len(samples.minerals))
    found = ", ".join(
        f"{count} of {mineral.name}" for mineral, count in zip(samples.minerals, counts, strict=True)
    )
    if np.count_nonzero(counts) < 2:
        raise DatasetError(
            f"training needs tiles of at least two minerals; the training part of {name} has {found}"
        )
    if not counts.all():
        raise DatasetError(
            f"every mineral needs tiles to learn from; the training part of {name} has {found}: "
            "label more, split again, or leave the mineral out"
        )


def _recorded(folder: RunFolder, progress: Progress) -> Progress:
    """Write down an epoch when it is done."""
    if isinstance(progress.update, EpochRecord):
        folder.record(progress.update)
    notice = " ".join([*folder.notices, progress.notice]).strip()
    folder.notices.clear()
    return replace(progress, notice=notice)


def _card(dataset: TileDataset, folder: RunFolder, start: _Start, result: TrainResult) -> ModelCard:
    facts, best = folder.facts, result.history[result.best_epoch - 1] if result.best_epoch else None
    record = TrainingRecord(
        options=facts["options"],
        command=facts["command"],
        samples=facts["dataset"]["training tiles"],
        epochs=len(result.history),
        minutes=round(result.minutes, 2),
        device=facts["device"],
        software=facts["versions"],
    )
    metrics = (
        {
            "best epoch": float(best.epoch),
            "validation cross entropy": best.validation_loss,
            "validation accuracy": best.accuracy,
            "validation balanced accuracy": best.balanced_accuracy,
        }
        if best
        else {}
    )
    return ModelCard(
        name=_model_name(folder.path),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=start.parent.version + 1 if start.parent else 1,
        parent=start.parent.weights_sha256 if start.parent else None,
        architecture=start.architecture,
        swin_convention=start.parent.swin_convention if start.parent else "timm",
        minerals=dataset.minerals.minerals,
        tile_px=dataset.tile_px,
        input_px=start.input_px,
        mean=start.normalisation[0],
        std=start.normalisation[1],
        training=record,
        replay=ReplayRecord(dataset=reference_to(dataset)),
        metrics=metrics,
        provenance=(
            f"Trained on the training part of the dataset {dataset.name} (table {facts['dataset']['sha256'][:12]}), "
            f"beginning with {_in_words(facts['weights'])}; its best epoch was chosen on the validation part."
        ),
    )


def _in_words(weights: dict[str, str]) -> str:
    kinds = {
        "none": "random weights",
        "imagenet": "the ImageNet weights",
        "file": "the file",
        "model": "the model",
    }
    return " ".join([kinds[weights["kind"]], weights.get("name", "")]).strip()


def _model_name(path: Path) -> str:
    """Name of the run folder as a model may be named."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.resolve().name).strip("._-")[:64]
    return name.strip("._-") or "model"
