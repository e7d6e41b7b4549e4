"""Micrometres per pixel, where a TIFF file tells them in a way that can be believed."""

from __future__ import annotations

import html
import math
import re
from typing import Any, NamedTuple

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.pixels import Guess

MIN_UM_PER_PX, MAX_UM_PER_PX = 0.001, 1000.0
COARSEST_TAG_UM_PER_PX = 50.0
ISOTROPY = 0.01
UM_PER_INCH, UM_PER_CM = 25400.0, 10000.0
# Resolutions that programs write for printers and screens, in dots per inch.
PRINT_DPI = (72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 220, 240, 250, 300, 350, 360, 400, 600, 720, 1200)
_UM_PER_UNIT = {
    "pm": 1e-6, "å": 1e-4, "angstrom": 1e-4, "nm": 1e-3, "nanometer": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0,
    "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0, "mm": 1e3, "millimeter": 1e3,
    "cm": 1e4, "centimeter": 1e4, "m": 1e6, "meter": 1e6, "in": UM_PER_INCH, "inch": UM_PER_INCH,
}  # fmt: skip


class Scale(NamedTuple):
    """Micrometres per pixel, and who says so."""

    um_per_px: float | None
    source: str
    guesses: tuple[Guess, ...] = ()


UNKNOWN = Scale(None, "")


def check_um_per_px(um_per_px: float, name: str) -> float:
    """`um_per_px` as a float, if a light microscope or a scanner could have it.

    Raises
    ------
    OptionError
        If it is not between 0.001 and 1000.
    """
    value = float(um_per_px)
    if not MIN_UM_PER_PX <= value <= MAX_UM_PER_PX:
        raise OptionError(
            f"{name}: a scale of {um_per_px} um per pixel was given; it must lie between "
            f"{MIN_UM_PER_PX:g} and {MAX_UM_PER_PX:g}."
        )
    return value


def um_per_unit(unit: str) -> float | None:
    """Micrometres in a unit of length, however OME, ImageJ or napari spell it; None for unknown ones."""
    spelled = html.unescape(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().casefold()
    return _UM_PER_UNIT.get(spelled) or _UM_PER_UNIT.get(spelled.removesuffix("s"))


def ome_pixels(description: str, image: int) -> dict[str, str]:
    """Attributes of the ``Pixels`` element of the image of this number in OME-XML; empty if there is none."""
    elements = re.findall(r"<(?:\w+:)?Pixels\b([^>]*)>", description)
    if not elements:
        return {}
    attributes = elements[min(image, len(elements) - 1)]
    return dict(re.findall(r"([\w:]+)\s*=\s*[\"']([^\"']*)[\"']", attributes))


def ome_scale(pixels: dict[str, str]) -> Scale:
    """Scale of an OME ``Pixels`` element: PhysicalSizeX and PhysicalSizeY, in um unless it says otherwise."""
    try:
        columns = float(pixels["PhysicalSizeX"])
        rows = float(pixels.get("PhysicalSizeY", columns))
    except (KeyError, ValueError):
        return UNKNOWN
    across = um_per_unit(pixels.get("PhysicalSizeXUnit", "µm"))
    down = um_per_unit(pixels.get("PhysicalSizeYUnit", "µm"))
    if across is None or down is None:
        return UNKNOWN
    return believed(rows * down, columns * across, "OME metadata")


def believed(rows_um: float, columns_um: float, source: str) -> Scale:
    """Scale from the size of a pixel down and across, unless they differ by 1 % or are beyond belief."""
    if not all(math.isfinite(size) and size > 0 for size in (rows_um, columns_um)):
        return UNKNOWN
    sizes = f"{columns_um:.6g} um across and {rows_um:.6g} um down"
    if abs(rows_um - columns_um) > ISOTROPY * min(rows_um, columns_um):
        return _distrusted(f"the {source} gives pixels that are not square, {sizes}")
    if not MIN_UM_PER_PX <= columns_um <= MAX_UM_PER_PX:
        return _distrusted(f"the {source} gives {sizes}, which no microscope has")
    return Scale(columns_um, source)


def tag_scale(tags: dict[str, Any], imagej_unit: str | None) -> Scale:
    """Scale from the resolution tags of a TIFF page.

    Parameters
    ----------
    tags : dict
        ``XResolution`` and ``YResolution`` as (numerator, denominator), ``ResolutionUnit`` as a number.
    imagej_unit : str or None
        Unit that ImageJ wrote beside them; it goes before ResolutionUnit.
    """
    across, down = _ratio(tags.get("XResolution")), _ratio(tags.get("YResolution"))
    if across is None:
        return UNKNOWN
    down = across if down is None else down
    if imagej_unit:
        unit = um_per_unit(imagej_unit)
        return UNKNOWN if unit is None else believed(unit / down, unit / across, "ImageJ metadata")
    unit = {2: UM_PER_INCH, 3: UM_PER_CM}.get(int(tags.get("ResolutionUnit", 2)))
    if unit is None:
        return UNKNOWN
    um_per_px, dpi = unit / across, across * UM_PER_INCH / unit
    if um_per_px > COARSEST_TAG_UM_PER_PX or any(abs(dpi / usual - 1) < 0.005 for usual in PRINT_DPI):
        return _distrusted(
            f"the TIFF resolution tag says {dpi:.6g} dots per inch, which is meant for printers"
        )
    return believed(unit / down, um_per_px, "TIFF resolution tag")


def _ratio(value: Any) -> float | None:
    try:
        numerator, denominator = value
        ratio = float(numerator) / float(denominator)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return ratio if math.isfinite(ratio) and ratio > 0 else None


def _distrusted(why: str) -> Scale:
    return Scale(None, "", (Guess("scale", "unknown", why),))
