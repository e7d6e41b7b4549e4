"""The pixel map as OME-TIFF: mineral codes at the resolution of the picture, tiled, with levels and scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import tifffile

from napari_ore_minerals.exports.pixels import PixelMap, blocks, levels
from napari_ore_minerals.exports.shown import facts, notes
from napari_ore_minerals.images.pixels import Window

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_ore_minerals.exports.shown import Shown

TILE_PX = 512
NAMESPACE = "napari-ore-minerals/facts"
_BIG = 1 << 31  # bytes before compression


def write_tiff(shown: Shown, path: Path) -> None:
    """Write mineral codes as uint8 OME-TIFF, tile by tile; facts and what codes mean stand in a MapAnnotation."""
    pixels, scale = PixelMap.of(shown), shown.mineral_map.um_per_px
    steps = levels(pixels.height_px, pixels.width_px)
    about = {
        "Namespace": NAMESPACE,
        **facts(shown),
        "notes": "; ".join(notes(shown)),
        "code 0": "unclassified",
    }
    about |= {f"code {mineral.code}": mineral.name for mineral in shown.mineral_map.minerals}
    metadata: dict[str, Any] = {"axes": "YX", "Channel": {"Name": ["mineral code"]}, "MapAnnotation": about}
    if scale is not None:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": scale, f"PhysicalSize{axis}Unit": "µm"}
    options: dict[str, Any] = {
        "dtype": "uint8", "tile": (TILE_PX, TILE_PX), "compression": "zlib", "photometric": "minisblack",
    }  # fmt: skip
    big = pixels.height_px * pixels.width_px > _BIG
    with path.open("xb") as file, tifffile.TiffWriter(file, ome=True, bigtiff=big) as writer:
        for step in steps:
            shape = (-(-pixels.height_px // step), -(-pixels.width_px // step))
            first = {"subifds": len(steps) - 1, "metadata": metadata} if step == 1 else {"subfiletype": 1}
            writer.write(_tiles(pixels, shape, step), shape=shape, **first, **options)


def _tiles(pixels: PixelMap, shape: tuple[int, int], step: int) -> Iterator[NDArray[np.uint8]]:
    for block in blocks(*shape, TILE_PX):
        top, left = block.row * step, block.column * step
        size = (
            min(block.height * step, pixels.height_px - top),
            min(block.width * step, pixels.width_px - left),
        )
        yield pixels.read(Window(top, left, *size), step)
