"""Which cell next: the cells whose answer would teach most, one at a time and never twenty times the same.

The state is a value: every step gives a new one, and undoing is going back to the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_ore_minerals.errors import OptionError

from .corrections import Cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.features import CellFeatures
    from napari_ore_minerals.maps.mineral_map import MineralMap

LEAST_DOUBT = 0.1  # so that a cell unlike all others is asked about even where the model is sure of it
_CELLS_AT_ONCE = 4096

Verdict = Literal["accepted", "chosen", "skipped"]


@dataclass(frozen=True)
class Answer:
    """What the user said of a cell: ``code`` is None for a skipped one."""

    cell: Cell
    verdict: Verdict
    code: int | None


@dataclass(frozen=True)
class Review:
    """A review under way.

    Attributes
    ----------
    answers : tuple of Answer
        What was said so far, in order.
    cell : Cell or None
        The cell that is asked about; None when all have been.
    """

    answers: tuple[Answer, ...] = ()
    cell: Cell | None = None
    _before: Review | None = field(default=None, repr=False, compare=False)

    @property
    def seen(self) -> frozenset[Cell]:
        """Cells that need not be asked about again."""
        return frozenset(answer.cell for answer in self.answers)

    @property
    def taught(self) -> dict[Cell, int]:
        """What is to be learnt: codes by cell."""
        return {answer.cell: answer.code for answer in self.answers if answer.code is not None}

    @property
    def confirmed(self) -> frozenset[Cell]:
        """Cells whose answer the user accepted."""
        return frozenset(answer.cell for answer in self.answers if answer.verdict == "accepted")

    def asking(self, cell: Cell | None) -> Review:
        """Ask about a cell."""
        return replace(self, cell=cell)

    def accept(self, code: int) -> Review:
        """The answer `code` of the map is right."""
        return self._said("accepted", code)

    def choose(self, code: int) -> Review:
        """The cell is of another mineral."""
        return self._said("chosen", code)

    def skip(self) -> Review:
        """The user cannot or will not say."""
        return self._said("skipped", None)

    def undo(self) -> Review:
        """Go back to before the last answer, with its cell asked about again; the same where there is none."""
        return self if self._before is None else self._before

    def _said(self, verdict: Verdict, code: int | None) -> Review:
        if self.cell is None:
            raise OptionError("no cell is asked about: ask for the next one first")
        if code is not None and not 1 <= code <= 255:
            raise OptionError(f"{code} is no code of a mineral: choose one of the list, or skip the cell")
        answer = Answer(self.cell, verdict, code)
        return Review((*self.answers, answer), None, self)


def next_cell(
    mineral_map: MineralMap,
    features: CellFeatures,
    review: Review,
    *,
    corrected: frozenset[Cell] = frozenset(),
) -> Cell | None:
    """Choose the cell whose answer would teach most.

    Parameters
    ----------
    mineral_map
        As it stands, refitted to what has been said.
    features
        Filled by the classification that made the map.
    review
        Cells seen in it, skipped ones among them, are not asked about again.
    corrected
        Cells that were painted outside the review.

    Returns
    -------
    Cell or None
        Doubt (entropy of the probabilities) times distance in features to the nearest cell that the user
        has seen is largest there; the first one row by row among equals.  None if all cells have been seen.
    """
    seen = review.seen | corrected
    usable = mineral_map.processed & features.known
    cells = np.argwhere(usable)
    fresh = np.array([(row, column) not in seen for row, column in cells.tolist()], dtype=bool)
    if not fresh.any():
        return None
    values = features.standardised(cells)
    places = np.cumsum(usable.ravel()).reshape(usable.shape) - 1
    rows = [places[cell] for cell in sorted(seen) if _inside(cell, usable)]
    gain = (doubt(mineral_map)[usable] + LEAST_DOUBT) * distance_to(values, values[rows])
    gain[~fresh] = -1.0
    row, column = cells[int(np.round(gain, 9).argmax())].tolist()
    return Cell(row, column)


def doubt(mineral_map: MineralMap) -> NDArray[np.float64]:
    """Entropy of the probabilities of each cell over its largest possible value: (rows, columns), 0 to 1."""
    shares = mineral_map.probabilities.astype(np.float64)
    logs = np.log(np.maximum(shares, 1e-12))
    found: NDArray[np.float64] = -(shares * logs).sum(axis=-1) / np.log(shares.shape[-1])
    return found


def distance_to(values: NDArray[np.float32], seen: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distance of each row of `values` to the nearest row of `seen`; 1 where there is none."""
    if not len(seen):
        return np.ones(len(values))
    nearest = np.empty(len(values))
    squares = (seen.astype(np.float64) ** 2).sum(axis=1)
    for start in range(0, len(values), _CELLS_AT_ONCE):
        part = values[start : start + _CELLS_AT_ONCE].astype(np.float64)
        apart = (part**2).sum(axis=1)[:, np.newaxis] + squares - 2 * part @ seen.T.astype(np.float64)
        nearest[start : start + _CELLS_AT_ONCE] = np.sqrt(np.maximum(apart.min(axis=1), 0))
    return nearest


def _inside(cell: Cell, usable: NDArray[np.bool_]) -> bool:
    rows, columns = usable.shape
    return 0 <= cell[0] < rows and 0 <= cell[1] < columns and bool(usable[cell])
