"""One question of the review: the cell, its probabilities, and the answers with their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_ore_minerals.widgets.cell_pictures import SIDE_PX, pixmap
from napari_ore_minerals.widgets.mineral_table import swatch
from napari_ore_minerals.widgets.review_keys import ACCEPT, MOST_MINERALS, SKIP, UNDO

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import MineralTable

ROWS_SHOWN = 7


class QuestionView(QWidget):  # type: ignore[misc]
    """What is asked, and buttons for what can be said.

    Signals: ``accepted()``, ``chosen(int)`` a place in the list, ``skipped()``, ``undone()``, ``ended()``.
    """

    accepted = Signal()
    chosen = Signal(int)
    skipped = Signal()
    undone = Signal()
    ended = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.question, self.count = QLabel(), QLabel()
        self.tile, self.heat = QLabel(), QLabel()
        self.answers = QListWidget()
        self.accept = _button("", "The answer is right: it is learnt from, too")
        self.skip = _button(f"Skip ({SKIP})", "You cannot or will not say: the next cell")
        self.undo = _button(f"Undo ({UNDO})", "Take back your last answer and go back to its cell")
        self.end = _button("End (Esc)", "End the review; what you said is kept")
        self._lay_out()
        self.answers.itemClicked.connect(lambda item: self.chosen.emit(self.answers.row(item)))
        for button, signal in (
            (self.accept, self.accepted),
            (self.skip, self.skipped),
            (self.undo, self.undone),
            (self.end, self.ended),
        ):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # so that the keys stay with the canvas
            button.clicked.connect(lambda _=False, signal=signal: signal.emit())

    def ask(self, minerals: MineralTable, shares: Mapping[int, float], answer: int | None) -> None:
        """Ask about a cell.

        Parameters
        ----------
        minerals
            In the order of their keys, which stays the same from cell to cell.
        shares
            Probabilities by code.
        answer
            Code of what the map says; None where it is unclassified.
        """
        self.answers.clear()
        for number, mineral in enumerate(minerals):
            key = f"⇧{number + 1}  " if number < MOST_MINERALS else "      "
            text = f"{key}{mineral.name}  {shares.get(mineral.code, 0.0):.0%}"
            item = QListWidgetItem(swatch(mineral.colour), text)
            font = item.font()
            font.setBold(mineral.code == answer)
            item.setFont(font)
            self.answers.addItem(item)
        rows = min(self.answers.count(), ROWS_SHOWN)
        self.answers.setFixedHeight(rows * self.answers.sizeHintForRow(0) + 6)
        name = "" if answer is None else minerals.by_code(answer).name
        self.accept.setText(f"Yes, {name} ({ACCEPT})" if name else f"Yes ({ACCEPT})")
        self.question.setText(f"Is this <b>{name}</b>?" if name else "What is this? The model cannot say.")
        for widget in (self.skip, self.answers):
            widget.setEnabled(True)
        self.accept.setEnabled(bool(name))

    def wait(self) -> None:
        """Take no answer before the next question."""
        for widget in (self.accept, self.skip, self.answers):
            widget.setEnabled(False)

    def show_count(self, count: int, left: int) -> None:
        """Tell how many cells were reviewed, and of how many nothing was said yet."""
        self.count.setText(f"{count} reviewed, {left:,} left")
        self.undo.setEnabled(bool(count))

    def show_pictures(
        self, tile: NDArray[np.uint8] | None, heat: NDArray[np.uint8] | None, what: str
    ) -> None:
        """Show the cell and the evidence for a mineral; None for nothing."""
        for label, picture in ((self.tile, tile), (self.heat, heat)):
            label.setPixmap(QPixmap() if picture is None else pixmap(picture))
        self.heat.setToolTip(f"Where the evidence for {what} lies: blue is none, red the strongest")

    def _lay_out(self) -> None:
        self.tile.setToolTip("The cell, framed, in its surroundings")
        self.answers.setToolTip("Click what the cell is, or press Shift and its number")
        self.answers.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.accept.setStyleSheet("font-weight: bold")
        title, pictures, buttons = QHBoxLayout(), QHBoxLayout(), QGridLayout()
        title.addWidget(self.question, 1)
        title.addWidget(self.count)
        for label in (self.tile, self.heat):
            label.setFixedSize(SIDE_PX, SIDE_PX)  # before the picture comes, too
            pictures.addWidget(label)
        for place, button in enumerate((self.accept, self.skip, self.undo, self.end)):
            buttons.addWidget(button, place // 2, place % 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(title)
        column.addLayout(pictures)
        column.addWidget(self.answers)
        column.addLayout(buttons)


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button
