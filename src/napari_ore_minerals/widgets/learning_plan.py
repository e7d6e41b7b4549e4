"""What a click on Fine-tune would learn from: the open picture, and earlier ones whose files are still there."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_ore_minerals.errors import DatasetError, OreMineralsError
from napari_ore_minerals.learning.fine_tune_options import MEASURED_TILES, VALIDATED_TILES
from napari_ore_minerals.learning.journal import snapshot
from napari_ore_minerals.minerals import MineralTable
from napari_ore_minerals.widgets import memory
from napari_ore_minerals.widgets.child_process import Order
from napari_ore_minerals.widgets.learning_messages import Learn, PictureLesson
from napari_ore_minerals.widgets.run_bar import duration

if TYPE_CHECKING:
    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import PictureAnswers
    from napari_ore_minerals.learning.corrections import Correction
    from napari_ore_minerals.learning.fine_tune_options import FineTuneOptions
    from napari_ore_minerals.learning.journal import Journal, PictureNote
    from napari_ore_minerals.learning.lesson import Lesson
    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.models.devices import DeviceName
    from napari_ore_minerals.models.versions import ModelStore
    from napari_ore_minerals.widgets.messages import PictureFacts

_COSTS = {"head": 1.3, "last stage": 1.8, "all": 3.5}  # of learning from a tile, over that of classifying it
START_S, SECONDS_PER_PICTURE = 15.0, 0.5
BESIDE = 5  # earlier tiles are answered so often beside the epochs: before, after, on the way back


class Speed(NamedTuple):
    """Tiles that are classified per second, None if that is not known yet, and the device's name."""

    tiles_per_second: float | None = None
    device: str = ""


class Bench(NamedTuple):
    """What the dock lends: the chosen model, the picture of the result in view, the device and how fast it is."""

    model: Callable[[], tuple[Path, ModelCard] | None]
    picture: Callable[[], Callable[[], Micrograph] | None]
    device: Callable[[], DeviceName]
    speed: Callable[[], Speed]
    store: ModelStore


@dataclass(frozen=True)
class LearningPlan:
    """What would be learnt, from which model, and how.

    Attributes
    ----------
    parent : Path
        Folder of the model.
    card : ModelCard
    lessons : tuple of PictureLesson
        That of the open picture comes first.
    notes : tuple of PictureNote
        Which picture each lesson is of.
    options : FineTuneOptions
    open_picture : callable or None
        Opens the picture in view, which may have no file; None where its file is read.
    """

    parent: Path
    card: ModelCard
    lessons: tuple[PictureLesson, ...]
    notes: tuple[PictureNote, ...]
    options: FineTuneOptions
    open_picture: Callable[[], Micrograph] | None

    @property
    def corrections(self) -> int:
        """Number of cells to learn from."""
        return sum(len(lesson.corrections) for lesson in self.lessons)

    def request(self, job: int, store: Path) -> object:
        """Return what is to be sent to the process that trains."""

        def learn(facts: PictureFacts | None) -> Learn:
            return Learn(job, self.parent, self.lessons, self.options, store, facts)

        return learn(None) if self.open_picture is None else Order(self.open_picture, learn, job)

    def command(self, folder: Path) -> str:
        """Return the command line that learns the same, from files that are written into `folder` for it.

        The journals hold more: what was not taken over, of other grids, and of minerals that were left out.
        `DatasetError` if the disk refuses.
        """
        taught = zip(self.notes, self.lessons, strict=True)
        files = [
            snapshot(
                folder, note.model_copy(update={"minerals": lesson.minerals.minerals}), lesson.corrections
            )
            for note, lesson in taught
        ]
        words = ["ore-minerals", "learn", "--corrections", *map(str, files)]
        words += ["--parent", str(self.parent)]
        return shlex.join([*words, *self.options.flags()])

    def offer(self, speed: Speed) -> str:
        """Say what a click would do and cost: what such a training took before, or else a forecast."""
        count = self.corrections
        text = f"Fine-tune on {count:,} correction{'s' * (count != 1)}"
        seconds = memory.seconds_of_learning(self.card.architecture, self.options.depth, speed.device)
        if seconds is None and speed.tiles_per_second:
            seconds = self.seconds(speed.tiles_per_second)
        where = f" on {speed.device}" if speed.device else ""
        return text + (f", about {duration(seconds)}{where}" if seconds else ", some minutes")

    def seconds(self, speed: float) -> float:
        """Forecast how long it takes on a device that classifies `speed` tiles per second."""
        options, earlier = self.options, self.card.replay is not None
        learnt = options.samples_per_epoch * _COSTS[options.depth]
        minerals = len(self.card.minerals) if earlier else 0
        measured, validated = MEASURED_TILES * minerals, VALIDATED_TILES * minerals
        simulated = self.card.replay is not None and self.card.replay.simulated
        drawn = 3 * options.replay_pictures * SECONDS_PER_PICTURE if simulated else 0
        return START_S + drawn + (options.epochs * (learnt + validated) + BESIDE * measured) / speed


def lesson_in_view(
    lesson: Lesson, corrections: tuple[Correction, ...], *, is_open: bool
) -> PictureLesson | None:
    """What the result in view teaches; None if its picture is neither open nor a file that is still there."""
    base = lesson.base
    path = None if is_open or base.picture.path is None else Path(base.picture.path)
    if not is_open and (path is None or not path.is_file()):
        return None
    return PictureLesson(
        base.picture.name, path, base.um_per_px, corrections, lesson.minerals, base.picture.answers
    )


class Earlier(NamedTuple):
    """What other pictures taught, with what is noted of each, and why pictures were left out."""

    lessons: tuple[tuple[PictureLesson, PictureNote], ...] = ()
    left_out: tuple[str, ...] = ()


def earlier_lessons(journal: Journal, but: str) -> Earlier:
    """What other pictures taught; those whose file is gone are left out.

    A picture whose file does not give the pixels that were taught is left out with a sentence.  Reads all
    journals and samples of the pictures; to be called beside the viewer.
    """
    found, left_out = [], []
    for fingerprint in journal.pictures():
        try:
            note, corrections = journal.read(fingerprint)[:2]
        except OreMineralsError:
            continue  # a damaged journal of another picture is told of when that picture is opened
        if fingerprint == but or note is None or note.path is None or not corrections:
            continue
        if not Path(note.path).is_file():
            continue
        if why := why_not_from_file(note):
            left_out.append(f"{note.name} is not learnt from: {why}")
            continue
        table = MineralTable.of(note.minerals)
        lesson = PictureLesson(
            note.name, Path(note.path), note.um_per_px, tuple(corrections), table, note.answers
        )
        found.append((lesson, note))
    return Earlier(tuple(found), tuple(left_out))


def why_not_from_file(note: PictureNote) -> str:
    """Say why what was said of a picture cannot be learnt from its file; empty if it can."""
    if note.path is None:
        return "it has no file"
    try:
        status = Path(note.path).stat()
    except OSError as error:
        return f"its file cannot be read ({error.strerror or error})"
    return _why_not(note.path, note.picture, note.answers, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def _why_not(path: str, fingerprint: str, answers: PictureAnswers, _changed_ns: int, _bytes: int) -> str:
    from napari_ore_minerals.learning.as_taught import OTHER_PIXELS, open_as_taught

    try:
        open_as_taught(Path(path), fingerprint, answers)
    except DatasetError:
        return OTHER_PIXELS
    except (OreMineralsError, OSError) as error:
        return str(error)
    return ""
