"""What the dock says: where to begin, what happened, what to doubt."""

from __future__ import annotations

import weakref
from functools import partial

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

EMPTY = "Open a photograph of a polished section (File > Open, or drop it here), or try the sample."
LAID_OUT_MS = 60
RED, AMBER = "color: #ff8a73", "color: #f0c05a"


class EmptyHint(QFrame):  # type: ignore[misc]
    """Where to begin while there is no picture.  Signal: ``sample_wanted()``."""

    sample_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        words = QLabel(EMPTY)
        words.setWordWrap(True)
        self.sample = QPushButton("Open the sample")
        self.sample.setToolTip("A simulated micrograph, to see how this works")
        self.sample.clicked.connect(self.sample_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.addWidget(words)
        column.addWidget(self.sample)


class DeviceChip(QLabel):  # type: ignore[misc]
    """On which device the model computes; hidden until that is known."""

    def __init__(self) -> None:
        super().__init__()
        self.setStyleSheet("border: 1px solid palette(mid); border-radius: 7px; padding: 1px 8px")
        self.hide()

    def tell(self, text: str, tooltip: str) -> None:
        """Show a device."""
        self.setText(text)
        self.setToolTip(tooltip)
        self.show()


def scrolling(content: QWidget) -> QScrollArea:
    """Return an area that scrolls what is too high for the window."""
    area = QScrollArea()
    area.setWidget(content)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


def reveal(widget: QWidget) -> None:
    """Scroll a widget into view, once its place is known."""
    QTimer.singleShot(LAID_OUT_MS, partial(_scroll_to, weakref.ref(widget)))  # keeps nothing alive


def _scroll_to(wanted: weakref.ref[QWidget]) -> None:
    widget = wanted()
    if widget is None or not isalive(widget):
        return
    area = widget.parentWidget()
    while area is not None and not isinstance(area, QScrollArea):
        area = area.parentWidget()
    if area is not None:
        area.ensureWidgetVisible(widget, 0, 8)


class Status(QWidget):  # type: ignore[misc]
    """One line on what happened, red for errors, and under it what speaks against trusting the result."""

    def __init__(self) -> None:
        super().__init__()
        self._line, self._doubts = QLabel(), QLabel()
        self._doubts.setStyleSheet(AMBER)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for label in (self._line, self._doubts):
            label.setWordWrap(True)
            label.hide()
            column.addWidget(label)
        self._error = False
        self.hide()

    def text(self) -> str:
        """Return what the line says."""
        return str(self._line.text())

    def doubts(self) -> str:
        """Return what speaks against trusting the result, a line each."""
        return str(self._doubts.text())

    def say(self, text: str) -> None:
        """Tell what happened."""
        self._show(text, error=False)

    def complain(self, text: str) -> None:
        """Tell what is wrong."""
        self._show(text, error=True)

    def settle(self) -> None:
        """Take back a complaint; what happened stays."""
        if self._error:
            self.say("")

    def look_at(self, warnings: tuple[str, ...], *, another: bool) -> None:
        """Tell the doubts of a result, and no more what happened to one before; a complaint stays."""
        if another and not self._error:
            self.say("")
        self.doubt(warnings)

    def doubt(self, warnings: tuple[str, ...]) -> None:
        """List what speaks against trusting the result."""
        self._doubts.setText("\n".join(f"⚠ {_sentence(warning)}" for warning in warnings))
        self._doubts.setVisible(bool(warnings))
        self._fold()

    def _show(self, text: str, *, error: bool) -> None:
        self._error = error
        self._line.setStyleSheet(RED if error else "")
        self._line.setText(_sentence(text))
        self._line.setVisible(bool(text))
        self._fold()

    def _fold(self) -> None:
        self.setVisible(bool(self._line.text() or self._doubts.text()))


def _sentence(text: str) -> str:
    """Begin with a capital letter, but for the name of a picture, and end with a stop."""
    named = ":" in text.split(" ", maxsplit=1)[0]
    begun = text if named else text[:1].upper() + text[1:]
    return begun + ("" if not text or text.endswith((".", "…")) else ".")
