"""Parts of a long classification on disk: what was computed before a kill is not computed again."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.numpy import load, save

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.models.durable import replace_synced

if TYPE_CHECKING:
    from numpy.typing import NDArray

PART_TILES = 256
_DIGEST = hashlib.sha256().digest_size
_STAGING = re.compile(r"-[0-9a-f]{32}")


class Part(NamedTuple):
    """What is known of `PART_TILES` tiles, or fewer at the end.

    Attributes
    ----------
    seen : (n,) bool array
        Whether a tile has data.
    class_maps : (seen tiles, classes, h, w) float32 array
        Evidence of those that have.
    exposure : (4,) float64 array
        What `PictureCheck` noted of them.
    seconds : (1,) float64 array
        What they took.
    """

    seen: NDArray[np.bool_]
    class_maps: NDArray[np.float32]
    exposure: NDArray[np.float64]
    seconds: NDArray[np.float64]


class PartFolder:
    """A hidden folder beside a result folder, with the parts of one classification until it is finished.

    Each part is a file with its own SHA-256, written whole or not at all; one that is damaged counts as not
    there.

    Parameters
    ----------
    result
        The result folder that is being made.
    key
        Of all that the evidence depends on, in hexadecimal: parts of another picture, model or grid are in
        another folder.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, result: Path, key: str) -> None:
        self._result = Path(result)
        name = self._result.name
        self._begin = f".{name[:24]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}-part"
        self.path = self._result.parent / f"{self._begin}-{key[:32]}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep other processes out of it; what a killed one left half-written is removed.

        Raises
        ------
        ResultError
            If another process works in it, or the disk refuses.
        """
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise ResultError(
                f"another process is making {self._result}: wait for it, or choose another place"
            ) from error
        except OSError as error:
            raise ResultError(f"{self.path} cannot be written to: {error.strerror or error}") from error
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def known(self, count: int) -> frozenset[int]:
        """Which of `count` parts are there, whole."""
        return frozenset(number for number in range(count) if self._content(number) is not None)

    def read(self, number: int) -> Part:
        """Read a part.

        Raises
        ------
        ResultError
            If it is not there, or is damaged.
        """
        content = self._content(number)
        try:
            return Part(**load(content or b""))
        except (SafetensorError, TypeError) as error:
            raise ResultError(
                f"part {number} in {self.path} cannot be read: remove the folder and classify anew"
            ) from error

    def write(self, number: int, part: Part) -> None:
        """Write a part and wait until the disk has it.

        Raises
        ------
        ResultError
            If the disk refuses.
        """
        content = save({name: np.ascontiguousarray(values) for name, values in part._asdict().items()})
        try:
            replace_synced(self._file(number), hashlib.sha256(content).digest() + content)
        except OSError as error:
            raise ResultError(f"{self.path} cannot be written to: {error.strerror or error}") from error

    def remove(self) -> None:
        """Remove all parts that were kept for this result, once it is there."""
        for folder in self._result.parent.glob(f"{_literal(self._begin)}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _file(self, number: int) -> Path:
        return self.path / f"{number:08d}.part"

    def _content(self, number: int) -> bytes | None:
        try:
            found = self._file(number).read_bytes()
        except OSError:
            return None
        digest, content = found[:_DIGEST], found[_DIGEST:]
        return content if hashlib.sha256(content).digest() == digest else None

    def _sweep(self) -> None:
        """Remove what killed processes left: half a part, and half a result folder."""
        for file in self.path.glob(".tmp-*"):
            file.unlink(missing_ok=True)
        begin = f".{self._result.name}"
        for folder in self._result.parent.glob(f"{_literal(begin)}-*"):
            if _STAGING.fullmatch(folder.name.removeprefix(begin)):
                shutil.rmtree(folder, ignore_errors=True)


def _literal(name: str) -> str:
    """A name for `Path.glob`, whatever signs it has."""
    return re.sub(r"([*?[])", r"[\1]", name)
