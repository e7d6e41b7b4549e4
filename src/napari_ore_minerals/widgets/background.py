"""Short tasks beside the viewer, such as writing a file; polled, so that no thread touches Qt."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from qtpy.QtCore import QObject, QTimer, Signal

from napari_ore_minerals.errors import OreMineralsError

POLL_MS = 50


class Background(QObject):  # type: ignore[misc]
    """Runs one function after the other in a thread.

    Signals: ``done(str)`` what it returned unless it is empty, ``failed(str)``.
    """

    done = Signal(str)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[Future[str]] = []
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self._look)

    def run(self, function: Callable[[], str]) -> None:
        """Run a function that returns a sentence for the user and touches neither Qt nor napari."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="ore-minerals files")
        self._waiting.append(self._pool.submit(function))
        self._poll.start()

    def close(self, *_: object) -> None:
        """Let what runs come to its end, and take nothing more."""
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def _look(self) -> None:
        while self._waiting and self._waiting[0].done():
            error = self._waiting[0].exception()
            future = self._waiting.pop(0)
            if error is None:
                if future.result():
                    self.done.emit(future.result())
            elif isinstance(error, (OreMineralsError, OSError, MemoryError)):
                self.failed.emit(str(error) or type(error).__name__)
            else:
                raise error
        if not self._waiting:
            self._poll.stop()
