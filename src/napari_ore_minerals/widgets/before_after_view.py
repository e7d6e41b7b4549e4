"""What a fine-tuning gave: before and after side by side, the verdict, and what becomes of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QRegularExpression, Qt, Signal
from qtpy.QtGui import QRegularExpressionValidator
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_ore_minerals.models.history import LONGEST_NOTE

if TYPE_CHECKING:
    from napari_ore_minerals.widgets.learning_messages import Figure, Learnt, Measured

GREEN, AMBER = "color: #7fd18b; font-weight: bold", "color: #f0c05a; font-weight: bold"
BETTER = "The new version is not worse: keep it?"
DOUBTFUL = "Hardly measured, on {cells} held-back cell{s}: keep it?"
UNCHANGED = "Nothing that was measured has changed: keep it?"
TOO_FEW = "too few to measure"
FEW_CELLS = 5
WORSE = "Saved as version {number}, but not put to use"
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"


class BeforeAfterView(QWidget):  # type: ignore[misc]
    """A result of fine-tuning.

    Signals: ``keep_wanted(str, str)`` with name and note, ``use_wanted(int)`` a version that was saved though
    it is worse, ``discard_wanted()``.
    """

    keep_wanted = Signal(str, str)
    use_wanted = Signal(int)
    discard_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._saved: int | None = None
        self.verdict, self.why = QLabel(), QLabel()
        self.name, self.note = QLineEdit(), QLineEdit()
        self.keep = _button("", "")
        self.discard = _button("", "")
        self._figures = QGridLayout()
        self._lay_out()
        self.keep.clicked.connect(self._keep)
        self.discard.clicked.connect(self.discard_wanted)

    def show_result(self, learnt: Learnt) -> None:
        """Show a result and offer what can be done with it."""
        self._saved = learnt.saved
        worse = learnt.saved is not None
        text, colour = _verdict(learnt)
        self.verdict.setText(text)
        self.verdict.setStyleSheet(colour)
        self.why.setText(_sentence(learnt.why))
        self._fill(learnt.figures)
        self.name.setText(learnt.name)
        self.name.setCursorPosition(0)
        self.note.clear()
        for field in (self.name, self.note):
            field.setVisible(not worse)
        for button, text, tooltip in (
            (
                self.keep,
                "Use it anyway" if worse else "Keep and use",
                "Classify with this version from now on; you can go back under Versions",
            ),
            (
                self.discard,
                "Go on as before" if worse else "Discard",
                "Leave it in the list of versions, and go on with the model in use"
                if worse
                else "Forget what was learnt; your corrections stay",
            ),
        ):
            button.setText(text)
            button.setToolTip(tooltip)
        first, second = (self.discard, self.keep) if worse else (self.keep, self.discard)
        first.setStyleSheet("font-weight: bold")
        second.setStyleSheet("")
        self.set_busy(False)

    def set_busy(self, busy: bool) -> None:
        """Take no clicks while a version is being saved."""
        for widget in (self.keep, self.discard, self.name, self.note):
            widget.setEnabled(not busy)

    def _keep(self) -> None:
        if self._saved is not None:
            self.use_wanted.emit(self._saved)
        else:
            self.keep_wanted.emit(
                self.name.text() if self.name.hasAcceptableInput() else "", self.note.text()
            )

    def _fill(self, figures: tuple[Figure, ...]) -> None:
        while self._figures.count():
            self._figures.takeAt(0).widget().deleteLater()
        for column, title in enumerate(("", "before", "", "after")):
            self._put(QLabel(title), 0, column)
        for row, figure in enumerate(figures, start=1):
            if not any(math.isfinite(one.value) for one in (figure.before, figure.after)):
                self._put(QLabel(figure.name), row, 0)
                self._figures.addWidget(QLabel(TOO_FEW), row, 1, 1, 3, Qt.AlignmentFlag.AlignHCenter)
                continue
            cells = f"{figure.cells:,} cells"
            for column, text in enumerate(
                (figure.name, _share(figure.before), "→", _share(figure.after, bold=True))
            ):
                label = QLabel(text)
                label.setToolTip(
                    f"{figure.hint}, {cells}.\nBefore {_interval(figure.before)}, after {_interval(figure.after)}"
                )
                self._put(label, row, column)

    def _put(self, label: QLabel, row: int, column: int) -> None:
        side = Qt.AlignmentFlag.AlignLeft if column == 0 else Qt.AlignmentFlag.AlignHCenter
        self._figures.addWidget(label, row, column, side)

    def _lay_out(self) -> None:
        self.why.setWordWrap(True)
        self.verdict.setWordWrap(True)
        self.name.setValidator(QRegularExpressionValidator(QRegularExpression(NAME)))
        self.name.setPlaceholderText("name")
        self.name.setToolTip("Name of the new version: letters, digits, dot, dash and underscore")
        self.note.setPlaceholderText("a note for yourself")
        self.note.setMaxLength(LONGEST_NOTE)
        self.note.setToolTip("What you want to remember of this version, such as the section and the lamp")
        for field in (self.name, self.note):
            field.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # never widens the dock
        self._figures.setHorizontalSpacing(4)
        self._figures.setColumnStretch(0, 1)
        self._figures.setVerticalSpacing(3)
        fields, buttons = QHBoxLayout(), QHBoxLayout()
        fields.addWidget(self.name, 2)
        fields.addWidget(self.note, 3)
        buttons.addWidget(self.keep, 1)
        buttons.addWidget(self.discard, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.verdict)
        column.addLayout(self._figures)
        column.addWidget(self.why)
        column.addLayout(fields)
        column.addLayout(buttons)


def _verdict(learnt: Learnt) -> tuple[str, str]:
    """What to make of a result, and the colour to say it in."""
    if learnt.saved is not None:
        return WORSE.format(number=learnt.saved), AMBER
    cells = learnt.figures[0].cells
    if cells < FEW_CELLS:
        return DOUBTFUL.format(cells=cells, s="s" * (cells != 1)), AMBER
    if all(one.before.value == one.after.value for one in learnt.figures if math.isfinite(one.after.value)):
        return UNCHANGED, AMBER
    return BETTER, GREEN


def _share(measured: Measured, *, bold: bool = False) -> str:
    if not math.isfinite(measured.value):
        return "–"
    half = (measured.high - measured.low) / 2
    value = f"<b>{measured.value:.2f}</b>" if bold else f"{measured.value:.2f}"
    return value + (f" ± {half:.2f}" if math.isfinite(half) else "")


def _interval(measured: Measured) -> str:
    if not math.isfinite(measured.value):
        return "not measured"
    return f"{measured.value:.3f} (95 %: {measured.low:.3f} to {measured.high:.3f})"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button
