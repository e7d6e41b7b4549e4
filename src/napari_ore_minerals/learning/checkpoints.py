"""Checkpoints: from which an interrupted training goes on, bit for bit.

Tensors are safetensors, numbers are JSON in their header.  ``state.safetensors`` is
replaced whole; the weights of the best epoch have a file of their own, which the
state names, so that they are written only when there are better ones.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_ore_minerals.errors import TrainingError

from .course import Course

if TYPE_CHECKING:
    import torch

STATE_NAME = "state.safetensors"


class Checkpoint(NamedTuple):
    """A moment of a training: tensors of `Trainer.tensors`, weights of the best epoch, and the course."""

    tensors: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]
    course: Course


class Checkpoints:
    """The checkpoints of one training in a folder.

    Attributes
    ----------
    folder : Path or None
        None keeps nothing.
    minutes : float
        Time between checkpoints within an epoch.
    """

    def __init__(self, folder: Path | None = None, minutes: float = 5.0) -> None:
        self.folder, self.minutes, self.last = folder, minutes, time.monotonic()

    def due(self) -> bool:
        """Tell whether the last one is old."""
        return self.folder is not None and time.monotonic() - self.last >= 60.0 * self.minutes

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; the one before stays until this one is whole.

        Raises
        ------
        TrainingError
            If the disk refuses.
        """
        if self.folder is None:
            return
        from safetensors.torch import save

        best = self.folder / f"best-{checkpoint.course.best_epoch}.safetensors"
        if checkpoint.course.best_epoch and not best.exists():
            replace_file(best, save(_storable(checkpoint.best)))
        facts = {"course": checkpoint.course.to_json()}
        replace_file(self.folder / STATE_NAME, save(_storable(checkpoint.tensors), metadata=facts))
        for older in self.folder.glob("best-*.safetensors"):
            if older != best:
                older.unlink(missing_ok=True)
        self.last = time.monotonic()

    def read(self) -> Checkpoint | None:
        """Return the last checkpoint; None if there is none.

        Raises
        ------
        TrainingError
            If it cannot be read.
        """
        if self.folder is None or not (self.folder / STATE_NAME).exists():
            return None
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            content = (self.folder / STATE_NAME).read_bytes()
            course = Course.from_json(_metadata(content)["course"])
            best = self.folder / f"best-{course.best_epoch}.safetensors"
            weights = load(best.read_bytes()) if course.best_epoch else {}
            return Checkpoint(load(content), weights, course)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(self.folder, error) from error


def read_course(folder: Path) -> Course | None:
    """Return how far the training has come whose checkpoints are in a folder; None if there are none."""
    try:
        with (folder / STATE_NAME).open("rb") as file:
            length = file.read(8)
            return Course.from_json(_metadata(length + file.read(int.from_bytes(length, "little")))["course"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, error) from error


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, over the older one; its folder is made.

    Raises
    ------
    TrainingError
        If the disk refuses.
    """
    staging = path.with_name(f".{path.name}-{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staging.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staging, path)
    except OSError as error:
        raise TrainingError(
            f"{path.name} ({len(content) / 1e6:.1f} MB) could not be written to {path.parent}: "
            f"{error.strerror or error}; what was written before is whole: put the disk right and run the same "
            "command again, which goes on from there"
        ) from error
    finally:
        staging.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed while writing left behind."""
    for orphan in folder.glob(".*.tmp"):
        orphan.unlink(missing_ok=True)


def _unreadable(folder: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"the checkpoint in {folder} cannot be read ({error}): remove it to begin anew, or name another run folder"
    )


def _storable(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found
