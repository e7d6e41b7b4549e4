"""PNG, JPEG and BMP files, decoded once and whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images.blocks import READ_ERRORS, ArrayPlane, Plane, reason
from napari_ore_minerals.images.interpretation import Colours
from napari_ore_minerals.images.layout import Layout
from napari_ore_minerals.images.pixels import Guess, ReadOptions
from napari_ore_minerals.images.scale import UNKNOWN, Scale
from napari_ore_minerals.images.turned import TurnedPlane

FORMATS = ("PNG", "JPEG", "BMP")
MAX_EXPANSION = 1000
HARMLESS_BYTES = 64 * 2**20
EXIF_ORIENTATION = 0x0112
JPEG_END, JPEG_TAIL_BYTES = b"\xff\xd9", 1024
SMALL_JPEG_BYTES = 2**17  # whose last bytes may be those of a preview in its head


class Opened(NamedTuple):
    """A picture before its values are interpreted: where they come from and what the source tells of them."""

    plane: Plane
    colours: Colours
    guesses: tuple[Guess, ...] = ()
    scale: Scale = UNKNOWN


def check_expansion(values_bytes: int, file_bytes: int, name: str) -> None:
    """Refuse a small file that would fill the memory.

    Raises
    ------
    PictureError
        If it unpacks to more than 64 MiB and more than 1000 times its size.
    """
    if values_bytes > max(HARMLESS_BYTES, MAX_EXPANSION * file_bytes):
        raise PictureError(
            f"{name}: {file_bytes} bytes on disk claim to hold {values_bytes} bytes of picture, as only "
            "a damaged or malicious file does; save it anew if the picture is real."
        )


def open_photograph(path: Path, options: ReadOptions) -> Opened:
    """Decode a PNG, JPEG or BMP file, upright as its EXIF orientation says.

    Raises
    ------
    PictureError
        If it is damaged or too large to be decoded whole.
    OptionError
        If a plane or a level is asked for, of which it has one.
    """
    name = path.name
    if options.level:
        raise OptionError(f"{name}: there is no level {options.level}; the file is not a pyramid.")
    if options.plane is not None:
        raise OptionError(f"{name}: plane {options.plane} does not fit; it has one plane.")
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            check_expansion(image.width * image.height * len(image.getbands()), path.stat().st_size, name)
            guesses = _first_of_several(image)
            values, colours = _decode(image, path)
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(
            f"{name}: has too many pixels to be decoded whole; save it as a tiled TIFF, which is read in pieces."
        ) from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{name}: is a picture damaged from its first bytes on; save it anew.") from error
    except READ_ERRORS as error:
        raise PictureError(f"{name}: is a damaged picture ({reason(error)}); save it anew.") from error
    plane: Plane = ArrayPlane(values, Layout(0, 1, 2), name)
    if orientation in range(2, 9):
        plane = TurnedPlane(plane, orientation)
        guesses += (Guess("orientation", "turned upright", "the EXIF orientation of the camera says so"),)
    return Opened(plane, colours, guesses)


def _first_of_several(image: Image.Image) -> tuple[Guess, ...]:
    frames = int(getattr(image, "n_frames", 1))
    if frames == 1:
        return ()
    return (Guess("plane", "the first", f"the file holds {frames} pictures"),)


def _decode(image: Image.Image, path: Path) -> tuple[NDArray[Any], Colours]:
    """Values of shape (height, width, channels) as they lie in the file, and what the channels are."""
    if image.format == "PNG" and _png_depth(path) == 16:
        return _deep_png(image, path)
    has_alpha = image.has_transparency_data
    if image.mode in ("1", "L", "LA"):
        values = np.asarray(image.convert("LA" if has_alpha else "L"))
        return np.atleast_3d(values), Colours("grey", alpha=1 if has_alpha else None)
    if image.mode == "CMYK":
        return np.asarray(image), Colours("cmyk")
    if image.mode == "RGB" and image.format == "JPEG" and (quick := _whole_jpeg(path)) is not None:
        return quick, Colours("rgb")
    values = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    return values, Colours("rgb", alpha=3 if has_alpha else None)


def _whole_jpeg(path: Path) -> NDArray[np.uint8] | None:
    """Colours of a JPEG, the same as Pillow's in a third of the time; None if it may be cut off.

    imagecodecs fills what is missing of a file with grey, so one without its end is left to Pillow, which tells.
    """
    import imagecodecs

    data = path.read_bytes()
    if len(data) < SMALL_JPEG_BYTES or JPEG_END not in data[-JPEG_TAIL_BYTES:]:
        return None
    values: NDArray[np.uint8] = imagecodecs.jpeg8_decode(data)
    return values if values.ndim == 3 else None


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]


def _deep_png(image: Image.Image, path: Path) -> tuple[NDArray[Any], Colours]:
    """16-bit PNG, of which Pillow would keep 8 bits before their true depth is known."""
    import imagecodecs

    values = np.atleast_3d(imagecodecs.png_decode(path.read_bytes()))
    if values.shape[:2] != (image.height, image.width):
        raise ValueError(f"{values.shape} decoded for {image.height} x {image.width}")
    channels = values.shape[2]
    kind = "grey" if channels <= 2 else "rgb"
    return values, Colours(kind, alpha=channels - 1 if channels in (2, 4) else None)  # type: ignore[arg-type]
