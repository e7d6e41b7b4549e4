"""TileGrid: a picture as tiles for the model and as cells for the map; and reading tiles ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Self

import cv2
import numpy as np

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.pixels import Window

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph

RUN_TILES = 8  # neighbouring tiles of a row are read as one window
SMALLEST_TILE_PX, LARGEST_TILE_PX = 8, 8192


@dataclass(frozen=True)
class TileGrid:
    """A picture cut into tiles, and into the cells that they answer for.

    Tiles are squares of `tile_px` that start at multiples of `stride_px`; cells are
    squares of `stride_px`, so that every pixel belongs to exactly one cell.  Without
    overlap a cell is a tile.  Tiles reach over the lower and right edge of the picture
    where they must, and are filled there by reflection.

    Attributes
    ----------
    height_px, width_px : int
        Size of the picture.
    tile_px, stride_px : int
        In picture pixels; the stride divides the tile.
    """

    height_px: int
    width_px: int
    tile_px: int
    stride_px: int

    def __post_init__(self) -> None:
        if self.height_px < 1 or self.width_px < 1:
            raise OptionError(f"a picture of {self.height_px} x {self.width_px} pixels has no tiles")
        if not SMALLEST_TILE_PX <= self.tile_px <= LARGEST_TILE_PX:
            raise OptionError(
                f"tiles of {self.tile_px} px of this picture are out of bounds: "
                f"choose {SMALLEST_TILE_PX} to {LARGEST_TILE_PX} px, or check um/px"
            )
        if self.stride_px < 1 or self.tile_px % self.stride_px:
            raise OptionError(
                f"the stride must divide the tile: {self.stride_px} does not divide {self.tile_px} px"
            )

    @classmethod
    def over(
        cls,
        micrograph: Micrograph,
        *,
        tile_px: int,
        stride_px: int | None = None,
        model_um_per_px: float | None = None,
    ) -> Self:
        """Grid over a picture with tiles of the physical size that the model was trained on.

        Parameters
        ----------
        micrograph
            The picture.
        tile_px, stride_px
            In pixels of the model's training pictures; stride None is the tile (no overlap).
        model_um_per_px
            Micrometres per pixel in training.  Where this or the picture's is unknown,
            tiles have `tile_px` pixels of the picture.
        """
        stride = tile_px if stride_px is None else stride_px
        if stride < 1 or tile_px % stride:
            raise OptionError(f"the stride must divide the tile: {stride} does not divide {tile_px} px")
        overlap = tile_px // stride
        if micrograph.um_per_px is not None and model_um_per_px is not None:
            stride = max(1, round(stride * model_um_per_px / micrograph.um_per_px))
        return cls(micrograph.height_px, micrograph.width_px, stride * overlap, stride)

    @property
    def overlap(self) -> int:
        """Tiles that cover a cell along one axis, away from the picture's edge."""
        return self.tile_px // self.stride_px

    @property
    def rows(self) -> int:
        """Rows of cells."""
        return -(-self.height_px // self.stride_px)

    @property
    def columns(self) -> int:
        """Columns of cells."""
        return -(-self.width_px // self.stride_px)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.rows, self.columns

    @property
    def tile_rows(self) -> int:
        """Rows of tiles; fewer than rows of cells where tiles overlap."""
        return max(1, self.rows - self.overlap + 1)

    @property
    def tile_columns(self) -> int:
        """Columns of tiles."""
        return max(1, self.columns - self.overlap + 1)

    @property
    def tile_count(self) -> int:
        """Number of tiles."""
        return self.tile_rows * self.tile_columns

    def window(self, tile_row: int, tile_column: int) -> Window:
        """Where a tile lies; it may reach over the picture's lower and right edge."""
        return Window(tile_row * self.stride_px, tile_column * self.stride_px, self.tile_px, self.tile_px)

    def cell_window(self, row: int, column: int) -> Window:
        """Where a cell lies, clipped to the picture."""
        top, left = row * self.stride_px, column * self.stride_px
        bottom, right = min(top + self.stride_px, self.height_px), min(left + self.stride_px, self.width_px)
        return Window(top, left, bottom - top, right - left)

    def cell_area_px(self) -> NDArray[np.int64]:
        """Pixels in each cell, (rows, columns); they add up to the picture."""
        heights = np.diff(np.minimum(np.arange(self.rows + 1) * self.stride_px, self.height_px))
        widths = np.diff(np.minimum(np.arange(self.columns + 1) * self.stride_px, self.width_px))
        return np.outer(heights, widths).astype(np.int64)

    def tiles_for(self, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Tiles needed to answer for cells.

        Parameters
        ----------
        wanted : (rows, columns) bool array

        Returns
        -------
        (n, 2) int array
            Tile row and column of every tile that covers a wanted cell, row by row.
        """
        if wanted.shape != self.shape:
            raise OptionError(f"the mask of wanted cells has shape {wanted.shape}, the grid {self.shape}")
        needed = np.zeros((self.tile_rows, self.tile_columns), dtype=bool)
        for row_shift in range(self.overlap):
            for column_shift in range(self.overlap):
                part = wanted[row_shift:, column_shift:][: self.tile_rows, : self.tile_columns]
                needed[: part.shape[0], : part.shape[1]] |= part
        return np.argwhere(needed)


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
    """Resize a square (t, t, 3) tile to (input_px, input_px, 3): area mean to shrink, bilinear to enlarge."""
    if rgb.shape[0] == input_px:
        return rgb
    method = cv2.INTER_AREA if rgb.shape[0] > input_px else cv2.INTER_LINEAR
    resized: NDArray[np.uint8] = cv2.resize(rgb, (input_px, input_px), interpolation=method)
    return resized


class TileReader:
    """Reads tiles ahead of the model in threads, with bounded memory.

    Use as a context manager; `take` gives the next tiles in the order of `positions`.

    Parameters
    ----------
    micrograph, grid
        What to read.
    positions : (n, 2) int array
        Tile rows and columns, in the order in which they are wanted.
    input_px
        Side to resize tiles to.
    ahead_tiles
        How many tiles may wait for the model.
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
        self._runs = _runs(positions)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="tile-reader")
        self._waiting: deque[Future[TileBatch]] = deque()
        self._ahead_runs = max(2, ahead_tiles // RUN_TILES)
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
        pixels = np.empty((count, side, side, 3), np.uint8)
        whole = np.ones(count, dtype=bool)
        for number in range(count):
            part = slice(number * grid.stride_px, number * grid.stride_px + tile)
            pixels[number] = resize_tile(rgb[:, part], side)
            whole[number] = finite is None or bool(finite[:, part].all())
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


def _runs(positions: NDArray[np.intp]) -> Iterator[tuple[int, int, int]]:
    """Join consecutive positions that are neighbours in a row: (row, first column, count)."""
    run: tuple[int, int, int] | None = None
    for row, column in positions.tolist():
        if run is not None and row == run[0] and column == run[1] + run[2] and run[2] < RUN_TILES:
            run = (run[0], run[1], run[2] + 1)
            continue
        if run is not None:
            yield run
        run = (row, column, 1)
    if run is not None:
        yield run
