"""One process at a time changes a store of models; what killed ones left is swept."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from napari_ore_minerals.errors import ModelError

LOCK_NAME, HOLDER_NAME = ".lock", ".lock-holder"
LOCK_TIMEOUT_S = 10.0
ORPHAN_HOURS = 24.0
_ORPHANS = (".staging-*", ".tmp*")


@contextmanager
def one_writer(root: Path) -> Iterator[None]:
    """Keep other processes from changing the store at `root`; `ModelError` if one of them does for long."""
    lock, holder = FileLock(root / LOCK_NAME, timeout=LOCK_TIMEOUT_S), root / HOLDER_NAME
    try:
        lock.acquire()
    except Timeout as error:
        raise ModelError(
            f"another window or process{_number(holder)} is saving in {root}: wait for it, or end it"
        ) from error
    try:
        holder.write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        lock.release()


def sweep_orphans(root: Path, older_than_hours: float = ORPHAN_HOURS) -> int:
    """Delete what killed writers left behind, under the lock; returns how many things were deleted."""
    before = time.time() - older_than_hours * 3600
    swept = 0
    for path in {path for pattern in _ORPHANS for path in root.glob(pattern)}:
        if path.lstat().st_mtime > before:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        swept += 1
    return swept


def _number(holder: Path) -> str:
    try:
        text = holder.read_text(encoding="ascii")[:12]
    except (OSError, UnicodeDecodeError):
        return ""
    return f" (number {text})" if text.isdigit() else ""
