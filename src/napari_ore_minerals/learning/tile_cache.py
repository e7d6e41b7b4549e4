"""Tiles read from their pictures, resized once, and kept as a memory map in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from platformdirs import user_cache_path

from napari_ore_minerals.errors import DatasetError, OreMineralsError, ResultError
from napari_ore_minerals.images.micrograph import Micrograph, Window
from napari_ore_minerals.images.tile_reader import resize_tile

from .tile_table import listed

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_FORMAT = "tiles 1"
_READERS = 2


def tile_sha256(rgb: NDArray[np.uint8]) -> str:
    """SHA-256 of the RGB bytes of a tile, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(rgb).data).hexdigest()


def picture_sha256(path: Path) -> str:
    """SHA-256 of a picture, in hexadecimal: of its file or, for a Zarr folder, of what is in it and how it is named.

    A picture is never in memory as a whole.
    """
    if path.is_dir():
        files = sorted(part for part in path.rglob("*") if part.is_file())
        lines = [f"{picture_sha256(part)}  {part.relative_to(path).as_posix()}\n" for part in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def picture_path(folder: Path, picture: str) -> Path:
    """Where the picture of a tile is, from the dataset folder and the path in the table."""
    return Path(os.path.normpath(folder / picture))


def picture_reference(folder: Path, path: Path) -> str:
    """Path of a picture for the table: relative if it lies in the dataset folder or beside it, else absolute."""
    folder, path = (Path(os.path.abspath(one)) for one in (folder, path))
    if path.is_relative_to(folder):
        relative = path.relative_to(folder).as_posix()
    elif path.is_relative_to(folder.parent):
        relative = Path("..", path.relative_to(folder.parent)).as_posix()
    else:
        return path.as_posix()
    return relative if relative[0].isalnum() or relative.startswith("..") else f"./{relative}"


def read_tiles(table: pd.DataFrame, folder: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Read the tiles of a table, picture by picture, each of which is decoded once.

    Yields
    ------
    position, pixels
        Row of `table` counted from 0, and its (t, t, 3) RGB.

    Raises
    ------
    DatasetError
        If pictures are not there, or a tile's pixels are not what they were.
    """
    missing = [name for name in table["picture"].unique() if not picture_path(folder, name).exists()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {table['picture'].nunique()} pictures are not where the dataset {folder} "
            f"says ({listed(missing)}): put them back, or make the dataset anew"
        )
    positions = np.arange(len(table))
    pictures = [positions[rows] for rows in table.groupby("picture", sort=False).indices.values()]

    def read_one(rows: NDArray[np.intp]) -> list[tuple[int, NDArray[np.uint8]]]:
        return _tiles_of(table.iloc[rows], folder, rows)

    with ThreadPoolExecutor(_READERS, thread_name_prefix="tile-cache") as pool:
        for start in range(0, len(pictures), 2 * _READERS):
            for found in pool.map(read_one, pictures[start : start + 2 * _READERS]):
                yield from found


def resized_tiles(
    table: pd.DataFrame, folder: Path, *, input_px: int, cache: Path | None = None
) -> NDArray[np.uint8]:
    """Tiles of a table at the size that a network takes: (n, s, s, 3), a read-only memory map.

    They are found again by the SHA-256 of the tiles in their order.

    Raises
    ------
    DatasetError
        As `read_tiles`.
    ResultError
        If the cache cannot be written.
    """
    cache = user_cache_path("napari-ore-minerals") / "tiles" if cache is None else Path(cache)
    key = hashlib.sha256("\n".join([_FORMAT, str(input_px), *table["sha256"]]).encode()).hexdigest()
    path, shape = cache / f"{key[:32]}.npy", (len(table), input_px, input_px, 3)
    found = _mapped(path, shape)
    if found is None:
        _fill(path, shape, table, folder)
        found = _mapped(path, shape)
    if found is None:
        raise ResultError(f"{path} was written and cannot be read: choose another folder for the cache")
    return found


def _tiles_of(
    table: pd.DataFrame, folder: Path, positions: NDArray[np.intp]
) -> list[tuple[int, NDArray[np.uint8]]]:
    path = picture_path(folder, table["picture"].iloc[0])
    found = []
    try:
        micrograph = Micrograph.open(path)
        columns = (table[name].tolist() for name in ("row_px", "column_px", "tile_px", "sha256", "tile"))
        for position, row, column, side, sha256, tile in zip(positions.tolist(), *columns, strict=True):
            rgb, _ = micrograph.read(Window(row, column, side, side))
            if tile_sha256(rgb) != sha256:
                raise DatasetError(
                    f"{path} has changed since the dataset was made (tile {tile}): make the dataset anew"
                )
            found.append((position, rgb))
    except DatasetError:
        raise
    except (OreMineralsError, OSError) as error:
        raise DatasetError(f"{path} is no longer a picture with the tiles of the dataset: {error}") from error
    return found


def _mapped(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    try:
        found: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return found if found.shape == shape and found.dtype == np.uint8 else None


def _fill(path: Path, shape: tuple[int, ...], table: pd.DataFrame, folder: Path) -> None:
    staging = path.with_name(f".{uuid.uuid4().hex}.npy")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        need, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
        if free < 1.05 * need:
            raise ResultError(
                f"{len(table)} tiles need {need / 1e6:.0f} MB in {path.parent}, which has {free / 1e6:.0f} MB free: "
                "make room, or choose another folder for the cache"
            )
        array = np.lib.format.open_memmap(staging, mode="w+", dtype=np.uint8, shape=shape)
        for position, rgb in read_tiles(table, folder):
            array[position] = resize_tile(rgb, shape[1])
        array.flush()
        del array
        os.replace(staging, path)
    except OSError as error:
        if isinstance(error, ResultError):
            raise
        raise ResultError(
            f"tiles could not be kept in {path.parent}: {error.strerror or error}; choose another cache folder"
        ) from error
    finally:
        staging.unlink(missing_ok=True)
