"""Pictures in folders: how each is called, and which deposit it is from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.kinds import is_picture
from napari_ore_minerals.maps.files import SUFFIX as RESULT_SUFFIX

from .tile_table import listed

MASK_ENDING = "-mask"


@dataclass(frozen=True)
class PictureFile:
    """A picture to be cut into tiles.

    Attributes
    ----------
    path : Path
    relative : Path
        Below the folder that was named.
    key : str
        Name that no other picture has.
    photograph : str
        What must not be split: the picture, or the photograph that it was cut from.
    deposit : str
        "" if unknown.
    """

    path: Path
    relative: Path
    key: str
    photograph: str
    deposit: str = ""


def find_pictures(named: Sequence[Path], *, without: Sequence[Path] = ()) -> list[PictureFile]:
    """Find the pictures that were named, and those in the folders that were named and below them.

    Parameters
    ----------
    named
        Files and folders; a Zarr array or OME-Zarr image is a picture, though it is a folder.
    without
        Folders to be passed over; masks beside pictures, results and hidden folders are as well.

    Raises
    ------
    DatasetError
        If something is not there, or there is no picture.
    """
    absent = [path for path in named if not path.exists()]
    if absent:
        raise DatasetError(
            f"{len(absent)} of {len(named)} folders or pictures are not there: {listed(absent)}"
        )
    passed = [path.absolute() for path in without]
    found: list[tuple[Path, Path]] = []
    for root in named:
        if root.is_dir() and not is_picture(root):
            above = root.name if len(named) > 1 else ""
            for path in _pictures_below(root, passed):
                found.append((path, Path(above, path.relative_to(root))))
        else:
            found.append((root, Path(root.name)))
    if not found:
        raise DatasetError(
            f"no picture (PNG, JPEG, BMP, TIFF, Zarr) was found in {listed(named)}, its folders searched to the end"
        )
    keys = _distinct([relative for _, relative in found])
    return [PictureFile(path, relative, key, key) for (path, relative), key in zip(found, keys, strict=True)]


def named_by_pattern(files: Sequence[PictureFile], pattern: str) -> list[PictureFile]:
    """Take the photograph of each picture from its file name, for pictures that were cut from photographs before.

    Parameters
    ----------
    files
    pattern
        Regular expression for the name without its ending; its first group is the photograph.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DatasetError(f"{pattern!r} is no regular expression ({error})") from error
    if expression.groups < 1:
        raise DatasetError(f"{pattern!r} has no group (...) that tells the photograph")
    matches = [expression.search(file.path.stem) for file in files]
    odd = [file.path.name for file, match in zip(files, matches, strict=True) if not match or not match[1]]
    if odd:
        raise DatasetError(f"{len(odd)} of {len(files)} pictures are not named as {pattern!r}: {listed(odd)}")
    return [
        replace(file, photograph=_clean(match[1]))
        for file, match in zip(files, matches, strict=True)
        if match
    ]


def from_folders(files: Sequence[PictureFile]) -> list[PictureFile]:
    """Take the deposit of each picture from the uppermost folder that it lies in, below the one that was named."""
    loose = [file.path.name for file in files if len(file.relative.parts) < 2]
    if loose:
        raise DatasetError(
            f"{len(loose)} of {len(files)} pictures lie in no folder of a deposit: {listed(loose)}"
        )
    return [replace(file, deposit=_clean(file.relative.parts[0])) for file in files]


def from_table(files: Sequence[PictureFile], path: Path) -> tuple[list[PictureFile], str]:
    """Take the deposit of each picture from a table with the columns photograph and deposit.

    Returns
    -------
    files
        Those that the table does not name keep the deposit that they have.
    notice
        How many those are; "" if none.

    Raises
    ------
    DatasetError
        If the table cannot be read, names no picture, or a name means several pictures.
    """
    table = _deposit_table(path)
    rows = dict(zip(table["photograph"], table["deposit"], strict=True))
    deposits: dict[str, str] = {}
    ways: tuple[Callable[[PictureFile], str], ...] = (
        lambda file: file.relative.as_posix(),
        lambda file: file.photograph,
        lambda file: file.path.name,
        lambda file: file.path.stem,
    )
    for way in ways:
        keys = Counter(way(file) for file in files if file.key not in deposits)
        for file in files:
            key = way(file)
            if file.key in deposits or key not in rows:
                continue
            if keys[key] > 1 and key != file.photograph:
                raise DatasetError(
                    f"{path.name} says {key}, which is {keys[key]} pictures: write its folder as well, "
                    f"as in {file.relative.as_posix()}"
                )
            deposits[file.key] = _clean(rows[key])
    if not deposits:
        raise DatasetError(
            f"{path} has {len(rows)} photographs, none of which is one of the {len(files)} pictures "
            f"(such as {files[0].relative.as_posix()})"
        )
    missing = len(files) - len(deposits)
    notice = f"{path.name} says nothing of {missing} of {len(files)} pictures" if missing else ""
    return [replace(file, deposit=deposits.get(file.key, file.deposit)) for file in files], notice


def _deposit_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=None, engine="python"
        )
    except (OSError, ValueError, pd.errors.ParserError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"{path} cannot be read as a table of deposits ({why})") from error
    table.columns = [str(name).strip().casefold() for name in table.columns]
    if not {"photograph", "deposit"} <= set(table.columns):
        raise DatasetError(
            f"{path} must have the columns photograph and deposit; it has {', '.join(table.columns)}"
        )
    table = pd.DataFrame({name: table[name].str.strip() for name in ("photograph", "deposit")})
    twice = table[table["photograph"].duplicated()]
    if len(twice):
        raise DatasetError(f"{path} names {len(twice)} photographs twice: {listed(twice['photograph'])}")
    return table


def _pictures_below(folder: Path, passed: Sequence[Path]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.absolute() in passed or path.name.endswith(RESULT_SUFFIX):
            continue
        if is_picture(path):
            if not path.stem.removesuffix(".ome").endswith(MASK_ENDING):
                yield path
        elif path.is_dir():
            yield from _pictures_below(path, passed)


def _distinct(paths: Sequence[Path]) -> list[str]:
    """Shortest kind of name that tells all paths apart: without folders, with them, with the ending too."""
    kinds = (
        [path.stem for path in paths],
        ["-".join(path.with_suffix("").parts) for path in paths],
        ["-".join(path.parts) for path in paths],
        ["-".join([*path.parts, str(number)]) for number, path in enumerate(paths)],
    )
    cleaned = ([_clean(name) for name in names] for names in kinds)
    return next(names for names in cleaned if len({name.casefold() for name in names}) == len(names))


def _clean(name: str) -> str:
    """Make a name that no spreadsheet takes for a formula and no terminal for a command."""
    kept = "".join(letter if letter.isprintable() else "_" for letter in name).strip()
    return kept if kept[:1].isalnum() else f"_{kept.lstrip('=+-@')}" if kept else ""
