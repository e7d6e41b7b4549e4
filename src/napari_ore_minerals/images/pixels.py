"""What every picture looks like to the rest of the program: windows of RGB bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

SMALL_PICTURE_PX = 2**21
SAMPLES_PER_AXIS = 7
SAMPLE_PX = 96


class Window(NamedTuple):
    """A rectangle of a picture, in picture pixels; rows and columns, never x and y.

    Attributes
    ----------
    row, column : int
        First row and first column.
    height, width : int
        Size in pixels.
    """

    row: int
    column: int
    height: int
    width: int


class Pixels(NamedTuple):
    """The pixels of a window.

    Attributes
    ----------
    rgb : ndarray of uint8, shape (height, width, 3)
        0 where there are no data.
    finite : ndarray of bool, shape (height, width), or None
        False where there are no data: not a number, infinite or fully transparent; None if all are data.
    """

    rgb: NDArray[np.uint8]
    finite: NDArray[np.bool_] | None


class Holes(NamedTuple):
    """What a picture that is stored in chunks does not show.

    Attributes
    ----------
    chunks : int
        Number of chunks, or of a TIFF's tiles or strips; 0 where the picture has none.
    missing : int
        Chunks that its file or folder did not hold when it was opened: never written, or lost.
    damaged : int
        Chunks that could not be read so far.
    """

    chunks: int = 0
    missing: int = 0
    damaged: int = 0


class PixelSource(Protocol):
    """Whatever can give windows of RGB bytes; reading is safe from several threads."""

    @property
    def height_px(self) -> int:
        """Rows of the picture."""
        ...

    @property
    def width_px(self) -> int:
        """Columns of the picture."""
        ...

    def read(self, window: Window) -> Pixels:
        """Pixels of a `window` that lies inside the picture."""
        ...


@dataclass(frozen=True)
class Guess:
    """Something that was assumed because the source does not tell it, shown to the user.

    Attributes
    ----------
    what : str
        ``"channel order"``, ``"bit depth"``, ``"value range"``, ``"scale"``, ``"alpha"``, ``"colour"``,
        ``"orientation"`` or ``"plane"``.
    value : str
        What was assumed.
    why : str
        What speaks for it, or what it means for the result.
    """

    what: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.value} ({self.why})"


def _as_tuple(value: Any) -> Any:
    return None if value is None else tuple(np.atleast_1d(value).tolist())


class PictureAnswers(BaseModel):
    """Answers of the user to what a picture may leave open; what is not answered is told by the source or guessed.

    Attributes
    ----------
    bit_depth : int, optional
        True depth of integer values, 1 to 16: 12 for a 12-bit camera that writes 16-bit files.
    value_range : (float, float), optional
        Values shown as black and as white; values beyond are clipped.
    channel_order : "rgb" or "bgr"
        Order of the colours; ``"bgr"`` for arrays from OpenCV.
    channel_axis : int, optional
        Axis of the array (or of the TIFF series) that holds 3 or 4 colours.
    plane : int or tuple of int, optional
        Which plane of a stack: one index for each axis in front of the picture's own.
    level : int
        Pyramid level, 0 the finest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bit_depth: int | None = Field(
        None,
        ge=1,
        le=16,
        title="Bit depth",
        description="True depth of whole numbers: 12 for a 12-bit camera that writes 16-bit files.",
    )
    value_range: tuple[float, float] | None = Field(
        None,
        title="Value range",
        description="Values that are black and white, such as 0 4095; what lies beyond is clipped.",
    )
    channel_order: Literal["rgb", "bgr"] = Field(
        "rgb",
        title="Channel order",
        description="Order of the colours; bgr for pictures that OpenCV mixed up.",
    )
    channel_axis: int | None = Field(
        None, title="Channel axis", description="Axis that holds the 3 or 4 colours, counted from 0."
    )
    plane: Annotated[tuple[int, ...], BeforeValidator(_as_tuple)] | None = Field(
        None,
        title="Plane",
        description="Which plane of a stack: one number, counted from 0, for each axis before rows and columns.",
    )
    level: int = Field(0, ge=0, title="Level", description="Level of a pyramid; 0 is the finest.")

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if self.value_range is not None:
            low, high = self.value_range
            if not (np.isfinite([low, high]).all() and low < high):
                raise ValueError(
                    f"the value range must rise from one finite value to another, not from {low:g} to {high:g}"
                )
        return self

    def salvaging(self) -> ReadOptions:
        """Return how to open the picture so that what is damaged in it is left out."""
        return ReadOptions(**self._answered(), salvage=True)

    def _answered(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in PictureAnswers.model_fields}


class ReadOptions(PictureAnswers):
    """Answers, and what the caller knows of its source.

    Attributes
    ----------
    rgb : bool, optional
        For arrays: whether the last axis holds colours (as napari's image layers know).
    salvage : bool
        Whether tiles and chunks that cannot be read have no data, instead of being an error.
    """

    rgb: bool | None = None
    salvage: bool = False

    @property
    def answers(self) -> PictureAnswers:
        """What the user answered."""
        return PictureAnswers(**self._answered())


def sample_windows(height_px: int, width_px: int) -> Iterator[Window]:
    """Windows to judge a picture by: all of a small one, else 49 spread windows of 96 pixels.

    They depend on the size alone, so that the same pixels are judged alike whatever they come from.
    """
    if height_px * width_px <= SMALL_PICTURE_PX:
        yield Window(0, 0, height_px, width_px)
        return
    rows, height = _starts(height_px)
    columns, width = _starts(width_px)
    for row, column in product(rows, columns):
        yield Window(row, column, height, width)


def _starts(length_px: int) -> tuple[list[int], int]:
    size = min(SAMPLE_PX, length_px)
    starts = np.linspace(0, length_px - size, SAMPLES_PER_AXIS).astype(int).tolist()
    return sorted(set(starts)), size
