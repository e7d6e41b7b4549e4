"""Sorting tiles by eye: what was said of each tile, and how to take it back.  Knows no screen."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.minerals import Mineral, MineralTable

from .collection import TileDataset, TileLabel
from .naming import mineral_name, minerals_named

NOTHING = TileLabel("")
ALL, TO_SORT, UNSURE, SEVERAL = "all tiles", "to be sorted", "unsure", "several minerals"
MAX_MINERALS = 255
_GOLDEN = 0.618034


class Change(NamedTuple):
    """What was said of a tile before and after."""

    tile: str
    before: TileLabel
    after: TileLabel


class Sorting:
    """Labels of the tiles of a dataset while somebody sorts them.

    Parameters
    ----------
    dataset
        Stays as it is.
    """

    def __init__(self, dataset: TileDataset) -> None:
        self.dataset = dataset
        self.minerals = dataset.minerals
        self.tiles: tuple[str, ...] = tuple(dataset.table["tile"])
        self._saved = labels_of(dataset)
        self._labels = dict(self._saved)
        self._counts = Counter(map(_kind, self._labels.values()))
        self._unsure = sum(not label.sure for label in self._labels.values())
        self._done: list[tuple[Change, ...]] = []
        self._undone: list[tuple[Change, ...]] = []
        self._pending: dict[str, TileLabel] = {}

    def label(self, tile: str) -> TileLabel:
        """What is said of a tile."""
        return self._labels[tile]

    def is_sorted(self, tile: str) -> bool:
        """Whether a tile has a mineral, or is known to show several."""
        return _kind(self._labels[tile]) != ""

    def decide(self, labels: Mapping[str, TileLabel]) -> tuple[Change, ...]:
        """Say something of some tiles, as one step that can be taken back.

        Returns
        -------
        tuple of Change
            Empty where nothing is new.

        Raises
        ------
        DatasetError
            If there is no such mineral or tile.
        """
        self._check(labels)
        changes = tuple(
            Change(tile, self._labels[tile], label)
            for tile, label in labels.items()
            if self._labels[tile] != label
        )
        if changes:
            self._done.append(changes)
            self._undone.clear()
            self._apply((change.tile, change.after) for change in changes)
        return changes

    def restore(self, labels: Mapping[str, TileLabel]) -> int:
        """Take over what was said in an earlier sitting; it cannot be taken back step by step.

        Returns
        -------
        int
            How many of the tiles are no longer in the dataset.
        """
        known = {tile: label for tile, label in labels.items() if tile in self._labels}
        self._check(known)
        self._apply(known.items())
        return len(labels) - len(known)

    def undo(self) -> tuple[Change, ...]:
        """Take the last step back; returns its changes, turned round."""
        if not self._done:
            return ()
        changes = self._done.pop()
        self._undone.append(changes)
        self._apply((change.tile, change.before) for change in changes)
        return tuple(Change(change.tile, change.after, change.before) for change in changes)

    def redo(self) -> tuple[Change, ...]:
        """Do again what was taken back last."""
        if not self._undone:
            return ()
        changes = self._undone.pop()
        self._done.append(changes)
        self._apply((change.tile, change.after) for change in changes)
        return changes

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back."""
        return bool(self._undone)

    def add_mineral(self, name: str) -> Mineral:
        """Add a mineral behind the others; one that is there already is returned.

        Raises
        ------
        DatasetError
            If the name cannot be one, or there are too many.
        """
        name = mineral_name(name)
        if name not in {mineral.name for mineral in self.minerals}:
            self.minerals = with_mineral(self.minerals, name)
        return self.minerals.by_name(name)

    def chosen(self, which: str) -> tuple[str, ...]:
        """Tiles to look at: `ALL`, `TO_SORT`, `UNSURE`, `SEVERAL`, or the name of a mineral."""
        if which == ALL:
            return self.tiles
        if which == UNSURE:
            return tuple(tile for tile in self.tiles if not self._labels[tile].sure)
        wanted = "" if which == TO_SORT else which
        return tuple(tile for tile in self.tiles if _kind(self._labels[tile]) == wanted)

    def count(self, kind: str) -> int:
        """Count the tiles of a mineral, or with `SEVERAL`."""
        return self._counts[kind]

    @property
    def sorted_count(self) -> int:
        """How many tiles are sorted."""
        return len(self.tiles) - self._counts[""]

    @property
    def unsure_count(self) -> int:
        """How many tiles somebody was unsure of."""
        return self._unsure

    def progress(self) -> str:
        """Tell how far it is: ``"312 of 1,204 sorted, 18 unsure"``."""
        unsure = f", {self._unsure:,} unsure" if self._unsure else ""
        return f"{self.sorted_count:,} of {len(self.tiles):,} sorted{unsure}"

    def pending(self) -> dict[str, TileLabel]:
        """What is not in the dataset's files yet."""
        return dict(self._pending)

    def saved(self, labels: Mapping[str, TileLabel]) -> None:
        """Take note of what is in the dataset's files now."""
        self._saved.update(labels)
        for tile in labels:
            self._note(tile)

    def _check(self, labels: Mapping[str, TileLabel]) -> None:
        names = {mineral.name for mineral in self.minerals} | {""}
        for tile, label in labels.items():
            if tile not in self._labels:
                raise DatasetError(f"dataset {self.dataset.name} has no tile {tile}")
            if label.mineral not in names:
                raise DatasetError(
                    f"{label.mineral} is no mineral of dataset {self.dataset.name}: add it first"
                )

    def _apply(self, labels: Iterable[tuple[str, TileLabel]]) -> None:
        for tile, label in labels:
            before = self._labels[tile]
            self._counts[_kind(before)] -= 1
            self._counts[_kind(label)] += 1
            self._unsure += int(not label.sure) - int(not before.sure)
            self._labels[tile] = label
            self._note(tile)

    def _note(self, tile: str) -> None:
        """Keep track of what is not in the files."""
        if self._labels[tile] == self._saved[tile]:
            self._pending.pop(tile, None)
        else:
            self._pending[tile] = self._labels[tile]


def labels_of(dataset: TileDataset) -> dict[str, TileLabel]:
    """What a dataset's table says of each tile, in its order."""
    table = dataset.table
    several = (table["origin"] == "hand") & (table["mineral"] == "")
    columns = (table["tile"], table["mineral"], table["sure"], several)
    return {
        tile: TileLabel(mineral, bool(sure), bool(many))
        for tile, mineral, sure, many in zip(*(column.tolist() for column in columns), strict=True)
    }


def with_mineral(minerals: MineralTable, name: str) -> MineralTable:
    """Add a mineral behind the others, whose codes, symbols and colours stay.

    Raises
    ------
    DatasetError
        If there are too many.
    """
    if len(minerals) >= MAX_MINERALS:
        raise DatasetError(f"a dataset has at most {MAX_MINERALS} minerals")
    taken = {getattr(mineral, what) for mineral in minerals for what in ("code", "symbol", "colour")}
    found = minerals_named([name])[0]
    symbols = (found.symbol, *(f"{found.symbol}{number}" for number in range(2, MAX_MINERALS + 2)))
    codes, colours = (found.code, *range(1, MAX_MINERALS + 1)), (found.colour, *_colours())
    changes = {
        what: next(value for value in values if value not in taken)
        for what, values in (("code", codes), ("symbol", symbols), ("colour", colours))
    }
    return MineralTable.of([*minerals, found.model_copy(update=changes)])


def _colours() -> Iterable[str]:
    for number in range(2 * MAX_MINERALS):
        rgb = colorsys.hls_to_rgb((0.08 + _GOLDEN * number) % 1.0, 0.5 if number % 2 else 0.68, 0.6)
        yield "#" + "".join(f"{round(255 * value):02x}" for value in rgb)


def _kind(label: TileLabel) -> str:
    """Mineral, `SEVERAL`, or "" for a tile that is still to be sorted."""
    return SEVERAL if label.several else label.mineral
