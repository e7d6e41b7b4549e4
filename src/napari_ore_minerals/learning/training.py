"""Training: a generator of steps that ends with the best network it found.

The loss is the cross entropy between the shares of the classes in a tile and the
logits and, where samples carry class indices inside the tile, the same at every
cell of the class maps: one tile then teaches as many times as it has cells.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.progress import Progress, Steps

from .options import TrainOptions
from .trainer import EpochRecord, Trainer

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
    network: nn.Module, samples: TileSamples, validation: TileSamples, options: TrainOptions
) -> Steps[TrainResult]:
    """Train a network.

    The caller's network is not changed.  On a CPU the same seed and threads give the same weights.

    Parameters
    ----------
    network
        One of `models.architectures`, with one output per mineral.
    samples, validation
        To learn from, and to choose the best epoch with; of different photographs.
    options
        How to train.

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
        At the first loss that is not finite.
    """
    if not len(samples) or not len(validation):
        raise DatasetError("training needs at least one sample to learn from and one to validate with")
    if samples.minerals != validation.minerals:
        raise DatasetError("training and validation samples are of different mineral tables")
    run = Trainer(copy.deepcopy(network), samples, options)
    try:
        return (yield from _epochs(run, validation))
    finally:
        run.close()


def _epochs(run: Trainer, validation: TileSamples) -> Steps[TrainResult]:
    options, history, best_epoch, stopped = run.options, [], 0, False
    best, least = run.state(), math.inf
    for epoch in range(1, options.epochs + 1):
        begun, stage = time.perf_counter(), f"epoch {epoch} of {options.epochs}"
        losses, stopped = yield from _batches(run, stage)
        if stopped:
            break
        record = run.validate(validation, epoch, float(np.mean(losses)), begun)
        history.append(record)
        if record.validation_loss < least:
            best, least, best_epoch = run.state(), record.validation_loss, epoch
        asked = bool((yield Progress(run.steps, run.total, "batches", stage, update=record)))
        stopped = asked and not run.over()
        if stopped or run.over():
            break
    trained = run.finished(best if best_epoch else run.state())
    minutes, seen = run.seconds() / 60.0, run.steps * options.batch_size
    return TrainResult(trained, tuple(history), best_epoch, run.title, run.precision, minutes, seen, stopped)


def _batches(run: Trainer, stage: str) -> Steps[tuple[list[float], bool]]:
    """Learn for one epoch; returns the losses and whether a stop was asked for."""
    losses: list[float] = []
    for batch in run.batches():
        losses.append(run.step(batch))
        if len(losses) == len(run.loader) or run.over():
            break  # the end of an epoch is told together with its record
        if (yield Progress(run.steps, run.total, "batches", f"{stage}, loss {losses[-1]:.3f}")):
            return losses, True
    return losses, False
