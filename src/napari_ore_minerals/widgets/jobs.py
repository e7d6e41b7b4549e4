"""The only place of the viewer that knows processes: one classifier's process per viewer.

Everything arrives by polling in the main thread, so that no other thread ever
touches Qt or napari.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_ore_minerals.widgets.child_process import COMMAND, ChildProcess, Order
from napari_ore_minerals.widgets.gathered import Gathered, Task
from napari_ore_minerals.widgets.messages import (
    Advance,
    Done,
    Ended,
    Failed,
    Follow,
    Followed,
    Load,
    MapKey,
    NotFollowed,
    PictureFacts,
    Ready,
    Run,
    Stop,
)
from napari_ore_minerals.widgets.pupils import GONE

if TYPE_CHECKING:
    from napari_ore_minerals.learning.corrections import Cell, Correction
    from napari_ore_minerals.minerals import MineralTable

POLL_MS = 40
CANCEL_SECONDS = 0.7
SILENT_SECONDS = 30.0
SILENT = "The classifier has said nothing for {:.0f} s: wait for it, or press Cancel and keep what is known so far."
SIGNAL_NAMES = {
    -9: "killed, perhaps because memory ran out",
    -11: "crashed",
    -4: "met an instruction unknown to this processor",
}


class Worker(QObject):  # type: ignore[misc]
    """Runs one classification at a time in a process that stays warm between runs.

    Signals, all in the main thread: ``ready(Ready)``, ``started()``, ``advanced(Gathered)``,
    ``noticed(str)``, ``finished(MineralMap)``, ``cut_short(Gathered)`` after a cancel that the process did
    not answer in time, ``failed(str)``.  Each ``started`` is followed by exactly one of the last three.
    ``followed(Followed)`` answers `follow`, unless a newer wish came first; ``not_followed(str)`` the newest one.
    """

    ready = Signal(object)
    started = Signal()
    advanced = Signal(object)
    noticed = Signal(str)
    finished = Signal(object)
    cut_short = Signal(object)
    failed = Signal(str)
    followed = Signal(object)
    not_followed = Signal(str)

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        super().__init__()
        self._command = command
        self._child: ChildProcess | None = None
        self._running: Gathered | None = None
        self._loading = False
        self._following = 0  # the newest wish that waits for its answer
        self._closed = False
        self._jobs = count(1)
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self.poll)

    @property
    def busy(self) -> bool:
        """Whether a classification is under way."""
        return self._running is not None

    @property
    def process_id(self) -> int | None:
        """Of the classifier's process; None while there is none."""
        return None if self._child is None else self._child.popen.pid

    def load(self, load: Load) -> None:
        """Have a model ready before it is needed; nothing happens during a run."""
        if not self.busy and not self._closed:
            self._loading = True
            self._living().send(load)

    def classify(self, task: Task) -> None:
        """Start a classification; refused with ``failed`` while another one runs."""
        if self._closed:
            return
        if self.busy:
            self.noticed.emit("A classification is running already: wait for it or cancel it.")
            return
        job = next(self._jobs)

        def run(facts: PictureFacts) -> Run:
            return Run(job, task.load, facts, task.options, task.wanted, task.first)

        self._running = Gathered(task, job)
        self._living().send(Order(task.open_picture, run, job))
        self.started.emit()

    def follow(
        self,
        of: MapKey,
        corrections: tuple[Correction, ...],
        minerals: MineralTable,
        *,
        seen: frozenset[Cell] = frozenset(),
    ) -> int:
        """Let a map that was made here follow corrections; gives the number of the answer."""
        job = next(self._jobs)
        if self._closed:
            return job
        self._following = job
        if self._child is None:
            QTimer.singleShot(0, partial(self._take_following, NotFollowed(job, GONE)))
        else:
            self._living().send(Follow(job, of, corrections, minerals, seen))
        return job

    def cancel(self) -> None:
        """Ask for what is known so far; after `CANCEL_SECONDS` without an answer the process is killed."""
        if self._running is not None and self._running.stopped is None and self._child is not None:
            self._running.stopped = monotonic()
            self._child.send(Stop(self._running.job))

    def abandon(self) -> None:
        """Stop a run whose result nobody wants any more; no signal follows."""
        if self._running is not None:
            self._end_run()
            self._drop_child()

    def close(self, *_: object) -> None:
        """End the process; the worker cannot be used any more."""
        self._closed, self._running = True, None
        self._drop_child()

    def poll(self) -> None:
        """Take in what the process said."""
        child = self._child
        if child is None:
            self._poll.stop()
            return
        for message in child.messages():
            self._take(message)
            if self._child is not child:
                return
        running = self._running
        if (
            running is not None
            and running.stopped is not None
            and monotonic() - running.stopped > CANCEL_SECONDS
        ):
            self._end_run()
            self._drop_child()
            self.cut_short.emit(running)
        elif (
            running is not None and running is self._running and monotonic() - running.heard > SILENT_SECONDS
        ):
            running.heard = monotonic()
            self.noticed.emit(SILENT.format(SILENT_SECONDS))
        if self._running is None and not self._loading and not self._following:
            self._poll.stop()

    def _take(self, message: object) -> None:
        running = self._running
        if running is not None:
            running.heard = monotonic()
        if isinstance(message, Ready):
            self._loading = False
            self.ready.emit(message)
        elif isinstance(message, Ended):
            self._take_end(message)
        elif isinstance(message, Followed | NotFollowed):
            self._take_following(message)
        elif isinstance(message, Failed) and message.job == 0:
            self._loading = False
            self.noticed.emit(message.sentence)
        elif running is None or getattr(message, "job", 0) != running.job:
            return
        elif isinstance(message, Advance):
            running.add(message)
            self.advanced.emit(running)
            for notice in message.notices:
                self.noticed.emit(notice)
        elif isinstance(message, Done):
            self._end_run()
            self.finished.emit(message.mineral_map)
        elif isinstance(message, Failed):
            self._end_run()
            self.failed.emit(message.sentence)

    def _take_following(self, message: Followed | NotFollowed) -> None:
        newest = message.job == self._following
        if newest:
            self._following = 0
        if isinstance(message, Followed):
            self.followed.emit(message)
        elif newest and not self._closed:
            self.not_followed.emit(message.sentence)

    def _take_end(self, ended: Ended) -> None:
        if self._following:
            self._take_following(NotFollowed(self._following, GONE))
        was_loading, self._child, self._loading = self._loading, None, False
        running, self._running = self._running, None
        if running is None:
            if was_loading:
                self.noticed.emit(_how_it_ended(ended))
            return
        if running.stopped is not None:
            self.cut_short.emit(running)
            return
        self.failed.emit(_how_it_ended(ended))

    def _end_run(self) -> None:
        if self._child is not None and self._running is not None:
            self._child.forget(self._running.job)
        self._running = None

    def _living(self) -> ChildProcess:
        if self._child is None or self._child.popen.poll() is not None:
            self._child = ChildProcess(self._command)
        self._poll.start()
        return self._child

    def _drop_child(self) -> None:
        child, self._child, self._loading = self._child, None, False
        if child is not None:
            child.kill()
        if self._following and not self._closed:
            self._take_following(NotFollowed(self._following, GONE))


def _how_it_ended(ended: Ended) -> str:
    how = SIGNAL_NAMES.get(ended.exit_code, f"exit code {ended.exit_code}")
    said = f" Its last words: {ended.last_words}" if ended.last_words else ""
    return (
        f"The classifier's process ended unexpectedly ({how}). Try again; if it happens again, "
        f"choose a smaller batch or the device 'cpu' under Advanced.{said}"
    )
