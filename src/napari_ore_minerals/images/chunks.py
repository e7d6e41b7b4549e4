"""Which chunks of a stored picture are there: what was never written is no black, it is nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ore_minerals.images.layout import Layout
from napari_ore_minerals.images.pixels import Window

MOST_CHUNKS = 2**20


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


def _folder(array: Any) -> Path | None:
    if not type(array).__module__.startswith("zarr."):
        return None
    import zarr
    from zarr.storage import LocalStore

    if not isinstance(array, zarr.Array) or not isinstance(array.store, LocalStore):
        return None
    return Path(array.store.root, str(array.path))
