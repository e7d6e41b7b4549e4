"""Where a tile lies: its photograph, small, with the tile outlined."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_ore_minerals.errors import OreMineralsError
from napari_ore_minerals.images.micrograph import Micrograph, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_PX, BAND_PX, PHOTOGRAPHS_KEPT = 240, 1024, 16
SHADE, OUTLINE = 0.55, (255, 255, 255)


class Photographs:
    """Small pictures of photographs; read in a thread, while another one looks up what is read."""

    def __init__(self) -> None:
        self._read: OrderedDict[Path, tuple[NDArray[np.uint8] | None, float]] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, path: Path) -> bool:
        """Whether a photograph is in memory, or known not to be readable."""
        with self._lock:
            return path in self._read

    def read(self, path: Path) -> str:
        """Read a photograph; "" since a sheet of its tiles says why it cannot be read."""
        try:
            found: tuple[NDArray[np.uint8] | None, float] = shrunk(Micrograph.open(path))
        except (OreMineralsError, OSError):
            found = None, 1.0
        with self._lock:
            self._read[path] = found
            while len(self._read) > PHOTOGRAPHS_KEPT:
                self._read.popitem(last=False)
        return ""

    def around(self, path: Path, tile: Window) -> NDArray[np.uint8] | None:
        """Return a photograph with a tile outlined and the rest in shade; None if it is not there."""
        with self._lock:
            small, scale = self._read.get(path, (None, 1.0))
            if path in self._read:
                self._read.move_to_end(path)
        return None if small is None else outlined(small, scale, tile)


def shrunk(micrograph: Micrograph) -> tuple[NDArray[np.uint8], float]:
    """Shrink a photograph band by band; returns it and how many of its pixels one of the photograph is."""
    height, width = micrograph.height_px, micrograph.width_px
    scale = min(1.0, LONGEST_PX / max(height, width))
    edges = [*range(0, height, BAND_PX), height]
    bands = []
    for top, bottom in pairwise(edges):
        rgb, _ = micrograph.read(Window(top, 0, bottom - top, width))
        rows = round(bottom * scale) - round(top * scale)
        if rows:
            size = (max(1, round(width * scale)), rows)
            bands.append(np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX)))
    return np.concatenate(bands), scale


def outlined(small: NDArray[np.uint8], scale: float, tile: Window) -> NDArray[np.uint8]:
    """Put a shrunk photograph in shade but for a tile, around which a line of two pixels is drawn."""
    shown: NDArray[np.uint8] = (small * SHADE).astype(np.uint8)
    ends = (tile.row + tile.height, tile.column + tile.width)
    top, left = (int(value * scale) for value in (tile.row, tile.column))
    bottom, right = (max(start + 1, round(end * scale)) for start, end in zip((top, left), ends, strict=True))
    shown[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2] = OUTLINE
    shown[top:bottom, left:right] = small[top:bottom, left:right]
    return shown
