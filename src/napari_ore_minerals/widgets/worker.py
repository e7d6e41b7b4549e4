"""The classifier's process: ``python -m napari_ore_minerals.widgets.worker``.

A thread of the viewer would starve while the user pans, and would take the viewer
with it when memory runs out.  This process knows neither napari nor Qt.  It keeps
its model loaded between runs and ends with the connection to the viewer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from multiprocessing.connection import Client, Connection
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import OreMineralsError, PictureError
from napari_ore_minerals.widgets.messages import (
    Advance,
    Cells,
    Done,
    Failed,
    Follow,
    Load,
    MapKey,
    NotFollowed,
    PictureFacts,
    Ready,
    Run,
    Stop,
    WindowRead,
    WindowWanted,
)
from napari_ore_minerals.widgets.pupils import MOST, Pupils, warm_up

if TYPE_CHECKING:
    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import Pixels, Window
    from napari_ore_minerals.models.classifier import Classifier
    from napari_ore_minerals.progress import Progress

NICENESS = 10
SECONDS_BETWEEN_MESSAGES = 0.1


class RemotePixels:
    """Pixels of a picture in the viewer's process; safe to use from several threads."""

    def __init__(self, send: Callable[[object], None], job: int, facts: PictureFacts) -> None:
        self.height_px, self.width_px = facts.height_px, facts.width_px
        self._send, self._job = send, job
        self._numbers = count(1)
        self._waiting: dict[int, Future[Pixels]] = {}

    def read(self, window: Window) -> Pixels:
        """Pixels of a window that lies inside the picture."""
        number = next(self._numbers)
        future = self._waiting[number] = Future()
        self._send(WindowWanted(self._job, number, window))
        try:
            return future.result()
        finally:
            del self._waiting[number]

    def answer(self, reply: WindowRead) -> None:
        """Hand a reply to the thread that waits for it."""
        future = self._waiting.get(reply.number)
        if future is None:
            return
        if reply.pixels is None:
            future.set_exception(PictureError(reply.problem))
        else:
            future.set_result(reply.pixels)


class Worker:
    """Takes messages of the viewer and does what they ask, one thing at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = Lock()
        self._tasks: SimpleQueue[Load | Run | None] = SimpleQueue()  # None: look at the wishes
        self._stopped: set[int] = set()
        self._wishes: dict[MapKey, Follow] = {}  # the newest of each map
        self._pixels: RemotePixels | None = None
        self._loaded: tuple[Load, Classifier] | None = None
        self._pupils = Pupils()

    def work(self) -> None:
        """Work until the viewer closes the connection, which ends the process."""
        Thread(target=self._listen, daemon=True).start()
        while True:
            task = self._tasks.get()
            job = task.job if isinstance(task, Run) else 0
            try:
                if task is None:
                    self._follow_all()
                elif isinstance(task, Run):
                    self._classify(task)
                else:
                    self._load(task)
            except OreMineralsError as error:
                self._send(Failed(job, str(error)))
            except MemoryError as error:
                self._send(Failed(job, no_memory(error)))
            except RuntimeError as error:  # torch's own errors
                self._send(Failed(job, f"The classifier failed: {first_line(error)}"))

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the viewer is gone: nobody waits for what is being computed
            if isinstance(message, WindowRead):
                if self._pixels is not None:
                    self._pixels.answer(message)
            elif isinstance(message, Stop):
                self._stopped.add(message.job)
            elif isinstance(message, Follow):
                self._wishes[message.of] = message
                self._tasks.put(None)
            else:
                self._tasks.put(message)

    def _send(self, message: object) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            os._exit(0)

    def _classifier(self, load: Load) -> Classifier:
        wanted = load._replace(measure=False)
        if self._loaded is None or self._loaded[0] != wanted:
            from napari_ore_minerals.widgets.short_batches import WaitedForClassifier

            self._loaded = None  # frees the old one first
            classifier = WaitedForClassifier.load(load.model, device=load.device, precision=load.precision)
            self._loaded = wanted, classifier
        return self._loaded[1]

    def _load(self, load: Load) -> None:
        classifier = self._classifier(load)
        speed = classifier.tiles_per_second() if load.measure else 0.0
        device = classifier.device
        notices = tuple(classifier.notices)
        self._send(Ready(load, device.title, device.why, classifier.precision, notices, speed))

    def _follow_all(self) -> None:
        """Let maps follow, also between two batches of another picture: nobody is to wait for minutes."""
        while self._wishes:
            _, wish = self._wishes.popitem()
            try:
                self._send(self._pupils.followed(wish))
            except OreMineralsError as error:
                self._send(NotFollowed(wish.job, str(error)))
            except MemoryError:
                self._send(NotFollowed(wish.job, "There is not enough memory to let the map follow."))
            except (RuntimeError, ValueError) as error:  # of the libraries that compute
                self._send(NotFollowed(wish.job, f"The map could not follow: {first_line(error)}"))

    def _classify(self, task: Run) -> None:
        from napari_ore_minerals.maps.features import LARGEST_IN_MEMORY, CellFeatures
        from napari_ore_minerals.maps.predict import classify_steps, plan

        self._load(task.load._replace(measure=False))
        self._pixels = RemotePixels(self._send, task.job, task.picture)
        classifier = self._classifier(task.load)
        micrograph = micrograph_of(self._pixels, task.picture)
        grid = plan(micrograph, classifier.card, task.options)
        features = CellFeatures(grid, LARGEST_IN_MEMORY // MOST)
        steps = classify_steps(
            micrograph, classifier, task.options, wanted=task.wanted, first=task.first, features=features
        )
        report = _Report(self._send, task.job)
        stop = False
        while True:
            try:
                progress = steps.send(True) if stop else next(steps)
            except StopIteration as end:
                report.flush()
                self._pupils.keep(end.value, features)
                self._send(Done(task.job, end.value))
                warm_up()
                return
            report.add(progress)
            self._follow_all()
            stop = task.job in self._stopped


class _Report:
    """Gathers progress and passes it on a few times a second."""

    def __init__(self, send: Callable[[object], None], job: int) -> None:
        self._send, self._job = send, job
        self._sent = 0.0
        self._done = self._total = 0
        self._cells: list[Cells] = []
        self._notices: list[str] = []

    def add(self, progress: Progress) -> None:
        self._done, self._total = progress.done, progress.total
        if progress.notice:
            self._notices.append(progress.notice)
        if progress.update is not None:
            update = progress.update
            self._cells.append(Cells(update.rows, update.columns, update.labels, update.confidence))  # type: ignore[attr-defined]
        if time.monotonic() - self._sent > SECONDS_BETWEEN_MESSAGES:
            self.flush()

    def flush(self) -> None:
        if not self._total:
            return
        self._send(Advance(self._job, self._done, self._total, tuple(self._cells), tuple(self._notices)))
        self._cells, self._notices, self._sent = [], [], time.monotonic()


def no_memory(error: MemoryError) -> str:
    """Say that memory ran out, and how much was asked for where that is known."""
    asked = f" ({first_line(error)})" if str(error) else ""
    return f"There is not enough memory{asked}: close other programs or use a smaller batch."


def micrograph_of(pixels: RemotePixels, facts: PictureFacts) -> Micrograph:
    """Return the picture whose pixels are in the viewer's process."""
    from napari_ore_minerals.images.micrograph import Micrograph

    scale = facts.um_per_px, facts.um_per_px_source
    return Micrograph(pixels, facts.name, *scale, facts.guesses, facts.path, facts.answers)


def first_line(error: BaseException) -> str:
    """Say in one line what went wrong."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def connected() -> Connection:
    """Connect to the viewer that started this process, which then takes second place to what the user does."""
    known = json.loads(sys.stdin.readline())
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    connection = Client(known["address"], authkey=bytes.fromhex(known["key"]))
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    return connection


def main() -> None:
    """Work for the viewer that started this process."""
    Worker(connected()).work()


if __name__ == "__main__":
    main()
