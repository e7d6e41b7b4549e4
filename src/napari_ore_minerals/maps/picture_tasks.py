"""One picture as a task for another process or machine: paths and hashes go there, a sentence or nothing comes back.

Pictures, weights and maps do not travel: every machine reads and writes the same files.
"""

from __future__ import annotations

import hashlib
import platform
import threading
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from napari_ore_minerals.errors import JobError, ModelError, OreMineralsError, PictureError
from napari_ore_minerals.maps.batch import AS_TOLD, Reading, batch_steps
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.devices import DeviceName, Precision, prepare_process
from napari_ore_minerals.progress import run

_RECORD = ConfigDict(extra="forbid", frozen=True)
_SOFTWARE = ("napari-ore-minerals", "torch", "timm", "numpy")
_one_at_a_time = threading.Lock()  # a worker with several threads has one model and one device


class PictureTask(BaseModel):
    """What a worker is told of one picture.

    Attributes
    ----------
    picture, model : Path
        Absolute, and the same on all machines.
    out : Path or None
        Where the result folder goes, absolute; None for beside the picture.
    fingerprint : str
        Of the picture, by `Micrograph.fingerprint`.
    card_sha256 : str
        Of the model's card, which has that of the weights.
    options : ClassifyOptions
    reading : Reading
    overwrite : bool
    software : dict
        Versions of what the bits of an answer depend on.
    """

    model_config = _RECORD

    picture: Path
    fingerprint: str
    model: Path
    card_sha256: str
    options: ClassifyOptions
    out: Path | None = None
    reading: Reading = AS_TOLD
    overwrite: bool = False
    software: dict[str, str] = {}


class TaskAnswer(BaseModel):
    """What a worker says of one picture: nothing where its result folder is there, else a sentence."""

    model_config = _RECORD

    problem: str = ""
    done_before: bool = False


def card_hash(card: ModelCard) -> str:
    """SHA-256 of a card as it is written, in hexadecimal."""
    return hashlib.sha256(card.to_json().encode()).hexdigest()


def software() -> dict[str, str]:
    """Versions of what the bits of an answer depend on, here."""
    return {name: version(name) for name in _SOFTWARE}


def perform(text: str) -> str:
    """Do a task; this is what a worker runs.

    Parameters
    ----------
    text
        A `PictureTask` as JSON.

    Returns
    -------
    str
        A `TaskAnswer` as JSON.
    """
    task = PictureTask.model_validate_json(text)
    with _one_at_a_time:
        try:
            answer = _performed(task)
        except (OreMineralsError, OSError, MemoryError) as error:
            answer = TaskAnswer(problem=str(error) or type(error).__name__)
    return answer.model_dump_json()


def _performed(task: PictureTask) -> TaskAnswer:
    here = platform.node() or "a worker"
    differing = [name for name, there in task.software.items() if version(name) != there]
    if differing:
        mine, asked = (
            ", ".join(f"{name} {versions[name]}" for name in differing)
            for versions in (software(), task.software)
        )
        raise JobError(
            f"{here} has {mine}, the batch was begun with {asked}: install the same on all machines"
        )
    prepare_process()
    classifier = _classifier(task.model, task.card_sha256, task.options.device, task.options.precision)
    picture = task.reading.open(task.picture)
    if picture.fingerprint() != task.fingerprint:
        raise PictureError(
            f"{task.picture} is another picture on {here} than where the batch was begun: "
            "all machines must see the same files"
        )
    steps = batch_steps(
        [task.picture],
        classifier,
        task.options,
        out=task.out,
        reading=task.reading,
        overwrite=task.overwrite,
    )
    (outcome,) = run(steps)
    return TaskAnswer(problem=outcome.problem, done_before=outcome.done_before)


@lru_cache(maxsize=1)
def _classifier(folder: Path, card_sha256: str, device: DeviceName, precision: Precision) -> Classifier:
    """Load the model once for all tasks of a worker."""
    classifier = Classifier.load(folder, device=device, precision=precision)
    if card_hash(classifier.card) != card_sha256:
        raise ModelError(
            f"{folder} is another model on {platform.node() or 'a worker'} than where the batch was begun: "
            "all machines must see the same files"
        )
    return classifier
