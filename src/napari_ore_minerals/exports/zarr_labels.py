"""OME-Zarr with labels (OME-NGFF 0.4): the picture, and over it the codes of the minerals with their colours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numcodecs import Blosc

from napari_ore_minerals.exports.pixels import PixelMap, blocks, colours_of, levels
from napari_ore_minerals.exports.shown import facts, notes
from napari_ore_minerals.images.pixels import Window

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_ore_minerals.exports.shown import Shown

VERSION = "0.4"
CHUNK_PX = 1024
LABELS_NAME = "minerals"
FACTS_NAME = "ore-minerals.json"
_Reader = Callable[[Window], "NDArray[np.uint8]"]


def write_zarr(shown: Shown, path: Path) -> None:
    """Write an OME-Zarr image with labels into a folder, block by block.

    The image is the picture, or where it is not here the map in its colours; ``labels/minerals`` holds the codes
    at the same size, with colours and names.  Facts stand in the attributes of both.
    """
    pixels, scale = PixelMap.of(shown), shown.mineral_map.um_per_px
    colours, picture = colours_of(shown.mineral_map.minerals), shown.micrograph

    def coloured(window: Window) -> NDArray[np.uint8]:
        return np.moveaxis(
            colours[pixels.read(window)] if picture is None else picture.read(window).rgb, -1, 0
        )

    root = zarr.open_group(path, mode="a", zarr_format=2)
    size = (pixels.height_px, pixels.width_px)
    about = facts(shown) | {"notes": "; ".join(notes(shown))}
    steps = _write_levels(root, (3, *size), coloured)
    root.attrs.update(_image(shown.name, steps, scale) | {"omero": _OMERO, "napari-ore-minerals": about})
    labels = root.create_group("labels")
    labels.attrs.update({"labels": [LABELS_NAME]})
    group = labels.create_group(LABELS_NAME)
    steps = _write_levels(group, size, pixels.read)
    told = _image(LABELS_NAME, steps, scale, colours=False) | {"image-label": _label(shown)}
    group.attrs.update(told | {"napari-ore-minerals": about})
    (path / FACTS_NAME).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_levels(group: zarr.Group, shape: tuple[int, ...], read: _Reader) -> tuple[int, ...]:
    """Write an array and its smaller levels, each from the one before; returns their steps."""
    steps = levels(*shape[-2:])
    for number in range(len(steps)):
        height, width = (-(-length // steps[number]) for length in shape[-2:])
        array = group.create_array(
            str(number),
            shape=(*shape[:-2], height, width),
            chunks=(*(1,) * (len(shape) - 2), CHUNK_PX, CHUNK_PX),
            dtype="uint8",
            compressors=Blosc(cname="lz4", clevel=5),
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        for block in blocks(height, width, CHUNK_PX):
            rows, columns = (
                slice(start, start + length)
                for start, length in ((block.row, block.height), (block.column, block.width))
            )
            array[..., rows, columns] = read(block)
        read = _halved(array)
    return steps


def _halved(array: zarr.Array) -> _Reader:
    """Blocks of an array made smaller by two: every second code, or the mean of four colours."""

    def read(window: Window) -> NDArray[np.uint8]:
        rows = slice(2 * window.row, 2 * (window.row + window.height))
        columns = slice(2 * window.column, 2 * (window.column + window.width))
        found = np.asarray(array[..., rows, columns])
        if found.ndim == 2:
            return found[::2, ::2]
        odd = [(0, 0), *((0, length % 2) for length in found.shape[1:])]
        whole = np.pad(found, odd, mode="edge").astype(np.uint16)
        four = whole[:, ::2, ::2] + whole[:, 1::2, ::2] + whole[:, ::2, 1::2] + whole[:, 1::2, 1::2]
        return ((four + 2) // 4).astype(np.uint8)

    return read


def _image(name: str, steps: tuple[int, ...], scale: float | None, *, colours: bool = True) -> dict[str, Any]:
    unit = {} if scale is None else {"unit": "micrometer"}
    axes = [{"name": "c", "type": "channel"}] if colours else []
    axes += [{"name": name, "type": "space", **unit} for name in "yx"]
    place = 1.0 if scale is None else scale
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": [*([1.0] if colours else []), place * step, place * step]}
            ],
        }
        for number, step in enumerate(steps)
    ]
    return {"multiscales": [{"version": VERSION, "name": name, "axes": axes, "datasets": datasets}]}


def _label(shown: Shown) -> dict[str, Any]:
    minerals = list(shown.mineral_map.minerals)
    colours = [{"label-value": mineral.code, "rgba": [*mineral.rgb, 255]} for mineral in minerals]
    names = [
        {"label-value": mineral.code, "name": mineral.name, "symbol": mineral.symbol} for mineral in minerals
    ]
    return {"version": VERSION, "colors": colours, "properties": names, "source": {"image": "../../"}}


_OMERO = {
    "version": VERSION,
    "rdefs": {"model": "color"},
    "channels": [
        {
            "label": name,
            "color": colour,
            "active": True,
            "window": {"start": 0, "end": 255, "min": 0, "max": 255},
        }
        for name, colour in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
    ],
}
