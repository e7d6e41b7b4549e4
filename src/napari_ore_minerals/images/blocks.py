"""Windows out of arrays of any kind, reading each chunk once while it is needed and keeping little."""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.images.chunks import ChunkGrid, Chunks
from napari_ore_minerals.images.layout import Layout
from napari_ore_minerals.images.pixels import Holes, Window

CACHE_BYTES = 64 * 2**20
MAX_BLOCK_BYTES = 512 * 2**20
MIN_BLOCK_PX = 256

# What the libraries that decode pictures are known to raise on broken ones: imagecodecs RuntimeError,
# Pillow SyntaxError, tifffile AssertionError and AttributeError, besides the obvious.
READ_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip


class ArrayLike(Protocol):
    """What numpy, dask, zarr and h5py arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of the values."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...


class Plane(Protocol):
    """The values of one picture as its source has them, window by window."""

    height_px: int
    width_px: int
    channels: int
    dtype: np.dtype[Any]

    def read(self, window: Window) -> NDArray[Any]:
        """Values of a window, shape (height, width, channels)."""
        ...

    def there(self, window: Window) -> NDArray[np.bool_] | None:
        """Whether the source holds each pixel of a window, (height, width); None if it holds all."""
        ...

    def holes(self) -> Holes:
        """What is not there or was found damaged so far."""
        ...

    def sound(self, window: Window) -> bool:
        """Whether no chunk that a window touches was found damaged so far."""
        ...


class ArrayPlane:
    """One picture inside an array.

    Blocks of a few chunks are kept, the least recently used first to go, up to 64 MiB (or two blocks, if
    they are larger, up to 512 MiB): neighbouring windows do not decode the same strip again.  Threads
    that want the same block wait for the one that reads it.

    Parameters
    ----------
    array, layout
        What is read.
    name
        Of the picture, for messages.
    chunks
        Which are there, where some are not.
    gone
        Tells whether a chunk in rows and columns was there at first and is no more, see `chunks.vanished`.
    salvage
        Whether chunks that cannot be read have no data, instead of being an error.
    """

    def __init__(
        self,
        array: ArrayLike,
        layout: Layout,
        name: str,
        *,
        chunks: Chunks | None = None,
        gone: Callable[[slice, slice], bool] | None = None,
        salvage: bool = False,
    ) -> None:
        self._chunks, self._gone = chunks, gone
        self._sound = _chunk_grid(array, layout)
        self._salvage = salvage and self._sound is not None
        shape = tuple(int(length) for length in array.shape)
        self._array, self._layout, self._name = array, layout, name
        self.height_px, self.width_px = shape[layout.rows], shape[layout.columns]
        self.channels = 1 if layout.channels is None else shape[layout.channels]
        self.dtype = np.dtype(array.dtype)
        self._row_edges = _edges(array, layout.rows)
        self._column_edges = _edges(array, layout.columns)
        self._blocks: OrderedDict[tuple[int, int], Future[NDArray[Any]]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        widest = int(np.diff(self._row_edges).max()) * int(np.diff(self._column_edges).max())
        block_bytes = widest * self.channels * self.dtype.itemsize
        # A window may lie on the border of two bands of strips; dropping one of them would decode both anew.
        self._limit = max(CACHE_BYTES, min(2 * block_bytes, MAX_BLOCK_BYTES))
        self._direct = isinstance(array, np.ndarray) or block_bytes > MAX_BLOCK_BYTES

    def read(self, window: Window) -> NDArray[Any]:
        """Values of a window that lies inside the picture, shape (height, width, channels), masked as the array is."""
        top, left = window.row, window.column
        bottom, right = top + window.height, left + window.width
        if self._direct:
            return self._load(slice(top, bottom), slice(left, right))
        values: NDArray[Any] = np.empty((window.height, window.width, self.channels), self.dtype)
        for row, (row_from, row_to) in _touched(self._row_edges, top, bottom):
            for column, (column_from, column_to) in _touched(self._column_edges, left, right):
                block = self._block(row, column)
                up, down = max(top, row_from), min(bottom, row_to)
                west, east = max(left, column_from), min(right, column_to)
                part = block[up - row_from : down - row_from, west - column_from : east - column_from]
                if isinstance(part, np.ma.MaskedArray) and not isinstance(values, np.ma.MaskedArray):
                    values = values.view(np.ma.MaskedArray)
                values[up - top : down - top, west - left : east - left] = part
        return values

    def there(self, window: Window) -> NDArray[np.bool_] | None:
        """Whether the array holds each pixel of a window, (height, width); None if it holds all."""
        held = None if self._chunks is None else self._chunks.there(window)
        sound = None if self._sound is None else self._sound.there(window)
        return sound if held is None else held if sound is None else held & sound

    def holes(self) -> Holes:
        """What is not there or was found damaged so far."""
        if self._sound is None:
            return Holes()
        missing = 0 if self._chunks is None else int((~self._chunks.present).sum())
        return Holes(self._sound.count, missing, self._sound.damaged)

    def sound(self, window: Window) -> bool:
        """Whether no chunk that a window touches was found damaged so far."""
        return self._sound is None or self._sound.there(window) is None

    def _block(self, row: int, column: int) -> NDArray[Any]:
        with self._lock:
            future = self._blocks.get((row, column))
            mine = future is None
            if future is None:
                future = self._blocks[row, column] = Future()
            self._blocks.move_to_end((row, column))
        if mine:
            self._fill(future, row, column)
        return future.result()

    def _fill(self, future: Future[NDArray[Any]], row: int, column: int) -> None:
        rows = slice(self._row_edges[row], self._row_edges[row + 1])
        columns = slice(self._column_edges[column], self._column_edges[column + 1])
        try:
            future.set_result(self._salvaged(rows, columns) if self._salvage else self._load(rows, columns))
        except PictureError as error:
            future.set_exception(error)
        finally:
            future.cancel()  # does nothing unless an interrupt left it open, for which others would wait
            self._account(future, (row, column))

    def _account(self, future: Future[NDArray[Any]], key: tuple[int, int]) -> None:
        with self._lock:
            if not _succeeded(future):
                del self._blocks[key]
                return
            self._bytes += future.result().nbytes
            finished = [other for other, block in self._blocks.items() if _succeeded(block)]
            while self._bytes > self._limit and len(finished) > 1:
                self._bytes -= self._blocks.pop(finished.pop(0)).result().nbytes

    def _load(self, rows: slice, columns: slice) -> NDArray[Any]:
        try:
            values = _in_memory(self._array[self._layout.key(rows, columns)])
            if self._gone is not None and self._gone(rows, columns):
                raise FileNotFoundError("a chunk of it is gone")
        except Exception as error:  # the array may be anybody's, and raise anything
            raise PictureError(
                f"{self._name}: pixels in rows {rows.start} to {rows.stop - 1} cannot be read "
                f"({reason(error)}); the picture is damaged or no longer there."
            ) from error
        return self._layout.picture(values)

    def _salvaged(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Load a block; where it is damaged, chunk by chunk, with nothing in those that cannot be read."""
        try:
            return self._load(rows, columns)
        except PictureError:
            if self._sound is None:
                raise
        values = np.zeros((rows.stop - rows.start, columns.stop - columns.start, self.channels), self.dtype)
        for window in self._sound.windows(rows, columns):
            row, column, height, width = window
            here = np.s_[row - rows.start :, column - columns.start :]
            try:
                part = self._load(slice(row, row + height), slice(column, column + width))
                values[here][:height, :width] = part
            except PictureError:
                self._sound.give_up(window)
        return values


def reason(error: BaseException) -> str:
    """Say in one line what a library complains about."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _in_memory(values: Any) -> NDArray[Any]:
    """Values of any kind of array as numpy's, with their mask if they have one."""
    if callable(compute := getattr(values, "compute", None)):
        values = compute()  # dask's arrays lose their mask when numpy turns them into its own
    values = np.asanyarray(values)
    return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)


def _chunk_grid(array: ArrayLike, layout: Layout) -> ChunkGrid | None:
    """Chunks of a picture; None where there are none, or of lengths that differ, as dask has them."""
    sizes = getattr(array, "chunks", None)
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    rows, columns = layout.rows, layout.columns
    return ChunkGrid(int(array.shape[rows]), int(array.shape[columns]), sizes[rows], sizes[columns])


def _succeeded(future: Future[NDArray[Any]]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _touched(edges: list[int], start: int, stop: int) -> list[tuple[int, tuple[int, int]]]:
    first = int(np.searchsorted(edges, start, side="right")) - 1
    last = int(np.searchsorted(edges, stop, side="left"))
    return [(block, (edges[block], edges[block + 1])) for block in range(first, last)]


def _edges(array: ArrayLike, axis: int) -> list[int]:
    """Where blocks begin on an axis: at chunk borders, at least `MIN_BLOCK_PX` apart."""
    length = int(array.shape[axis])
    chunks = getattr(array, "chunks", None)
    chunk = chunks[axis] if chunks else MIN_BLOCK_PX
    if isinstance(chunk, tuple):  # dask tells the length of each chunk
        borders = np.cumsum((0, *chunk)).tolist()
    else:
        borders = [*range(0, length, max(int(chunk), 1)), length]
    edges = [0]
    for border in borders[1:-1]:
        if border - edges[-1] >= MIN_BLOCK_PX:
            edges.append(border)
    return [*edges, length]
