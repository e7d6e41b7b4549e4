"""One dataset while it is sorted: what a key does to labels, journal and page.  Knows no screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.pixels import Window
from napari_ore_minerals.learning.collection import TileDataset, TileLabel
from napari_ore_minerals.learning.sorting import ALL, NOTHING, SEVERAL
from napari_ore_minerals.learning.sorting_journal import SortingJournal, resume, save
from napari_ore_minerals.learning.tile_cache import picture_path
from napari_ore_minerals.widgets.sheet import Sheet
from napari_ore_minerals.widgets.tile_context import Photographs
from napari_ore_minerals.widgets.tile_pages import PAGES_KEPT, SEVERAL_COLOUR, Drawn, TileReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_ore_minerals.learning.sorting import Change
    from napari_ore_minerals.minerals import MineralTable


class Saving(NamedTuple):
    """What is on its way into the dataset's files."""

    folder: Path
    labels: dict[str, TileLabel]
    minerals: MineralTable

    def write(self) -> Saving:
        """Write it; errors as `sorting_journal.save`."""
        save(self.folder, self.labels, self.minerals)
        return self


class Sitting:
    """A dataset that is being sorted; begins at the first tile without a label.

    Parameters
    ----------
    folder
        Of the dataset.

    Raises
    ------
    DatasetError
        If it is no dataset, or another viewer sorts it.
    """

    def __init__(self, folder: Path) -> None:
        dataset = TileDataset.open(folder, checked=False)
        self.journal = SortingJournal(dataset.folder)
        try:
            self.sorting, self.notice = resume(dataset)
        except DatasetError:
            self.journal.close()
            raise
        self._saved_minerals = {mineral.name for mineral in dataset.minerals}
        self._facts = dataset.table.set_index("tile", drop=False)
        self._last = NOTHING
        self.advance, self.shown = True, ALL
        self.sheet = Sheet(self.sorting.tiles)
        self.reader = TileReader(dataset, kept=PAGES_KEPT * self.sheet.per_page)
        self.photographs = Photographs()
        self.acts = {
            "unsure": self.unsure,
            "several": self.several,
            "unlabel": self.unlabel,
            "fill": self.fill,
            "undo": self.undo,
            "redo": self.redo,
            "next to sort": self.next_to_sort,
        }
        first = next((tile for tile in self.sheet.tiles if not self.sorting.is_sorted(tile)), None)
        if first is not None:
            self.sheet.go_to(first)

    def give(self, number: int) -> None:
        """Give the current tile the mineral of a number, from 0; nothing where there is none."""
        tile = self.sheet.tile
        if tile is not None and number < len(self.sorting.minerals):
            label = self.sorting.label(tile)
            self._decide(tile, TileLabel(self.sorting.minerals[number].name, label.sure))

    def several(self) -> None:
        """Say that the current tile shows more than one mineral, or take that back."""
        tile = self.sheet.tile
        if tile is not None:
            label = self.sorting.label(tile)
            self._decide(tile, TileLabel("", label.sure, not label.several))

    def unsure(self) -> None:
        """Say that the label of the current tile is unsure, or sure; it stays the current one."""
        tile = self.sheet.tile
        if tile is not None:
            label = self.sorting.label(tile)
            self.journal.write(self.sorting.decide({tile: label._replace(sure=not label.sure)}))

    def unlabel(self) -> None:
        """Take the label of the current tile away; it stays the current one."""
        if self.sheet.tile is not None:
            self.journal.write(self.sorting.decide({self.sheet.tile: NOTHING}))

    def fill(self) -> None:
        """Give the label that was given last to all tiles of the page that have none, as one step."""
        label, page = self._last, self.sheet.on_page(self.sheet.page)
        if label == NOTHING:
            return
        bare = [tile for tile in page if not self.sorting.is_sorted(tile)]
        changes = self.sorting.decide(
            {tile: label._replace(sure=self.sorting.label(tile).sure) for tile in bare}
        )
        if changes and self.advance:
            self.next_to_sort()
        self.journal.write(changes)

    def undo(self) -> None:
        """Take the last step back and go to its tile."""
        self._go_to(self.sorting.undo())

    def redo(self) -> None:
        """Do again what was taken back, and go to its tile."""
        self._go_to(self.sorting.redo())

    def add_mineral(self, name: str) -> str:
        """Add a mineral; returns its name.  Errors as `Sorting.add_mineral`."""
        before = len(self.sorting.minerals)
        mineral = self.sorting.add_mineral(name)
        if len(self.sorting.minerals) > before:
            self.journal.add_mineral(mineral.name)
        return mineral.name

    def look_at(self, which: str) -> None:
        """Show some of the tiles only; the current one stays if it is among them."""
        tile, self.shown = self.sheet.tile, which
        self.sheet.tiles, self.sheet.current = self.sorting.chosen(which), 0
        if tile is not None:
            self.sheet.go_to(tile)

    def next_to_sort(self) -> None:
        """Go to the next tile without a label, from the beginning again after the last one."""
        tiles, current = self.sheet.tiles, self.sheet.current
        order = (*range(current + 1, len(tiles)), *range(current))
        self.sheet.current = next((at for at in order if not self.sorting.is_sorted(tiles[at])), current)

    def drawn(self) -> list[Drawn]:
        """The tiles of the current page, as they are drawn."""
        minerals = {mineral.name: mineral for mineral in self.sorting.minerals}
        found = []
        for tile in self.sheet.on_page(self.sheet.page):
            label = self.sorting.label(tile)
            mineral = minerals.get(label.mineral)
            text, colour = (mineral.symbol, mineral.colour) if mineral is not None else ("", "")
            if label.several:
                text, colour = "several", SEVERAL_COLOUR
            found.append(Drawn(self.reader.get(tile), text, colour, not label.sure))
        return found

    def next_to_read(self) -> Callable[[], str] | None:
        """What to read next, in a thread: the current page, the photograph of the current tile, pages around."""
        for step in (0, 1, -1, 2):
            page = self.sheet.on_page(self.sheet.page + step)
            if not self.reader.has(page):
                return partial(self.reader.read, page)
            path = self._photograph()
            if path is not None and not self.photographs.has(path):
                return partial(self.photographs.read, path)
        return None

    def about(self) -> str:
        """Tell which tile is the current one, and what is said of it."""
        tile = self.sheet.tile
        if tile is None:
            return ""
        facts, label = self._facts.loc[tile], self.sorting.label(tile)
        what = SEVERAL if label.several else label.mineral or "no label"
        said = what + ("" if label.sure else ", unsure")
        deposit = f" · {facts['deposit']}" if facts["deposit"] else ""
        where = f"row {facts['row_px']:,} px, column {facts['column_px']:,} px"
        return f"<b>{said}</b><br>{facts['photograph']}{deposit} · {where}"

    def context(self) -> NDArray[np.uint8] | None:
        """The photograph of the current tile, small, with the tile outlined; None while it is not read."""
        path = self._photograph()
        if path is None:
            return None
        facts = self._facts.loc[self.sheet.tile]
        side = self.sorting.dataset.tile_px
        window = Window(int(str(facts["row_px"])), int(str(facts["column_px"])), side, side)
        return self.photographs.around(path, window)

    def saving(self) -> Saving | None:
        """What is not in the dataset's files yet; None if nothing."""
        labels = self.sorting.pending()
        new = {mineral.name for mineral in self.sorting.minerals} - self._saved_minerals
        return Saving(self.sorting.dataset.folder, labels, self.sorting.minerals) if labels or new else None

    def saved(self, saving: Saving) -> None:
        """Take note that something was written; errors as `SortingJournal.write`."""
        self.sorting.saved(saving.labels)
        self._saved_minerals |= {mineral.name for mineral in saving.minerals}
        rest = [
            name for mineral in self.sorting.minerals if (name := mineral.name) not in self._saved_minerals
        ]
        self.journal.saved(self.sorting.pending(), rest)

    def close(self) -> None:
        """Save what is left and let others sort the dataset."""
        try:
            saving = self.saving()
            if saving is not None:
                self.saved(saving.write())
        finally:
            self.journal.close()

    def _photograph(self) -> Path | None:
        if self.sheet.tile is None:
            return None
        return picture_path(self.sorting.dataset.folder, str(self._facts.loc[self.sheet.tile]["picture"]))

    def _decide(self, tile: str, label: TileLabel) -> None:
        was_sorted, self._last = self.sorting.is_sorted(tile), TileLabel(label.mineral, several=label.several)
        changes = self.sorting.decide({tile: label})
        if self.advance and self.sorting.is_sorted(tile):
            if was_sorted:
                self.sheet.move(1)
            else:
                self.next_to_sort()
        self.journal.write(changes)

    def _go_to(self, changes: tuple[Change, ...]) -> None:
        if changes:
            self.sheet.go_to(changes[0].tile)
            self.journal.write(changes)


MOVES: dict[str, Callable[[Sheet], None]] = {
    "left": lambda sheet: sheet.move(-1),
    "right": lambda sheet: sheet.move(1),
    "up": lambda sheet: sheet.move(-sheet.columns),
    "down": lambda sheet: sheet.move(sheet.columns),
    "page before": lambda sheet: sheet.move(-sheet.per_page),
    "next page": lambda sheet: sheet.move(sheet.per_page),
    "first": lambda sheet: sheet.move(-len(sheet.tiles)),
    "last": lambda sheet: sheet.move(len(sheet.tiles)),
}
