"""The journal of corrections: every line on the disk within two seconds of its stroke.

``<folder>/<fingerprint of the picture>.jsonl`` only ever grows: a line says that a cell was
corrected, or that what was said of it is taken back.  A process that is killed can leave at
most a torn last line, which is left out when reading and ended before the next one.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.models.durable import sync_folder

from .corrections import Cell, Correction

MAX_JOURNAL_BYTES = 256 << 20
_MAX_LINE_BYTES = 4096


class Journal:
    """The corrections of all pictures of a user.

    Several processes may write at once: a line is appended in one piece.

    Parameters
    ----------
    folder
        Where the journals are; None for the user's own.  It is made when something is written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder)
        self._lock = threading.Lock()

    def write(self, made: Sequence[Correction], taken_back: Sequence[Correction] = ()) -> None:
        """Write what was said and what was taken back; returns when the disk has it.

        Raises
        ------
        DatasetError
            If the disk refuses; what was written before stays.
        """
        lines: dict[str, list[bytes]] = {}
        for action, corrections in (("set", made), ("unset", taken_back)):
            for correction in corrections:
                record = {"action": action} | correction.model_dump()
                line = json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
                lines.setdefault(correction.picture, []).append(line)
        for picture, parts in lines.items():
            self._append(self._path(picture), b"".join(parts))

    def read(self, picture: str) -> list[Correction]:
        """Corrections of a picture that hold, in the order in which they were made.

        Lines that cannot be read are left out.

        Raises
        ------
        DatasetError
            If the journal is there and cannot be read.
        """
        holding: dict[tuple[Cell, int, int], Correction] = {}
        for action, correction in self._records(self._path(picture)):
            if correction.picture != picture:
                continue
            key = (correction.cell, correction.tile_px, correction.stride_px)
            holding.pop(key, None)
            if action == "set":
                holding[key] = correction
        return list(holding.values())

    def pictures(self) -> list[str]:
        """Fingerprints of the pictures that have a journal."""
        if not self.folder.is_dir():
            return []
        return sorted(path.stem for path in self.folder.glob("*.jsonl"))

    def forget(self, corrections: Iterable[Correction]) -> None:
        """Take corrections back, one or all."""
        self.write((), list(corrections))

    def _path(self, picture: str) -> Path:
        if len(picture) != 64 or not set(picture) <= set("0123456789abcdef"):
            raise DatasetError(f"{picture[:80]!r} is no fingerprint of a picture")
        return self.folder / f"{picture}.jsonl"

    def _append(self, path: Path, lines: bytes) -> None:
        try:
            with self._lock:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                fresh = not path.exists()
                with path.open("a+b", buffering=0) as file:
                    if _torn(file):
                        lines = b"\n" + lines
                    if file.write(lines) != len(lines):
                        raise OSError(f"only a part of {len(lines)} bytes could be written")
                    os.fsync(file.fileno())
                if fresh:
                    sync_folder(path.parent)
        except OSError as error:
            raise DatasetError(
                f"corrections could not be written to {path} ({error.strerror or error}): they are kept in "
                "memory only; make room or choose another folder"
            ) from error

    def _records(self, path: Path) -> list[tuple[str, Correction]]:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_JOURNAL_BYTES)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
        return [record for line in content.split(b"\n") if (record := _parsed(line)) is not None]


def default_folder() -> Path:
    """Return the folder of the user's journals."""
    from platformdirs import user_data_path

    return Path(user_data_path("napari-ore-minerals"), "corrections")


def _parsed(line: bytes) -> tuple[str, Correction] | None:
    """Read one line; None for what is torn, damaged or of another program."""
    if not line or len(line) > _MAX_LINE_BYTES:
        return None
    try:
        record: Any = json.loads(line)
        action = record.pop("action")
        correction = Correction.model_validate(record)
    except (ValueError, RecursionError, ValidationError, AttributeError, KeyError, TypeError):
        return None
    return (action, correction) if action in ("set", "unset") else None


def _torn(file: Any) -> bool:
    """Whether a file ends in the middle of a line."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")
