"""The history of the user's models: which came from which, which is in use, and back to any with one click."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_ore_minerals.models.history import LONGEST_NOTE, write_note
from napari_ore_minerals.widgets.errands import Errands
from napari_ore_minerals.widgets.learning_job import LearningJob
from napari_ore_minerals.widgets.learning_messages import Export, Import
from napari_ore_minerals.widgets.version_tree import Shelf, VersionTree, look, said

if TYPE_CHECKING:
    from napari_ore_minerals.models.versions import ModelStore, StoredVersion


EXPORT = (
    "Write the selected version as one zip file, for a colleague. If you taught it, the file holds small tiles of "
    "your photographs, so that it does not forget them"
)


class HistoryPanel(QWidget):  # type: ignore[misc]
    """The versions of a store as a tree.

    Signals: ``shown(Shelf)`` whenever the store was read, ``used(StoredVersion | None)`` when the user went
    to a version (None: the bundled model), ``told(str)``, ``failed(str)``.

    Parameters
    ----------
    store
        Read and written in a thread, so that a slow disk does not hold up the viewer.
    """

    shown = Signal(object)
    used = Signal(object)
    told = Signal(str)
    failed = Signal(str)

    def __init__(self, store: ModelStore) -> None:
        super().__init__()
        self._store, self._errands, self.exchange = store, Errands(), LearningJob()
        self._shelf: Shelf | None = None
        self.tree = VersionTree()
        self.note = QLineEdit()
        self.export = _button("Export…", EXPORT)
        self.take_in = _button("Import…", "Take in a model that a colleague exported as a zip file")
        self.remove = _button("Remove…", "Delete the weights of the selected version to free space")
        self._lay_out()
        self._connect()
        self._select()

    @property
    def shelf(self) -> Shelf | None:
        """What the store held when it was last read; None before."""
        return self._shelf

    @property
    def busy(self) -> bool:
        """Whether the store is being read or written."""
        return self._errands.busy or self.exchange.busy

    def refresh(self) -> None:
        """Read the store again."""
        self._errands.run(partial(look, self._store), self._show)

    def use(self, version: StoredVersion | None) -> None:
        """Make a version the current one; None the bundled model."""

        def activate() -> Shelf:
            self._store.activate(None if version is None else version.number)
            return look(self._store)

        def then(shelf: Shelf) -> None:
            self._show(shelf)
            self.used.emit(version)
            self.told.emit(f"{said(version)} is in use: classify again to see its answers")

        self._errands.run(activate, then)

    def export_to(self, version: StoredVersion, archive: Path) -> None:
        """Write a version as a zip file; its weights are checked, which takes another process some seconds."""
        self._wait(f"Writing {archive.name} …")
        self.exchange.ask(lambda job: Export(job, version.folder, archive))

    def import_from(self, archive: Path) -> None:
        """Take in a model of a zip file; it is not made the current one."""
        self._wait(f"Reading {archive.name} …")
        self.exchange.ask(lambda job: Import(job, self._store.root, archive))

    def remove_version(self, version: StoredVersion) -> None:
        """Delete the weights of a version; its place in the history stays."""

        def take_away() -> Shelf:
            self._store.remove(version.number)
            return look(self._store)

        def then(shelf: Shelf) -> None:
            self._show(shelf)
            self.told.emit(f"the weights of version {version.number} were deleted, its card is kept")

        self._errands.run(take_away, then)

    def close_store(self) -> None:
        """Let what is being written come to its end, and hear no more of it."""
        self._errands.close()
        self.exchange.close()

    def _show(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.tree.show_shelf(shelf)
        self._select()
        if shelf.current.notice:
            self.failed.emit(shelf.current.notice)
        self.shown.emit(shelf)

    def _wait(self, what: str) -> None:
        self.told.emit(what)
        self.take_in.setEnabled(False)

    def _written(self, archive: Path) -> None:
        self._select()
        self.told.emit(f"The model was written to {archive}: a colleague takes it in with Import")

    def _taken_in(self, number: int) -> None:
        self.refresh()
        self.told.emit(f"The model is version {number} now: press use to work with it")

    def _refused(self, sentence: str) -> None:
        self._select()
        self.failed.emit(sentence)

    def _select(self) -> None:
        version = self.tree.selected
        usable = version is not None and not version.removed
        for widget in (self.export, self.remove, self.note):
            widget.setEnabled(usable and not self.exchange.busy)
        self.take_in.setEnabled(not self.exchange.busy)
        self.note.setText(self._note())

    def _note(self) -> str:
        version = self.tree.selected
        return "" if version is None or self._shelf is None else self._shelf.note_of(version.number)

    def _write_note(self) -> None:
        version, text = self.tree.selected, self.note.text()
        if version is None or text == self._note():
            return

        def write() -> Shelf:
            write_note(self._store, version, text)
            return look(self._store)

        self._errands.run(write, self._show)

    def _export(self) -> None:
        version = self.tree.selected
        if version is None:
            return
        named, _ = QFileDialog.getSaveFileName(
            self, "Export a model", str(Path.home() / f"{version.card.name}-{version.number}.zip"),
            "Models (*.zip)", options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        if named:
            self.export_to(version, Path(named if named.endswith(".zip") else named + ".zip"))

    def _import(self) -> None:
        named, _ = QFileDialog.getOpenFileName(self, "Import a model", str(Path.home()), "Models (*.zip)")
        if named:
            self.import_from(Path(named))

    def _remove(self) -> None:
        version = self.tree.selected
        if version is not None and self._sure(version):
            self.remove_version(version)

    def _sure(self, version: StoredVersion) -> bool:
        answer = QMessageBox.question(
            self, "Remove a version",
            f"Delete the weights of version {version.number}, {version.card.name}? This cannot be undone; "
            "its card and your note stay in the history.",
        )  # fmt: skip
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _lay_out(self) -> None:
        self.note.setPlaceholderText("a note on the selected version")
        self.note.setMaxLength(LONGEST_NOTE)
        self.note.setToolTip("What you want to remember of this version; saved with Enter")
        row = QHBoxLayout()
        for button in (self.export, self.take_in, self.remove):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tree)
        column.addWidget(self.note)
        column.addLayout(row)

    def _connect(self) -> None:
        self._errands.failed.connect(self.failed)
        self.exchange.written.connect(self._written)
        self.exchange.saved.connect(self._taken_in)
        self.exchange.failed.connect(self._refused)
        self.tree.wanted.connect(self.use)
        self.tree.currentItemChanged.connect(lambda *_: self._select())
        self.note.editingFinished.connect(self._write_note)
        self.export.clicked.connect(self._export)
        self.take_in.clicked.connect(self._import)
        self.remove.clicked.connect(self._remove)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button
