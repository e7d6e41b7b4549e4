"""Which model to use, with its card behind an (i)."""

from __future__ import annotations

import contextlib
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.models.card import ModelCard, read_card
from napari_ore_minerals.widgets import memory

if TYPE_CHECKING:
    from napari_ore_minerals.models.versions import StoredVersion
    from napari_ore_minerals.widgets.version_tree import Shelf

CHOOSE = "Choose a folder…"


class Choice(NamedTuple):
    """A model that can be chosen."""

    folder: Path
    card: ModelCard
    title: str
    hint: str = ""


def bundled_models() -> list[Path]:
    """Folders of the models that are shipped, as `models.classifier.bundled` finds them, without torch."""
    room = Path(str(files("napari_ore_minerals.models"))) / "bundled"
    return sorted((path.parent for path in room.glob("*/card.json")), reverse=True)[:1]


class ModelChooser(QWidget):  # type: ignore[misc]
    """A list of the bundled model, the versions in the user's store and other folders; (i) shows the card.

    Signals: ``changed()``, ``failed(str)``.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._bundled = [  # whose name alone has room
            choice._replace(title=choice.card.name, hint=f"bundled, version {choice.card.version}")
            for choice in _choices(bundled_models())
        ]
        self._versions: list[Choice] = []
        self._folders = _choices(list(reversed(memory.model_folders())))
        self._picked = False  # by the user, so that it stays when the store has been read
        self._chosen: Path | None = None
        self._choice = QComboBox()
        self._choice.setToolTip(
            "The classifier: the bundled one, a version that learnt from you, or a folder with another one"
        )
        self._choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._choice.setMinimumContentsLength(12)  # a long name must not widen the dock
        self._choice.setPlaceholderText("choose a model folder")
        self._info = QPushButton("i")
        self._info.setFixedWidth(26)
        self._info.setToolTip("What this model knows, what it was trained on and how well it does")
        self._info.clicked.connect(self.show_card)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._choice, 1)
        row.addWidget(self._info)
        self._fill(None)
        self._choice.activated.connect(self._activated)

    @property
    def choices(self) -> list[Choice]:
        """All that can be chosen, in the order of the list."""
        return [*self._bundled, *self._versions, *self._folders]

    @property
    def folder(self) -> Path | None:
        """Folder of the chosen model; None if there is none yet."""
        return self._chosen

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model; None if there is none yet."""
        return next((choice.card for choice in self.choices if choice.folder == self._chosen), None)

    def choose(self, folder: Path) -> None:
        """Use the model in a folder, and remember it."""
        if folder not in [choice.folder for choice in self.choices]:
            try:
                card = read_card(folder)
            except ModelError as error:
                self.failed.emit(str(error))
                return
            self._folders.append(Choice(folder, card, f"{card.name} {card.version}"))
            memory.remember_model(folder)
        self._picked = True
        self._fill(folder)
        self.changed.emit()

    def choose_version(self, version: StoredVersion | None) -> None:
        """Use a version that is in the list, or the bundled model."""
        if version is not None:
            self.choose(version.folder)
        elif self._bundled:
            self.choose(self._bundled[0].folder)

    def show_shelf(self, shelf: Shelf) -> None:
        """List what the store holds; its current version is chosen where the user chose nothing yet."""
        before = self._chosen
        current = shelf.current.version
        self._versions = [
            Choice(
                version.folder,
                version.card,
                f"{version.card.name} · version {version.number}",
                shelf.note_of(version.number),
            )
            for version in sorted((entry.version for entry in shelf.entries), key=lambda one: -one.number)
            if not version.removed
        ]
        gone = before not in [choice.folder for choice in self.choices]
        self._fill(current.folder if current is not None and (gone or not self._picked) else before)
        if self._chosen != before:
            self.changed.emit()

    def show_card(self) -> None:
        """Open a window with the model's card."""
        if self.card is not None:
            dialog = CardDialog(self.card, self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.show()

    def _fill(self, wanted: Path | None) -> None:
        """List the choices with one of them chosen: the wanted one, or the first."""
        choices = self.choices
        known = [choice.folder for choice in choices]
        number = known.index(wanted) if wanted in known else min(0, len(choices) - 1)
        self._chosen = known[number] if choices else None
        self._choice.clear()
        self._choice.addItems([*(choice.title for choice in choices), CHOOSE])
        for place, choice in enumerate(choices):
            hint = "\n".join(
                part for part in (choice.hint, str(choice.folder), choice.card.architecture) if part
            )
            self._choice.setItemData(place, hint, Qt.ItemDataRole.ToolTipRole)
        self._choice.setCurrentIndex(number)
        self._info.setEnabled(bool(choices))

    def _activated(self, number: int) -> None:
        choices = self.choices
        if number < len(choices):
            self._picked, self._chosen = True, choices[number].folder
            self.changed.emit()
            return
        named = QFileDialog.getExistingDirectory(self, "A model folder: card.json and model.safetensors")
        self._fill(self._chosen)
        if named:
            self.choose(Path(named))


def _choices(folders: list[Path]) -> list[Choice]:
    """Those of the folders whose card can be read."""
    found = []
    for folder in folders:
        with contextlib.suppress(ModelError):
            card = read_card(folder)
            found.append(Choice(folder, card, f"{card.name} {card.version}"))
    return found


class CardDialog(QDialog):  # type: ignore[misc]
    """A model's card in words."""

    def __init__(self, card: ModelCard, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Model {card.name}")
        text = QLabel(card_html(card))
        text.setWordWrap(True)
        text.setTextFormat(Qt.TextFormat.RichText)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        text.setMargin(10)
        area = QScrollArea()
        area.setWidget(text)
        area.setWidgetResizable(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.close)
        column = QVBoxLayout(self)
        column.addWidget(area)
        column.addWidget(buttons)
        self.resize(460, 520)


def card_html(card: ModelCard) -> str:
    """Return a card as HTML; its texts come from outside and are escaped."""
    minerals = ", ".join(f"{escape(m.name)} ({escape(m.symbol)})" for m in card.minerals)
    scale = "not fixed" if card.um_per_px is None else f"{card.um_per_px:g} µm/px"
    lines = [
        f"<h3>{escape(card.name)}, version {card.version}</h3>",
        f"<p>{escape(card.provenance) or 'No provenance is given.'}</p>",
        f"<p><b>Minerals</b>: {minerals}</p>",
        f"<p><b>Network</b>: {card.architecture}, tiles of {card.tile_px} px, {scale}</p>",
        f"<p><b>Least confidence</b>: {card.min_confidence:.0%}, below it a cell is left unclassified</p>",
    ]
    if card.metrics:
        rows = "".join(
            f"<tr><td>{escape(name)}&nbsp;&nbsp;</td><td align='right'>{value:.3g}</td></tr>"
            for name, value in card.metrics.items()
        )
        lines.append(f"<p><b>Measured</b></p><table>{rows}</table>")
    return "".join(lines)
