"""What a model answers where the truth is known, picture by picture, as a card keeps it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS = 100_000
MAX_NUMBERS = 20_000

_Line = Annotated[str, StringConstraints(pattern=r"^\d{1,6}( \d{1,6})*$", max_length=100_000)]


class ConfusionRecord(BaseModel):
    """Shares of the area of held-out pictures, by what is there and what the class maps say of it.

    Attributes
    ----------
    what : str
        Which pictures, and how they were measured.
    pictures : tuple of str
        A line a picture: its table of true minerals (rows) by answered minerals (columns), row by row, in
        parts per 100 000 of the picture. Answers are probabilities at the places of the class maps, summed.
        Pictures are kept apart because errors of one picture are alike.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    what: Annotated[str, StringConstraints(max_length=2000)]
    pictures: Annotated[tuple[_Line, ...], Field(min_length=2, max_length=1000)]

    @model_validator(mode="after")
    def _square(self) -> Self:
        counts = {line.count(" ") + 1 for line in self.pictures}
        numbers = counts.pop()
        if counts or math.isqrt(numbers) ** 2 != numbers:
            raise ValueError("every picture needs the same square table of true by answered minerals")
        if numbers * len(self.pictures) > MAX_NUMBERS:
            raise ValueError(f"a confusion record has at most {MAX_NUMBERS} numbers; name fewer pictures")
        return self

    @classmethod
    def of(cls, matrices: NDArray[np.floating], what: str) -> Self:
        """Record of (pictures, true, answered) shares or counts; each picture is made to add up to 1."""
        shares = matrices / matrices.sum(axis=(1, 2), keepdims=True)
        parts = np.rint(shares * PARTS).astype(int).reshape(len(shares), -1)
        return cls(what=what, pictures=tuple(" ".join(map(str, line)) for line in parts))

    @property
    def classes(self) -> int:
        """Number of minerals."""
        return math.isqrt(self.pictures[0].count(" ") + 1)

    def matrices(self) -> NDArray[np.float64]:
        """(pictures, true, answered) shares of the area of each picture; each picture adds up to 1."""
        values = np.array([line.split() for line in self.pictures], float)
        total = np.maximum(values.sum(axis=1, keepdims=True), 1.0)
        found: NDArray[np.float64] = (values / total).reshape(-1, self.classes, self.classes)
        return found
