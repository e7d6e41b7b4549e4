"""The versions of the user's models as a tree: which came from which, and which is in use."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QLabel, QPushButton, QTreeWidget, QTreeWidgetItem

from napari_ore_minerals.models.history import HistoryEntry, history, read_note

if TYPE_CHECKING:
    from napari_ore_minerals.models.versions import CurrentModel, ModelStore, StoredVersion

COLUMNS = ("version", "made", "")
BUNDLED = "bundled model"
MOST_ROWS, ROW_PX = 8, 26
USE_PX = 74


class Shelf(NamedTuple):
    """What the store holds at one moment."""

    entries: tuple[HistoryEntry, ...]
    notes: tuple[str, ...]
    current: CurrentModel

    def note_of(self, number: int) -> str:
        """Return the note on a version."""
        found = zip(self.entries, self.notes, strict=True)
        return next((note for entry, note in found if entry.version.number == number), "")


def look(store: ModelStore) -> Shelf:
    """Read the store; it checks the weights of the current version, which takes a while for large ones."""
    entries = tuple(history(store.versions()))
    notes = tuple(read_note(store, entry.version) for entry in entries)
    return Shelf(entries, notes, store.current())


class VersionTree(QTreeWidget):  # type: ignore[misc]
    """A row for each version, below the one that it was trained from.

    Signal: ``wanted(StoredVersion | None)`` when "use" is pressed; None stands for the bundled model.
    """

    wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(len(COLUMNS))
        self.setHeaderLabels(COLUMNS)
        self.setIndentation(12)
        self.setUniformRowHeights(True)
        self.setStyleSheet(f"QTreeWidget::item {{ height: {ROW_PX}px }}")
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(2, USE_PX)

    @property
    def selected(self) -> StoredVersion | None:
        """The version whose row is selected; None for the bundled model and where none is."""
        item = self.currentItem()
        return None if item is None else item.data(0, Qt.ItemDataRole.UserRole)

    def show_shelf(self, shelf: Shelf) -> None:
        """Show what the store holds; the row that was selected stays so."""
        selected = self.selected
        self.clear()
        current = None if shelf.current.version is None else shelf.current.version.number
        root = self._row(self, None, "", current=current is None)
        parents: list[QTreeWidgetItem] = []
        for entry, note in zip(shelf.entries, shelf.notes, strict=True):
            del parents[entry.depth :]
            above = parents[-1] if parents else root
            item = self._row(above, entry.version, note, current=entry.version.number == current)
            parents.append(item)
            if selected is not None and entry.version.number == selected.number:
                self.setCurrentItem(item)
        self.expandAll()
        rows = min(len(shelf.entries) + 1, MOST_ROWS)
        self.setFixedHeight(self.header().sizeHint().height() + rows * ROW_PX + 6)

    def _row(
        self,
        above: QTreeWidget | QTreeWidgetItem,
        version: StoredVersion | None,
        note: str,
        *,
        current: bool,
    ) -> QTreeWidgetItem:
        item = QTreeWidgetItem(above)
        item.setData(0, Qt.ItemDataRole.UserRole, version)
        item.setText(0, BUNDLED if version is None else f"{version.number}  {version.card.name}")
        item.setText(1, "" if version is None else version.card.created[:10])
        for column in range(2):
            item.setToolTip(column, _tooltip(version, note))
        if version is not None and version.removed:
            item.setText(1, "removed")
            item.setDisabled(True)
        elif current:
            self.setItemWidget(item, 2, QLabel("✓ in use"))
        else:
            button = QPushButton("use")
            button.setToolTip(f"Go to {said(version).lower()}: Classify uses it from now on")
            button.clicked.connect(partial(self._tell, version))
            self.setItemWidget(item, 2, button)
        return item

    def _tell(self, version: StoredVersion | None, _: bool = False) -> None:
        self.wanted.emit(version)


def said(version: StoredVersion | None) -> str:
    """Name a version at the start of a sentence."""
    return "The bundled model" if version is None else f"Version {version.number}"


def _tooltip(version: StoredVersion | None, note: str) -> str:
    if version is None:
        return "The model that comes with this program; it never changes"
    card = version.card
    parts = [note] if note else []
    parts += [f"{name}: {value:.3g}" for name, value in card.metrics.items()]
    if card.parent is not None and card.training is not None and card.training.samples:
        parts.append(f"learnt from {card.training.samples:,} corrections")
    return "\n".join(parts) or card.provenance[:300] or card.name
