"""The history of the user's models as a tree: which version was trained from which, with a note for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_ore_minerals.errors import ModelError

from .durable import replace_synced
from .versions import ModelStore, StoredVersion

LONGEST_NOTE = 2000


@dataclass(frozen=True)
class HistoryEntry:
    """A version and how deep it stands in the tree; 0 if it was not trained from another version of the store."""

    version: StoredVersion
    depth: int


def history(versions: Sequence[StoredVersion]) -> list[HistoryEntry]:
    """Order versions as a tree is written: each below the version it was trained from, siblings by number.

    A version whose card names itself or a later version as its parent, which no training
    does, stands at the top.
    """
    by_hash: dict[str, StoredVersion] = {}
    for version in versions:
        by_hash.setdefault(version.card.weights_sha256, version)
    children: dict[int | None, list[StoredVersion]] = {}
    for version in sorted(versions, key=lambda version: version.number):
        parent = by_hash.get(version.card.parent or "")
        known = parent is not None and parent.number < version.number
        children.setdefault(parent.number if known and parent else None, []).append(version)
    entries, waiting = [], [(version, 0) for version in reversed(children.get(None, []))]
    while waiting:
        version, depth = waiting.pop()
        entries.append(HistoryEntry(version, depth))
        waiting += [(child, depth + 1) for child in reversed(children.get(version.number, []))]
    return entries


def write_note(store: ModelStore, version: StoredVersion, text: str) -> None:
    """Keep a note on a version beside it; the version itself never changes.

    Raises
    ------
    ModelError
        If the note is longer than `LONGEST_NOTE` characters, or the disk refuses.
    """
    if len(text) > LONGEST_NOTE:
        raise ModelError(f"a note has at most {LONGEST_NOTE} characters, this one {len(text)}: shorten it")
    path = store.root / f"{version.folder.name}.txt"
    try:
        replace_synced(path, text.encode("utf-8", errors="replace"))
    except OSError as error:
        raise ModelError(f"the note could not be written to {path}: {error.strerror or error}") from error


def read_note(store: ModelStore, version: StoredVersion) -> str:
    """Return the note on a version; empty if there is none."""
    try:
        with (store.root / f"{version.folder.name}.txt").open("rb") as file:
            return file.read(4 * LONGEST_NOTE).decode("utf-8", errors="replace")
    except OSError:
        return ""
