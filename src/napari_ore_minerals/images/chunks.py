"""Which chunks of a stored picture are there: what was never written is no black, it is nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ore_minerals.images.layout import Layout
from napari_ore_minerals.images.pixels import Window

MOST_CHUNKS = 2**20


class ChunkGrid:
    """Chunks of a picture, and which of them turned out damaged.

    Parameters
    ----------
    height_px, width_px
        Of the picture.
    chunk_height_px, chunk_width_px
    """

    def __init__(self, height_px: int, width_px: int, chunk_height_px: int, chunk_width_px: int) -> None:
        self._size = height_px, width_px
        shape = (-(-height_px // chunk_height_px), -(-width_px // chunk_width_px))
        self._sound = Chunks(chunk_height_px, chunk_width_px, np.ones(shape, np.bool_))
        self.count = shape[0] * shape[1]

    @property
    def damaged(self) -> int:
        """How many were found damaged."""
        return int(self._sound.present.size - self._sound.present.sum())

    def windows(self, rows: slice, columns: slice) -> Iterator[Window]:
        """Yield the chunks of a block that begins and ends at borders of chunks."""
        high, wide = self._sound.height_px, self._sound.width_px
        for top, left in product(
            range(rows.start, rows.stop, high), range(columns.start, columns.stop, wide)
        ):
            yield Window(top, left, min(high, self._size[0] - top), min(wide, self._size[1] - left))

    def give_up(self, window: Window) -> None:
        """Take note that a chunk cannot be read."""
        chunk = window.row // self._sound.height_px, window.column // self._sound.width_px
        self._sound.present[chunk] = False

    def there(self, window: Window) -> NDArray[np.bool_] | None:
        """Whether each pixel of a window is in a chunk that can be read, as far as is known; None if all are."""
        return self._sound.there(window)


@dataclass(frozen=True)
class Chunks:
    """Chunks of a picture, and which of them its file or folder holds.

    Zarr leaves out chunks that hold nothing but the fill value, and so do some writers of tiled TIFF; they
    cannot be told from chunks that were lost.

    Attributes
    ----------
    height_px, width_px : int
        Of a chunk.
    present : (rows, columns) bool array
    """

    height_px: int
    width_px: int
    present: NDArray[np.bool_]

    def there(self, window: Window) -> NDArray[np.bool_] | None:
        """Whether each pixel of a window is in a chunk that is there, (height, width); None if all are."""
        rows = np.arange(window.row, window.row + window.height) // self.height_px
        columns = np.arange(window.column, window.column + window.width) // self.width_px
        part = self.present[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if part.all():
            return None
        found: NDArray[np.bool_] = part[rows - rows[0]][:, columns - columns[0]]
        return found


def stored_chunks(array: Any, layout: Layout) -> Chunks | None:
    """Look which chunks of a picture a zarr array on a local disk holds.

    Returns
    -------
    Chunks or None
        None if all of them, or if it cannot be known: the array is none of zarr's or lies elsewhere.
    """
    root = _folder(array)
    if root is None:
        return None
    sizes: tuple[int, ...] = array.shards or array.chunks
    counts = [math.ceil(length / size) for length, size in zip(array.shape, sizes, strict=True)]
    ranges = [range(count) for count in counts]
    for axis, index in layout.plane:
        ranges[axis] = range(index // sizes[axis], index // sizes[axis] + 1)
    present = np.ones((counts[layout.rows], counts[layout.columns]), np.bool_)
    if math.prod(map(len, ranges)) > MOST_CHUNKS:
        return None
    for place in product(*ranges):
        if not (root / array.metadata.encode_chunk_key(place)).is_file():
            present[place[layout.rows], place[layout.columns]] = False
    return None if present.all() else Chunks(sizes[layout.rows], sizes[layout.columns], present)


def vanished(array: Any, layout: Layout, before: Chunks | None) -> Callable[[slice, slice], bool] | None:
    """Return what tells whether a chunk of a block was there when the picture was opened and is gone now.

    Zarr reads a chunk whose file is gone, as of a disk that was unplugged, as if it held nothing but the fill value.

    Parameters
    ----------
    array, layout
        What is read.
    before
        As `stored_chunks` found them.

    Returns
    -------
    callable or None
        Of the rows and columns of a block of the picture; None for other arrays than zarr's on a local disk.
    """
    root = _folder(array)
    if root is None:
        return None
    sizes: tuple[int, ...] = array.shards or array.chunks

    def gone(rows: slice, columns: slice) -> bool:
        ranges = [range(-(-length // size)) for length, size in zip(array.shape, sizes, strict=True)]
        for axis, index in layout.plane:
            ranges[axis] = range(index // sizes[axis], index // sizes[axis] + 1)
        for axis, part in ((layout.rows, rows), (layout.columns, columns)):
            ranges[axis] = range(part.start // sizes[axis], -(-part.stop // sizes[axis]))
        for place in product(*ranges):
            known = before is None or before.present[place[layout.rows], place[layout.columns]]
            if known and not (root / array.metadata.encode_chunk_key(place)).is_file():
                return True
        return False

    return gone


def _folder(array: Any) -> Path | None:
    if not type(array).__module__.startswith("zarr."):
        return None
    import zarr
    from zarr.storage import LocalStore

    if not isinstance(array, zarr.Array) or not isinstance(array.store, LocalStore):
        return None
    return Path(array.store.root, str(array.path))
