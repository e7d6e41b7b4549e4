"""Functions that run beside the viewer and whose results are wanted back; polled, so that no thread touches Qt."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from qtpy.QtCore import QObject, QTimer, Signal

from napari_ore_minerals.errors import OreMineralsError

POLL_MS = 25
Result = TypeVar("Result")


class Errands(QObject):  # type: ignore[misc]
    """Runs one function after the other in a thread.  Signal: ``failed(str)``."""

    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ore-minerals tiles")
        self._waiting: list[tuple[Future[object], Callable[[object], None]]] = []
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self._look)

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return bool(self._waiting)

    def run(self, function: Callable[[], Result], then: Callable[[Result], None]) -> None:
        """Run a function that touches neither Qt nor napari, then give its result to another one here."""
        self._waiting.append((self._pool.submit(function), then))  # type: ignore[arg-type]
        self._poll.start()

    def close(self, last: Callable[[], object] | None = None) -> None:
        """Let what runs come to its end, run `last` after it, and hand nothing back any more."""
        self._waiting.clear()
        if last is not None:
            self._pool.submit(last)
        self._pool.shutdown(wait=False)

    def _look(self) -> None:
        while self._waiting and self._waiting[0][0].done():
            future, then = self._waiting.pop(0)
            error = future.exception()
            if error is None:
                then(future.result())
            elif isinstance(error, (OreMineralsError, OSError, MemoryError)):
                self.failed.emit(str(error) or type(error).__name__)
            else:
                raise error
        if not self._waiting:
            self._poll.stop()
