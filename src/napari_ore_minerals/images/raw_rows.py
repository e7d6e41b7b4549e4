"""Uncompressed pictures of any size, read by rows from where they lie in a file.

A memory map would do the same, but a map of a file that another program cuts short, or of a share that
goes away, ends the whole process.
"""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE_STRIP_BYTES = 16 * 2**20


class RawRows:
    """An array that lies in one piece in a file.

    Parameters
    ----------
    path : Path
        The file; opened for each read, so that any number of threads may read.
    offset : int
        Byte at which the array begins.
    shape, dtype
        Of the array, in C order.
    row_axis : int
        Axis whose slices are read in one piece.
    """

    def __init__(
        self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], row_axis: int
    ) -> None:
        self._path, self._offset, self._row_axis = path, offset, row_axis
        self._file_dtype = dtype
        self.shape, self.dtype = shape, dtype.newbyteorder("=")
        self.chunks = (1,) * (row_axis + 1) + shape[row_axis + 1 :]

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Values at one index or slice without a step per axis."""
        axis = self._row_axis
        rows = key[axis]
        first, last, _ = rows.indices(self.shape[axis]) if isinstance(rows, slice) else (rows, rows + 1, 1)
        leading = [
            range(*index.indices(length)) if isinstance(index, slice) else (index,)
            for index, length in zip(key[:axis], self.shape[:axis], strict=True)
        ]
        with self._path.open("rb") as file:
            parts = [self._rows(file, position, first, last) for position in product(*leading)]
        values = np.stack(parts).reshape(*map(len, leading), last - first, *self.shape[axis + 1 :])
        dropped = tuple(0 if not isinstance(index, slice) else slice(None) for index in key[: axis + 1])
        return values[(*dropped, *key[axis + 1 :])].astype(self.dtype, copy=False)

    def _rows(self, file: Any, position: tuple[int, ...], first: int, last: int) -> NDArray[Any]:
        row_values = math.prod(self.shape[self._row_axis + 1 :])
        start = 0
        for index, length in zip((*position, first), self.shape, strict=False):
            start = start * length + index
        file.seek(self._offset + start * row_values * self._file_dtype.itemsize)
        wanted = (last - first) * row_values * self._file_dtype.itemsize
        found = file.read(wanted)
        if len(found) < wanted:
            raise EOFError(f"the file ends {wanted - len(found)} bytes early")
        return np.frombuffer(found, self._file_dtype)
