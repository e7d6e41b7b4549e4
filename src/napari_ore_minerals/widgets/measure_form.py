"""What the user chooses in the Measure dock: what fractions are of, which part, which planes, and the scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QWidget,
)

from napari_ore_minerals.maps.measuring import ore_only
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_ore_minerals.minerals import MineralTable

PICTURE, CLASSIFIED, ORE, TICKED = "all that was measured", "what is classified", "the ore", "what is ticked"
WHOLE, VISIBLE = "whole picture", "visible part"
LARGEST_UM = 1000.0


class MeasureForm(QWidget):  # type: ignore[misc]
    """What to measure.

    Signals: ``changed()``, ``scale_given(float)`` in micrometres per pixel, ``bar_wanted(bool)``, ``draw_wanted()``.
    """

    draw_wanted = Signal()
    changed = Signal()
    scale_given = Signal(float)
    bar_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._ticked: set[int] = set()
        self.of, self.part, self.planes = QComboBox(), QComboBox(), QCheckBox()
        self.draw = QPushButton("Draw…")
        self.scale, self.source, self.bar = QDoubleSpinBox(), QLabel(), QCheckBox("scale bar")
        self._lay_out()
        self.of.currentIndexChanged.connect(self.changed)
        self.part.currentIndexChanged.connect(self.changed)
        self.planes.toggled.connect(self.changed)
        self.scale.valueChanged.connect(self._scale_changed)
        self.bar.toggled.connect(self.bar_wanted)
        self.draw.clicked.connect(self.draw_wanted)

    def without(self, minerals: MineralTable) -> tuple[int, ...]:
        """Codes that are left out of what fractions are of."""
        chosen = self.of.currentText()
        if chosen == PICTURE:
            return ()
        if chosen == CLASSIFIED:
            return (UNCLASSIFIED,)
        if chosen == ORE:
            return tuple(sorted(ore_only(minerals)))
        known = {UNCLASSIFIED, *minerals.codes}
        return tuple(sorted(known & self._ticked))

    def tick(self, code: int, counts: bool, minerals: MineralTable) -> None:
        """Count a mineral in what fractions are of, or leave it out."""
        left_out = set(self.without(minerals))
        self._ticked = left_out - {code} if counts else left_out | {code}
        if self.of.currentText() == TICKED:
            self.changed.emit()
        else:
            self.of.setCurrentText(TICKED)

    def show_parts(self, names: Sequence[str]) -> None:
        """Offer layers of shapes; the choice stays while it is there."""
        wanted = [WHOLE, VISIBLE, *names]
        if wanted == [self.part.itemText(index) for index in range(self.part.count())]:
            return
        chosen = self.part.currentText()
        self.part.blockSignals(True)
        self.part.clear()
        self.part.addItems(wanted)
        self.part.setCurrentIndex(max(0, self.part.findText(chosen)))
        self.part.blockSignals(False)
        if self.part.currentText() != chosen:
            self.changed.emit()

    def show_planes(self, number: int) -> None:
        """Offer all planes where there are several."""
        self.planes.setText(f"all {number} planes of the stack")
        self._form.setRowVisible(self.planes, number > 1)
        if number < 2 and self.planes.isChecked():
            self.planes.setChecked(False)

    def show_scale(self, um_per_px: float | None, source: str) -> None:
        """Show the scale, and where it comes from."""
        self.scale.blockSignals(True)
        self.scale.setValue(um_per_px or 0.0)
        self.scale.blockSignals(False)
        self.source.setText(
            "Set it: areas are in pixels until then" if um_per_px is None else f"From: {source}"
        )

    def show_bar(self, visible: bool) -> None:
        """Tell whether the viewer shows a scale bar."""
        self.bar.blockSignals(True)
        self.bar.setChecked(visible)
        self.bar.blockSignals(False)

    def _scale_changed(self, value: float) -> None:
        if value > 0:
            self.scale_given.emit(value)

    def _lay_out(self) -> None:
        self.of.addItems([PICTURE, CLASSIFIED, ORE, TICKED])
        self.of.setToolTip("What 100 % is; untick minerals in the table to leave out resin, cracks or gangue")
        self.part.addItems([WHOLE, VISIBLE])
        self.part.setToolTip(
            "What is measured: with a Shapes layer its selected shapes, or all where none is selected"
        )
        self.planes.setToolTip("Take the planes that were classified as pictures of one section")
        self.scale.setDecimals(4)
        self.scale.setRange(0, LARGEST_UM)
        self.scale.setSingleStep(0.05)
        self.scale.setSuffix(" µm/px")
        self.scale.setSpecialValueText("unknown")
        self.scale.setKeyboardTracking(False)
        self.scale.setFixedWidth(164)
        self.scale.setToolTip("Micrometres per pixel: set it here where the picture does not tell it")
        self.source.setToolTip("Where the scale comes from")
        self.draw.setToolTip(
            "Draw regions on the picture: a new layer of polygons, each measured apart and together"
        )
        self.bar.setToolTip("Show a scale bar on the picture")
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.scale)
        row.addStretch(1)
        row.addWidget(self.bar)
        part = QHBoxLayout()
        part.setContentsMargins(0, 0, 0, 0)
        part.addWidget(self.part, 1)
        part.addWidget(self.draw)
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.addRow("fractions of", self.of)
        self._form.addRow("part", part)
        self._form.addRow("", self.planes)
        self._form.addRow("scale", row)
        self._form.addRow("", self.source)
        self._form.setRowVisible(self.planes, False)
