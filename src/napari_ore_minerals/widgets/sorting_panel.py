"""What stands beside the tiles: minerals with their keys and counts, what to look at, how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ore_minerals.learning.sorting import ALL, SEVERAL, TO_SORT, UNSURE
from napari_ore_minerals.widgets.mineral_table import SWATCH_PX, swatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_ore_minerals.learning.sorting import Sorting
    from napari_ore_minerals.widgets.sheet import Sheet

KEYS = 9
KEYS_TOLD = (
    "Arrows or a click choose a tile, PageUp and PageDown turn pages, N goes to the next one without a label."
)
EMPTY = (
    "Open a dataset of tiles to sort them into minerals. This makes one from photographs:<br><br>"
    "<code>ore-minerals dataset tile PICTURES --out DATASET</code>"
)
COLUMNS = ("key", "mineral", "symbol", "tiles")
NO_FOCUS = Qt.FocusPolicy.NoFocus  # so that the keys stay with the tiles
ACTIONS = (
    ("unsure", "Unsure  U", "Say that you are not sure of the current tile: it is not learnt from (U)"),
    ("several", "Several  M", "The current tile shows more than one mineral: it is not learnt from (M)"),
    ("unlabel", "Unlabel  0", "Take the label of the current tile away (0 or Delete)"),
    ("undo", "Undo", "Take the last step back (Ctrl+Z or Backspace)"),
    ("redo", "Redo", "Do again what was taken back (Ctrl+Y or Ctrl+Shift+Z)"),
    ("fill", "Fill page  F", "All tiles of this page that have no label get the one that was given last (F)"),
)


class SortingHint(QFrame):  # type: ignore[misc]
    """Where to begin while there is no dataset.  Signal: ``open_wanted()``."""

    open_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        words, button = QLabel(EMPTY), QPushButton("Open a dataset …")
        words.setWordWrap(True)
        words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        button.setToolTip("Choose a folder that holds dataset.json and tiles.csv")
        button.clicked.connect(self.open_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.addWidget(words)
        column.addWidget(button)


class MineralKeys(QTableWidget):  # type: ignore[misc]
    """Minerals of a dataset with their keys and counts.  Signal: ``chosen(int)``, the row that was clicked."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setToolTip("Press a mineral's key, or click it, to give it to the current tile")
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFocusPolicy(NO_FOCUS)
        self.setIconSize(QSize(SWATCH_PX, SWATCH_PX))
        self.setShowGrid(False)
        self.cellClicked.connect(lambda row, _: self.chosen.emit(row))

    def show_minerals(self, sorting: Sorting, current: str) -> None:
        """Show how many tiles each mineral has; that of the current tile in bold."""
        self.setRowCount(len(sorting.minerals))
        for row, mineral in enumerate(sorting.minerals):
            key = str(row + 1) if row < KEYS else ""
            texts = (key, mineral.name, mineral.symbol, f"{sorting.count(mineral.name):,}")
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                font = item.font()
                font.setBold(mineral.name == current)
                item.setFont(font)
                if column == 0:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                elif column == 1:
                    item.setIcon(swatch(mineral.colour))
                elif column == len(COLUMNS) - 1:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if not sorting.count(mineral.name) and column == len(COLUMNS) - 1:
                    item.setForeground(QColor("#9a9a9a"))
                self.setItem(row, column, item)
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth() + 2
        self.setFixedHeight(
            height + sum(self.rowHeight(row) for row in range(min(len(sorting.minerals), 14)))
        )


class SortingPanel(QWidget):  # type: ignore[misc]
    """All that is shown of a dataset beside its tiles.

    Signals: ``acted(str)`` one of `ACTIONS`, ``mineral_named(str)``, ``shown_changed(str)``, ``turned(int)``.
    """

    acted = Signal(str)
    mineral_named = Signal(str)
    shown_changed = Signal(str)
    turned = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.bar, self.progress, self.tile, self.context = QProgressBar(), QLabel(), QLabel(), QLabel()
        self.shown, self.page, self.minerals, self.name = QComboBox(), QLabel(), MineralKeys(), QLineEdit()
        self.advance = QCheckBox("Go on to the next tile after a label")
        self.buttons = {name: QPushButton(title) for name, title, _ in ACTIONS}
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.tile.setWordWrap(True)
        self.context.setToolTip("Where the current tile lies in its photograph")
        self.context.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.tile.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.advance.setChecked(True)
        self.advance.setToolTip("While sorting, the next tile is the next one without a label")
        self.advance.setFocusPolicy(NO_FOCUS)
        self.shown.setToolTip("Which tiles to look at; the choice is made anew whenever it is chosen")
        self.shown.setFocusPolicy(NO_FOCUS)
        self.shown.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.shown.activated.connect(lambda _: self.shown_changed.emit(str(self.shown.currentData())))
        self.name.setPlaceholderText("Add a mineral by its name or symbol")
        self.name.setToolTip("A mineral that is not in the list, such as galena or Sp; press Enter")
        self.name.returnPressed.connect(lambda: self.mineral_named.emit(self.name.text()))
        self._lay_out()

    def show_state(self, sorting: Sorting, sheet: Sheet, about: str) -> None:
        """Show what is said of the tiles and where the current one is."""
        self.bar.setMaximum(max(1, len(sorting.tiles)))
        self.bar.setValue(sorting.sorted_count)
        self.progress.setText(sorting.progress())
        self.page.setText(f"page {sheet.page + 1:,} of {sheet.pages:,}")
        label = None if sheet.tile is None else sorting.label(sheet.tile)
        self.minerals.show_minerals(sorting, "" if label is None else label.mineral)
        self.tile.setText(about)
        self.buttons["undo"].setEnabled(sorting.can_undo)
        self.buttons["redo"].setEnabled(sorting.can_redo)
        for name in ("unsure", "several", "unlabel", "fill"):
            self.buttons[name].setEnabled(label is not None)

    def show_context(self, picture: NDArray[np.uint8] | None) -> None:
        """Show where the current tile lies in its photograph; what is shown stays while that is read."""
        if picture is not None:
            height, width, _ = picture.shape
            image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
            self.context.setPixmap(QPixmap.fromImage(image))

    def offer(self, sorting: Sorting, chosen: str) -> None:
        """List what can be looked at, with counts."""
        self.shown.clear()
        counts = {ALL: len(sorting.tiles), TO_SORT: len(sorting.tiles) - sorting.sorted_count}
        counts |= {UNSURE: sorting.unsure_count, SEVERAL: sorting.count(SEVERAL)}
        counts |= {mineral.name: sorting.count(mineral.name) for mineral in sorting.minerals}
        for name, count in counts.items():
            self.shown.addItem(f"{name} ({count:,})", name)
        self.shown.setCurrentIndex(max(0, self.shown.findData(chosen)))

    def _lay_out(self) -> None:
        look = QHBoxLayout()
        look.addWidget(QLabel("Show"))
        look.addWidget(self.shown, 1)
        for sign, step, tip in (("‹", -1, "The page before (PageUp)"), ("›", 1, "The next page (PageDown)")):
            button = QToolButton()
            button.setText(sign)
            button.setToolTip(tip)
            button.setFocusPolicy(NO_FOCUS)
            button.clicked.connect(lambda _=False, step=step: self.turned.emit(step))
            if step > 0:
                look.addWidget(self.page)
            look.addWidget(button)
        grid = QGridLayout()
        for number, (name, _, tip) in enumerate(ACTIONS):
            button = self.buttons[name]
            button.setToolTip(tip)
            button.setFocusPolicy(NO_FOCUS)
            button.clicked.connect(lambda _=False, name=name: self.acted.emit(name))
            grid.addWidget(button, number // 3, number % 3)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(9)
        for widget in (self.progress, self.bar):
            column.addWidget(widget)
        column.addLayout(look)
        for widget in (self.minerals, self.name):
            column.addWidget(widget)
        column.addLayout(grid)
        keys = QLabel(KEYS_TOLD)
        keys.setWordWrap(True)
        keys.setStyleSheet("color: #9a9a9a")
        for widget in (self.tile, self.context, self.advance, keys):
            column.addWidget(widget)
