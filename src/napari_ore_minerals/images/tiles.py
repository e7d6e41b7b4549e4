"""TileGrid: a picture as tiles for the model and as cells for the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.pixels import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph

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
