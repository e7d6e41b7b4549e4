"""Fine-tuning in the dock: what it will cost, how it goes, what came of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_ore_minerals.learning.fine_tune_options import FineTuneOptions
from napari_ore_minerals.widgets import memory
from napari_ore_minerals.widgets.before_after_view import BeforeAfterView
from napari_ore_minerals.widgets.depth_choice import DepthChoice
from napari_ore_minerals.widgets.diary import note_of
from napari_ore_minerals.widgets.errands import Errands
from napari_ore_minerals.widgets.hints import reveal
from napari_ore_minerals.widgets.learning_job import LearningJob
from napari_ore_minerals.widgets.learning_messages import Keep
from napari_ore_minerals.widgets.learning_plan import (
    Earlier,
    LearningPlan,
    earlier_lessons,
    lesson_in_view,
    why_not_from_file,
)
from napari_ore_minerals.widgets.loss_plot import LossPlot, Point
from napari_ore_minerals.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from napari_ore_minerals.learning.journal import PictureNote
    from napari_ore_minerals.widgets.learning_messages import Learning, Learnt, PictureLesson
    from napari_ore_minerals.widgets.learning_plan import Bench
    from napari_ore_minerals.widgets.teaching import Teaching

SETTLE_MS = 400
FIRST = "First teach some cells of each mineral: paint them, or review cell by cell."
NOT_OPEN = (
    "The picture of this result is not open, and its file is not where it was: open it to learn from it."
)
OFFER = "A new version learns for good what you taught; nothing in use changes before you keep it."
CANCELLED = "Cancelled: the models are as they were, and your corrections are kept."
COMMAND = "Copy the command that learns the same without a screen"
NO_COMMAND = "A command cannot learn from this picture: {why}"
COPIED = "copied"  # beside the journals: what copied commands learn from
FEWEST_CORRECTIONS = 2


class FineTunePanel(QWidget):  # type: ignore[misc]
    """A button that says what it costs, then a bar with Cancel and a plot, then before and after.

    Signals: ``kept(int)`` a version was saved and is the current one, ``saved(int)`` one was saved that is
    worse, ``use_wanted(int)`` the user wants it all the same, ``command_wanted(str)``, ``told(str)``,
    ``failed(str)``.
    """

    kept = Signal(int)
    saved = Signal(int)
    use_wanted = Signal(int)
    command_wanted = Signal(str)
    told = Signal(str)
    failed = Signal(str)

    def __init__(self, teaching: Teaching, bench: Bench, job: LearningJob | None = None) -> None:
        super().__init__()
        self._teaching, self._bench = teaching, bench
        self.job = LearningJob() if job is None else job
        self._errands = Errands()
        self._earlier = Earlier()
        self._checked: dict[str, str] = {}  # why pictures cannot be learnt from by a command
        self._plan: LearningPlan | None = None
        self._running: LearningPlan | None = None
        self.words, self.depth = QLabel(FIRST), DepthChoice()
        self.others, self.command = QCheckBox(), QPushButton("Copy command")
        self.bar = RunBar("Train a new version of the chosen model", "Stop; nothing is saved or changed")
        self.plot, self.result = LossPlot(), BeforeAfterView()
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._read_earlier)
        self._lay_out()
        self._connect()
        self.replan()

    @property
    def occupied(self) -> bool:
        """Whether a training is under way, or its result waits for what becomes of it."""
        return self._running is not None

    @property
    def plan(self) -> LearningPlan | None:
        """What a click would learn; None while there is too little to learn from."""
        return self._plan

    def replan(self) -> None:
        """Say what a click would do now."""
        if self.bar.running:
            return
        self._plan, why_not = self._planned()
        self.words.setText(why_not or OFFER)
        count = sum(len(lesson.corrections) for lesson, _ in self._earlier.lessons)
        number = len(self._earlier.lessons)
        self.others.setVisible(bool(number))
        self.others.setText(f"and on {number} earlier picture{'s' * (number != 1)} ({count} cells)")
        problem = self._no_command()
        self.command.setEnabled(self._plan is not None and not problem)
        self.command.setToolTip(problem or COMMAND)
        offer = "Fine-tune" if self._plan is None else self._plan.offer(self._bench.speed())
        self.bar.offer(offer, enabled=self._plan is not None)

    def start(self) -> None:
        """Do what the button says."""
        self.replan()
        plan = self._plan
        if plan is None or self.job.busy:
            return
        self.job.stop()  # an older result that waited to be kept
        self._running = plan
        self._show(result=False, plot=True)
        self.plot.begin(1)
        self.bar.begin()
        reveal(self.plot)
        self.job.ask(lambda number: plan.request(number, self._bench.store.root))

    def cancel(self) -> None:
        """End the training at once; nothing was saved."""
        self.job.stop()
        self._ended()
        self.told.emit(CANCELLED)

    def keep(self, name: str, note: str) -> None:
        """Save what was learnt and make it the current version."""
        self.result.set_busy(True)
        self.told.emit("Saving the new version …")
        self.job.ask(lambda number: Keep(number, self._bench.store.root, name, note))

    def discard(self) -> None:
        """Forget what was learnt, or leave it where it was saved."""
        self.job.stop()
        self._ended()

    def close_job(self) -> None:
        """End the process; nothing more is heard of it.  Qt's part of the panel may be gone already."""
        self._errands.close()
        self.job.close()

    def _planned(self) -> tuple[LearningPlan | None, str]:
        """The plan, or why there is none."""
        lesson, model = self._teaching.lesson, self._bench.model()
        if lesson is None or model is None:
            return None, FIRST
        lessons: list[PictureLesson] = []
        notes: list[PictureNote] = []
        open_picture = self._bench.picture()
        if corrections := self._teaching.corrections:
            mine = lesson_in_view(lesson, corrections, is_open=open_picture is not None)
            if mine is None:
                return None, NOT_OPEN
            lessons.append(mine)
            notes.append(note_of(lesson))
        else:
            open_picture = None
        if self.others.isChecked():
            lessons += [earlier for earlier, _ in self._earlier.lessons]
            notes += [note for _, note in self._earlier.lessons]
        if sum(len(one.corrections) for one in lessons) < FEWEST_CORRECTIONS:
            return None, FIRST
        options = FineTuneOptions(depth=self.depth.currentData(), device=self._bench.device())
        folder, card = model
        return LearningPlan(folder, card, tuple(lessons), tuple(notes), options, open_picture), ""

    def _advance(self, learning: Learning) -> None:
        self.bar.advance(learning.done, learning.total, learning.stage.split(", loss")[0])
        for record in learning.records:
            if not self.plot.points and learning.epochs:
                self.plot.begin(learning.epochs)
            self.plot.add(Point(record.epoch, record.loss, record.balanced_accuracy))
        for notice in learning.notices:
            self.told.emit(notice)

    def _learnt(self, learnt: Learnt) -> None:
        plan = self._running
        if plan is not None:
            what = (plan.card.architecture, plan.options.depth, self._bench.speed().device)
            memory.remember_learning(*what, learnt.seconds)
        self.bar.end()
        self._show(result=True, plot=True)
        self.result.show_result(learnt)
        reveal(self.result)
        if learnt.saved is not None:
            self.saved.emit(learnt.saved)

    def _kept(self, number: int) -> None:
        self._ended()
        self.kept.emit(number)

    def _failed(self, sentence: str) -> None:
        if self.bar.running:
            self._ended()
        elif self.job.process_id is None:
            self.discard()  # the process is gone with what it had learnt
        else:
            self.result.set_busy(False)
        self.failed.emit(sentence)

    def _use(self, number: int) -> None:
        self.discard()
        self.use_wanted.emit(number)

    def _ended(self) -> None:
        self._running = None
        self.bar.end()
        self._show(result=False, plot=False)
        self.replan()

    def _show(self, *, result: bool, plot: bool) -> None:
        running = plot and not result
        self.result.setVisible(result)
        self.plot.setVisible(plot)
        self.bar.setVisible(not result)
        for widget in (self.words, self.depth, self.command, self._depth_label):
            widget.setVisible(not plot)
        self.others.setVisible(bool(self._earlier.lessons) and not plot)
        self.depth.setEnabled(not running)

    def _no_command(self) -> str:
        """Say why no command can learn from the picture in view; empty if one can."""
        lesson = self._teaching.lesson
        if lesson is None or not lesson.corrections:
            return ""
        note = note_of(lesson)
        if note.path is None:
            return NO_COMMAND.format(why="it has no file")
        why = self._checked.get(note.picture, "its file is still being looked at")
        return NO_COMMAND.format(why=why) if why else ""

    def _copy(self) -> None:
        if self._plan is not None:
            folder = self._teaching.diary.journal.folder / COPIED
            self._errands.run(partial(self._plan.command, folder), self.command_wanted.emit)

    def _read_earlier(self) -> None:
        lesson, journal = self._teaching.lesson, self._teaching.diary.journal
        but = "" if lesson is None else lesson.base.picture.fingerprint
        if lesson is not None and but:
            self._errands.run(partial(why_not_from_file, note_of(lesson)), partial(self._take_check, but))
        self._errands.run(partial(earlier_lessons, journal, but), self._take_earlier)

    def _take_check(self, picture: str, why: str) -> None:
        self._checked[picture] = why
        self.replan()

    def _take_earlier(self, found: Earlier) -> None:
        news = [sentence for sentence in found.left_out if sentence not in self._earlier.left_out]
        self._earlier = found
        self.replan()
        if news:
            self.told.emit("; ".join(news))

    def _lay_out(self) -> None:
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._depth_label = QLabel("teach")
        self.others.setChecked(True)
        self.others.setToolTip(
            "Learn also from what you taught on other pictures, as far as their files are still there"
        )
        choices = QHBoxLayout()
        choices.addWidget(self._depth_label)
        choices.addWidget(self.depth, 1)
        choices.addWidget(self.command)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        column.addLayout(choices)
        for widget in (self.others, self.bar, self.plot, self.result):
            column.addWidget(widget)
        self._show(result=False, plot=False)

    def _connect(self) -> None:
        self._teaching.changed.connect(self.replan)
        self._teaching.changed.connect(self._settle.start)
        self.depth.currentIndexChanged.connect(lambda _: self.replan())
        self.others.toggled.connect(lambda _: self.replan())
        self.bar.clicked.connect(self.start)
        self.bar.cancelled.connect(self.cancel)
        self.command.clicked.connect(lambda _=False: self._copy())
        self.job.advanced.connect(self._advance)
        self.job.learnt.connect(self._learnt)
        self.job.saved.connect(self._kept)
        self.job.failed.connect(self._failed)
        self._errands.failed.connect(self.failed)
        self.result.keep_wanted.connect(self.keep)
        self.result.use_wanted.connect(self._use)
        self.result.discard_wanted.connect(self.discard)
