"""A picture's file opened as it was when it was taught, which need not be as this program would open it today.

A viewer shows a photograph as it lies in its file, not upright, and inks as if they were light; of a stack one
plane was taught, and nothing but its pixels tells which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from napari_ore_minerals.errors import DatasetError, OptionError, PictureError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import PictureAnswers, ReadOptions

OTHER_PIXELS = "its file gives other pixels than were taught, however it is read: it was saved again"
MOST_PLANES = 1000
UNANSWERED = PictureAnswers()
_SALVAGED = ReadOptions(salvage=True)


def open_as_taught(path: Path, fingerprint: str, answers: PictureAnswers = UNANSWERED) -> Micrograph:
    """Open the picture of a file whose pixels have a fingerprint.

    Parameters
    ----------
    path
        PNG, JPEG, BMP, TIFF or Zarr.
    fingerprint
        As `Micrograph.fingerprint` gives it.
    answers
        With which it was opened, where they are known.

    Raises
    ------
    DatasetError
        If the file gives other pixels, however it is read.
    PictureError
        If it cannot be read.
    """
    refused: PictureError | None = None
    read = False
    for opened in _ways(path, answers):
        try:
            picture = opened()
        except (PictureError, OptionError) as error:
            refused = refused or (error if isinstance(error, PictureError) else None)
            continue
        read = True
        if picture.fingerprint() == fingerprint:
            return replace(picture, path=path)
    if refused is not None and not read:
        raise refused
    raise DatasetError(f"{path.name}: {OTHER_PIXELS}; open the picture that was taught")


def _ways(path: Path, answers: PictureAnswers) -> Iterator[Callable[[], Micrograph]]:
    """How the picture may have been opened, the likeliest first."""
    if answers != UNANSWERED:
        yield partial(Micrograph.open, path, options=answers.salvaging())
    yield partial(Micrograph.open, path)
    yield partial(Micrograph.open, path, options=_SALVAGED)
    yield partial(_as_it_lies, path)
    for plane in islice(np.ndindex(_planes(path)), MOST_PLANES):
        yield partial(Micrograph.open, path, options=ReadOptions(plane=plane, salvage=True))


def _as_it_lies(path: Path) -> Micrograph:
    """A photograph as viewers show it: its orientation does not count, and four inks are colours with an alpha."""
    from PIL import Image

    if path.is_dir():
        raise PictureError(f"{path.name}: is a folder, not a photograph.")
    try:
        with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
            values = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path.name}: is no photograph that can be read ({error}).") from error
    return Micrograph.from_array(values, name=path.name, options=ReadOptions(rgb=values.ndim == 3))


def _planes(path: Path) -> tuple[int, ...]:
    """How many planes a TIFF holds along each axis in front of the picture's; (0,) if it holds one, or is none."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = max(tiff.series, key=lambda one: one.size)
            axes = zip(series.axes, series.shape, strict=True)
            lengths = tuple(int(length) for letter, length in axes if letter not in "YXS" and length > 1)
    except (OSError, ValueError, tifffile.TiffFileError):
        return (0,)
    return lengths or (0,)
