"""Very large pictures made smaller, level by level, so that a viewer never reads more than it shows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.pixels import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph

LARGE_PX = 200_000_000  # pictures with more pixels are not held in memory
STEP = 4  # from level to level
TILE_PX = 256
COARSEST_PX = 2048
QUALITY = 90


class PictureLevel:
    """A micrograph as an array of (height, width, 3) uint8, of which only what is asked for is read.

    Attributes
    ----------
    micrograph : Micrograph
    shape : (int, int, int)
    dtype : numpy.dtype
    ndim, size : int
    """

    def __init__(self, micrograph: Micrograph) -> None:
        self.micrograph = micrograph
        self.shape = (micrograph.height_px, micrograph.width_px, 3)
        self.dtype, self.ndim = np.dtype(np.uint8), 3
        self.size = micrograph.height_px * micrograph.width_px * 3

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read rows and columns given by whole numbers and slices, as of a numpy array."""
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys = (*keys[:at], *[slice(None)] * (self.ndim + 1 - len(keys)), *keys[at + 1 :])
        keys = (*keys, *[slice(None)] * (self.ndim - len(keys)))
        places = [range(length)[one] for length, one in zip(self.shape[:2], keys[:2], strict=True)]
        spans = [(one, one + 1) if isinstance(one, int) else _span(one) for one in places]
        (top, bottom), (left, right) = spans
        if bottom <= top or right <= left:
            read = np.zeros((bottom - top, right - left, 3), np.uint8)
        else:
            read = self.micrograph.read(Window(top, left, bottom - top, right - left)).rgb
        inside = [0 if isinstance(one, int) else slice(None, None, one.step) for one in places]
        found: NDArray[np.uint8] = read[(*inside, keys[2])]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all of it."""
        return np.asarray(self[:], dtype)


def is_large(height_px: int, width_px: int) -> bool:
    """Whether a picture is too large to be held in memory."""
    return height_px * width_px > LARGE_PX


def own_levels(micrograph: Micrograph) -> list[PictureLevel]:
    """Levels of the file or folder of a picture, the finest first; only the picture if it has no pyramid."""
    found = [PictureLevel(micrograph)]
    while micrograph.path is not None:
        options = micrograph.answers.model_copy(update={"level": len(found)}).salvaging()
        try:
            level = PictureLevel(type(micrograph).open(micrograph.path, options=options))
        except OptionError:
            break
        if level.size >= found[-1].size:  # photographs have no levels
            break
        found.append(level)
    return found


def levels_of(micrograph: Micrograph, smaller: Path) -> list[PictureLevel]:
    """Levels to look at a large picture: its own, or those that `write_levels` wrote; the finest first.

    Raises
    ------
    PictureError
        If it has none, and `smaller` is not there or is damaged.
    """
    own = own_levels(micrograph)
    if max(own[-1].shape) <= COARSEST_PX * STEP:
        return own
    return [*own, *own_levels(type(micrograph).open(smaller))]


def write_levels(micrograph: Micrograph, path: Path) -> bool:
    """Write a picture at a quarter of its size, a sixteenth and so on as a tiled TIFF, unless it has such levels.

    It is read window by window, once; a picture of 4 gigapixels takes 50 MB of memory for its levels.

    Returns
    -------
    bool
        Whether anything was written.

    Raises
    ------
    OSError
        If the disk refuses.
    PictureError
        If the picture turns out to be damaged.
    """
    if max(own_levels(micrograph)[-1].shape) <= COARSEST_PX * STEP:
        return False
    height, width = (-(-length // STEP) for length in (micrograph.height_px, micrograph.width_px))
    small = np.zeros((-(-height // STEP), -(-width // STEP), 3), np.uint8)
    coarser = [small]
    how: dict[str, Any] = {
        "photometric": "rgb",
        "tile": (TILE_PX, TILE_PX),
        "compression": "jpeg",
        "compressionargs": {"level": QUALITY},
    }
    from tifffile import TiffWriter  # takes 0.3 s to load

    with TiffWriter(path) as file:
        count = 1
        while max(small.shape) // STEP ** (count - 1) > COARSEST_PX:
            count += 1
        file.write(
            _tiles(micrograph, small),
            shape=(height, width, 3),
            dtype=np.uint8,
            subifds=count,
            **how,
        )
        for number in range(count):
            file.write(coarser[-1], subfiletype=1, **how)
            if number + 1 < count:
                coarser.append(_smaller(coarser[-1]))
    return True


def _tiles(micrograph: Micrograph, small: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield the tiles at a quarter of the size, and put them, smaller again, into `small`."""
    side = TILE_PX * STEP
    height, width = micrograph.height_px, micrograph.width_px
    for top, left in product(range(0, height, side), range(0, width, side)):
        window = Window(top, left, min(side, height - top), min(side, width - left))
        reduced = _smaller(micrograph.read(window).rgb)
        again = _smaller(reduced)
        row, column = top // STEP**2, left // STEP**2
        small[row : row + again.shape[0], column : column + again.shape[1]] = again
        tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
        tile[: reduced.shape[0], : reduced.shape[1]] = reduced
        yield tile


def _smaller(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (-(-rgb.shape[1] // STEP), -(-rgb.shape[0] // STEP))
    reduced: NDArray[np.uint8] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return reduced


def _span(places: range) -> tuple[int, int]:
    if places.step < 1:
        raise IndexError("rows and columns of a level of a picture are read upwards")
    return places.start, max(places.start, places.stop)
