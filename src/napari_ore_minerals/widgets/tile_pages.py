"""Pages of tiles: read from their pictures, at most some pages in memory, and drawn with what was said of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.tile_cache import read_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.learning.collection import TileDataset

CELL_PX, GAP_PX = 240, 16
FRAME_PX, OUTLINE_PX = 7, 6
PAGES_KEPT = 8
CHIP_PX, TEXT_PX = 42, 30
NO_LABEL, SEVERAL_COLOUR, UNSURE_COLOUR = "#3a3d42", "#9a9a9a", "#f0c05a"
EMPTY_COLOUR, OUTLINE_COLOUR = (42, 45, 50), "#ffffff"


class Drawn(NamedTuple):
    """How a tile is drawn."""

    pixels: NDArray[np.uint8] | None
    """(CELL_PX, CELL_PX, 3); None while it is not read, or cannot be."""
    text: str = ""
    colour: str = ""
    unsure: bool = False


class TileReader:
    """Reads tiles for pages; from a thread, while another one looks up what is read.

    Parameters
    ----------
    dataset
    kept
        How many tiles are held in memory.
    """

    def __init__(self, dataset: TileDataset, *, kept: int) -> None:
        self._dataset, self._kept = dataset, kept
        self._rows = {tile: row for row, tile in enumerate(dataset.table["tile"])}
        self._read: OrderedDict[str, NDArray[np.uint8] | None] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, tiles: Sequence[str]) -> bool:
        """Whether all of some tiles are in memory, or known not to be readable."""
        with self._lock:
            return all(tile in self._read for tile in tiles)

    def get(self, tile: str) -> NDArray[np.uint8] | None:
        """Return a tile at the size of a cell; None if it is not read, or cannot be."""
        with self._lock:
            if tile in self._read:
                self._read.move_to_end(tile)
            return self._read.get(tile)

    def read(self, tiles: Sequence[str]) -> str:
        """Read those of some tiles that are not in memory.

        Returns
        -------
        str
            Why some cannot be read; "" if all were.
        """
        with self._lock:
            rows = [self._rows[tile] for tile in tiles if tile not in self._read]
        table = self._dataset.table.iloc[rows]
        problem = ""
        for _, part in table.groupby("picture", sort=False):
            found: dict[str, NDArray[np.uint8] | None] = dict.fromkeys(part["tile"])
            try:
                for position, rgb in read_tiles(part, self._dataset.folder):
                    found[part["tile"].iloc[position]] = _resized(rgb)
            except DatasetError as error:
                problem = str(error)
            with self._lock:
                self._read.update(found)
                while len(self._read) > self._kept:
                    self._read.popitem(last=False)
        return problem


def page_shape(rows: int, columns: int) -> tuple[int, int]:
    """Height and width of a page in its own pixels."""
    step = CELL_PX + GAP_PX
    return rows * step + GAP_PX, columns * step + GAP_PX


def place_at(row_px: float, column_px: float, *, rows: int, columns: int) -> int | None:
    """Place on a page, counted along its rows, that a point lies in; None beside the page."""
    step = CELL_PX + GAP_PX
    row, column = (int((value - GAP_PX / 2) // step) for value in (row_px, column_px))
    inside = 0 <= row < rows and 0 <= column < columns
    return row * columns + column if inside else None


def draw_page(tiles: Sequence[Drawn], *, rows: int, columns: int, current: int | None) -> NDArray[np.uint8]:
    """Draw tiles with frames of their minerals' colours, symbols, and an outline around the current one.

    Parameters
    ----------
    tiles
        At most ``rows * columns``.
    rows, columns
        Of the page.
    current
        Place of the tile that is outlined.

    Returns
    -------
    (height, width, 4) uint8 array
        RGBA; transparent between the tiles.
    """
    page = np.zeros((*page_shape(rows, columns), 4), np.uint8)
    corners = [_corner(place, columns) for place in range(len(tiles))]
    for tile, (top, left) in zip(tiles, corners, strict=True):
        cell = page[top : top + CELL_PX, left : left + CELL_PX]
        cell[..., :3] = EMPTY_COLOUR if tile.pixels is None else tile.pixels
        cell[..., 3] = 255
    image = Image.fromarray(page)
    draw = ImageDraw.Draw(image)
    for place, (tile, (top, left)) in enumerate(zip(tiles, corners, strict=True)):
        _draw_label(draw, tile, top, left)
        if place == current:
            draw.rounded_rectangle(
                _around(top, left, GAP_PX // 2 - 1), 8, outline=OUTLINE_COLOUR, width=OUTLINE_PX
            )
    return np.asarray(image)


def _corner(place: int, columns: int) -> tuple[int, int]:
    step = CELL_PX + GAP_PX
    return GAP_PX + place // columns * step, GAP_PX + place % columns * step


def _around(top: int, left: int, margin: int) -> tuple[int, int, int, int]:
    return left - margin, top - margin, left + CELL_PX - 1 + margin, top + CELL_PX - 1 + margin


def _draw_label(draw: ImageDraw.ImageDraw, tile: Drawn, top: int, left: int) -> None:
    labelled = bool(tile.text)
    frame = tile.colour if labelled else NO_LABEL
    draw.rectangle(_around(top, left, 0), outline=frame, width=FRAME_PX if labelled else 2)
    bottom = top + CELL_PX
    if labelled:
        _chip(draw, tile.text, tile.colour, left, bottom - CHIP_PX)
    if tile.unsure:
        _chip(draw, "?", UNSURE_COLOUR, left + CELL_PX - CHIP_PX, bottom - CHIP_PX)


def _chip(draw: ImageDraw.ImageDraw, text: str, colour: str, left: int, top: int) -> None:
    font = ImageFont.load_default(TEXT_PX)
    width = max(CHIP_PX, round(draw.textlength(text, font)) + 20)
    draw.rounded_rectangle((left, top, left + width - 1, top + CHIP_PX - 1), 5, fill=colour)
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    ink = "#000000" if 0.3 * red + 0.59 * green + 0.11 * blue > 110 else "#ffffff"
    draw.text((left + width / 2, top + CHIP_PX / 2), text, ink, font, anchor="mm")


def _resized(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shrinks = rgb.shape[0] >= CELL_PX
    way = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(rgb).resize((CELL_PX, CELL_PX), way))
