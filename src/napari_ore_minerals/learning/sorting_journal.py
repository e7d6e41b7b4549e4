"""The journal of a sorting: every decision is in a file before the next key is pressed.

``sorting.jsonl`` in the dataset folder only ever grows.  A line says what was decided of a tile,
that a mineral was added, or that all before it is in ``tiles.csv``.  A process that is killed can
leave at most a torn last line, which is left out when reading and ended before the next one.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.minerals import MineralTable
from napari_ore_minerals.models.durable import sync

from .collection import TileDataset, TileLabel, with_labels
from .log_lines import torn
from .naming import mineral_name
from .sorting import Change, Sorting, with_mineral

JOURNAL_NAME, LOCK_NAME = "sorting.jsonl", ".sorting.lock"
_MAX_LINE_CHARACTERS = 4096


class Journaled(NamedTuple):
    """What a journal holds that is not in ``tiles.csv``."""

    labels: dict[str, TileLabel]
    minerals: tuple[str, ...]


class SortingJournal:
    """Writes decisions to the disk; one process at a time sorts a dataset.

    Parameters
    ----------
    folder
        Of the dataset.

    Raises
    ------
    DatasetError
        If another viewer sorts this dataset, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_NAME
        self._lock = FileLock(folder / LOCK_NAME, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
            self._file = self.path.open("a+b", buffering=0)
            if torn(self._file):
                self._file.write(b"\n")
        except Timeout as error:
            raise _sorted_elsewhere(folder) from error
        except OSError as error:
            self._lock.release()
            raise DatasetError(
                f"{self.path} cannot be written ({error.strerror or error}): decisions could not be kept"
            ) from error

    def write(self, changes: Iterable[Change]) -> None:
        """Write decisions; they outlive this process from now on, and a power cut after `sync`.

        Raises
        ------
        DatasetError
            If the disk refuses.
        """
        self._append(_record(change.tile, change.after) for change in changes)

    def add_mineral(self, name: str) -> None:
        """Write that a mineral was added; errors as `write`."""
        self._append([{"added": name}])

    def saved(self, pending: Mapping[str, TileLabel], minerals: Iterable[str] = ()) -> None:
        """Write that all before is in ``tiles.csv`` but for what is `pending`; errors as `write`."""
        added = [{"added": name} for name in minerals]
        self._append([{"saved": True}, *added, *(_record(*one) for one in pending.items())])

    def sync(self) -> str:
        """Wait until the disk has all lines; errors as `write`."""
        try:
            sync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error
        return ""

    def close(self) -> None:
        """Let others sort the dataset."""
        self._file.close()
        self._lock.release()

    def _append(self, records: Iterable[dict[str, Any]]) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        lines = "".join(json.dumps(record | {"time": now}) + "\n" for record in records).encode()
        if not lines:
            return
        try:
            if self._file.write(lines) != len(lines):
                raise OSError(f"only a part of {len(lines)} bytes could be written")
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> DatasetError:
        return DatasetError(
            f"decisions could not be written to {self.path} ({error.strerror or error}): "
            "they are kept in memory only; make room, then save"
        )


def read_journal(folder: Path) -> Journaled:
    """Read what was decided after ``tiles.csv`` was saved; damaged lines are left out.

    Raises
    ------
    DatasetError
        If the journal is there and cannot be read.
    """
    labels: dict[str, TileLabel] = {}
    added: list[str] = []
    try:
        with (folder / JOURNAL_NAME).open(encoding="utf-8", errors="replace") as file:
            for line in file:
                record = _parsed(line)
                if "saved" in record:
                    labels.clear()
                    added.clear()
                elif isinstance(record.get("added"), str):
                    added.append(record["added"])
                elif (label := _label(record)) is not None:
                    labels[record["tile"]] = label
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DatasetError(f"{folder / JOURNAL_NAME} cannot be read: {error.strerror or error}") from error
    return Journaled(labels, tuple(added))


def put_aside(folder: Path) -> str:
    """Rename the journal of a dataset whose tiles are about to be others, so that it decides nothing of those.

    Returns
    -------
    notice
        Where it is now; "" if there was none.

    Raises
    ------
    DatasetError
        If the dataset is being sorted, or the disk refuses.
    """
    path = folder / JOURNAL_NAME
    if not path.exists():
        return ""
    try:
        with FileLock(folder / LOCK_NAME, timeout=0):
            taken = len(list(folder.glob(f"older-*-{JOURNAL_NAME}")))
            older = path.rename(folder / f"older-{taken + 1}-{JOURNAL_NAME}")
    except Timeout as error:
        raise _sorted_elsewhere(folder) from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be put aside: {error.strerror or error}") from error
    return f"what was sorted by hand in {folder} before is put aside, as {older.name}: it was of other tiles"


def resume(dataset: TileDataset) -> tuple[Sorting, str]:
    """Go on with a sorting where it was left, however it ended.

    Returns
    -------
    sorting
    notice
        What could not be taken over; "" if nothing.

    Raises
    ------
    DatasetError
        If the journal cannot be read, or names what is no mineral.
    """
    journaled = read_journal(dataset.folder)
    sorting = Sorting(dataset)
    for name in (*journaled.minerals, *(label.mineral for label in journaled.labels.values())):
        if name:
            sorting.add_mineral(mineral_name(name))
    lost = sorting.restore(journaled.labels)
    return sorting, f"{lost} decisions are of tiles that the dataset no longer has" if lost else ""


def save(folder: Path, labels: Mapping[str, TileLabel], minerals: MineralTable) -> None:
    """Put decisions into the files of a dataset as they are now, such as split by another program meanwhile.

    Parameters
    ----------
    folder
        Of the dataset.
    labels
        What was decided of each tile.
    minerals
        Those that the dataset does not have yet are added.

    Raises
    ------
    DatasetError, ResultError
        If the files make no sense, or the disk refuses; they stay as they were.
    """
    dataset = TileDataset.open(folder, checked=False)
    enlarged = dataset.minerals
    for mineral in minerals:
        if mineral.name not in {known.name for known in enlarged}:
            enlarged = with_mineral(enlarged, mineral.name)
    if labels or enlarged != dataset.minerals:
        with_labels(replace(dataset, minerals=enlarged), labels).write(overwrite=True)


def _sorted_elsewhere(folder: Path) -> DatasetError:
    return DatasetError(f"{folder} is being sorted in another viewer: close that one first")


def _record(tile: str, label: TileLabel) -> dict[str, Any]:
    return {"tile": tile, **label._asdict()}


def _parsed(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line) if len(line) < _MAX_LINE_CHARACTERS else None
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _label(record: dict[str, Any]) -> TileLabel | None:
    fields = [record.get(name) for name in ("tile", *TileLabel._fields)]
    if [type(value) for value in fields] != [str, str, bool, bool]:
        return None
    return TileLabel(*fields[1:])  # type: ignore[arg-type]  # seen to be so
