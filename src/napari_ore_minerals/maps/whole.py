"""Files and folders of results that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_ore_minerals.errors import OreMineralsError, ResultError
from napari_ore_minerals.models.durable import ending, hidden_beside, rename_synced, sync, sync_folder


@contextmanager
def whole_folder(folder: Path, *, mark: str, overwrite: bool = False) -> Iterator[Path]:
    """Give a folder to write into, and rename it to `folder` when all is written.

    Parameters
    ----------
    folder
        Its parents are made; it must not exist unless `overwrite`.
    mark
        A file that tells a folder of this kind; any other folder is never replaced.
    overwrite
        Replace an older folder that has the mark.

    Raises
    ------
    ResultError
        If the folder must not be replaced, or the disk refuses; nothing half-written remains.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise ResultError(f"{folder} exists: choose another place, or ask to overwrite it")
    if folder.exists() and not (folder / mark).is_file():
        raise ResultError(f"{folder} holds no {mark}, so it is not of this program and is not overwritten")
    staging = hidden_beside(folder)
    try:
        staging.mkdir(parents=True)
        yield staging
        _put_in_place(staging, folder)
    except OSError as error:
        if isinstance(error, OreMineralsError):
            raise
        raise ResultError(f"{folder} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a file to write, hidden beside `path`, and rename it to `path` when all is written.

    Parameters
    ----------
    path
        Its parents are made; it must not exist unless `overwrite`.
    overwrite
        Replace an older file.  A folder is never replaced.

    Raises
    ------
    ResultError
        If the file must not be replaced, or the disk refuses; nothing half-written remains.
    """
    path = Path(path)
    if path.exists() and not (overwrite and path.is_file()):
        raise ResultError(f"{path} exists: choose another name, or ask to overwrite it")
    staging = path.parent / f".{uuid.uuid4().hex}-{ending(path.name)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield staging
        with staging.open("rb+") as file:
            sync(file.fileno())
        if overwrite:
            os.replace(staging, path)
            sync_folder(path.parent)
        else:
            rename_synced(staging, path)
    except OSError as error:
        if isinstance(error, OreMineralsError):
            raise
        raise ResultError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        staging.unlink(missing_ok=True)


def _put_in_place(staging: Path, folder: Path) -> None:
    """Rename the finished folder to its name, with an older one out of the way until it is there."""
    older = hidden_beside(folder, "older-")
    if folder.exists():
        os.rename(folder, older)
    try:
        os.rename(staging, folder)
    except OSError:
        if older.exists():
            os.rename(older, folder)
        raise
    shutil.rmtree(older, ignore_errors=True)
