"""The table of the Measure dock: colour, name, symbol, area with its interval, and what counts as the whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem

from napari_ore_minerals.maps.grain_areas import BY_GRAINS
from napari_ore_minerals.minerals import UNCLASSIFIED
from napari_ore_minerals.widgets.mineral_table import SWATCH_PX, swatch

if TYPE_CHECKING:
    import pandas as pd

    from napari_ore_minerals.minerals import MineralTable

COLUMNS = ("mineral", "symbol", "area %", "95 % interval", "grains %", "mm²")
MOST_ROWS = 12
GREY = QColor("#9a9a9a")
NOTHING = "–"


class MeasureTable(QTableWidget):  # type: ignore[misc]
    """Rows of a measurement.

    Signal: ``ticked(int, bool)`` a mineral is to count as a part of the whole that fractions are of, or not.
    """

    ticked = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setToolTip("Ticked minerals are what fractions are of: untick resin, cracks or gangue")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setIconSize(QSize(SWATCH_PX, SWATCH_PX))
        self.setShowGrid(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.itemChanged.connect(self._changed)
        self._fit()

    def show_figures(self, table: pd.DataFrame, minerals: MineralTable, without: tuple[int, ...]) -> None:
        """Show a table of `maps.measuring.measure`, or of pictures that were pooled."""
        self.blockSignals(True)
        self.setColumnHidden(COLUMNS.index("grains %"), BY_GRAINS not in table)
        self.setColumnHidden(COLUMNS.index("symbol"), BY_GRAINS in table)  # names need the room
        known = table["area_mm2"].notna().any()
        self.setColumnHidden(COLUMNS.index("mm²"), not known or BY_GRAINS in table)  # the tooltip has it
        colours = {mineral.code: mineral.colour for mineral in minerals}
        self.setRowCount(len(table))
        for row, entry in enumerate(table.to_dict("records")):
            self._show_row(row, entry, colours.get(int(entry["code"])), int(entry["code"]) not in without)
        self.blockSignals(False)
        self._fit()

    def text(self, row: int, column: str) -> str:
        """What stands in a row under a heading."""
        return str(self.item(row, COLUMNS.index(column)).text())

    def code(self, row: int) -> int:
        """Mineral code of a row."""
        return int(self.item(row, 0).data(Qt.ItemDataRole.UserRole))

    def _show_row(self, row: int, entry: dict[Any, Any], colour: str | None, counts: bool) -> None:
        name = QTableWidgetItem(str(entry["mineral"]))
        name.setIcon(swatch(colour))
        name.setData(Qt.ItemDataRole.UserRole, int(entry["code"]))
        name.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        name.setCheckState(Qt.CheckState.Checked if counts else Qt.CheckState.Unchecked)
        texts = (
            str(entry["symbol"]),
            percent(entry["fraction"]),
            interval(entry["low"], entry["high"]),
            percent(entry.get(BY_GRAINS, math.nan)),
            NOTHING if math.isnan(entry["area_mm2"]) else f"{entry['area_mm2']:.3g}",
        )
        tip = explained(entry)
        for column, item in enumerate((name, *map(QTableWidgetItem, texts))):
            if column > 1:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if int(entry["code"]) == UNCLASSIFIED or not counts:
                item.setForeground(GREY)
            item.setToolTip(tip)
            self.setItem(row, column, item)

    def _changed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            self.ticked.emit(self.code(item.row()), item.checkState() == Qt.CheckState.Checked)

    def _fit(self) -> None:
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth() + 2
        self.setFixedHeight(height + 24 * min(max(self.rowCount(), 1), MOST_ROWS))


def percent(share: float) -> str:
    """A share as per cent, with the digits that are worth saying."""
    if math.isnan(share):
        return NOTHING
    return f"{100 * share:.2f}" if 0 < share < 0.00995 else f"{100 * share:.1f}"


def interval(low: float, high: float) -> str:
    """Both ends as per cent."""
    return NOTHING if math.isnan(low) or math.isnan(high) else f"{percent(low)} – {percent(high)}"


def explained(entry: dict[Any, Any]) -> str:
    """All that is known of a row, in lines."""
    named = f"{entry['mineral']} ({entry['symbol']})" if entry["symbol"] else str(entry["mineral"])
    lines = [f"{named}: {entry['area_px']:,.0f} px"]
    if not math.isnan(entry["area_um2"]):
        lines[0] += f", {entry['area_um2']:,.0f} µm²"
    if "cells" in entry:
        lines.append(f"{entry['cells']:,} cells, {entry['corrected_cells']:,} of them corrected or confirmed")
    if not math.isnan(entry.get("picture_low", math.nan)):
        lines.append(f"in this picture: {interval(entry['picture_low'], entry['picture_high'])} %")
    for title, name in (
        ("error of sampling", "sampling_error"),
        ("error of the classifier", "classifier_error"),
        ("adjusted for the classifier's mean errors", "fraction_adjusted"),
        ("plain count of cells", "fraction_by_cells"),
    ):
        if not math.isnan(entry.get(name, math.nan)):
            lines.append(f"{title}: {percent(entry[name])} %")
    if int(entry["code"]) == UNCLASSIFIED and entry.get("cells") and not entry["area_px"]:
        lines.append(
            "what speaks for each mineral in these cells counts as its share: leaving them out changes nothing"
        )
    if math.isfinite(entry.get("effective_n", math.nan)):
        lines.append(f"as sure as {entry['effective_n']:.0f} points counted at random")
    if not math.isnan(entry.get("point_count_error", math.nan)):
        lines.append(f"if each cell were an independent point: ± {percent(entry['point_count_error'])} %")
    if math.isfinite(entry.get("relative_accuracy", math.nan)):
        lines.append(f"relative accuracy as in ASTM E562: {entry['relative_accuracy']:.0f} %")
    return "\n".join(lines)
