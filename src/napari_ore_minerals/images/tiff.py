"""TIFF files of all kinds, read window by window: striped, tiled, BigTIFF, pyramids, stacks and OME-TIFF."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images.blocks import MAX_BLOCK_BYTES, READ_ERRORS, ArrayLike, ArrayPlane, reason
from napari_ore_minerals.images.chunks import Chunks
from napari_ore_minerals.images.interpretation import Colours
from napari_ore_minerals.images.layout import Layout, joined_planes, layout_of
from napari_ore_minerals.images.photographs import Opened, check_expansion
from napari_ore_minerals.images.pixels import Guess, ReadOptions, Window
from napari_ore_minerals.images.raw_rows import LARGE_STRIP_BYTES, RawRows
from napari_ore_minerals.images.scale import Scale, ome_pixels, ome_scale, tag_scale
from napari_ore_minerals.images.turned import TurnedPlane

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
ALPHA = (1, 2)
JPEG_COMPRESSIONS = (6, 7, 34892, 33007)


def open_tiff(path: Path, options: ReadOptions) -> Opened:
    """Open a TIFF file; its pixels are read when windows of them are asked for.

    Raises
    ------
    PictureError
        If the file is damaged, holds no picture, or is ambiguous.
    OptionError
        If the level or the plane that is asked for does not exist.
    """
    name = path.name
    try:
        tiff = tifffile.TiffFile(path)
    except READ_ERRORS as error:
        raise PictureError(f"{name}: is not a readable TIFF file ({reason(error)}); save it anew.") from error
    try:
        opened = _open(tiff, path, options)
    except (PictureError, OptionError):
        tiff.close()
        raise
    except READ_ERRORS as error:
        tiff.close()
        raise PictureError(f"{name}: is a damaged TIFF file ({reason(error)}); save it anew.") from error
    finalize(opened.plane, tiff.close)
    return opened


def _open(tiff: tifffile.TiffFile, path: Path, options: ReadOptions) -> Opened:
    name = path.name
    number, guesses = _largest_series(tiff, name)
    series = tiff.series[number]
    if options.level >= len(series.levels):
        raise OptionError(
            f"{name}: there is no level {options.level}; its levels are 0 to {len(series.levels) - 1}."
        )
    level = series.levels[options.level]
    shape, axes = tuple(level.shape), level.axes
    if options.channel_axis is not None:
        axes = _with_channels(shape, axes, options.channel_axis, name)
    else:
        guesses += _colour_guess(shape, axes, level.keyframe)
    finest = tuple(series.levels[0].shape)
    layout = layout_of(shape, axes, options, name, finest)
    guesses += joined_planes(layout, shape, finest)
    _check(tiff, level, layout, name)
    pixels = ome_pixels(tiff.ome_metadata or "", number) if tiff.is_ome else {}
    channels = 1 if layout.channels is None else shape[layout.channels]
    colours = _colours(level.keyframe, channels, _told_bits(level.keyframe, pixels), name)
    guesses += _left_out(colours, channels)
    plane: ArrayPlane | TurnedPlane = ArrayPlane(
        _array(level, path), layout, name, chunks=_stored_tiles(level, layout), salvage=options.salvage
    )
    orientation = int(level.keyframe.tags.valueof("Orientation", default=1))
    if 2 <= orientation <= 8:
        plane = TurnedPlane(plane, orientation)
        guesses += (Guess("orientation", "turned upright", f"the TIFF orientation tag is {orientation}"),)
    plane.read(Window(0, 0, 1, 1))  # so that what cannot be decoded is refused at the door
    smaller = finest[layout.columns] / shape[layout.columns]
    return Opened(plane, colours, guesses, _scale(tiff, series.levels[0].keyframe, pixels, smaller))


def _largest_series(tiff: tifffile.TiffFile, name: str) -> tuple[int, tuple[Guess, ...]]:
    """Choose the picture of a file that also holds labels, macros or thumbnails."""
    sizes = [math.prod(series.shape) if series.shape else 0 for series in tiff.series]
    if not sizes or max(sizes) == 0:
        raise PictureError(f"{name}: is a TIFF file without a picture; save it anew.")
    number = sizes.index(max(sizes))
    if len(sizes) == 1:
        return number, ()
    why = f"it is the largest; shapes {', '.join(str(series.shape) for series in tiff.series[:5])}"
    return number, (Guess("plane", f"picture {number + 1} of the {len(sizes)} in the file", why),)


def _with_channels(shape: tuple[int, ...], axes: str, channel_axis: int, name: str) -> str:
    if not -len(shape) <= channel_axis < len(shape) or axes[channel_axis] in "YX":
        raise OptionError(
            f"{name}: there is no channel_axis {channel_axis} in shape {shape} with axes {axes}."
        )
    letters = ["P" if letter in "SC" else letter for letter in axes]
    letters[channel_axis] = "S"
    return "".join(letters)


def _colour_guess(shape: tuple[int, ...], axes: str, page: tifffile.TiffPage) -> tuple[Guess, ...]:
    if "S" in axes and page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and shape[axes.index("S")] >= 3:
        why = f"the file has {shape[axes.index('S')]} grey channels and no order"
        return (Guess("channel order", "red, green, blue", why),)
    if "S" not in axes and "C" in axes and shape[axes.index("C")] in (3, 4):
        why = f"the file has {shape[axes.index('C')]} channels and no colours for them"
        return (Guess("channel order", "red, green, blue", why),)
    return ()


def _check(tiff: tifffile.TiffFile, level: tifffile.TiffPageSeries, layout: Layout, name: str) -> None:
    """Refuse, from the header alone, a file that cannot hold what it claims."""
    page, size = level.keyframe, int(tiff.filehandle.size)
    if level.dtype is None or level.dtype.itemsize == 0 or page.samplesperpixel < 1:
        raise PictureError(
            f"{name}: has {page.samplesperpixel} samples of {page.bitspersample} bits, no picture; save it anew."
        )
    check_expansion(math.prod(level.shape) * level.dtype.itemsize, size, name)
    strip = math.prod(page.chunks) * level.dtype.itemsize
    if strip > MAX_BLOCK_BYTES and not _is_raw(level):
        raise PictureError(
            f"{name}: its strips or tiles unpack to {strip // 2**20} MiB each, and one must fit into "
            f"{MAX_BLOCK_BYTES // 2**20} MiB; save it as a tiled TIFF."
        )
    if level.dataoffset is not None and level.dataoffset + level.nbytes > size and not level.is_truncated:
        raise PictureError(f"{name}: is cut off; {level.dataoffset + level.nbytes - size} bytes are missing.")
    for part in _pages(level, layout):
        if part is None:
            raise PictureError(
                f"{name}: the plane lies in another file, which is not beside it; copy all of them."
            )
        _check_pieces(part, page, name)


def _pages(
    level: tifffile.TiffPageSeries, layout: Layout
) -> list[tifffile.TiffPage | tifffile.TiffFrame | None]:
    """Pages that hold the chosen plane: one, or one for each colour."""
    stacked = len(level.shape) - level.keyframe.ndim
    if stacked <= 0 or level.dataoffset is not None:
        return [level.keyframe]
    lengths = level.shape[:stacked]
    numbers = np.arange(math.prod(lengths)).reshape(lengths)
    chosen = numbers[layout.key(slice(0, 1), slice(0, 1))[:stacked]]
    return [level.pages[int(number)] for number in np.ravel(chosen)]


def _check_pieces(part: tifffile.TiffPage | tifffile.TiffFrame, page: tifffile.TiffPage, name: str) -> None:
    starts = np.array(part.dataoffsets, np.float64)
    counts = np.array(part.databytecounts, np.float64)
    absent = (starts == 0) | (counts == 0)  # single tiles may be left out where there is nothing to show
    too_few = len(starts) < math.prod(page.chunked) or absent.any()
    beyond = (starts + counts > part.parent.filehandle.size).any()
    if beyond or absent.all() or (too_few and not page.is_tiled):
        raise PictureError(f"{name}: is cut off, its pixels are not in the file; copy or save it anew.")


def _stored_tiles(level: tifffile.TiffPageSeries, layout: Layout) -> Chunks | None:
    """Which tiles the file holds; None if all, or if it has strips."""
    page = level.keyframe
    if not page.is_tiled or level.dataoffset is not None:
        return None
    present = np.ones(page.chunked, np.bool_)
    for part in _pages(level, layout):
        if part is not None:
            sizes = np.zeros(present.size)
            sizes[: len(part.databytecounts)] = part.databytecounts
            present &= (sizes > 0).reshape(present.shape)
    rows, columns = page.axes.index("Y"), page.axes.index("X")
    others = tuple(axis for axis in range(present.ndim) if axis not in (rows, columns))
    whole = np.asarray(present.all(axis=others), np.bool_)
    return None if whole.all() else Chunks(page.chunks[rows], page.chunks[columns], whole)


def _is_raw(level: tifffile.TiffPageSeries) -> bool:
    page = level.keyframe
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1 and not page.is_subsampled
    return bool(
        plain
        and level.dataoffset is not None
        and not page.is_tiled
        and page.bitspersample == 8 * level.dtype.itemsize
        and level.transform is None
    )


def _array(level: tifffile.TiffPageSeries, path: Path) -> ArrayLike:
    page = level.keyframe
    if _is_raw(level) and math.prod(page.chunks) * level.dtype.itemsize > LARGE_STRIP_BYTES:
        dtype = level.dtype.newbyteorder(page.parent.byteorder)
        return RawRows(path, level.dataoffset or 0, tuple(level.shape), dtype, level.axes.index("Y"))
    array: ArrayLike = zarr.open_array(level.aszarr(level=0), mode="r")
    return array


def _told_bits(page: tifffile.TiffPage, pixels: dict[str, str]) -> int | None:
    """Depth of the values where it is told: by OME, or by samples that do not fill their type."""
    told = pixels.get("SignificantBits", "")
    if told.isdecimal() and 1 <= int(told) <= 16:
        return int(told)
    bits = page.bitspersample
    return bits if isinstance(bits, int) and bits not in (8, 16, 32, 64) else None


def _colours(page: tifffile.TiffPage, channels: int, bits: int | None, name: str) -> Colours:
    photometric = int(page.photometric)
    if photometric == YCBCR and page.compression in JPEG_COMPRESSIONS:
        photometric = RGB
    extra = [int(kind) for kind in page.extrasamples]
    alpha = next((channels - len(extra) + i for i, kind in enumerate(extra) if kind in ALPHA), None)
    if photometric == PALETTE and page.colormap is not None and channels == 1:
        return Colours("palette", palette=_palette(page.colormap))
    if photometric == SEPARATED and channels >= 4:
        return Colours("cmyk", alpha=alpha, bits=bits)
    if photometric == RGB and channels >= 3:
        return Colours("rgb", alpha=alpha, bits=bits)
    if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO):
        if channels > 4 or (channels == 2 and alpha is None):
            raise PictureError(
                f"{name}: has {channels} grey channels and does not tell which are the picture; "
                "save one of them, or red, green and blue, as a picture of its own."
            )
        if channels >= 3:
            alpha = 3 if channels == 4 else None
        return Colours("rgb" if channels >= 3 else "grey", alpha, photometric == WHITE_IS_ZERO, bits=bits)
    raise PictureError(
        f"{name}: has {channels} channels of the colour kind {page.photometric!s}, which is not known here; "
        "save it as RGB or grey."
    )


def _left_out(colours: Colours, channels: int) -> tuple[Guess, ...]:
    """Tell of channels that are neither colours nor opacity, such as a fluorescence beside them."""
    used = {"grey": 1, "palette": 1, "rgb": 3, "cmyk": 4}[colours.kind]
    others = channels - used - (colours.alpha is not None)
    if not others:
        return ()
    why = "the file does not tell that the others are colours or opacity"
    return (Guess("channels", f"the first {used} of {channels} used", why),)


def _palette(colormap: NDArray[Any]) -> NDArray[np.uint8]:
    deep = colormap.max(initial=0) > 255  # some writers fill only 8 of the 16 bits
    palette: NDArray[np.uint8] = (colormap >> 8 if deep else colormap).T.astype(np.uint8)
    return palette


def _scale(tiff: tifffile.TiffFile, page: tifffile.TiffPage, pixels: dict[str, str], smaller: float) -> Scale:
    scale = ome_scale(pixels)
    if scale.um_per_px is None and not scale.guesses:
        tags = {key: page.tags.valueof(key) for key in ("XResolution", "YResolution", "ResolutionUnit")}
        imagej = tiff.imagej_metadata or {} if tiff.is_imagej else {}
        unit = imagej.get("unit")
        scale = tag_scale({key: value for key, value in tags.items() if value is not None}, unit)
    if scale.um_per_px is None:
        return scale
    return scale._replace(um_per_px=scale.um_per_px * smaller)
