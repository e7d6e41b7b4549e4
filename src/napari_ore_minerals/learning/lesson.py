"""Lesson: what a user has said of one map, as a value: every step gives a new one, and undoing goes back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_ore_minerals.minerals import UNCLASSIFIED, Mineral, MineralTable

from .corrections import Cell, Correction, merged, with_mineral, without_mineral

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.mineral_map import MineralMap


MOST_STEPS = 200  # that can be undone


class Stroke(NamedTuple):
    """What painting changed.

    Attributes
    ----------
    said : dict
        Codes by cell.
    blank : tuple of Cell
        Painted over with "unclassified".
    unknown : dict
        Values that are no mineral, with the number of cells: pointed out, never learnt.
    """

    said: dict[Cell, int]
    blank: tuple[Cell, ...]
    unknown: dict[int, int]


class _Step(NamedTuple):
    """What undoing goes back to."""

    minerals: MineralTable
    said: Mapping[Cell, Correction]
    blank: frozenset[Cell]


@dataclass(frozen=True)
class Lesson:
    """What a user has said of one map.

    Attributes
    ----------
    base : MineralMap
        As the model gave it; it is never changed.
    minerals : MineralTable
        Those of the map, with the user's own and without those that were left out.
    said : mapping of Cell to Correction
        In the order in which it was said.
    blank : frozenset of Cell
        Painted over with "unclassified": shown so, and nothing is learnt from them.
    """

    base: MineralMap
    minerals: MineralTable
    said: Mapping[Cell, Correction] = field(default_factory=dict)
    blank: frozenset[Cell] = frozenset()
    _past: tuple[_Step, ...] = field(default=(), repr=False, compare=False)
    _future: tuple[_Step, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, mineral_map: MineralMap, *, after: Iterable[Lesson] = ()) -> Lesson:
        """Begin with a map of which nothing was said, and with minerals that were taught in other lessons."""
        minerals = mineral_map.minerals
        for other in after:
            taught = {one.code for one in other.corrections}
            minerals, _ = merged(minerals, [one for one in other.minerals if one.code in taught])
        return cls(mineral_map, minerals)

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """What was said, in order."""
        return tuple(self.said.values())

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to go back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone."""
        return bool(self._future)

    def say(self, cells: Mapping[Cell, int], *, blank: Iterable[Cell] = (), now: str = "") -> Lesson:
        """Say what cells are, and that others are to be left unclassified, in one step.

        Saying what the model said confirms it; saying what was said already changes nothing.

        Raises
        ------
        KeyError
            If a code is of no mineral of this lesson.
        """
        emptied = frozenset(blank)
        said = {cell: one for cell, one in self.said.items() if cell not in emptied}
        for cell, code in cells.items():
            self.minerals.by_code(code)
            if cell not in said or said[cell].code != code:
                said.pop(cell, None)
                said[cell] = self._correction(cell, code, now)
        return self._changed(said, (self.blank | emptied) - cells.keys())

    def take_back(self, cells: Iterable[Cell]) -> Lesson:
        """Take back what was said of cells."""
        named = frozenset(cells)
        said = {cell: one for cell, one in self.said.items() if cell not in named}
        return self._changed(said, self.blank - named)

    def take_back_all(self) -> Lesson:
        """Take back everything."""
        return self.take_back((*self.said, *self.blank))

    def with_mineral(
        self, *, name: str, symbol: str, colour: str, kind: Literal["ore", "gangue"] = "ore"
    ) -> Lesson:
        """Add a mineral; `DatasetError` if name, symbol or colour is not valid or taken."""
        table = with_mineral(self.minerals, name=name, symbol=symbol, colour=colour, kind=kind)
        return self._next(minerals=table)

    def without_mineral(self, code: int) -> Lesson:
        """Leave a mineral out, and take back what was said of it; `DatasetError` if it is none, or too few remain."""
        said = {cell: one for cell, one in self.said.items() if one.code != code}
        return self._next(minerals=without_mineral(self.minerals, code), said=said)

    def with_older(self, corrections: Iterable[Correction], minerals: Iterable[Mineral] = ()) -> Lesson:
        """Take over corrections of this picture and grid that were made earlier.

        Parameters
        ----------
        corrections
            Those of another picture or grid are left out, as are codes that are of no mineral.
        minerals
            What their codes meant, if not what they mean now; they are matched by name, and those that are not
            here are added.
        """
        fingerprint, grid = self.base.picture.fingerprint, self.base.grid
        older = [one for one in corrections if one.is_of(fingerprint, grid) and one.cell not in self.said]
        used = {one.code for one in older}
        table, codes = merged(self.minerals, [mineral for mineral in minerals if mineral.code in used])
        said = dict(self.said)
        for one in older:
            code = codes.get(one.code, one.code)
            if code in table.codes:
                said[one.cell] = self._correction(one.cell, code, one.time)
        return self if said == dict(self.said) else self._next(said=said, minerals=table)

    def undo(self) -> Lesson:
        """Go back one step; the lesson itself where there is none."""
        if not self._past:
            return self
        return Lesson(
            self.base, *self._past[-1], _past=self._past[:-1], _future=(self._step(), *self._future)
        )

    def redo(self) -> Lesson:
        """Do again what was undone; the lesson itself where nothing was."""
        if not self._future:
            return self
        return Lesson(
            self.base, *self._future[0], _past=(*self._past, self._step()), _future=self._future[1:]
        )

    def answers(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return labels with what was said laid over them."""
        found = labels.copy()
        for cell, one in self.said.items():
            found[cell] = one.code
        for cell in self.blank:
            found[cell] = UNCLASSIFIED
        return found

    def _changed(self, said: Mapping[Cell, Correction], blank: frozenset[Cell]) -> Lesson:
        if said == dict(self.said) and blank == self.blank:
            return self
        return self._next(said=said, blank=blank)

    def _next(self, **changes: Any) -> Lesson:
        return replace(self, **changes, _past=(*self._past, self._step())[-MOST_STEPS:], _future=())

    def _step(self) -> _Step:
        return _Step(self.minerals, self.said, self.blank)

    def _correction(self, cell: Cell, code: int, now: str) -> Correction:
        grid = self.base.grid
        return Correction(
            picture=self.base.picture.fingerprint,
            row=cell.row,
            column=cell.column,
            tile_px=grid.tile_px,
            stride_px=grid.stride_px,
            height_px=grid.height_px,
            width_px=grid.width_px,
            code=code,
            kind="confirmed" if self.base.labels[cell] == code else "corrected",
            time=now or datetime.now(UTC).isoformat(timespec="seconds"),
            model=self.base.model.weights_sha256,
        )


def stroke(seen: NDArray[np.integer], painted: NDArray[np.integer], minerals: MineralTable) -> Stroke:
    """Compare what was last written on a layer with what stands there now.

    Parameters
    ----------
    seen, painted : (rows, columns) int arrays
        Undoing and redoing in napari send no event of painting, therefore values are compared.
    """
    cells = [Cell(int(row), int(column)) for row, column in np.argwhere(seen != painted)]
    values = {cell: int(painted[cell]) for cell in cells}
    said = {cell: value for cell, value in values.items() if value in minerals.codes}
    unknown: dict[int, int] = {}
    for value in values.values():
        if value != UNCLASSIFIED and value not in minerals.codes:
            unknown[value] = unknown.get(value, 0) + 1
    return Stroke(said, tuple(cell for cell, value in values.items() if value == UNCLASSIFIED), unknown)
