"""How a training goes, epoch by epoch: what it still gets wrong, and what it gets right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

HEIGHT_PX = 96
EDGE_PX, LEGEND_PX = 6, 18
LOSS_COLOUR, ACCURACY_COLOUR = QColor("#f0c05a"), QColor("#7db8ff")
DOT_PX = 2.5


class Point(NamedTuple):
    """The end of an epoch."""

    epoch: int
    loss: float
    accuracy: float


class LossPlot(QWidget):  # type: ignore[misc]
    """Loss and accuracy over the epochs, drawn as they come in."""

    def __init__(self) -> None:
        super().__init__()
        self._points: list[Point] = []
        self._epochs = 1
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(HEIGHT_PX)
        self.setToolTip(
            "After each round over the examples. Loss: how wrong the answers are, it should fall. "
            "Accuracy: how many cells and tiles that are not learnt from are answered rightly"
        )

    @property
    def points(self) -> tuple[Point, ...]:
        """What is drawn."""
        return tuple(self._points)

    def sizeHint(self) -> QSize:
        """Return the size that is asked of the layout."""
        return QSize(200, HEIGHT_PX)

    def begin(self, epochs: int) -> None:
        """Empty it for a training of so many epochs."""
        self._points, self._epochs = [], max(1, epochs)
        self.update()

    def add(self, point: Point) -> None:
        """Draw one more epoch; figures that are not finite are left out."""
        if math.isfinite(point.loss) and math.isfinite(point.accuracy):
            self._points.append(point)
            self._epochs = max(self._epochs, point.epoch)
            self.update()

    def paintEvent(self, _: QPaintEvent) -> None:
        """Draw frame, lines and the latest figures."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        room = QRectF(self.rect()).adjusted(EDGE_PX, LEGEND_PX, -EDGE_PX, -EDGE_PX)
        faint = self.palette().color(QPalette.ColorRole.Mid)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(room)
        self._legend(painter)
        highest = max((point.loss for point in self._points), default=1.0) or 1.0
        losses = [(point.epoch, point.loss / highest) for point in self._points]
        accuracies = [(point.epoch, point.accuracy) for point in self._points]
        self._line(painter, room, losses, LOSS_COLOUR)
        self._line(painter, room, accuracies, ACCURACY_COLOUR)
        painter.end()

    def _legend(self, painter: QPainter) -> None:
        last = self._points[-1] if self._points else None
        loss = f"loss {last.loss:.3g}" if last else "loss"
        accuracy = f"accuracy {last.accuracy:.0%}" if last else "accuracy"
        epoch = f"epoch {last.epoch} of {self._epochs}" if last else "waiting for the first epoch"
        width = self.width() - 2 * EDGE_PX
        for text, colour, side in (
            (loss, LOSS_COLOUR, Qt.AlignmentFlag.AlignLeft),
            (epoch, self.palette().color(QPalette.ColorRole.Text), Qt.AlignmentFlag.AlignHCenter),
            (accuracy, ACCURACY_COLOUR, Qt.AlignmentFlag.AlignRight),
        ):
            painter.setPen(colour)
            painter.drawText(QRectF(EDGE_PX, 0, width, LEGEND_PX), side | Qt.AlignmentFlag.AlignVCenter, text)

    def _line(
        self, painter: QPainter, room: QRectF, values: Sequence[tuple[int, float]], colour: QColor
    ) -> None:
        steps = max(1, self._epochs - 1)
        inner = room.adjusted(DOT_PX + 2, DOT_PX + 2, -DOT_PX - 2, -DOT_PX - 2)
        points = [
            QPointF(
                inner.left() + inner.width() * (epoch - 1) / steps, inner.bottom() - inner.height() * value
            )
            for epoch, value in values
        ]
        painter.setPen(QPen(colour, 1.6))
        painter.drawPolyline(QPolygonF(points))
        painter.setBrush(colour)
        for point in points:
            painter.drawEllipse(point, DOT_PX, DOT_PX)
        painter.setBrush(Qt.BrushStyle.NoBrush)
