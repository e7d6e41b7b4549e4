"""What a report was made of, as a mark that stands in it: so one that still holds is told from one that does not."""

from __future__ import annotations

import hashlib
import mmap
import zipfile
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.exports.zarr_labels import FACTS_NAME
from napari_ore_minerals.maps.files import RUN_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_ore_minerals.maps.adjusting import Reference
    from napari_ore_minerals.maps.measuring import Asked

REPORT, SUMMARY = "ore-minerals report", "ore-minerals summary"
_STRINGS = "xl/sharedStrings.xml"  # where a workbook keeps its texts


def mark(kind: str, parts: Iterable[str]) -> str:
    """Mark of a report or a summary that was made of these parts, in this order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} {part}".encode())
    return f"{kind} {digest.hexdigest()}"


def result_sha256(folder: Path) -> str:
    """SHA-256 of the run record of a result, which tells when and how it was made.

    Raises
    ------
    ResultError
        If it cannot be read.
    """
    try:
        return hashlib.sha256((folder / RUN_NAME).read_bytes()).hexdigest()
    except OSError as error:
        raise ResultError(f"{folder / RUN_NAME} cannot be read: {error.strerror or error}") from error


def asked_in_words(asked: Asked, reference: Reference | None, regions: Path | None = None) -> str:
    """What was measured, in which file of regions, and how the model errs, in a text that is the same for the same."""
    erring = ""
    if reference is not None:
        numbers = b"".join(one.tobytes() for one in (reference.answers, reference.spread, reference.pictures))
        erring = f"{reference.what} {hashlib.sha256(numbers).hexdigest()}"
    within = "" if regions is None else f"; regions {hashlib.sha256(regions.read_bytes()).hexdigest()}"
    return f"without {sorted(asked.without)}; {erring}{within}"


def holds(path: Path, text: str) -> bool:
    """Whether an export, of any form, holds a text of ASCII letters; False if it cannot be read."""
    try:
        if path.is_dir():
            return text.encode() in (path / FACTS_NAME).read_bytes()
        if path.suffix.lower() == ".xlsx":
            with zipfile.ZipFile(path) as book:
                return text.encode() in book.read(_STRINGS)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(text.encode(coding)) >= 0 for coding in ("ascii", "utf-16-be"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False
