"""Another folder for models and corrections, offered where the present one cannot be written to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.models.user_folder import CORRECTIONS, MODELS, choose_user_folder, is_writable

if TYPE_CHECKING:
    from napari_ore_minerals.models.versions import ModelStore
    from napari_ore_minerals.widgets.diary import Diary

REFUSED = "Nothing can be written to {folder}: {what} cannot be kept there."
CHOSEN = "Models and corrections are kept in {folder} from now on; older ones stay where they are"


class Elsewhere(QWidget):  # type: ignore[misc]
    """A sentence and a button, while a folder of the user cannot be written to.

    Signals: ``moved()`` when another folder was chosen, ``told(str)``, ``failed(str)``.
    """

    moved = Signal()
    told = Signal(str)
    failed = Signal(str)

    def __init__(self, store: ModelStore, diary: Diary) -> None:
        super().__init__()
        self._store, self._diary = store, diary
        self.words, self.button = QLabel(), QPushButton("Keep them elsewhere…")
        self.words.setWordWrap(True)
        self.button.setToolTip(
            "Choose a folder for your models and corrections; the command line uses it, too"
        )
        self.button.clicked.connect(lambda _=False: self._choose())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        column.addWidget(self.button)
        self.hide()

    def look(self, _: str = "") -> None:
        """Show the offer if a folder cannot be written to; to be called when something failed."""
        for folder, what in ((self._store.root, "models"), (self._diary.journal.folder, "corrections")):
            if not is_writable(folder):
                self.words.setText(REFUSED.format(folder=folder, what=what))
                self.show()
                return
        self.hide()

    def keep_in(self, folder: Path) -> None:
        """Keep models and corrections in a folder from now on, and write down what could not be written."""
        try:
            choose_user_folder(folder)
        except ModelError as error:
            self.failed.emit(str(error))
            return
        self._store.root, self._diary.journal.folder = folder / MODELS, folder / CORRECTIONS
        self._diary.write_what_was_refused()
        self.hide()
        self.told.emit(CHOSEN.format(folder=folder))
        self.moved.emit()

    def _choose(self) -> None:
        named = QFileDialog.getExistingDirectory(
            self, "A folder for models and corrections", str(Path.home())
        )
        if named:
            self.keep_in(Path(named))
