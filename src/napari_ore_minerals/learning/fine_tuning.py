"""Fine-tuning: a model learns what its user painted, does not forget what it knew, and is measured before and after."""

from __future__ import annotations

import copy
import datetime
import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from napari_ore_minerals.errors import TrainingError
from napari_ore_minerals.minerals import MineralTable
from napari_ore_minerals.models.card import ModelCard, ReplayRecord, TrainingRecord, read_card
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.history import write_note
from napari_ore_minerals.progress import Steps

from .before_after import Scores, scores_of, verdict
from .corrected_tiles import (
    CorrectedPicture,
    corrected_tiles,
    held_back,
    refuse_one_mineral,
    refuse_too_little,
)
from .corrections import merged
from .dataset import TileSamples, joined
from .fine_tune_options import VALIDATED_TILES, FineTuneOptions
from .going_back import go_as_far_as_nothing_is_forgotten
from .head_start import fit_head_steps, quieten_new_minerals
from .replay import Replay, at_most, bounded_memory, packed_tiles, replay_steps, without_places
from .training import TrainResult, train_steps
from .weights import initial_network

if TYPE_CHECKING:
    from torch import nn

    from napari_ore_minerals.models.versions import ModelStore, StoredVersion

    from .course import EpochRecord

__all__ = ["CorrectedPicture", "FineTuneOptions", "FineTuneResult", "fine_tune_steps", "keep_version"]

MOST_REPEATS = 32  # of a correction, so that few of them count as much as many earlier tiles
USUAL = FineTuneOptions()
Found = TypeVar("Found")


@dataclass(frozen=True)
class FineTuneResult:
    """What a fine-tuning gave.

    Attributes
    ----------
    card : ModelCard
        Of the new version; its weights are not saved yet.
    network : torch.nn.Module
    before, after : Scores
        Of the parent and of the new version, on the same cells.
    keep : bool
        Whether it is better and does not forget; ``why`` says so in one sentence.
    history : tuple of EpochRecord
    memory : bytes
        Some of the tiles that it was taught, as ``memory.safetensors``.
    """

    card: ModelCard
    network: nn.Module
    before: Scores
    after: Scores
    keep: bool
    why: str
    history: tuple[EpochRecord, ...]
    memory: bytes


@dataclass(frozen=True)
class _Lessons:
    """What is learnt, what it is validated with, and what only measures."""

    taught: TileSamples
    held_out: TileSamples
    replay: Replay

    @property
    def samples(self) -> TileSamples:
        """Corrections, repeated so that they are about as many as earlier tiles, and these."""
        earlier = self.replay.learnt
        repeats = min(MOST_REPEATS, max(1, len(earlier) // max(1, len(self.taught))))
        many = self.taught.select(np.tile(np.arange(len(self.taught)), repeats))
        if earlier.dense is not None:
            many = without_places(many)
        return joined([many, earlier]) if len(earlier) else many

    @property
    def validation(self) -> TileSamples:
        """The corrections and earlier tiles to choose the best epoch with; nothing that only measures."""
        return joined([self.taught, at_most(self.replay.chosen, VALIDATED_TILES, 1)])


def fine_tune_steps(
    parent: Path,
    pictures: Sequence[CorrectedPicture],
    options: FineTuneOptions = USUAL,
    *,
    cache: Path | None = None,
) -> Steps[FineTuneResult]:
    """Let a model learn corrections of one or many pictures.

    The parent is not changed.  The same corrections, in whatever order, options and seed give the same
    weights on a CPU.

    Parameters
    ----------
    parent
        Model folder.
    pictures
        With their corrections; minerals are matched by name.  Minerals that the model does not know are
        added to it; those of the model that none of the pictures has any more are left out.
    options
        How.
    cache
        Where simulated tiles are kept; None for the user's cache.

    Yields
    ------
    Progress
        In ``"pictures"`` while earlier ones are simulated, in ``"tiles"`` while the last layer is fitted, then
        in ``"batches"``; ``update`` is an
        `EpochRecord` at the end of each epoch.

    Returns
    -------
    FineTuneResult
        When sent True, of the best epoch so far.  Where that is before the training began, nothing was
        learnt, which is a `TrainingError`.

    Raises
    ------
    DatasetError
        If there is nothing to learn from, with counts.
    ModelError, TrainingError, DeviceError
        If the parent must not be used, a loss is not finite, or the device is too small.
    """
    from platformdirs import user_cache_path

    card = read_card(parent)
    minerals = _minerals(card, pictures)
    pictures = sorted(pictures, key=lambda one: one.micrograph.fingerprint())
    samples = corrected_tiles(pictures, minerals, card.input_px)
    refuse_too_little(samples, len(pictures))
    where = user_cache_path("napari-ore-minerals") / "simulated" if cache is None else cache
    steps = replay_steps(card, parent, samples, pictures=options.replay_pictures, cache=where)
    replay = yield from _unless_stopped(steps)
    refuse_one_mineral(samples, len(replay.learnt))
    back = held_back(samples, options.held_out, options.seed)
    lessons = _Lessons(samples.select(~back), samples.select(back), replay)
    before_model = Classifier.load(parent, device=options.device, precision=options.precision)
    before = scores_of(before_model, lessons.held_out, replay.checked)
    torch.manual_seed(options.seed)
    network = initial_network(card.architecture, len(minerals), parent, minerals=minerals)
    quieten_new_minerals(network, samples, [mineral.name for mineral in card.minerals])
    way = [copy.deepcopy(network)]
    normalisation = (card.mean, card.std)
    fitting = fit_head_steps(network, lessons.taught, replay, normalisation)
    lessons = replace(lessons, replay=(yield from _unless_stopped(fitting)))
    way.append(copy.deepcopy(network))
    trained = yield from train_steps(
        network, lessons.samples, lessons.validation, options.training(), normalisation=normalisation
    )
    memory = _memory(lessons, minerals, options)
    new = _card(card, minerals, trained, options, memory, len(samples))
    taught = Classifier(new, trained.network, device=options.device, precision=options.precision)
    go_as_far_as_nothing_is_forgotten(taught, way, replay.chosen, before_model)
    after = scores_of(taught, lessons.held_out, replay.checked)
    keep, why = verdict(before, after)
    new = new.model_copy(update={"metrics": _metrics(after)})
    return FineTuneResult(new, taught.network.cpu(), before, after, keep, why, trained.history, memory)


def keep_version(
    result: FineTuneResult,
    store: ModelStore,
    *,
    name: str | None = None,
    note: str = "",
    activate: bool,
) -> StoredVersion:
    """Save what a fine-tuning gave as the next version of the store.

    Parameters
    ----------
    name
        Of the model; None for the parent's.
    note
        Kept beside the version.
    activate
        Make it the current one.

    Raises
    ------
    ModelError
        If the name is none, another process holds the store, or the disk refuses; the store is as it was.
    """
    card = result.card
    if name:
        card = ModelCard.model_validate(card.model_dump() | {"name": name})
    version = store.add(card, result.network, memory=result.memory, activate=activate)
    if note:
        write_note(store, version, note)
    return version


def _minerals(card: ModelCard, pictures: Sequence[CorrectedPicture]) -> MineralTable:
    """The parent's minerals without those that nobody has any more, and the new ones."""
    named = {mineral.name.casefold() for picture in pictures for mineral in picture.minerals}
    kept = [mineral for mineral in card.minerals if mineral.name.casefold() in named]
    table = MineralTable.of(kept or card.minerals)
    for picture in pictures:
        table, _ = merged(table, picture.minerals)
    return table


def _unless_stopped(steps: Steps[Found]) -> Steps[Found]:
    with closing(steps):
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                found: Found = end.value
                return found
            if (yield progress):
                raise TrainingError("it was stopped before it began to learn: nothing was learnt")


def _memory(lessons: _Lessons, minerals: MineralTable, options: FineTuneOptions) -> bytes:
    parts = [lessons.taught, replace(lessons.replay.memory, dense=None)]
    return packed_tiles(bounded_memory(parts, minerals, each=options.memory_tiles, seed=options.seed))


def _card(
    parent: ModelCard,
    minerals: MineralTable,
    trained: TrainResult,
    options: FineTuneOptions,
    memory: bytes,
    corrections: int,
) -> ModelCard:
    replay = ReplayRecord() if parent.replay is None else parent.replay
    replay = replay.model_copy(update={"memory_sha256": hashlib.sha256(memory).hexdigest()})
    record = TrainingRecord(
        options=options.model_dump(),
        command="ore-minerals learn",
        samples=corrections,
        epochs=len(trained.history),
        minutes=round(trained.minutes, 1),
        device=f"{trained.device}, {trained.precision}",
    )
    taught = f"Then taught by its user on {corrections} cells. "
    return ModelCard.model_validate(
        parent.model_dump()
        | {
            "version": parent.version + 1,
            "parent": parent.weights_sha256,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "minerals": minerals.minerals,
            "training": record,
            "replay": replay,
            "metrics": {},
            "confusion": None,
            "provenance": f"{parent.provenance} {taught}".strip()[-20_000:],
        }
    )


def _metrics(after: Scores) -> dict[str, float]:
    named = {
        "balanced accuracy on held-back corrections": after.balanced_accuracy.value,
        "accuracy on held-back corrections": after.accuracy.value,
        "macro-F1 on earlier tiles": after.replay_macro_f1.value,
    }
    return {name: value for name, value in named.items() if np.isfinite(value)}
