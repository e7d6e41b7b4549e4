"""What the values of a picture mean: from any type and depth to red, green and blue bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images.blocks import Plane
from napari_ore_minerals.images.pixels import Guess, Holes, Pixels, ReadOptions, Window, sample_windows

CAMERA_DEPTHS = (8, 10, 12, 14, 16)
ROUNDING = 1e-3
DARKEST_OF_255 = 8.0
BAND_PX = 2**18
RANGE_HELP = "say which values are black and white (value range: low, high)"


@dataclass(frozen=True)
class Colours:
    """What a source tells about its channels.

    Attributes
    ----------
    kind : "grey", "rgb", "palette" or "cmyk"
        How channels become colours.
    alpha : int or None
        Channel of the opacity.
    inverted : bool
        Whether 0 is white, as in some TIFF files.
    palette : ndarray of uint8, shape (n, 3), or None
        Colours of a palette.
    bits : int or None
        Depth of the values, where the source tells it.
    """

    kind: Literal["grey", "rgb", "palette", "cmyk"]
    alpha: int | None = None
    inverted: bool = False
    palette: NDArray[np.uint8] | None = field(default=None, repr=False)
    bits: int | None = None


@dataclass(frozen=True)
class Interpretation:
    """How values become RGB bytes: `low` is black, `high` is white, linear between and clipped beyond."""

    colours: Colours
    low: float = 0.0
    high: float = 255.0
    blue_first: bool = False

    def pixels(self, values: NDArray[Any]) -> Pixels:
        """Pixels of values of shape (height, width, channels); what numpy masks is no data."""
        height, width = values.shape[:2]
        rows = max(1, BAND_PX // width)
        if height <= rows:
            return self._pixels(values)
        rgb, there = np.empty((height, width, 3), np.uint8), None
        for top in range(0, height, rows):  # numbers in between take several times the memory of the values
            band = slice(top, top + rows)
            rgb[band], finite = self._pixels(values[band])
            if finite is not None:
                there = np.ones((height, width), np.bool_) if there is None else there
                there[band] = finite
        return Pixels(rgb, there)

    def _pixels(self, values: NDArray[Any]) -> Pixels:
        finite = self._finite(values)
        values = np.ma.getdata(values)
        rgb = self._rgb(values, finite)
        if self.blue_first:
            rgb = rgb[..., ::-1]
        rgb = np.array(rgb, np.uint8, order="C")
        if finite is not None:
            rgb[~finite] = 0
        return Pixels(rgb, finite)

    def _finite(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        if values.dtype.kind != "f" and self.colours.alpha is None and type(values) is np.ndarray:
            return None
        finite = np.ones(values.shape[:2], np.bool_)
        if isinstance(values, np.ma.MaskedArray):
            finite &= ~np.ma.getmaskarray(values).any(axis=2)
            values = np.ma.getdata(values)
        if values.dtype.kind == "f":
            finite &= np.isfinite(values).all(axis=2)
        if self.colours.alpha is not None:
            finite &= values[..., self.colours.alpha] != 0
        return None if finite.all() else finite

    def _rgb(self, values: NDArray[Any], finite: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        kind, palette = self.colours.kind, self.colours.palette
        if palette is not None:
            colours: NDArray[np.uint8] = palette[np.minimum(values[..., 0], len(palette) - 1)]
            return colours
        values = values[..., : {"grey": 1, "rgb": 3, "cmyk": 4}[kind]]
        if values.dtype.kind == "f" and finite is not None:
            values = np.where(finite[..., np.newaxis], values, 0)
        levels = self._levels(values)
        if self.colours.inverted:
            levels = 255 - levels
        if kind == "grey":
            return np.broadcast_to(levels, (*levels.shape[:2], 3))
        if kind == "cmyk":
            white = 255 - levels.astype(np.uint16)
            return ((white[..., :3] * white[..., 3:] + 127) // 255).astype(np.uint8)
        return levels

    def _levels(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        if values.dtype.kind == "b":
            return values.astype(np.uint8) * np.uint8(255)
        if values.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return values
        exact = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
        scaled = (np.clip(values, self.low, self.high).astype(exact) - exact(self.low)) * exact(
            255 / (self.high - self.low)
        )
        levels: NDArray[np.uint8] = (scaled + exact(0.5)).astype(np.uint8)
        return levels


class InterpretedSource:
    """A picture as RGB bytes: the values of a plane and what they mean."""

    def __init__(self, plane: Plane, interpretation: Interpretation) -> None:
        self._plane = plane
        self.interpretation = interpretation
        self.height_px, self.width_px = plane.height_px, plane.width_px

    def read(self, window: Window) -> Pixels:
        """Pixels of a window that lies inside the picture."""
        pixels = self.interpretation.pixels(self._plane.read(window))
        there = self._plane.there(window)
        if there is None:
            return pixels
        pixels.rgb[~there] = 0
        return Pixels(pixels.rgb, there if pixels.finite is None else there & pixels.finite)

    def holes(self) -> Holes:
        """What is not there or was found damaged so far."""
        return self._plane.holes()

    def sound(self, window: Window) -> bool:
        """Whether no chunk that a window touches was found damaged so far."""
        return self._plane.sound(window)


class _Sampled(NamedTuple):
    lowest: float
    highest: float
    opaque: bool


def interpret(
    plane: Plane, colours: Colours, options: ReadOptions, name: str
) -> tuple[Interpretation, tuple[Guess, ...]]:
    """Decide what the values of `plane` mean, looking at samples of them where the source does not tell.

    Returns
    -------
    Interpretation, tuple of Guess
        The guesses that went into it.

    Raises
    ------
    PictureError
        If the values cannot be understood without being told more.
    """
    if plane.dtype.kind not in "buif":
        raise PictureError(
            f"{name}: has values of type {plane.dtype}; a picture has numbers that can be ordered."
        )
    guesses: list[Guess] = []
    sampled: _Sampled | None = None
    if not _fills_bytes(plane.dtype, colours.bits) or colours.alpha is not None:
        sampled = _sample(plane, colours)
    if colours.alpha is not None:
        colours, guess = _alpha(colours, sampled)
        guesses.append(guess)
    if colours.kind == "grey":
        why = "the source has no colour, and minerals that differ by colour alone look alike"
        guesses.append(Guess("colour", "grey", why))
    if colours.kind == "cmyk":
        guesses.append(
            Guess("colour", "ink turned into light without a colour profile", "the source is CMYK")
        )
    low, high, guess_of_range = _value_range(plane.dtype, colours, sampled, options, name)
    interpretation = Interpretation(
        colours, low, high, options.channel_order == "bgr" and colours.kind == "rgb"
    )
    return interpretation, (*guesses, *guess_of_range)


def _sample(plane: Plane, colours: Colours) -> _Sampled:
    lowest, highest, opaque = np.inf, -np.inf, False
    wanted = {"grey": 1, "rgb": 3, "palette": 1, "cmyk": 4}[colours.kind]
    for window in sample_windows(plane.height_px, plane.width_px):
        values = plane.read(window)
        if colours.alpha is not None:
            visible = values[..., colours.alpha] != 0
            opaque = opaque or bool(visible.any())
        values = values[..., :wanted]
        if isinstance(values, np.ma.MaskedArray):
            values = values.compressed()
        if values.dtype.kind == "f":
            values = values[np.isfinite(values)]
        if values.size:
            lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
    return _Sampled(lowest, highest, opaque)


def _alpha(colours: Colours, sampled: _Sampled | None) -> tuple[Colours, Guess]:
    if sampled is not None and not sampled.opaque:
        unused = Colours(colours.kind, None, colours.inverted, colours.palette, colours.bits)
        return unused, Guess("alpha", "ignored", "it is 0 in every sampled pixel, which leaves no picture")
    why = "opacity is no colour of a mineral; fully transparent pixels count as no data"
    return colours, Guess("alpha", "dropped", why)


def _value_range(
    dtype: np.dtype[Any], colours: Colours, sampled: _Sampled | None, options: ReadOptions, name: str
) -> tuple[float, float, Sequence[Guess]]:
    if options.value_range is not None:
        return *options.value_range, ()
    if options.bit_depth is not None:
        if dtype.kind not in "ui":
            raise OptionError(
                f"{name}: a bit depth is for whole numbers, not for values of type {dtype}; {RANGE_HELP}."
            )
        return 0.0, 2.0**options.bit_depth - 1, ()
    if colours.kind == "palette" or sampled is None or _fills_bytes(dtype, colours.bits):
        return 0.0, 255.0, ()
    if sampled.lowest > sampled.highest:
        raise PictureError(f"{name}: none of the sampled values is a finite number; {RANGE_HELP}.")
    if dtype.kind == "f":
        return _float_range(sampled, name)
    return _integer_range(dtype, colours.bits, sampled, name)


def _fills_bytes(dtype: np.dtype[Any], bits: int | None) -> bool:
    """Whether 0 is black and 255 or True is white; not so where a file tells of 2 or 4 bits in bytes."""
    return dtype == np.bool_ or (dtype == np.uint8 and (bits is None or bits >= 8))


def _float_range(sampled: _Sampled, name: str) -> tuple[float, float, Sequence[Guess]]:
    low, high = sampled.lowest, sampled.highest
    found = f"sampled values lie between {low:.6g} and {high:.6g}"
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return 0.0, 1.0, (Guess("value range", "0 to 1", found),)
    if low >= -ROUNDING and DARKEST_OF_255 <= high <= 255 + ROUNDING:
        return 0.0, 255.0, (Guess("value range", "0 to 255", found),)
    raise PictureError(f"{name}: {found}, which is neither 0 to 1 nor 0 to 255; {RANGE_HELP}.")


def _integer_range(
    dtype: np.dtype[Any], bits: int | None, sampled: _Sampled, name: str
) -> tuple[float, float, Sequence[Guess]]:
    if bits is not None and bits <= 16 and sampled.lowest >= 0 and sampled.highest < 2**bits:
        return 0.0, 2.0**bits - 1, ()
    if sampled.lowest < 0 or sampled.highest >= 2**16:
        found = f"sampled values of type {dtype} lie between {sampled.lowest:.0f} and {sampled.highest:.0f}"
        raise PictureError(f"{name}: {found}, which are no camera's bits; {RANGE_HELP}.")
    depth = next(depth for depth in CAMERA_DEPTHS if sampled.highest < 2**depth)
    why = f"the largest sampled value is {sampled.highest:.0f}, and cameras give 8, 10, 12, 14 or 16 bits"
    return 0.0, 2.0**depth - 1, (Guess("bit depth", f"{depth} bits in {dtype.name}", why),)
