"""The viewer's end of the process that finds and counts grains; one thing at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_ore_minerals.widgets.child_process import ChildProcess, Order
from napari_ore_minerals.widgets.grain_messages import Count, Counted, Find, Finding, Found
from napari_ore_minerals.widgets.jobs import SIGNAL_NAMES
from napari_ore_minerals.widgets.messages import Ended, Failed, PictureFacts
from napari_ore_minerals.widgets.timers import rest

if TYPE_CHECKING:
    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.maps.grains import GrainMap, GrainOptions
    from napari_ore_minerals.maps.mineral_map import MineralMap

COMMAND = (sys.executable, "-P", "-m", "napari_ore_minerals.widgets.grain_process")
POLL_MS = 60


class GrainJob(QObject):  # type: ignore[misc]
    """Starts the process when it is needed; it stays for counting what is painted.

    Signals, all in the main thread: ``advanced(Finding)``, ``found(Found)``, ``counted(Counted)``,
    ``failed(str)``.
    """

    advanced = Signal(object)
    found = Signal(object)
    counted = Signal(object)
    failed = Signal(str)

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        super().__init__()
        self._command = command
        self._child: ChildProcess | None = None
        self._job: int | None = None
        self._finding = self._closed = False
        self._next: GrainMap | None = None  # to be counted when what is under way is done
        self._jobs = count(1)
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self.poll)

    @property
    def finding(self) -> bool:
        """Whether grains are being found."""
        return self._finding

    @property
    def busy(self) -> bool:
        """Whether an answer is waited for."""
        return self._job is not None or self._next is not None

    @property
    def process_id(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._child is None else self._child.popen.pid

    def find(
        self, open_picture: Callable[[], Micrograph], mineral_map: MineralMap, options: GrainOptions
    ) -> None:
        """Find grains; ignored while they are being found."""
        if self._closed or self._finding:
            return
        job = next(self._jobs)

        def request(facts: PictureFacts) -> Find:
            return Find(job, facts, mineral_map, options)

        self._finding, self._next = True, None
        self._send(job, Order(open_picture, request, job))

    def count(self, grain_map: GrainMap) -> None:
        """Count the grains of a map, after what is under way; only the newest wish is answered."""
        if self._closed:
            return
        if self._job is not None:
            self._next = grain_map
        else:
            job = next(self._jobs)
            self._send(job, Count(job, grain_map))

    def stop(self) -> None:
        """End the process now; nothing is answered any more."""
        self._job, self._finding, self._next = None, False, None
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

    def _send(self, job: int, message: object) -> None:
        self._job = job
        if self._child is None or self._child.popen.poll() is not None:
            self._child = ChildProcess(self._command)
        self._child.send(message)
        self._poll.start()

    def _take(self, message: object) -> None:
        if isinstance(message, Ended):
            waited = self._job is not None
            self._job, self._child, self._finding, self._next = None, None, False, None
            self._poll.stop()
            if waited:
                self.failed.emit(_how_it_ended(message))
            return
        if getattr(message, "job", None) != self._job:
            return
        if isinstance(message, Finding):
            self.advanced.emit(message)
            return
        if self._child is not None and self._job is not None:
            self._child.forget(self._job)
        self._job, self._finding = None, False
        if isinstance(message, Found):
            self.found.emit(message)
        elif isinstance(message, Counted):
            self.counted.emit(message)
        elif isinstance(message, Failed):
            self.failed.emit(message.sentence)
        waiting, self._next = self._next, None
        if waiting is not None:
            self.count(waiting)
        elif self._job is None:
            self._poll.stop()


def _how_it_ended(ended: Ended) -> str:
    how = SIGNAL_NAMES.get(ended.exit_code, f"exit code {ended.exit_code}")
    said = f" Its last words: {ended.last_words}" if ended.last_words else ""
    return (
        f"The process that finds grains ended unexpectedly ({how}). The map is as it was: try again; if it happens "
        f"again, close other programs.{said}"
    )
