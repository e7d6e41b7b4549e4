"""What the user taught: how much of each, a list to jump to and take back from, and minerals of one's own."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.widgets.mineral_table import swatch

if TYPE_CHECKING:
    from napari_ore_minerals.learning.corrections import Correction
    from napari_ore_minerals.learning.journal import Lessons
    from napari_ore_minerals.widgets.overlay import Overlay
    from napari_ore_minerals.widgets.teaching import Teaching

HOW = (
    "Wrong somewhere? Double-click the right mineral in the table and paint the cell: the map learns from it. "
    "Painting a cell with what it is already says that it is right."
)
MOST_LISTED = 200
ROWS_SHOWN = 5
FIRST_COLOUR = "#8c564b"


class CorrectionsPanel(QWidget):  # type: ignore[misc]
    """What was said of the result that is looked at.  Signal: ``told(str)``."""

    told = Signal(str)

    def __init__(self, teaching: Teaching) -> None:
        super().__init__()
        self._teaching = teaching
        self._offers: WeakKeyDictionary[Overlay, Lessons] = WeakKeyDictionary()  # of each result
        self._listed: object = None
        self.words, self.offer_words = QLabel(HOW), QLabel()
        self.offer = QWidget()
        self.use = _button("Use them", "Lay the earlier corrections over this map; it can be undone")
        self.not_now = _button("Not now", "They stay on the disk and are offered again")
        self.undo = _button("Undo", "Take back the last step (Ctrl+Z on the minerals layer)")
        self.redo = _button("Redo", "Do again what was undone (Ctrl+Shift+Z)")
        self.follow = QCheckBox("map follows")
        self.follow.setToolTip(
            "After each stroke the whole map, its confidence, heatmaps and areas follow what you said. "
            "The stored model is not changed"
        )
        self.follow.setChecked(True)
        self.more = QToolButton()
        self.more.setText("More  ")  # Qt adds an arrow, over the end of the text
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setToolTip("Add or leave out minerals, take everything back")
        self.list = _List()
        self.list.setToolTip("Click to go to the cell; Delete takes it back")
        self.take_back = _button(
            "Take back what is selected", "What you said of the selected cells; it can be undone"
        )
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show what is taught now."""
        teaching = self._teaching
        lesson, corrections = teaching.lesson, teaching.corrections
        self.setEnabled(lesson is not None)
        self.undo.setEnabled(lesson is not None and lesson.can_undo)
        self.redo.setEnabled(lesson is not None and lesson.can_redo)
        self.list.setVisible(bool(corrections))
        self.take_back.setVisible(bool(corrections))
        if lesson is None or not corrections:
            self.words.setText(HOW)
        else:
            minerals = len({one.code for one in corrections})
            saved = f" · saved {teaching.saved_at}" if teaching.saved_at else ""
            self.words.setText(
                f"<b>{len(corrections)}</b> cell{'s' if len(corrections) != 1 else ''} taught, "
                f"{minerals} mineral{'s' if minerals != 1 else ''}{saved}"
            )
        self._show_offer()
        self._fill()

    def offer_older(self, found: Lessons) -> None:
        """Offer corrections that an earlier session made of this picture."""
        if self._teaching.overlay is not None:
            self._offers[self._teaching.overlay] = found
        self._show_offer()

    def _show_offer(self) -> None:
        """Show the offer that is of the result that is looked at, if there is one."""
        overlay = self._teaching.overlay
        found = None if overlay is None else self._offers.get(overlay)
        self.offer.setVisible(found is not None)
        if found is None:
            return
        days = sorted({one.time[:10] for one in found.corrections})
        day = datetime.fromisoformat(days[-1]).strftime("%d %B %Y").lstrip("0") if days else "earlier"
        count = len(found.corrections)
        self.offer_words.setText(f"{count} correction{'s' if count != 1 else ''} of {day} found.")

    def _fill(self) -> None:
        """List the corrections, the last one first; a list of thousands would make the viewer wait."""
        lesson, corrections = self._teaching.lesson, self._teaching.corrections
        shown = (corrections, None if lesson is None else lesson.minerals)
        if lesson is None or shown == self._listed:
            return
        self._listed = shown
        chosen = {item.data(Qt.ItemDataRole.UserRole) for item in self.list.selectedItems()}
        icons = {mineral.code: swatch(mineral.colour) for mineral in lesson.minerals}
        self.list.clear()
        for one in corrections[: -MOST_LISTED - 1 : -1]:
            item = QListWidgetItem(icons[one.code], self._line(one))
            item.setData(Qt.ItemDataRole.UserRole, tuple(one.cell))
            self.list.addItem(item)
            item.setSelected(tuple(one.cell) in chosen)
        self._show_selection()
        rows = min(self.list.count(), ROWS_SHOWN)
        self.list.setFixedHeight(rows * max(18, self.list.sizeHintForRow(0)) + 6)

    def _line(self, one: Correction) -> str:
        lesson = self._teaching.lesson
        if lesson is None:
            return ""
        base = int(lesson.base.labels[one.cell])
        known = {mineral.code: mineral.symbol for mineral in (*lesson.base.minerals, *lesson.minerals)}
        name = lesson.minerals.by_code(one.code).name
        was = "is right" if one.kind == "confirmed" else f"was {known.get(base, 'unclassified')}"
        return f"{name}, {was} · row {one.row + 1}, column {one.column + 1}"

    def _show_selection(self) -> None:
        self.take_back.setEnabled(bool(self.list.selectedItems()))

    def _jump(self, item: QListWidgetItem) -> None:
        self._teaching.jump_to(Cell(*item.data(Qt.ItemDataRole.UserRole)))

    def _cells(self) -> list[Cell]:
        return [Cell(*item.data(Qt.ItemDataRole.UserRole)) for item in self.list.selectedItems()]

    def _use(self) -> None:
        overlay = self._teaching.overlay
        found = None if overlay is None else self._offers.get(overlay)
        self._forget_offer()
        if found is not None:
            self._teaching.take_over(found)

    def _forget_offer(self) -> None:
        if self._teaching.overlay is not None:
            self._offers.pop(self._teaching.overlay, None)
        self._show_offer()

    def _show_menu(self) -> None:
        menu, lesson = self.more.menu(), self._teaching.lesson
        menu.clear()
        menu.addAction("Add a mineral…").triggered.connect(self.add_mineral)
        leave = menu.addMenu("Leave out")
        for mineral in () if lesson is None else lesson.minerals:
            action = leave.addAction(swatch(mineral.colour), mineral.name)
            action.triggered.connect(lambda _=False, code=mineral.code: self._teaching.leave_out(code))
        menu.addSeparator()
        action = menu.addAction("Take everything back")
        action.setEnabled(bool(self._teaching.corrections))
        action.triggered.connect(lambda _=False: self._teaching.take_back_all())

    def add_mineral(self) -> None:
        """Ask for a mineral that the model does not know, and add it."""
        dialog = MineralDialog(self)
        if dialog.exec_() == QDialog.DialogCode.Accepted:
            self._teaching.add_mineral(*dialog.values())

    def _lay_out(self) -> None:
        self.words.setWordWrap(True)
        self.more.setMenu(QMenu(self))
        self.list.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        offered = QHBoxLayout(self.offer)
        offered.setContentsMargins(0, 0, 0, 0)
        self.offer_words.setWordWrap(True)
        offered.addWidget(self.offer_words, 1)
        offered.addWidget(self.use)
        offered.addWidget(self.not_now)
        self.offer.hide()
        steps = QHBoxLayout()
        for widget in (self.undo, self.redo, self.follow, self.more):
            steps.addWidget(widget)
        steps.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.offer, self.words):
            column.addWidget(widget)
        column.addLayout(steps)
        column.addWidget(self.list)
        column.addWidget(self.take_back)

    def _connect(self) -> None:
        teaching = self._teaching
        teaching.changed.connect(self.refresh)
        teaching.offered.connect(self.offer_older)
        self.use.clicked.connect(self._use)
        self.not_now.clicked.connect(self._forget_offer)
        self.undo.clicked.connect(lambda _=False: teaching.undo())
        self.redo.clicked.connect(lambda _=False: teaching.redo())
        self.follow.toggled.connect(lambda wanted: setattr(teaching, "follow", wanted))
        self.more.menu().aboutToShow.connect(self._show_menu)
        self.list.itemClicked.connect(self._jump)
        self.list.itemSelectionChanged.connect(self._show_selection)
        self.take_back.clicked.connect(lambda _=False: teaching.take_back(self._cells()))
        self.list.delete_pressed.connect(self.take_back.click)


class _List(QListWidget):  # type: ignore[misc]
    """A list that tells when Delete is pressed in it."""

    delete_pressed = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Tell of Delete, and leave other keys to Qt."""
        if event.matches(QKeySequence.StandardKey.Delete):
            self.delete_pressed.emit()
        else:
            super().keyPressEvent(event)


class MineralDialog(QDialog):  # type: ignore[misc]
    """Name, symbol, colour and kind of a new mineral."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Add a mineral")
        self.name, self.symbol, self.kind = QLineEdit(), QLineEdit(), QComboBox()
        self.name.setPlaceholderText("galena")
        self.symbol.setPlaceholderText("Gn")
        self.symbol.setToolTip("IMA symbol (Warr 2021), such as Gn, Sp, Bn, Mag")
        self.kind.addItem("ore mineral", "ore")
        self.kind.addItem("gangue (left out of fractions of the ore)", "gangue")
        self.colour = _button("", "Click to choose the colour on the map")
        self._show_colour(FIRST_COLOUR)
        self.colour.clicked.connect(self._choose_colour)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form = QFormLayout(self)
        for label, widget in (
            ("name", self.name),
            ("symbol", self.symbol),
            ("colour", self.colour),
            ("kind", self.kind),
        ):
            form.addRow(label, widget)
        form.addRow(buttons)

    def values(self) -> tuple[str, str, str, Literal["ore", "gangue"]]:
        """Name, symbol, colour and kind."""
        name = self.name.text().strip()
        return name, self.symbol.text().strip() or name[:3].title(), self._colour, self.kind.currentData()

    def _choose_colour(self) -> None:
        chosen = QColorDialog.getColor(QColor(self._colour), self)
        if chosen.isValid():
            self._show_colour(chosen.name())

    def _show_colour(self, colour: str) -> None:
        self._colour = colour
        self.colour.setIcon(swatch(colour))
        self.colour.setText(colour)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button
