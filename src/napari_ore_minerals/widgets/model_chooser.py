"""Which model to use, with its card behind an (i)."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path

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

CHOOSE = "Choose a folder…"


def bundled_models() -> list[Path]:
    """Folders of the models that are shipped, as `models.classifier.bundled` finds them, without torch."""
    room = Path(str(files("napari_ore_minerals.models"))) / "bundled"
    return sorted((path.parent for path in room.glob("*/card.json")), reverse=True)[:1]


class ModelChooser(QWidget):  # type: ignore[misc]
    """A list of the bundled model and the user's own, and a button that shows the card.

    Signals: ``changed()``, ``failed(str)``.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._models: list[tuple[Path, ModelCard]] = []
        self._titles: list[str] = []
        self._chosen = 0
        self._choice = QComboBox()
        self._choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._choice.setMinimumContentsLength(16)  # a long name must not widen the dock
        self._choice.setToolTip("The classifier: the bundled one, or a folder with your own")
        self._choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._choice.setMinimumContentsLength(12)
        self._choice.setPlaceholderText("choose a model folder")
        self._info = QPushButton("i")
        self._info.setFixedWidth(26)
        self._info.setToolTip("What this model knows, what it was trained on and how well it does")
        self._info.clicked.connect(self.show_card)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._choice, 1)
        row.addWidget(self._info)
        for folder in bundled_models():
            self._add(folder, " (bundled)")
        for folder in reversed(memory.model_folders()):
            self._add(folder)
        self._fill(0)
        self._choice.activated.connect(self._activated)

    @property
    def folder(self) -> Path | None:
        """Folder of the chosen model; None if there is none yet."""
        number = self._choice.currentIndex()
        return self._models[number][0] if 0 <= number < len(self._models) else None

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model; None if there is none yet."""
        number = self._choice.currentIndex()
        return self._models[number][1] if 0 <= number < len(self._models) else None

    def choose(self, folder: Path) -> None:
        """Use the model in a folder, and remember it."""
        known = [path for path, _ in self._models]
        if folder not in known:
            try:
                read_card(folder)
            except ModelError as error:
                self.failed.emit(str(error))
                return
            self._add(folder)
            memory.remember_model(folder)
            known.append(folder)
        self._fill(known.index(folder))
        self.changed.emit()

    def show_card(self) -> None:
        """Open a window with the model's card."""
        if self.card is not None:
            dialog = CardDialog(self.card, self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.show()

    def _add(self, folder: Path, note: str = "") -> None:
        try:
            card = read_card(folder)
        except ModelError:
            return
        self._titles.append(f"{card.name} {card.version}{note}")
        self._models.append((folder, card))

    def _fill(self, chosen: int) -> None:
        self._choice.clear()
        self._choice.addItems([*self._titles, CHOOSE])
        for number, (folder, card) in enumerate(self._models):
            self._choice.setItemData(number, f"{folder}\n{card.architecture}", Qt.ItemDataRole.ToolTipRole)
        self._choice.setCurrentIndex(chosen if self._models else -1)
        self._chosen = chosen
        self._info.setEnabled(self.card is not None)

    def _activated(self, number: int) -> None:
        if number < len(self._models):
            self._chosen = number
            self.changed.emit()
            return
        named = QFileDialog.getExistingDirectory(self, "A model folder: card.json and model.safetensors")
        self._choice.setCurrentIndex(self._chosen if self._models else -1)
        if named:
            self.choose(Path(named))


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
