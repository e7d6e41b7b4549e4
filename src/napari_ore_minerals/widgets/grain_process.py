"""The process that finds and counts grains: ``python -m napari_ore_minerals.widgets.grain_process``.

It knows neither napari, Qt nor torch, and ends with the connection to the viewer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from multiprocessing.connection import Client
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import OreMineralsError
from napari_ore_minerals.widgets.grain_messages import Count, Counted, Find, Finding, Found
from napari_ore_minerals.widgets.messages import Failed, WindowRead
from napari_ore_minerals.widgets.worker import NICENESS, RemotePixels, first_line, micrograph_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from napari_ore_minerals.progress import Progress

SECONDS_BETWEEN_MESSAGES = 0.1
NO_MEMORY = "There is not enough memory to find grains: close other programs, or choose a larger reduction."


class GrainFinder:
    """Takes messages of the viewer and does what they ask, one thing at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = Lock()
        self._tasks: SimpleQueue[Find | Count] = SimpleQueue()
        self._pixels: RemotePixels | None = None

    def work(self) -> None:
        """Work until the viewer closes the connection, which ends the process."""
        Thread(target=self._listen, daemon=True).start()
        while True:
            task = self._tasks.get()
            try:
                if isinstance(task, Find):
                    self._find(task)
                else:
                    self._count(task)
            except OreMineralsError as error:
                self._send(Failed(task.job, str(error)))
            except MemoryError:
                self._send(Failed(task.job, NO_MEMORY))
            except (RuntimeError, ValueError) as error:  # of the libraries that compute
                self._send(Failed(task.job, f"The grains could not be found: {first_line(error)}"))

    def _find(self, task: Find) -> None:
        from napari_ore_minerals.maps.grain_tables import grain_tables
        from napari_ore_minerals.maps.grains import grain_map_steps
        from napari_ore_minerals.progress import run

        self._pixels = RemotePixels(self._send, task.job, task.picture)
        micrograph = micrograph_of(self._pixels, task.picture)
        sent = 0.0

        def tell(progress: Progress) -> None:
            nonlocal sent
            if time.monotonic() - sent > SECONDS_BETWEEN_MESSAGES:
                sent = time.monotonic()
                self._send(Finding(task.job, progress.done, progress.total, progress.stage))

        found = run(grain_map_steps(task.mineral_map, micrograph, task.options), tell)
        self._send(Found(task.job, found, grain_tables(found)))

    def _count(self, task: Count) -> None:
        from napari_ore_minerals.maps.grain_tables import grain_tables

        self._send(Counted(task.job, grain_tables(task.grain_map)))

    def _listen(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the viewer is gone: nobody waits for what is being computed
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


def main() -> None:
    """Work for the viewer that started this process, which takes second place to what the user does."""
    known = json.loads(sys.stdin.readline())
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    GrainFinder(Client(known["address"], authkey=bytes.fromhex(known["key"]))).work()


if __name__ == "__main__":
    main()
