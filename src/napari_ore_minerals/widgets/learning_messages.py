"""What the viewer and the process that trains say to each other.

The viewer's process must not import torch, so nothing here does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_ore_minerals.images.pixels import PictureAnswers

if TYPE_CHECKING:
    from napari_ore_minerals.learning.corrections import Correction
    from napari_ore_minerals.learning.course import EpochRecord
    from napari_ore_minerals.learning.fine_tune_options import FineTuneOptions
    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.widgets.messages import PictureFacts


class PictureLesson(NamedTuple):
    """What is to be learnt from one picture; without `path` its pixels are asked for with `WindowWanted`."""

    name: str
    path: Path | None
    um_per_px: float | None
    corrections: tuple[Correction, ...]
    minerals: MineralTable
    answers: PictureAnswers = PictureAnswers()


class Learn(NamedTuple):
    """Fine-tune a model; `open_picture` are the facts of the one picture whose pixels the viewer has."""

    job: int
    parent: Path
    lessons: tuple[PictureLesson, ...]
    options: FineTuneOptions
    store: Path
    open_picture: PictureFacts | None = None


class Keep(NamedTuple):
    """Save what was learnt as a version of a store, and make it the current one."""

    job: int
    store: Path
    name: str
    note: str


class Export(NamedTuple):
    """Write a model folder as a zip file."""

    job: int
    folder: Path
    archive: Path


class Import(NamedTuple):
    """Take a zip file into a store."""

    job: int
    store: Path
    archive: Path


class Learning(NamedTuple):
    """A fine-tuning got on."""

    job: int
    done: int
    total: int
    stage: str
    records: tuple[EpochRecord, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """How many epochs a stage such as "epoch 2 of 10, loss 0.31" tells of; 0 if it tells of none."""
        words = self.stage.split(",", maxsplit=1)[0].split(" of ")
        return int(words[1]) if len(words) == 2 and words[1].isdigit() else 0


class Measured(NamedTuple):
    """A share, 0 to 1, with the interval in which it lies with 95 %; NaN where it could not be measured."""

    value: float
    low: float
    high: float


class Figure(NamedTuple):
    """One figure before and after, measured on the same `cells`."""

    name: str
    hint: str
    cells: int
    before: Measured
    after: Measured


class Learnt(NamedTuple):
    """What a fine-tuning gave, beside what was there before; `saved` is its number where it is worse."""

    job: int
    figures: tuple[Figure, ...]
    keep: bool
    why: str
    name: str
    corrections: int
    seconds: float
    saved: int | None = None


class Saved(NamedTuple):
    """A version is in the store."""

    job: int
    number: int


class Written(NamedTuple):
    """A zip file is there."""

    job: int
    archive: Path
