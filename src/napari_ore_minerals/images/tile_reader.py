"""Reading tiles ahead of the model, in runs of neighbours."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Self

import cv2
import numpy as np

from napari_ore_minerals.images.pixels import Window

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.tiles import TileGrid

LITTLE = 1.25
RUN_TILES = 8  # as many neighbouring tiles of a row are read as one window,
RUN_PX = 2**21  # unless it would have more pixels than this
ALONE_PX = 2**23  # windows as large as this are read one at a time
AHEAD_BYTES = 32 * 2**20  # of tiles that wait for the model


class TileBatch(NamedTuple):
    """Tiles ready for the model.

    Attributes
    ----------
    rows, columns : (n,) int arrays
        Tile row and column in the grid.
    pixels : (n, s, s, 3) uint8 array
        RGB, resized to the model's input.
    finite : (n,) bool array
        False where a tile has pixels without data.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    pixels: NDArray[np.uint8]
    finite: NDArray[np.bool_]

    def pick(self, which: slice | NDArray[np.intp] | NDArray[np.bool_]) -> TileBatch:
        """Return some of the tiles."""
        return TileBatch(self.rows[which], self.columns[which], self.pixels[which], self.finite[which])

    @classmethod
    def join(cls, parts: Sequence[TileBatch]) -> TileBatch:
        """Return the tiles of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.finite for part in parts]),
        )


def resize_tile(rgb: NDArray[np.uint8], input_px: int) -> NDArray[np.uint8]:
    """Resize a square (t, t, 3) tile to (input_px, input_px, 3): area mean to shrink, bilinear to enlarge.

    Where it shrinks little, two neighbours make a pixel either way, and bilinear takes a fifth of the time.
    """
    if rgb.shape[0] == input_px:
        return rgb
    resized: NDArray[np.uint8] = cv2.resize(
        rgb, (input_px, input_px), interpolation=_method(rgb.shape[0], input_px)
    )
    return resized


def _method(tile_px: int, input_px: int) -> int:
    return cv2.INTER_AREA if tile_px > LITTLE * input_px else cv2.INTER_LINEAR


def run_tiles(grid: TileGrid) -> int:
    """How many neighbouring tiles of a row are read as one window; one where tiles are large."""
    more = (RUN_PX // grid.tile_px - grid.tile_px) // grid.stride_px
    return 1 + min(max(more, 0), RUN_TILES - 1)


class TileReader:
    """Reads tiles ahead of the model in threads, with bounded memory.

    Use as a context manager; `take` gives the next tiles in the order of `positions`.  What waits has at most
    `AHEAD_BYTES`; what is being read are two windows of `RUN_PX` pixels, or one of a single large tile.

    Parameters
    ----------
    micrograph, grid
        What to read.
    positions : (n, 2) int array
        Tile rows and columns, in the order in which they are wanted.
    input_px
        Side to resize tiles to.
    ahead_tiles
        How many tiles may wait for the model; fewer, where they are large.
    """

    def __init__(
        self,
        micrograph: Micrograph,
        grid: TileGrid,
        positions: NDArray[np.intp],
        *,
        input_px: int,
        ahead_tiles: int = 128,
    ) -> None:
        self._micrograph, self._grid, self._input_px = micrograph, grid, input_px
        most = run_tiles(grid)
        self._runs = _runs(positions, most)
        threads = 1 if grid.tile_px**2 >= ALONE_PX else 2
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tile-reader")
        self._waiting: deque[Future[TileBatch]] = deque()
        self._ahead_runs = max(2, min(ahead_tiles, AHEAD_BYTES // (3 * input_px**2)) // most)
        self._rest: TileBatch | None = None

    def __enter__(self) -> Self:
        self._read_ahead()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, count: int) -> TileBatch | None:
        """Return the next `count` tiles, fewer at the end, None after it; errors of the picture are raised here."""
        parts, have = [], 0
        if self._rest is not None:
            parts, have, self._rest = [self._rest], len(self._rest.rows), None
        while have < count and self._waiting:
            part = self._waiting.popleft().result()
            self._read_ahead()
            parts.append(part)
            have += len(part.rows)
        if not parts:
            return None
        joined = TileBatch.join(parts)
        if have > count:
            self._rest = joined.pick(slice(count, None))
        return joined.pick(slice(count))

    def _read_ahead(self) -> None:
        for run in islice(self._runs, self._ahead_runs - len(self._waiting)):
            self._waiting.append(self._pool.submit(self._read_run, *run))

    def _read_run(self, row: int, column: int, count: int) -> TileBatch:
        grid, side = self._grid, self._input_px
        top, left, tile, _ = grid.window(row, column)
        width = (count - 1) * grid.stride_px + tile
        rgb, finite = _reflected(self._micrograph, Window(top, left, tile, width))
        parts = [slice(start, start + tile) for start in range(0, count * grid.stride_px, grid.stride_px)]
        whole = np.array([finite is None or bool(finite[:, part].all()) for part in parts])
        method = _method(tile, side)
        # Area means do not reach over the edges of tiles; bilinear weights are rounded otherwise in a longer strip.
        if grid.stride_px == tile and method == cv2.INTER_AREA:
            strip = cv2.resize(rgb, (count * side, side), interpolation=method)
            pixels = strip.reshape(side, count, side, 3).swapaxes(0, 1)
        else:
            pixels = np.stack([resize_tile(rgb[:, part], side) for part in parts])
        return TileBatch(np.full(count, row), np.arange(column, column + count), pixels, whole)


def _reflected(micrograph: Micrograph, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Read a window that may reach over the lower and right edge, filled by reflecting the picture there."""
    over_rows = max(0, window.row + window.height - micrograph.height_px)
    over_columns = max(0, window.column + window.width - micrograph.width_px)
    if not over_rows and not over_columns:
        return micrograph.read(window)
    top = max(0, min(window.row, micrograph.height_px - 1 - over_rows))
    left = max(0, min(window.column, micrograph.width_px - 1 - over_columns))
    height = window.row + window.height - over_rows - top
    width = window.column + window.width - over_columns - left
    rgb, finite = micrograph.read(Window(top, left, height, width))
    missing = ((0, over_rows), (0, over_columns))
    rows, columns = slice(window.row - top, None), slice(window.column - left, None)
    rgb = np.pad(rgb, (*missing, (0, 0)), mode="reflect")[rows, columns]
    finite = None if finite is None else np.pad(finite, missing, mode="reflect")[rows, columns]
    return rgb, finite


def _runs(positions: NDArray[np.intp], most: int) -> Iterator[tuple[int, int, int]]:
    """Join consecutive positions that are neighbours in a row, up to `most`: (row, first column, count)."""
    run: tuple[int, int, int] | None = None
    for row, column in positions.tolist():
        if run is not None and row == run[0] and column == run[1] + run[2] and run[2] < most:
            run = (run[0], run[1], run[2] + 1)
            continue
        if run is not None:
            yield run
        run = (row, column, 1)
    if run is not None:
        yield run


def nearest_first(grid: TileGrid, positions: NDArray[np.intp], first: Window | None) -> NDArray[np.intp]:
    """Order tiles by the distance of their run from the part that is wanted first."""
    if first is None or not len(positions):
        return positions
    middle = np.array([first.row + first.height / 2, first.column + first.width / 2])
    half = np.maximum(np.array([first.height, first.width]) / 2, 1)
    length = run_tiles(grid)
    runs = positions // np.array([1, length])
    centres = (runs * [1, length] + [0, length / 2 - 0.5]) * grid.stride_px + grid.tile_px / 2
    reach = np.abs(centres - middle) - [grid.tile_px / 2, length * grid.stride_px / 2]
    distance = (np.maximum(reach, 0) / half).max(axis=1)
    return positions[np.lexsort((positions[:, 1], positions[:, 0], distance))]
