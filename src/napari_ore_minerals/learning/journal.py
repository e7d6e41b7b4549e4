"""The journal of corrections: every line on the disk within two seconds of its stroke.

``<folder>/<fingerprint of the picture>.jsonl`` only ever grows: a line says which picture it is, that a
cell was corrected, or that what was said of it is taken back.  A process that is killed can leave
at most a torn last line, which is left out when reading and ended before the next one.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.pixels import PictureAnswers
from napari_ore_minerals.minerals import Mineral, MineralTable
from napari_ore_minerals.models.durable import once_more, replace_synced
from napari_ore_minerals.models.user_folder import CORRECTIONS, user_folder

from .corrections import Cell, Correction, merged
from .log_lines import append_lines

MAX_JOURNAL_BYTES = 256 << 20
_MAX_LINE_BYTES = 1 << 17  # a picture with 255 minerals
_Key = tuple[str, Cell, int, int]


class PictureNote(BaseModel):
    """Which picture corrections are of.

    Attributes
    ----------
    picture : str
        Its fingerprint.
    name : str
    path : str or None
        Its file, where it has one.
    um_per_px : float or None
    um_per_px_source : str
    answers : PictureAnswers
        With which its file was opened.
    minerals : tuple of Mineral
        What the codes of its corrections mean.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    picture: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, StringConstraints(max_length=1000)]
    path: Annotated[str, StringConstraints(max_length=4096)] | None = None
    um_per_px: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    um_per_px_source: Annotated[str, StringConstraints(max_length=200)] = ""
    answers: PictureAnswers = PictureAnswers()
    minerals: Annotated[tuple[Mineral, ...], Field(min_length=1, max_length=255)]

    @field_validator("minerals")
    @classmethod
    def _unique(cls, minerals: tuple[Mineral, ...]) -> tuple[Mineral, ...]:
        return MineralTable.of(minerals).minerals


class Lessons(NamedTuple):
    """What a journal holds: of which picture, and the corrections in the order in which they were made."""

    note: PictureNote | None = None
    corrections: tuple[Correction, ...] = ()

    @property
    def minerals(self) -> tuple[Mineral, ...]:
        """What the codes of the corrections mean; empty where nothing was noted."""
        return () if self.note is None else self.note.minerals


def snapshot(folder: Path, note: PictureNote, corrections: Iterable[Correction]) -> Path:
    """Write what is to be learnt from one picture into a file of its own, which is named after what it holds.

    Raises
    ------
    DatasetError
        If the disk refuses.
    """
    content = b"".join([_line("picture", note), *(_line("set", one) for one in corrections)])
    path = folder / f"{note.picture[:12]}-{hashlib.sha256(content).hexdigest()[:12]}.jsonl"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_synced(path, content)
    except OSError as error:
        raise DatasetError(f"{path} could not be written ({error.strerror or error})") from error
    return path


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

    def write(
        self,
        made: Sequence[Correction],
        taken_back: Sequence[Correction] = (),
        note: PictureNote | None = None,
    ) -> None:
        """Write what was said and what was taken back; returns when the disk has it.

        With a note, codes mean what it says, whatever other processes write: all of it is one piece.

        Raises
        ------
        DatasetError
            If the disk refuses; what was written before stays.
        """
        lines: dict[str, list[bytes]] = {}
        for correction in taken_back:  # first: a mineral that the note leaves out may be theirs
            lines.setdefault(correction.picture, []).append(_line("unset", correction))
        if note is not None:
            lines.setdefault(note.picture, []).append(_line("picture", note))
        for correction in made:
            lines.setdefault(correction.picture, []).append(_line("set", correction))
        for picture, parts in lines.items():
            self._append(self.path(picture), b"".join(parts))

    def note(self, picture: PictureNote) -> None:
        """Write which picture it is, where it lies and what its minerals are called; errors as `write`."""
        self._append(self.path(picture.picture), _line("picture", picture))

    def read(self, picture: str) -> Lessons:
        """Corrections of a picture that hold, and the last that was noted of it; empty where there is no journal.

        Raises
        ------
        DatasetError
            If the journal is there and cannot be read.
        """
        path = self.path(picture)
        found = read_corrections(path) if path.exists() else Lessons()
        mine = tuple(one for one in found.corrections if one.picture == picture)
        return Lessons(found.note, mine)

    def pictures(self) -> list[str]:
        """Fingerprints of the pictures that have a journal."""
        if not self.folder.is_dir():
            return []
        return sorted(path.stem for path in self.folder.glob("*.jsonl"))

    def forget(self, corrections: Iterable[Correction]) -> None:
        """Take corrections back, one or all."""
        self.write((), list(corrections))

    def path(self, picture: str) -> Path:
        """Return the file of a picture's journal, which need not be there."""
        if len(picture) != 64 or not set(picture) <= set("0123456789abcdef"):
            raise DatasetError(f"{picture[:80]!r} is no fingerprint of a picture")
        return self.folder / f"{picture}.jsonl"

    def _append(self, path: Path, lines: bytes) -> None:
        try:
            with self._lock:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                once_more(lambda: append_lines(path, lines))
        except OSError as error:
            raise DatasetError(
                f"corrections could not be written to {path} ({error.strerror or error}): they are kept in "
                "memory only; make room or choose another folder"
            ) from error


def default_folder() -> Path:
    """Return the folder of the user's journals."""
    return user_folder() / CORRECTIONS


def read_corrections(path: Path) -> Lessons:
    """Read a journal; lines that cannot be read are left out.

    Where the picture was noted again with other codes, corrections before it are given these by name.

    Raises
    ------
    DatasetError
        If the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_JOURNAL_BYTES)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
    note: PictureNote | None = None
    holding: dict[_Key, Correction] = {}
    for line in content.split(b"\n"):
        action, record = _parsed(line)
        if isinstance(record, PictureNote):
            note = record if note is None else _renamed(record, note, holding)
        elif record is not None:
            key = (record.picture, record.cell, record.tile_px, record.stride_px)
            holding.pop(key, None)
            if action == "set":
                holding[key] = record
    return Lessons(note, tuple(holding.values()))


def _renamed(newer: PictureNote, older: PictureNote, holding: dict[_Key, Correction]) -> PictureNote:
    """Give corrections that hold the codes that their minerals have from now on."""
    if newer.minerals == older.minerals:
        return newer
    used = {one.code for one in holding.values()}
    meant = [mineral for mineral in older.minerals if mineral.code in used]
    table, codes = merged(MineralTable.of(newer.minerals), meant)
    for key, one in holding.items():
        holding[key] = one.model_copy(update={"code": codes.get(one.code, one.code)})
    return newer.model_copy(update={"minerals": table.minerals})


def _line(action: str, record: BaseModel) -> bytes:
    fields = {"action": action} | record.model_dump(mode="json")
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def _parsed(line: bytes) -> tuple[str, Correction | PictureNote | None]:
    """Read one line; None for what is torn, damaged or of another program."""
    if not line or len(line) > _MAX_LINE_BYTES:
        return "", None
    try:
        record: Any = json.loads(line)
        action = record.pop("action")
        if action == "picture":
            return action, PictureNote.model_validate_json(json.dumps(record))
        return (action, Correction.model_validate(record)) if action in ("set", "unset") else ("", None)
    except (ValueError, RecursionError, ValidationError, AttributeError, KeyError, TypeError):
        return "", None
