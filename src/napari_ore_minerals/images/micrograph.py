"""A micrograph: a picture from a file or an array as RGB bytes, read window by window, with its scale."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images.blocks import ArrayPlane
from napari_ore_minerals.images.chunks import stored_chunks, vanished
from napari_ore_minerals.images.interpretation import Colours, InterpretedSource, interpret
from napari_ore_minerals.images.kinds import is_photograph
from napari_ore_minerals.images.layout import guess_axes, joined_planes, layout_of
from napari_ore_minerals.images.levels import PictureLevel
from napari_ore_minerals.images.photographs import Opened, open_photograph
from napari_ore_minerals.images.pixels import (
    Guess,
    Holes,
    PictureAnswers,
    Pixels,
    PixelSource,
    ReadOptions,
    Window,
    sample_windows,
)
from napari_ore_minerals.images.scale import check_um_per_px

__all__ = ["Guess", "Micrograph", "PictureAnswers", "PixelSource", "Pixels", "ReadOptions", "Window"]

BY_USER = "given by the user"
_AS_READ, _UNANSWERED = ReadOptions(), PictureAnswers()


@dataclass(frozen=True)
class Micrograph:
    """A photograph of a polished section.

    Attributes
    ----------
    source : PixelSource
        Where the pixels come from.
    name : str
        How the picture is called in messages and results.
    um_per_px : float or None
        Micrometres per pixel of the picture as it is read (of the chosen pyramid level); None if unknown.
    um_per_px_source : str
        ``"OME metadata"``, ``"ImageJ metadata"``, ``"TIFF resolution tag"``, ``"layer scale"``,
        ``"given by the user"``, or empty if unknown.
    guesses : tuple of Guess
        What was assumed where the source does not tell, to be shown to the user.
    path : Path or None
        The file, if it came from one.
    answers : PictureAnswers
        What the user answered, with which the same file gives the same picture again.
    """

    source: PixelSource
    name: str
    um_per_px: float | None = None
    um_per_px_source: str = ""
    guesses: tuple[Guess, ...] = ()
    path: Path | None = None
    answers: PictureAnswers = _UNANSWERED

    def __post_init__(self) -> None:
        if self.um_per_px is not None:
            check_um_per_px(self.um_per_px, self.name)

    @property
    def height_px(self) -> int:
        """Rows of the picture."""
        return self.source.height_px

    @property
    def width_px(self) -> int:
        """Columns of the picture."""
        return self.source.width_px

    def read(self, window: Window | None = None) -> Pixels:
        """Pixels of a window, or of the whole picture.

        Raises
        ------
        PictureError
            If the window reaches outside the picture, or the source turns out to be damaged.
        """
        if window is None:
            window = Window(0, 0, self.height_px, self.width_px)
        row, column, height, width = window
        inside = 0 <= row <= row + height <= self.height_px and 0 <= column <= column + width <= self.width_px
        if not inside or height < 1 or width < 1:
            raise PictureError(
                f"{self.name}: {window} is empty or reaches outside the picture of "
                f"{self.height_px} x {self.width_px} pixels."
            )
        return self.source.read(window)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        um_per_px: float | None = None,
        options: ReadOptions = _AS_READ,
    ) -> Micrograph:
        """Open a PNG, JPEG, BMP or TIFF file or a Zarr folder; TIFF and Zarr are read window by window.

        Parameters
        ----------
        path : str or path
            The file; what it is follows from its first bytes, not from its name.  A folder is read as Zarr: an
            array, or an OME-Zarr image.
        um_per_px : float, optional
            Micrometres per pixel; goes before what the file says.
        options : ReadOptions
            Answers to what the file leaves open.

        Raises
        ------
        PictureError
            If the file is no picture, is damaged, or cannot be read without a guess that is not safe.
        OptionError
            If an option does not fit the picture.
        """
        path = Path(path)
        if path.is_dir():
            return _open_zarr(path, um_per_px, options)
        opened = open_photograph(path, options) if is_photograph(path) else _open_tiff(path, options)
        picture = cls._from_opened(opened, path.name, um_per_px, options)
        return replace(picture, path=path, answers=options.answers)

    @classmethod
    def from_array(
        cls,
        array: Any,
        *,
        name: str = "array",
        um_per_px: float | None = None,
        options: ReadOptions = _AS_READ,
    ) -> Micrograph:
        """Micrograph of a numpy, dask or zarr array, or of a list of them, the levels of a pyramid.

        Parameters
        ----------
        array : array-like or sequence of array-like
            Shape (height, width), (height, width, 3 or 4) or (3 or 4, height, width), perhaps with axes
            of a stack in front; bool, integers or floats.  It is not copied and not changed.
        name : str
            How to call it in messages and results.
        um_per_px : float, optional
            Micrometres per pixel of the level that is read.
        options : ReadOptions
            Answers to what the array leaves open.

        Raises
        ------
        PictureError
            If it is no picture, or cannot be read without a guess that is not safe.
        OptionError
            If an option does not fit the picture.
        """
        level = _level(array, options.level, name)
        if isinstance(level, PictureLevel):
            known = replace(level.micrograph, name=name)
            return known if um_per_px is None else known.with_scale(um_per_px)
        shape = _shape(level, name)
        axes, guesses = guess_axes(shape, options, name)
        finest = _shape(array[0], name) if isinstance(array, Sequence) else shape
        layout = layout_of(shape, axes, options, name, finest)
        guesses += joined_planes(layout, shape, finest)
        chunks = stored_chunks(level, layout)
        gone = vanished(level, layout, chunks)
        plane = ArrayPlane(level, layout, name, chunks=chunks, gone=gone, salvage=options.salvage)
        opened = Opened(plane, _array_colours(plane, name), guesses)
        return replace(cls._from_opened(opened, name, um_per_px, options), answers=options.answers)

    @classmethod
    def _from_opened(
        cls, opened: Opened, name: str, um_per_px: float | None, options: ReadOptions
    ) -> Micrograph:
        interpretation, guesses = interpret(opened.plane, opened.colours, options, name)
        source = InterpretedSource(opened.plane, interpretation)
        guesses = opened.guesses + guesses
        if um_per_px is not None:
            return cls(source, name, check_um_per_px(um_per_px, name), BY_USER, guesses)
        scale = opened.scale
        return cls(source, name, scale.um_per_px, scale.source, guesses + scale.guesses)

    def with_scale(self, um_per_px: float, source: str = BY_USER) -> Micrograph:
        """Give the same picture another scale, which answers guesses about it."""
        guesses = tuple(guess for guess in self.guesses if guess.what != "scale")
        value = check_um_per_px(um_per_px, self.name)
        return replace(self, um_per_px=value, um_per_px_source=source, guesses=guesses)

    def holes(self) -> Holes:
        """Chunks that are not there, and those that were found damaged so far, if they are salvaged."""
        return self.source.holes() if isinstance(self.source, InterpretedSource) else Holes()

    def sound(self, window: Window) -> bool:
        """Whether no chunk that a window touches was found damaged so far, if they are salvaged."""
        return not isinstance(self.source, InterpretedSource) or self.source.sound(window)

    def fingerprint(self) -> str:
        """SHA-256 of the size and of sampled windows, in hexadecimal: the same for the same RGB pixels.

        Windows that cannot be read count as such.
        """
        digest = hashlib.sha256(f"{self.height_px} x {self.width_px}".encode())
        for window in sample_windows(self.height_px, self.width_px):
            try:
                read = self.read(window).rgb.tobytes()
                digest.update(read if self.sound(window) else b"cannot be read")
            except PictureError:
                digest.update(b"cannot be read")
        return digest.hexdigest()


def _open_zarr(path: Path, um_per_px: float | None, options: ReadOptions) -> Micrograph:
    from napari_ore_minerals.images.zarr_folders import open_zarr

    levels, plain_options, told = open_zarr(path, options)
    picture = Micrograph.from_array(levels, name=path.name, um_per_px=um_per_px, options=plain_options)
    if um_per_px is None and told is not None:
        picture = picture.with_scale(told, "OME metadata")
    return replace(picture, path=path, answers=options.answers)


def _open_tiff(path: Path, options: ReadOptions) -> Opened:
    from napari_ore_minerals.images.tiff import open_tiff  # tifffile and zarr take 0.3 s to load

    return open_tiff(path, options)


def _level(array: Any, level: int, name: str) -> Any:
    if not isinstance(array, Sequence):
        if level:
            raise OptionError(f"{name}: there is no level {level}; the array is not a pyramid.")
        return array
    if not array:
        raise PictureError(f"{name}: is an empty list; a pyramid has at least one level.")
    if level >= len(array):
        raise OptionError(f"{name}: there is no level {level}; the pyramid has levels 0 to {len(array) - 1}.")
    sizes = [_shape(part, name) for part in array]
    if any(max(finer) < max(coarser) for finer, coarser in pairwise(sizes)):
        raise PictureError(f"{name}: the levels of a pyramid must go from fine to coarse, not {sizes}.")
    return array[level]


def _shape(array: Any, name: str) -> tuple[int, ...]:
    shape = getattr(array, "shape", None)
    try:
        np.dtype(array.dtype)
    except (AttributeError, TypeError) as error:
        kind = type(array).__name__
        raise PictureError(f"{name}: is a {kind}, not an array with a shape and a numpy dtype.") from error
    if shape is None or not hasattr(array, "__getitem__"):
        raise PictureError(f"{name}: is a {type(array).__name__}, not an array with a shape.")
    try:
        return tuple(int(length) for length in shape)
    except ValueError as error:
        raise PictureError(f"{name}: its shape {shape} is not known yet; compute it first.") from error


def _array_colours(plane: ArrayPlane, name: str) -> Colours:
    if plane.channels in (1, 3):
        return Colours("grey" if plane.channels == 1 else "rgb")
    if plane.channels == 4:
        return Colours("rgb", alpha=3)
    raise PictureError(f"{name}: has {plane.channels} channels; a picture has 1, 3 or 4.")
