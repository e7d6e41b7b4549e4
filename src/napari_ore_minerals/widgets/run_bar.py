"""A button that says what it will cost, and becomes a bar with Cancel while it works."""

from __future__ import annotations

from time import monotonic

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QStackedWidget, QWidget

SECONDS_BETWEEN_DRAWINGS = 0.25


class RunBar(QStackedWidget):  # type: ignore[misc]
    """Classify, or while it runs: bar, tiles per second, time left and Cancel."""

    clicked = Signal()
    cancelled = Signal()

    def __init__(
        self,
        tooltip: str = "Find out which mineral each tile of the picture shows",
        cancel_tooltip: str = "Stop; what is classified already is kept",
    ) -> None:
        super().__init__()
        self.button = QPushButton("Classify")
        self.button.setToolTip(tooltip)
        self.button.clicked.connect(self.clicked)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip(cancel_tooltip)
        self.cancel.clicked.connect(self._cancel)
        running = QWidget()
        row = QHBoxLayout(running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        self.addWidget(self.button)
        self.addWidget(running)
        self.setFixedHeight(max(self.button.sizeHint().height(), running.sizeHint().height()) + 6)
        self._first: tuple[float, int] | None = None
        self._drawn, self._stage = 0.0, ""

    @property
    def running(self) -> bool:
        """Whether the bar is shown."""
        return bool(self.currentIndex() == 1)

    def offer(self, text: str, *, enabled: bool) -> None:
        """Set what the button says."""
        self.button.setText(text)
        self.button.setEnabled(enabled)

    def begin(self) -> None:
        """Show the bar; the total is not known yet."""
        self._first = None
        self._draw(0, 1, "getting ready")
        self.cancel.setEnabled(True)
        self.cancel.setText("Cancel")
        self.setCurrentIndex(1)

    def advance(self, done: int, total: int, stage: str = "") -> None:
        """Show how far it is, how fast it goes (or the `stage`) and how long it will still take."""
        now = monotonic()
        if another := total != self.bar.maximum() or done < self.bar.value():
            self._first = None  # another stage begins
        if (
            not another
            and stage == self._stage
            and done < total
            and now < self._drawn + SECONDS_BETWEEN_DRAWINGS
        ):
            return
        self._drawn, self._stage = now, stage
        text = stage or f"{done:,} / {total:,} tiles"
        if self._first is None:
            self._first = (now, done)
        elif now > self._first[0] and done > self._first[1]:
            rate = (done - self._first[1]) / (now - self._first[0])
            text += "" if stage else f" · {rate:.3g}/s"
            text += f" · {duration((total - done) / rate)} left"
        self._draw(done, max(total, 1), text)

    def end(self) -> None:
        """Show the button again."""
        self.setCurrentIndex(0)

    def _draw(self, done: int, total: int, text: str) -> None:
        """Change the bar at one go: Qt draws the whole window again, at once, for a bar that moves."""
        self.bar.setUpdatesEnabled(False)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(text)
        self.bar.setUpdatesEnabled(True)

    def _cancel(self) -> None:
        self.cancel.setEnabled(False)
        self.cancel.setText("Stopping")
        self.cancelled.emit()


def duration(seconds: float) -> str:
    """Say a time in a few letters: 8 s, 12 min, 3 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
