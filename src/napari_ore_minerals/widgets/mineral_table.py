"""The table of minerals: colour, name, symbol, share of the area and number of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem

from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from napari_ore_minerals.minerals import MineralTable

Row = tuple[int, tuple[str, ...]]  # code of a mineral, and what its columns say
COLUMNS = ("mineral", "symbol", "area %", "cells", "taught")
NOTHING = "–"
TIPS = {
    "area %": "Share of the picture by the evidence below the cells, which sees grains that are smaller than a cell",
    "cells": (
        "Cells with this label and, for comparison, their share of those that are classified; the evidence in "
        "unclassified ones counts for the minerals that they may be"
    ),
}
SWATCH_PX = 14


class MineralTableView(QTableWidget):  # type: ignore[misc]
    """Rows of `maps.areas.areas` with their colours.

    Signals: ``chosen(int)`` with the code of a row that was clicked, ``wanted(int)`` after a double click.
    """

    chosen = Signal(int)
    wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setHorizontalHeaderLabels(COLUMNS)
        for name, tip in TIPS.items():
            self.horizontalHeaderItem(COLUMNS.index(name)).setToolTip(tip)
        self.setToolTip(
            "Click a mineral to select its label for painting; double-click to start painting with it"
        )
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setIconSize(QSize(SWATCH_PX, SWATCH_PX))
        self.setShowGrid(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.cellClicked.connect(lambda row, _: self._tell(self.chosen, row))
        self.cellDoubleClicked.connect(lambda row, _: self._tell(self.wanted, row))

    def show_areas(
        self, areas: pd.DataFrame, minerals: MineralTable, taught: Mapping[int, int] | None = None
    ) -> None:
        """Show an area table, with the number of taught cells by code; the row that was selected stays so."""
        self.setColumnHidden(COLUMNS.index("taught"), not taught)
        rows: list[Row] = []
        entries: list[Any] = list(areas.itertuples(index=False))
        for entry in entries:
            code, said = int(entry.code), (taught or {}).get(int(entry.code), 0)
            soft = code == UNCLASSIFIED and not entry.area_px  # cells without an area of their own
            share = NOTHING if soft else f"{100 * entry.fraction_of_picture:.1f}"
            cells = counted(int(entry.cells), float(entry.fraction_by_cells))
            rows.append(
                (code, (str(entry.mineral), str(entry.symbol), share, cells, str(said) if said else ""))
            )
        self._fill(rows, minerals)

    def show_no_areas(self, minerals: MineralTable) -> None:
        """Show the minerals of a result whose areas are not known yet."""
        self._fill([(one.code, (one.name, one.symbol, NOTHING, "", "")) for one in minerals], minerals)

    def _fill(self, rows: Sequence[Row], minerals: MineralTable) -> None:
        colours = {mineral.code: mineral.colour for mineral in minerals}
        self.setRowCount(len(rows))
        for row, (code, texts) in enumerate(rows):
            items = [QTableWidgetItem(text) for text in texts]
            items[0].setIcon(swatch(colours.get(code)))
            items[0].setData(Qt.ItemDataRole.UserRole, code)
            for column, item in enumerate(items):
                if column > 1:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if code <= UNCLASSIFIED:
                    item.setForeground(QColor("#9a9a9a"))
                self.setItem(row, column, item)
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth() + 2
        self.setFixedHeight(height + sum(self.rowHeight(row) for row in range(min(len(rows), 12))))

    def code(self, row: int) -> int:
        """Return the mineral code of a row; -1 for cells that were not processed."""
        return int(self.item(row, 0).data(Qt.ItemDataRole.UserRole))

    def _tell(self, signal: Signal, row: int) -> None:
        if self.code(row) >= UNCLASSIFIED:
            signal.emit(self.code(row))


def counted(cells: int, share: float) -> str:
    """Write a number of cells with their share of the classified ones, where there is one."""
    return f"{cells:,} ({100 * share:.0f} %)" if cells and share >= 0 else f"{cells:,}"


def swatch(colour: str | None) -> QIcon:
    """Draw a square of a colour; an empty frame for none."""
    pixmap = QPixmap(SWATCH_PX, SWATCH_PX)
    pixmap.fill(QColor(colour) if colour else QColor(0, 0, 0, 0))
    painter = QPainter(pixmap)
    painter.setPen(QColor("#9a9a9a"))
    painter.drawRect(0, 0, SWATCH_PX - 1, SWATCH_PX - 1)
    painter.end()
    return QIcon(pixmap)
