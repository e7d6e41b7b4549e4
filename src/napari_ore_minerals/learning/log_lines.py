"""Lines that are only ever appended to a file, each of them whole or not at all for who reads it.

A process that is killed can leave at most a torn last line; the next writer ends it first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from napari_ore_minerals.models.durable import sync_folder


def append_lines(path: Path, lines: bytes) -> None:
    """Append whole lines in one piece; returns when the disk has them.

    Raises
    ------
    OSError
        If the disk refuses; what was written before stays.
    """
    fresh = not path.exists()
    with path.open("a+b", buffering=0) as file:
        if torn(file):
            lines = b"\n" + lines
        if file.write(lines) != len(lines):
            raise OSError(f"only a part of {len(lines)} bytes could be written")
        os.fsync(file.fileno())
    if fresh:
        sync_folder(path.parent)


def torn(file: BinaryIO) -> bool:
    """Whether a file ends in the middle of a line."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
