"""Which axes of an array are the rows, the columns and the colours, and which plane of a stack is meant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images.pixels import Guess, ReadOptions

COLOURS = (3, 4)
MAX_VALUES = 2**40


@dataclass(frozen=True)
class Layout:
    """How to take one picture out of an array of any number of axes.

    Attributes
    ----------
    rows, columns : int
        Axes of the rows and the columns.
    channels : int or None
        Axis of the colours; None for a picture without.
    plane : tuple of (axis, index)
        The remaining axes and where on them the picture lies.
    """

    rows: int
    columns: int
    channels: int | None
    plane: tuple[tuple[int, int], ...] = ()

    def key(self, rows: slice, columns: slice) -> tuple[int | slice, ...]:
        """Index of a window in the array."""
        known: dict[int, int | slice] = {self.rows: rows, self.columns: columns, **dict(self.plane)}
        if self.channels is not None:
            known[self.channels] = slice(None)
        return tuple(known[axis] for axis in range(len(known)))

    def picture(self, values: NDArray[Any]) -> NDArray[Any]:
        """Arrange what the array gave for a `key` as (height, width, channels)."""
        wanted = [self.rows, self.columns] + ([] if self.channels is None else [self.channels])
        kept = sorted(wanted)
        turned = values.transpose([kept.index(axis) for axis in wanted])
        return turned[..., np.newaxis] if self.channels is None else turned


def guess_axes(shape: tuple[int, ...], options: ReadOptions, name: str) -> tuple[str, tuple[Guess, ...]]:
    """Name the axes of a bare array: Y rows, X columns, S colours, P planes.

    Raises
    ------
    PictureError
        If the shape does not say which axis holds the colours.
    """
    if len(shape) < 2:
        raise PictureError(f"{name}: has shape {shape}, but a picture needs rows and columns.")
    if options.channel_axis is not None:
        return _around_channels(shape, options.channel_axis, name), ()
    stack = "P" * (len(shape) - 2) + "YX"
    if options.rgb is False or len(shape) == 2:
        return stack, ()
    coloured = "P" * (len(shape) - 3) + "YXS"
    if options.rgb is True:
        return coloured, ()
    return _judge(shape, stack, coloured, name)


def _judge(shape: tuple[int, ...], stack: str, coloured: str, name: str) -> tuple[str, tuple[Guess, ...]]:
    first, last = shape[-3] in COLOURS, shape[-1] in COLOURS
    if first and last:
        raise PictureError(
            f"{name}: in shape {shape} two axes could be the colours; say which with channel_axis."
        )
    if last:
        why = f"only the last axis of {shape} has 3 or 4 entries"
        return coloured, (Guess("channel order", "red, green, blue on the last axis", why),)
    if first:
        why = f"only axis {len(shape) - 3} of {shape} has 3 or 4 entries"
        axes = coloured[:-3] + "SYX"
        return axes, (Guess("channel order", f"red, green, blue on axis {len(shape) - 3}", why),)
    if shape[-1] == 1:
        return coloured, (Guess("channel order", "one channel on the last axis", f"shape {shape}"),)
    if shape[-1] == 2:
        raise PictureError(
            f"{name}: shape {shape} looks like two channels, which are neither grey nor red, green and blue; "
            "give one of them as an array of two axes, or say rgb=False if these are planes two pixels wide."
        )
    return stack, ()


def _around_channels(shape: tuple[int, ...], channel_axis: int, name: str) -> str:
    count = len(shape)
    if not -count <= channel_axis < count or count < 3:
        raise OptionError(f"{name}: there is no channel_axis {channel_axis} in shape {shape}.")
    letters = list("P" * (count - 3) + "YX")
    letters.insert(channel_axis % count, "S")
    return "".join(letters)


def layout_of(
    shape: tuple[int, ...],
    axes: str,
    options: ReadOptions,
    name: str,
    finest: tuple[int, ...] | None = None,
) -> Layout:
    """Layout of an array whose `axes` are named by letters, as tifffile names them.

    Parameters
    ----------
    shape, axes
        Of the array.
    options
        Their plane is one of the finest level.
    name
        Of the picture, for messages.
    finest
        Shape of the finest level, if the array is a level of a pyramid; planes may be joined in coarser levels.

    Raises
    ------
    PictureError
        If rows or columns are missing, the size is absurd, or a stack is given without a plane.
    OptionError
        If the plane does not exist.
    """
    if "Y" not in axes or "X" not in axes or len(axes) != len(shape):
        raise PictureError(f"{name}: axes {axes!r} of shape {shape} have no rows or no columns.")
    if 0 in shape or math.prod(shape) > MAX_VALUES:
        raise PictureError(f"{name}: has shape {shape}, which is empty or too large to be a picture.")
    rows, columns = axes.index("Y"), axes.index("X")
    channels = _channel_axis(shape, axes)
    rest = [axis for axis in range(len(shape)) if axis not in (rows, columns, channels)]
    if options.plane is None or finest is None or finest == shape:
        return Layout(rows, columns, channels, _plane(shape, axes, rest, options.plane, name))
    if len(finest) != len(shape):
        raise PictureError(
            f"{name}: its levels have shapes {finest} and {shape}, so the plane cannot be found in both; "
            "give one level as an array of its own."
        )
    chosen = _plane(finest, axes, rest, options.plane, name)
    joined = ((axis, (2 * index + 1) * shape[axis] // (2 * finest[axis])) for axis, index in chosen)
    return Layout(rows, columns, channels, tuple(joined))


def joined_planes(layout: Layout, shape: tuple[int, ...], finest: tuple[int, ...]) -> tuple[Guess, ...]:
    """Tell of a level of a pyramid, of which a plane stands for several of the finest level."""
    return tuple(
        Guess(
            "plane",
            f"plane {index} on axis {axis} of this level",
            f"it has {shape[axis]} planes, the finest {finest[axis]}",
        )
        for axis, index in layout.plane
        if len(finest) == len(shape) and finest[axis] != shape[axis]
    )


def _channel_axis(shape: tuple[int, ...], axes: str) -> int | None:
    if "S" in axes:
        return axes.index("S")
    if "C" in axes and shape[axes.index("C")] in COLOURS:
        return axes.index("C")
    return None


def _plane(
    shape: tuple[int, ...], axes: str, rest: list[int], plane: tuple[int, ...] | None, name: str
) -> tuple[tuple[int, int], ...]:
    stacked = [axis for axis in rest if shape[axis] > 1]
    known = ", ".join(f"{_axis_name(axes, axis)} 0 to {shape[axis] - 1}" for axis in stacked) or "one plane"
    if plane is None:
        if stacked:
            raise PictureError(
                f"{name}: holds a stack of planes, {known}; say which one with plane, one index per axis."
            )
        return tuple((axis, 0) for axis in rest)
    if len(plane) == len(rest):
        chosen = dict(zip(rest, plane, strict=True))
    elif len(plane) == len(stacked):
        chosen = dict(zip(stacked, plane, strict=True))
    else:
        raise OptionError(f"{name}: plane {plane} does not fit; it has {known}.")
    if any(not 0 <= index < shape[axis] for axis, index in chosen.items()):
        raise OptionError(f"{name}: has no plane {plane}; it has {known}.")
    return tuple((axis, chosen.get(axis, 0)) for axis in rest)


def _axis_name(axes: str, axis: int) -> str:
    return f"axis {axis}" if axes[axis] in "PQI" else axes[axis]
