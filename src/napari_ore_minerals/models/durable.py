"""Files that are on the disk when their name is: written, synced, then renamed.

A disk on a network or a wobbly cable may refuse once and not again: what it could not do is done once more.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

WINDOWS = os.name == "nt"
_BUSY = {5, 32, 33}  # Windows: refused or in use, mostly by a virus scanner that lets go soon
_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 0.8)
_FULL_SYNC = 51  # fcntl.F_FULLFSYNC of macOS, where fsync alone may stop at the disk's own cache
_PASSING = {errno.EIO, getattr(errno, "ESTALE", errno.EIO), errno.ETIMEDOUT}
_BEFORE_AGAIN_S = 0.05
_NAME_BYTES = 80  # of the 255 that file systems allow; a letter takes up to 4
Done = TypeVar("Done")


def beginning(name: str) -> str:
    """Return as much of a name as fits into a longer one, whatever its script."""
    return name.encode("utf-8", "ignore")[:_NAME_BYTES].decode("utf-8", "ignore")


def ending(name: str) -> str:
    """Return as much of the end of a name, with what tells its kind, as fits into a longer one."""
    return name.encode("utf-8", "ignore")[-_NAME_BYTES:].decode("utf-8", "ignore")


def hidden_beside(path: Path, note: str = "") -> Path:
    """Return a hidden name that nobody has, beside a file or folder that is being written."""
    return path.parent / f".{beginning(path.name)}-{note}{uuid.uuid4().hex}"


def once_more(act: Callable[[], Done]) -> Done:
    """Do something with the disk, and do it again if it is refused for a reason that may have passed."""
    try:
        return act()
    except OSError as error:
        if error.errno not in _PASSING:
            raise
    time.sleep(_BEFORE_AGAIN_S)
    return act()


def write_synced(path: Path, content: bytes) -> None:
    """Write a file that must not exist and wait until the disk has it."""
    if path.exists():
        raise FileExistsError(errno.EEXIST, "there is something already", str(path))
    once_more(lambda: _write_anew(path, content))


def _write_anew(path: Path, content: bytes) -> None:
    """Write a file from its beginning: pages that could not be written once are not written by a second sync."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        sync(file.fileno())


def sync(handle: int) -> None:
    """Wait until the disk has all that was written to an open file."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(handle, _FULL_SYNC)
    else:
        os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in a folder."""
    if WINDOWS:  # cannot open a folder; its rename is durable by itself
        return
    once_more(lambda: _sync_folder(folder))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rename_synced(source: Path, target: Path) -> None:
    """Give a finished folder its name, which must be free, and wait until the disk knows it."""
    if target.exists():  # POSIX renames onto an empty folder without a word
        raise FileExistsError(f"{target} exists")
    _patient(os.rename, source, target)
    sync_folder(target.parent)


def replace_synced(path: Path, content: bytes) -> None:
    """Put new content in the place of a small file: readers see the older or the newer one, never a part."""
    fresh = path.parent / f".tmp-{uuid.uuid4().hex}"
    try:
        write_synced(fresh, content)
        _patient(os.replace, fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def _patient(rename: Callable[[Path, Path], None], source: Path, target: Path) -> None:
    """Rename; on Windows again for up to 2.4 s while another program holds a file for a moment."""
    for wait_s in (*_WAITS_S, None):
        try:
            once_more(lambda: rename(source, target))
            return
        except OSError as error:
            if wait_s is None or not WINDOWS or getattr(error, "winerror", None) not in _BUSY:
                raise
            time.sleep(wait_s)
