"""A table of pandas, to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem

from napari_ore_minerals.widgets.mineral_table import SWATCH_PX, swatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

MOST_ROWS = 12


class FrameTable(QTableWidget):  # type: ignore[misc]
    """Shows texts of a table; its first column names minerals and has their colours."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        self.horizontalHeader().setHighlightSections(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setIconSize(QSize(SWATCH_PX, SWATCH_PX))
        self.setShowGrid(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_frame(self, frame: pd.DataFrame, colours: Mapping[str, str]) -> None:
        """Show a table of texts, with colours by what stands in the first column."""
        self.setColumnCount(len(frame.columns))
        self.setRowCount(len(frame))
        self.setHorizontalHeaderLabels([str(name) for name in frame.columns])
        for row, texts in enumerate(frame.itertuples(index=False)):
            for column, text in enumerate(texts):
                item = QTableWidgetItem(str(text))
                if column == 0:
                    item.setIcon(swatch(colours.get(str(text))))
                else:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(len(frame.columns) < 6)
        bar = self.horizontalScrollBar().sizeHint().height() if len(frame.columns) > 5 else 0
        height = header.sizeHint().height() + 2 * self.frameWidth() + 2 + bar
        self.setFixedHeight(height + 24 * min(max(len(frame), 1), MOST_ROWS))
