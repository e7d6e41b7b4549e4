"""A part of the dock that folds away; it grows and shrinks with what is in it."""

from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

OPEN, CLOSED = "▾", "▸"


class Folding(QWidget):  # type: ignore[misc]
    """A title to click on, and the content below it, folded at first.

    superqt's QCollapsible keeps the height that its content had when it was opened.
    """

    def __init__(self, title: str, tooltip: str) -> None:
        super().__init__()
        self._title = title
        self.button, self._content = QPushButton(), QWidget()
        self.button.setStyleSheet("text-align: left; padding: 3px 6px")
        self.button.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed
        )  # never widens the dock
        self.button.setToolTip(tooltip)
        self.button.clicked.connect(lambda _=False: self.fold(self.is_open()))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.button)
        column.addWidget(self._content)
        inner = QVBoxLayout(self._content)
        inner.setContentsMargins(5, 0, 2, 0)
        self.fold(True)

    def is_open(self) -> bool:
        """Whether the content can be seen."""
        return not self._content.isHidden()

    def expand(self) -> None:
        """Show the content."""
        self.fold(False)

    def fold(self, away: bool) -> None:
        """Hide the content, or show it."""
        self._content.setVisible(not away)
        self.set_title(self._title)

    def set_title(self, title: str) -> None:
        """Change the title."""
        self._title = title
        self.button.setText(f"{OPEN if self.is_open() else CLOSED}  {title}")

    def add(self, widget: QWidget) -> None:
        """Put a widget at the end of the content."""
        self._content.layout().addWidget(widget)
