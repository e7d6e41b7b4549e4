"""Corrections: what a user painted on a map, cell by cell, as examples to learn from.

They are found by comparing what is painted with what was predicted, never from events of
painting, since undoing and redoing send none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.minerals import UNCLASSIFIED, Mineral, MineralTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.maps.mineral_map import MineralMap

LARGEST_CODE = 255

_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Pixels = Annotated[int, Field(ge=1, le=1 << 31)]
_Place = Annotated[int, Field(ge=0, le=1 << 31)]


class Cell(NamedTuple):
    """A cell of a map."""

    row: int
    column: int


class Correction(BaseModel):
    """One cell of which the user said what it is.

    Attributes
    ----------
    picture : str
        Fingerprint of the picture.
    row, column : int
        Of the cell.
    tile_px, stride_px, height_px, width_px : int
        The grid that the cell is of.
    code : int
        Of the mineral.
    kind : "corrected" or "confirmed"
        Whether the user changed the answer or said that it is right.
    time : str
        When, ISO 8601 in UTC.
    model : str
        SHA-256 of the weights that gave the answer.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    picture: _Sha256
    row: _Place
    column: _Place
    tile_px: _Pixels
    stride_px: _Pixels
    height_px: _Pixels
    width_px: _Pixels
    code: Annotated[int, Field(ge=1, le=LARGEST_CODE)]
    kind: Literal["corrected", "confirmed"]
    time: Annotated[str, StringConstraints(max_length=40)]
    model: _Sha256

    @property
    def cell(self) -> Cell:
        """The cell."""
        return Cell(self.row, self.column)

    def is_of(self, picture: str, grid: TileGrid) -> bool:
        """Tell whether it is of this picture and this grid."""
        mine = (self.picture, self.height_px, self.width_px, self.tile_px, self.stride_px)
        return mine == (picture, grid.height_px, grid.width_px, grid.tile_px, grid.stride_px)


@dataclass(frozen=True)
class Found:
    """What comparing gave.

    Attributes
    ----------
    cells : (n, 2) int array
        Rows and columns of the cells that were corrected or confirmed, row by row.
    codes : (n,) uint8 array
        What the user says they are.
    corrected : (n,) bool array
        False where the answer was confirmed.
    unknown : dict
        Painted values that are no mineral, with the number of cells: to be pointed out, never trained on.
    erased : int
        Cells painted over with "unclassified": the user takes the answer back and gives none.
    """

    cells: NDArray[np.intp]
    codes: NDArray[np.uint8]
    corrected: NDArray[np.bool_]
    unknown: dict[int, int]
    erased: int


def found_corrections(
    predicted: NDArray[np.integer],
    painted: NDArray[np.integer],
    confirmed_cells: Iterable[tuple[int, int]],
    minerals: MineralTable,
) -> Found:
    """Compare painted labels with predicted ones.

    Parameters
    ----------
    predicted : (rows, columns) int array
        Codes of the map as it was shown.
    painted : (rows, columns) int array
        Codes as they stand on the layer now; any integers.
    confirmed_cells : iterable of (row, column)
        Cells that the user confirmed with a key or painted with the same value.
    minerals : MineralTable
        The minerals that exist; other values are unknown.

    Returns
    -------
    Found
        A confirmed cell that was unclassified or unknown is not confirmed: there is nothing to learn from it.

    Raises
    ------
    DatasetError
        If the two differ in shape, or a confirmed cell lies outside.
    """
    if predicted.shape != painted.shape or predicted.ndim != 2:
        raise DatasetError(f"the map has {predicted.shape} cells, the painted labels {painted.shape}")
    confirmed = np.zeros(painted.shape, dtype=bool)
    for row, column in confirmed_cells:
        if not (0 <= row < painted.shape[0] and 0 <= column < painted.shape[1]):
            raise DatasetError(f"cell {row}, {column} lies outside the map of {painted.shape} cells")
        confirmed[row, column] = True
    known = np.isin(painted, minerals.codes)
    changed = painted != predicted
    wanted = known & (changed | confirmed)
    strange, counts = np.unique(painted[~known & (painted != UNCLASSIFIED)], return_counts=True)
    return Found(
        cells=np.argwhere(wanted),
        codes=painted[wanted].astype(np.uint8),
        corrected=changed[wanted],
        unknown=dict(zip(strange.tolist(), counts.tolist(), strict=True)),
        erased=int((changed & (painted == UNCLASSIFIED)).sum()),
    )


def as_corrections(found: Found, mineral_map: MineralMap, *, now: str | None = None) -> list[Correction]:
    """Give what was found its picture, grid, model and time (`now`, ISO 8601; by default this moment)."""
    grid = mineral_map.grid
    time = datetime.now(UTC).isoformat(timespec="seconds") if now is None else now
    return [
        Correction(
            picture=mineral_map.picture.fingerprint,
            row=int(row),
            column=int(column),
            tile_px=grid.tile_px,
            stride_px=grid.stride_px,
            height_px=grid.height_px,
            width_px=grid.width_px,
            code=int(code),
            kind="corrected" if corrected else "confirmed",
            time=time,
            model=mineral_map.model.weights_sha256,
        )
        for (row, column), code, corrected in zip(found.cells, found.codes, found.corrected, strict=True)
    ]


def changes(
    older: Sequence[Correction], newer: Sequence[Correction]
) -> tuple[list[Correction], list[Correction]]:
    """Tell what to write to the journal: corrections that were made or altered, and those that were taken back.

    Time and model of an unaltered correction stay what they were.
    """
    before = {(correction.picture, correction.cell): correction for correction in older}
    after = {(correction.picture, correction.cell): correction for correction in newer}
    made = [new for key, new in after.items() if key not in before or not _same_answer(before[key], new)]
    return made, [old for key, old in before.items() if key not in after]


def counts(corrections: Iterable[Correction], minerals: MineralTable) -> dict[int, int]:
    """Number of corrections of each mineral, 0 among them, by code in the order of the table."""
    found = dict.fromkeys(minerals.codes, 0)
    for correction in corrections:
        if correction.code in found:
            found[correction.code] += 1
    return found


def with_mineral(
    minerals: MineralTable, *, name: str, symbol: str, colour: str, kind: Literal["ore", "gangue"] = "ore"
) -> MineralTable:
    """Add a mineral of the user's own under the lowest free code.

    Raises
    ------
    DatasetError
        If name, symbol or colour is not valid or taken, or all codes are.
    """
    free = next((code for code in range(1, LARGEST_CODE + 1) if code not in minerals.codes), None)
    if free is None:
        raise DatasetError(f"there are {LARGEST_CODE} minerals already, and no more codes")
    for what, text, taken in (
        ("named", name, [mineral.name for mineral in minerals]),
        ("with the symbol", symbol, [mineral.symbol for mineral in minerals]),
    ):
        if text.casefold() in [known.casefold() for known in taken]:
            raise DatasetError(f"{name!r} cannot be added: there is a mineral {what} {text} already")
    try:
        mineral = Mineral(code=free, name=name, symbol=symbol, colour=colour, kind=kind)
        return MineralTable.of([*minerals, mineral])
    except ValidationError as error:
        wrong = ", ".join(f"{fault['loc'][0]} {fault['input']!r}" for fault in error.errors() if fault["loc"])
        raise DatasetError(
            f"the mineral {name!r} cannot be added: {wrong or name} is not valid; a name and a symbol are needed, "
            "and a colour such as #8c564b"
        ) from error
    except ValueError as error:
        raise DatasetError(f"the mineral {name!r} cannot be added: {error}") from error


def without_mineral(minerals: MineralTable, code: int) -> MineralTable:
    """Leave a mineral out; `DatasetError` if there is none of this code, or it is the last but one."""
    if code not in minerals.codes:
        raise DatasetError(f"there is no mineral of code {code}; there are {minerals.codes}")
    if len(minerals) < 3:
        raise DatasetError("a map needs at least two minerals to choose from: add another one first")
    return MineralTable.of([mineral for mineral in minerals if mineral.code != code])


def merged(minerals: MineralTable, others: Iterable[Mineral]) -> tuple[MineralTable, dict[int, int]]:
    """Bring minerals of another table into this one, by name: codes differ from model to model.

    Returns
    -------
    table
        With those that were missing, under free codes; one whose symbol is taken gets another symbol.
    codes
        What the codes of the others are in it.

    Raises
    ------
    DatasetError
        If there are no more codes.
    """
    names, codes = {mineral.name.casefold(): mineral.code for mineral in minerals}, {}
    for mineral in others:
        name = mineral.name.casefold()
        if name not in names:
            taken = {text.casefold() for known in minerals for text in (known.symbol, known.name)}
            free = (f"{mineral.symbol[:36]}{number}" for number in range(2, LARGEST_CODE + 3))
            symbols = (symbol for symbol in (mineral.symbol, *free) if symbol.casefold() not in taken)
            minerals = with_mineral(
                minerals, name=mineral.name, symbol=next(symbols), colour=mineral.colour, kind=mineral.kind
            )
            names[name] = minerals[-1].code
        codes[mineral.code] = names[name]
    return minerals, codes


def painted_map(mineral_map: MineralMap, corrections: Iterable[Correction]) -> MineralMap:
    """Return the map with the corrections of its picture and grid laid over its labels."""
    labels = mineral_map.labels.copy()
    for correction in corrections:
        if correction.is_of(mineral_map.picture.fingerprint, mineral_map.grid):
            labels[correction.cell] = correction.code
    return replace(mineral_map, labels=labels)


def by_cell(corrections: Iterable[Correction]) -> Mapping[tuple[str, Cell], Correction]:
    """Corrections by picture and cell, the last one said of a cell."""
    return {(correction.picture, correction.cell): correction for correction in corrections}


def _same_answer(one: Correction, other: Correction) -> bool:
    return (one.code, one.kind) == (other.code, other.kind)
