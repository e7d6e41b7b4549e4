"""Training: a generator of steps that ends with the best network it found.

The loss is the cross entropy between the shares of the classes in a tile and the
logits and, where samples carry class indices inside the tile, the same at every
cell of the class maps: one tile then teaches as many times as it has cells.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.progress import Progress, Steps

from .checkpoints import Checkpoint, Checkpoints
from .course import EpochRecord
from .imagenet import IMAGENET_NORMALISATION, Normalisation
from .options import TrainOptions
from .trainer import Trainer

if TYPE_CHECKING:
    from torch import nn

    from .dataset import TileSamples

__all__ = ["EpochRecord", "TrainOptions", "TrainResult", "train_steps"]


@dataclass(frozen=True)
class TrainResult:
    """What a training gave.

    Attributes
    ----------
    network : torch.nn.Module
        Of the best epoch (least validation loss), in evaluation mode, on the CPU, float32.
    history : tuple of EpochRecord
    best_epoch : int
        Counted from 1; 0 if training was stopped before the first epoch ended.
    device, precision : str
    minutes : float
    samples_seen : int
        Tiles drawn, repeats included.
    stopped : bool
        Whether it was asked to stop before all epochs were done.
    """

    network: nn.Module
    history: tuple[EpochRecord, ...]
    best_epoch: int
    device: str
    precision: str
    minutes: float
    samples_seen: int
    stopped: bool


def train_steps(
    network: nn.Module,
    samples: TileSamples,
    validation: TileSamples,
    options: TrainOptions,
    *,
    normalisation: Normalisation = IMAGENET_NORMALISATION,
    checkpoints: Checkpoints | None = None,
) -> Steps[TrainResult]:
    """Train a network.

    The caller's network is not changed.  On a CPU the same seed and threads give the same weights,
    also where the training was interrupted and goes on from a checkpoint.

    Parameters
    ----------
    network
        One of `models.architectures`, with one output per mineral.
    samples, validation
        To learn from, and to choose the best epoch with; of different photographs.
    options
        How to train.
    normalisation
        Mean and standard deviation of the channels of RGB in 0 to 1.
    checkpoints
        Where to keep what an interrupted training needs to go on; if something is there, it goes on.

    Yields
    ------
    Progress
        One per batch, in ``"batches"``; `update` is an `EpochRecord` at the end of each epoch.

    Returns
    -------
    TrainResult
        When sent True, the best that was found so far.

    Raises
    ------
    DatasetError
        If there are no samples, or their minerals differ.
    TrainingError
        At the first loss that is not finite, or where a checkpoint cannot be written.
    DeviceError
        If the device has too little memory or is lost.
    """
    if not len(samples) or not len(validation):
        raise DatasetError("training needs at least one sample to learn from and one to validate with")
    if samples.minerals != validation.minerals:
        raise DatasetError("training and validation samples are of different mineral tables")
    run = Trainer(copy.deepcopy(network), samples, options, normalisation)
    try:
        with run.faults():
            return (yield from _epochs(run, validation, checkpoints or Checkpoints()))
    finally:
        run.close()


def _epochs(run: Trainer, validation: TileSamples, checkpoints: Checkpoints) -> Steps[TrainResult]:
    if (kept := checkpoints.read()) is not None:
        run.restore(*kept)
    stopped = False
    while not (stopped or run.done()):
        stage = f"epoch {run.course.epoch} of {run.options.epochs}"
        stopped = yield from _batches(run, stage, checkpoints)
        if stopped:
            break
        record = run.validate(validation)
        _keep(run, checkpoints)
        asked = yield Progress(run.course.steps, run.total, "batches", stage, update=record)
        stopped = run.agreed(bool(asked))[0] and not run.done()
    course = run.course
    minutes, seen = run.seconds() / 60.0, course.steps * run.options.batch_size
    history, title = tuple(course.history), run.title
    return TrainResult(
        run.finished(), history, course.best_epoch, title, run.precision, minutes, seen, stopped
    )


def _batches(run: Trainer, stage: str, checkpoints: Checkpoints) -> Steps[bool]:
    """Learn for one epoch, or for what is left of it; returns whether a stop was asked for."""
    course = run.course
    if not course.losses:
        run.batches.begin_epoch()
    for batch in run.batches.after(len(course.losses)):
        run.step(batch)
        if len(course.losses) == len(run.batches) or run.over():
            break  # the end of an epoch is told together with its record
        progress = Progress(course.steps, run.total, "batches", f"{stage}, loss {course.losses[-1]:.3f}")
        stop, due = run.agreed(bool((yield progress)), checkpoints.due())
        if stop or due:
            _keep(run, checkpoints)
        if stop:
            return True
    return False


def _keep(run: Trainer, checkpoints: Checkpoints) -> None:
    """Write a checkpoint of this moment, unless there is no going on from it; only the main process does."""
    if checkpoints.folder is None:
        return
    tensors = run.tensors()
    if run.accelerator.is_main_process and all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        run.course.seconds, run.begun = run.seconds(), time.perf_counter()
        checkpoints.write(Checkpoint(tensors, run.best, run.course))
