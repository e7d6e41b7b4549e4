"""The process that trains: ``python -m napari_ore_minerals.widgets.learning_process``.

It knows neither napari nor Qt, keeps what it learnt until the viewer says what becomes of it, and
ends with the connection to the viewer.  Only whole versions reach the store, whenever it ends.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import OreMineralsError
from napari_ore_minerals.widgets.learning_messages import (
    Export,
    Figure,
    Import,
    Keep,
    Learn,
    Learning,
    Learnt,
    Measured,
    PictureLesson,
    Saved,
    Written,
)
from napari_ore_minerals.widgets.messages import Failed, PictureFacts, WindowRead
from napari_ore_minerals.widgets.worker import RemotePixels, connected, first_line, micrograph_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.learning.before_after import Scores
    from napari_ore_minerals.learning.course import EpochRecord
    from napari_ore_minerals.learning.fine_tuning import FineTuneResult
    from napari_ore_minerals.progress import Progress

SECONDS_BETWEEN_MESSAGES = 0.2
HELD_OUT = "On corrections that were held back and not learnt from; balanced: every mineral counts the same"
REPLAYED = "Macro-F1 on pictures like those the model learnt from earlier: it must not forget them"
NO_MEMORY = (
    "There is not enough memory to fine-tune: close other programs, or choose to teach less of the network."
)


class Learner:
    """Takes messages of the viewer and does what they ask, one thing at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = Lock()
        self._tasks: SimpleQueue[Learn | Keep | Export | Import] = SimpleQueue()
        self._pixels: RemotePixels | None = None
        self._learnt: FineTuneResult | None = None

    def work(self) -> None:
        """Work until the viewer closes the connection, which ends the process."""
        Thread(target=self._listen, daemon=True).start()
        while True:
            task = self._tasks.get()
            try:
                self._do(task)
            except OreMineralsError as error:
                self._send(Failed(task.job, str(error)))
            except MemoryError:
                self._send(Failed(task.job, NO_MEMORY))
            except RuntimeError as error:  # torch's own errors
                self._send(Failed(task.job, f"The fine-tuning failed: {first_line(error)}"))

    def _do(self, task: Learn | Keep | Export | Import) -> None:
        from napari_ore_minerals.models.exchange import export_model, import_model
        from napari_ore_minerals.models.versions import ModelStore

        if isinstance(task, Learn):
            self._learn(task)
        elif isinstance(task, Keep):
            self._keep(task)
        elif isinstance(task, Export):
            self._send(Written(task.job, export_model(task.folder, task.archive)))
        else:
            self._send(Saved(task.job, import_model(ModelStore(task.store), task.archive).number))

    def _learn(self, task: Learn) -> None:
        from napari_ore_minerals.learning.fine_tuning import (
            CorrectedPicture,
            fine_tune_steps,
        )

        begun = time.monotonic()
        pictures = [
            CorrectedPicture(self._opened(task, lesson), lesson.corrections, lesson.minerals)
            for lesson in task.lessons
        ]
        steps = fine_tune_steps(task.parent, pictures, task.options)
        report = _Report(self, task.job)
        while True:
            try:
                report.add(next(steps))
            except StopIteration as end:
                result: FineTuneResult = end.value
                break
        report.flush()
        self._learnt = result
        saved = None if result.keep else self._save(task.store, note=result.why, activate=False)
        self._send(
            Learnt(
                task.job,
                figures_of(result.before, result.after),
                result.keep,
                result.why,
                result.card.name,
                sum(len(lesson.corrections) for lesson in task.lessons),
                time.monotonic() - begun,
                saved,
            )
        )

    def _keep(self, task: Keep) -> None:
        number = self._save(task.store, name=task.name or None, note=task.note, activate=True)
        if number is not None:
            self._send(Saved(task.job, number))

    def _save(self, store: Path, *, name: str | None = None, note: str, activate: bool) -> int | None:
        from napari_ore_minerals.learning.fine_tuning import keep_version
        from napari_ore_minerals.models.versions import ModelStore

        if self._learnt is None:
            return None
        return keep_version(self._learnt, ModelStore(store), name=name, note=note, activate=activate).number

    def _opened(self, task: Learn, lesson: PictureLesson) -> Micrograph:
        if lesson.path is None and task.open_picture is not None:
            return self._remote(task.job, task.open_picture)
        from napari_ore_minerals.learning.as_taught import open_as_taught

        micrograph = open_as_taught(
            lesson.path or Path(lesson.name), lesson.corrections[0].picture, lesson.answers
        )
        if lesson.um_per_px is None:
            return micrograph
        return micrograph.with_scale(lesson.um_per_px, "as when it was corrected")

    def _remote(self, job: int, facts: PictureFacts) -> Micrograph:
        self._pixels = RemotePixels(self._send, job, facts)
        return micrograph_of(self._pixels, facts)

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the viewer is gone: nobody waits for what is being learnt
            if isinstance(message, WindowRead):
                if self._pixels is not None:
                    self._pixels.answer(message)
            else:
                self._tasks.put(message)

    def _send(self, message: object) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            os._exit(0)

    send = _send


class _Report:
    """Gathers progress and passes it on a few times a second."""

    def __init__(self, learner: Learner, job: int) -> None:
        self._learner, self._job = learner, job
        self._sent = 0.0
        self._done = self._total = 0
        self._stage = ""
        self._records: list[EpochRecord] = []
        self._notices: list[str] = []

    def add(self, progress: Progress) -> None:
        self._done, self._total, self._stage = progress.done, progress.total, progress.stage
        if progress.notice:
            self._notices.append(progress.notice)
        if progress.update is not None:
            self._records.append(progress.update)  # type: ignore[arg-type]
        if progress.update is not None or time.monotonic() - self._sent > SECONDS_BETWEEN_MESSAGES:
            self.flush()

    def flush(self) -> None:
        records, notices = tuple(self._records), tuple(self._notices)
        self._learner.send(Learning(self._job, self._done, self._total, self._stage, records, notices))
        self._records, self._notices, self._sent = [], [], time.monotonic()


def figures_of(before: Scores, after: Scores) -> tuple[Figure, ...]:
    """Pair what was measured before and after, in the words of the dock."""

    def pair(title: str, hint: str, cells: int, name: str) -> Figure:
        return Figure(title, hint, cells, *(Measured(*getattr(scores, name)) for scores in (before, after)))

    return (
        pair("balanced accuracy", HELD_OUT, after.cells, "balanced_accuracy"),
        pair("accuracy", HELD_OUT, after.cells, "accuracy"),
        pair("earlier knowledge", REPLAYED, after.replay_cells, "replay_macro_f1"),
    )


def main() -> None:
    """Connect to the viewer that started this process, and work for it."""
    Learner(connected()).work()


if __name__ == "__main__":
    main()
