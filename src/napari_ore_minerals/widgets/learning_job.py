"""The viewer's end of the process that trains, or that writes and reads models; one thing at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import count

from qtpy.QtCore import QObject, QTimer, Signal

from napari_ore_minerals.widgets.child_process import ChildProcess
from napari_ore_minerals.widgets.jobs import SIGNAL_NAMES
from napari_ore_minerals.widgets.learning_messages import Learning, Learnt, Saved, Written
from napari_ore_minerals.widgets.messages import Ended, Failed
from napari_ore_minerals.widgets.timers import rest

COMMAND = (sys.executable, "-P", "-m", "napari_ore_minerals.widgets.learning_process")
POLL_MS = 60


class LearningJob(QObject):  # type: ignore[misc]
    """Starts the process when it is needed and ends it when it is not.

    Signals, all in the main thread: ``advanced(Learning)``, ``learnt(Learnt)``, ``saved(int)`` a version's
    number, ``written(Path)``, ``failed(str)``.  Each request is followed by one of the last four, unless it
    is stopped.
    """

    advanced = Signal(object)
    learnt = Signal(object)
    saved = Signal(int)
    written = Signal(object)
    failed = Signal(str)

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        super().__init__()
        self._command = command
        self._child: ChildProcess | None = None
        self._job: int | None = None
        self._closed = False
        self._jobs = count(1)
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self.poll)

    @property
    def busy(self) -> bool:
        """Whether an answer is waited for."""
        return self._job is not None

    @property
    def process_id(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._child is None else self._child.popen.pid

    def ask(self, request: Callable[[int], object]) -> None:
        """Send a request made for a job's number, a message or an `Order`; ignored while one is under way."""
        if self._closed or self.busy:
            return
        self._job = next(self._jobs)
        if self._child is None or self._child.popen.poll() is not None:
            self._child = ChildProcess(self._command)
        self._child.send(request(self._job))
        self._poll.start()

    def stop(self) -> None:
        """End the process now, with what it learnt; what is in the store stays as it is."""
        self._job = None
        child, self._child = self._child, None
        if child is not None:
            child.kill()
        rest(self._poll)

    def close(self, *_: object) -> None:
        """End the process; the job cannot be used any more."""
        self._closed = True
        self.stop()

    def poll(self) -> None:
        """Take in what the process said."""
        child = self._child
        for message in () if child is None else child.messages():
            self._take(message)
            if self._child is not child:
                return

    def _take(self, message: object) -> None:
        if isinstance(message, Ended):
            waited, self._job, self._child = self.busy, None, None
            self._poll.stop()
            if waited:
                self.failed.emit(how_it_ended(message))
        elif getattr(message, "job", None) != self._job:
            return
        elif isinstance(message, Learning):
            self.advanced.emit(message)
        else:
            self._job = None
            if isinstance(message, Learnt):
                self.learnt.emit(message)
            elif isinstance(message, Saved):
                self.stop()
                self.saved.emit(message.number)
            elif isinstance(message, Written):
                self.stop()
                self.written.emit(message.archive)
            elif isinstance(message, Failed):
                self.failed.emit(message.sentence)


def how_it_ended(ended: Ended) -> str:
    """Say in one sentence that a process is gone, and what to do."""
    how = SIGNAL_NAMES.get(ended.exit_code, f"exit code {ended.exit_code}")
    said = f" Its last words: {ended.last_words}" if ended.last_words else ""
    return (
        f"The process that trains ended unexpectedly ({how}). Your corrections and all versions are as they were: "
        f"try again; if it happens again, teach less of the network or close other programs.{said}"
    )
