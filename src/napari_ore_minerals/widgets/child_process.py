"""A child process and the threads that talk with it: no Qt here, the viewer polls `inbox`."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, NamedTuple

from napari_ore_minerals.errors import OreMineralsError
from napari_ore_minerals.widgets.messages import Ended, Failed, PictureFacts, WindowRead, WindowWanted

if TYPE_CHECKING:
    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import Window

COMMAND = (sys.executable, "-P", "-m", "napari_ore_minerals.widgets.worker")
LAST_WORDS_BYTES = 4000
ANEW = "open it anew, or save it as a TIFF and open that."


class Order(NamedTuple):
    """A request to be sent once its picture is open, which may take a while and is not done by the viewer."""

    open_picture: Callable[[], Micrograph]
    run: Callable[[PictureFacts], object]
    job: int


class ChildProcess:
    """A classifier's process, its connection and three threads that wait for it.

    Parameters
    ----------
    command
        What to start; it reads one line of JSON, the address and key to connect with.

    Attributes
    ----------
    inbox : SimpleQueue
        Messages of the child; the last one is `Ended`.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self.inbox: SimpleQueue[object] = SimpleQueue()
        self._outbox: SimpleQueue[object] = SimpleQueue()
        self._pictures: dict[int, Micrograph] = {}
        self._connected = Event()
        self._key = secrets.token_bytes(32)
        self._listener = Listener(authkey=self._key)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _receive
        low = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
        self.popen = subprocess.Popen(  # noqa: S603
            list(command), stdin=subprocess.PIPE, stderr=self._errors, creationflags=low
        )
        for task in (self._receive, self._watch, self._greet):
            Thread(target=task, name=f"ore-minerals {task.__name__}", daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message, or open the picture of an `Order` and send its run; returns at once."""
        self._outbox.put(message)

    def forget(self, job: int) -> None:
        """Let go of a job's picture."""
        self._pictures.pop(job, None)

    def kill(self) -> None:
        """End the process now, whatever it does."""
        with contextlib.suppress(OSError):
            self.popen.kill()

    def messages(self) -> list[object]:
        """Return what has arrived."""
        found: list[object] = []
        with contextlib.suppress(Empty):
            while True:
                found.append(self.inbox.get_nowait())
        return found

    def _greet(self) -> None:
        """Tell the child where to connect; through its standard input, which others cannot read."""
        stdin = self.popen.stdin
        if stdin is None:
            return
        line = json.dumps({"address": self._listener.address, "key": self._key.hex()}) + "\n"
        with contextlib.suppress(OSError), stdin:
            stdin.write(line.encode())

    def _watch(self) -> None:
        """Wait for the child's end; if it never connected, connect in its place so that nobody waits."""
        self.popen.wait()
        if not self._connected.is_set():
            with contextlib.suppress(OSError, EOFError, AuthenticationError):
                Client(self._listener.address, authkey=self._key).close()

    def _receive(self) -> None:
        connection = self._accept()
        Thread(target=self._transmit, args=(connection,), name="ore-minerals _transmit", daemon=True).start()
        try:
            with contextlib.suppress(EOFError, OSError):
                while True:
                    message = connection.recv()
                    if isinstance(message, WindowWanted):
                        self._outbox.put(self._read(message))
                    else:
                        self.inbox.put(message)
        except BaseException:
            self.kill()
            raise
        finally:
            self._outbox.put(None)
            exit_code = self.popen.wait()
            self._pictures.clear()
            self.inbox.put(Ended(exit_code, self._last_words()))

    def _accept(self) -> Connection:
        with self._listener:
            while True:
                with contextlib.suppress(AuthenticationError, EOFError):
                    connection = self._listener.accept()
                    self._connected.set()
                    return connection

    def _transmit(self, connection: Connection) -> None:
        try:
            with contextlib.suppress(OSError), connection:
                while (message := self._outbox.get()) is not None:
                    if isinstance(message, Order):
                        message = self._opened(message)
                    if message is not None:
                        connection.send(message)
        except BaseException:
            self.kill()  # the child would wait for ever for what is not sent
            raise

    def _opened(self, order: Order) -> object:
        try:
            micrograph = order.open_picture()
        except OreMineralsError as error:
            self.inbox.put(Failed(order.job, str(error)))
            return None
        except Exception as error:  # noqa: BLE001 - a layer's data may be anybody's, and raise anything
            self.inbox.put(Failed(order.job, f"The picture cannot be opened ({_reason(error)}): {ANEW}"))
            return None
        self._pictures[order.job] = micrograph
        return order.run(
            PictureFacts(
                micrograph.name,
                micrograph.height_px,
                micrograph.width_px,
                micrograph.um_per_px,
                micrograph.um_per_px_source,
                micrograph.guesses,
                micrograph.answers,
                micrograph.path,
            )
        )

    def _read(self, wanted: WindowWanted) -> WindowRead:
        picture = self._pictures.get(wanted.job)
        if picture is None:
            return WindowRead(wanted.number, None, "The picture is no longer there.")
        return _window(picture, wanted.number, wanted.window)

    def _last_words(self) -> str:
        with self._errors as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LAST_WORDS_BYTES))
            lines = file.read().decode("utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""


def _window(picture: Micrograph, number: int, window: Window) -> WindowRead:
    try:
        return WindowRead(number, picture.read(window))
    except OreMineralsError as error:
        return WindowRead(number, None, str(error))
    except Exception as error:  # noqa: BLE001 - a layer's data may be anybody's, and raise anything
        return WindowRead(number, None, f"{picture.name} cannot be read ({_reason(error)}): {ANEW}")


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
