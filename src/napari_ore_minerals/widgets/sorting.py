"""The Sort tiles dock: tiles of a dataset get their minerals by hand, one key each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import unwrap
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QKeySequence
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QShortcut,
    QVBoxLayout,
    QWidget,
)

from napari_ore_minerals.errors import OreMineralsError
from napari_ore_minerals.widgets.errands import Errands
from napari_ore_minerals.widgets.hints import Status
from napari_ore_minerals.widgets.sheet import layout_for
from napari_ore_minerals.widgets.sheet_layer import SheetLayer
from napari_ore_minerals.widgets.sitting import MOVES, Saving, Sitting
from napari_ore_minerals.widgets.sorting_panel import KEYS, SortingHint, SortingPanel

if TYPE_CHECKING:
    import napari

SYNC_MS = 1000
# What is done, napari's name of the key, Qt's name of it
SHORTCUTS = (
    ("unsure", "U", "U"),
    ("several", "M", "M"),
    ("fill", "F", "F"),
    ("next to sort", "N", "N"),
    ("unlabel", "0", "0"),
    ("unlabel", "Delete", "Del"),
    ("undo", "Backspace", "Backspace"),
    ("undo", "Control-Z", "Ctrl+Z"),
    ("redo", "Control-Y", "Ctrl+Y"),
    ("redo", "Control-Shift-Z", "Ctrl+Shift+Z"),
    ("left", "Left", "Left"),
    ("right", "Right", "Right"),
    ("up", "Up", "Up"),
    ("down", "Down", "Down"),
    ("page before", "PageUp", "PgUp"),
    ("next page", "PageDown", "PgDown"),
    ("first", "Home", "Home"),
    ("last", "End", "End"),
    *((f"mineral {number}", str(number), str(number)) for number in range(1, KEYS + 1)),
)


class SortingDock(QWidget):  # type: ignore[misc]
    """Sort the tiles of a dataset into minerals.

    Parameters
    ----------
    napari_viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = unwrap(napari_viewer)
        self.sitting: Sitting | None = None
        self.files, self.pictures = Errands(), Errands()
        self.hint, self.panel, self.status = SortingHint(), SortingPanel(), Status()
        self.title, self.open_button, self.save_button = QLabel(), QPushButton("Open …"), QPushButton("Save")
        self.sheet = SheetLayer(
            self._viewer, {key: partial(self.act, name) for name, key, _ in SHORTCUTS}, self._click
        )
        self._sync = QTimer(self)
        self._sync.setSingleShot(True)
        self._sync.setInterval(SYNC_MS)
        self._sync.timeout.connect(self._sync_journal)
        self._lay_out()
        self._connect()
        self._show_parts()

    def open(self, folder: Path) -> None:
        """Open a dataset; the one that is open is saved and closed."""
        self.status.say(f"Opening {folder} …")
        self.close_dataset()
        self.files.run(partial(Sitting, Path(folder)), self._opened)

    def close_dataset(self) -> None:
        """Save and close what is open."""
        sitting, self.sitting = self.sitting, None
        if sitting is not None:
            self.sheet.remove()
            self.files.run(sitting.close, lambda _: None)
        self._show_parts()

    def act(self, name: str) -> None:
        """Do what a key or a button says, to the current tile."""
        sitting = self.sitting
        if sitting is None:
            return
        if name in MOVES:
            MOVES[name](sitting.sheet)
            self._draw()
            return
        number = name.removeprefix("mineral ")
        self._decide(partial(sitting.give, int(number) - 1) if number != name else sitting.acts[name])

    def add_mineral(self, name: str) -> None:
        """Add a mineral to the dataset."""
        if self.sitting is None or not name.strip():
            return
        try:
            added = self.sitting.add_mineral(name)
        except OreMineralsError as error:
            self.status.complain(str(error))
            return
        self.panel.name.clear()
        self.setFocus()
        self.status.say(f"Added {added}")
        self.panel.offer(self.sitting.sorting, self.sitting.shown)
        self._sync.start()
        self._draw()

    def look_at(self, which: str) -> None:
        """Show some of the tiles only."""
        if self.sitting is not None:
            self.sitting.look_at(which)
            if not self.sitting.sheet.tiles:
                self.status.say(f"There is no such tile: {which}")
            self._draw()
            self.panel.offer(self.sitting.sorting, which)

    def save(self) -> None:
        """Write the labels into the dataset's files, beside the viewer."""
        sitting = self.sitting
        saving = None if sitting is None else sitting.saving()
        if sitting is None or saving is None:
            self.status.say("All is saved")
            return
        self.files.run(saving.write, partial(self._saved, sitting))

    def choose_folder(self) -> None:
        """Ask for a dataset and open it."""
        folder = QFileDialog.getExistingDirectory(self, "Dataset of tiles")
        if folder:
            self.open(Path(folder))

    def hideEvent(self, event: QHideEvent) -> None:
        """Save when the dock is put away."""
        super().hideEvent(event)
        if self.sitting is not None and not event.spontaneous():
            self.save()

    def _opened(self, sitting: Sitting) -> None:
        self.sitting = sitting
        self.status.say(sitting.notice)
        sitting.advance = self.panel.advance.isChecked()
        sitting.sheet.rows, sitting.sheet.columns = layout_for(*self._viewer.canvas.size)
        self.panel.offer(sitting.sorting, sitting.shown)
        self._show_parts()
        self._draw()
        self.setFocus()

    def _decide(self, what: Callable[[], None]) -> None:
        try:
            what()
            self.status.settle()
        except OreMineralsError as error:
            self.status.complain(str(error))
        if not self._sync.isActive():
            self._sync.start()
        self._draw()
        sitting = self.sitting
        if sitting is not None and sitting.sorting.sorted_count == len(sitting.sorting.tiles):
            self.status.say("All tiles are sorted")

    def _click(self, place: int) -> None:
        if self.sitting is not None and self.sitting.sheet.click(place):
            self._draw()

    def _give_row(self, row: int) -> None:
        if self.sitting is not None:
            self._decide(partial(self.sitting.give, row))

    def _draw(self) -> None:
        sitting = self.sitting
        if sitting is None:
            return
        self.sheet.draw(sitting.sheet, sitting.drawn())
        self.panel.show_state(sitting.sorting, sitting.sheet, sitting.about())
        self.panel.show_context(sitting.context())
        self.save_button.setEnabled(sitting.saving() is not None)
        self._read()

    def _read(self) -> None:
        """Read what is looked at and what may be looked at next, one at a time."""
        reading = None if self.sitting is None or self.pictures.busy else self.sitting.next_to_read()
        if reading is not None:
            self.pictures.run(reading, self._have_read)

    def _have_read(self, problem: str) -> None:
        if problem:
            self.status.complain(problem)
        if self.sitting is not None:
            self.sheet.draw(self.sitting.sheet, self.sitting.drawn())
            self.panel.show_context(self.sitting.context())
        self._read()

    def _sync_journal(self) -> None:
        if self.sitting is not None:
            self.files.run(self.sitting.journal.sync, lambda _: None)

    def _saved(self, sitting: Sitting, saving: Saving) -> None:
        if sitting is not self.sitting:
            return
        count = len(saving.labels)
        self._decide(partial(sitting.saved, saving))
        self.status.say(f"{count:,} label{'s were' if count != 1 else ' was'} saved")

    def _advance(self, on: bool) -> None:
        if self.sitting is not None:
            self.sitting.advance = on

    def _show_parts(self) -> None:
        is_open = self.sitting is not None
        self.hint.setVisible(not is_open)
        self.panel.setVisible(is_open)
        for button in (self.open_button, self.save_button):
            button.setVisible(is_open)
        dataset = None if self.sitting is None else self.sitting.sorting.dataset
        self.title.setText("<b>Sort tiles</b>" if dataset is None else f"<b>{dataset.name}</b>")
        self.title.setToolTip("" if dataset is None else str(dataset.folder))

    def _lay_out(self) -> None:
        header = QHBoxLayout()
        header.addWidget(self.title, 1)
        for button, tip in (
            (self.open_button, "Open another dataset; this one is saved"),
            (
                self.save_button,
                "Write the labels into tiles.csv; decisions are kept in sorting.jsonl at once",
            ),
        ):
            button.setToolTip(tip)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            header.addWidget(button)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(9, 6, 9, 9)
        column.setSpacing(9)
        column.addLayout(header)
        for widget in (self.hint, self.panel, self.status):
            column.addWidget(widget)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(380)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def _connect(self) -> None:
        for name, _, key in SHORTCUTS:
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(partial(self.act, name))
        self.hint.open_wanted.connect(self.choose_folder)
        self.open_button.clicked.connect(self.choose_folder)
        self.save_button.clicked.connect(self.save)
        self.panel.acted.connect(self.act)
        self.panel.minerals.chosen.connect(self._give_row)
        self.panel.mineral_named.connect(self.add_mineral)
        self.panel.shown_changed.connect(self.look_at)
        self.panel.turned.connect(lambda step: self.act("next page" if step > 0 else "page before"))
        self.panel.advance.toggled.connect(self._advance)
        for errands in (self.files, self.pictures):
            errands.failed.connect(self.status.complain)
        self.destroyed.connect(partial(SortingDock._closed, self))

    def _closed(self, _: object = None) -> None:
        """Save in a thread that Python waits for; Qt's part of the dock is gone already."""
        sitting, self.sitting = self.sitting, None
        self.pictures.close()
        self.files.close(None if sitting is None else sitting.close)
