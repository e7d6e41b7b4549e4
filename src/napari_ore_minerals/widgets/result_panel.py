"""What the dock shows of a result: which layer, the table of minerals, and the exports."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, count
from os.path import exists  # which is false for a name that is too long, where Path.exists raises
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.exports.shown import origin
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.files import SUFFIX, write_areas
from napari_ore_minerals.widgets.layers import CONFIDENCE, HEATMAP, MINERALS
from napari_ore_minerals.widgets.mineral_table import MineralTableView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.layers import Labels

    from napari_ore_minerals.widgets.overlay import Overlay

VIEWS = {"minerals": MINERALS, "heatmap": HEATMAP, "confidence": CONFIDENCE, "picture only": ""}
PREDICTED = "predicted class"
SETTLE_MS = 150


class ResultPanel(QWidget):  # type: ignore[misc]
    """The result that is looked at.

    Signals: ``label_chosen(int, bool)`` (True: start painting), ``save_wanted(Path)``,
    ``command_wanted()``, ``told(str)``, ``failed(str)``.
    """

    label_chosen = Signal(int, bool)
    save_wanted = Signal(object)
    command_wanted = Signal()
    told = Signal(str)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._overlay: Overlay | None = None
        self._labels: Labels | None = None
        self.taught: Callable[[], Mapping[int, int]] = dict  # cells that the user spoke about, by code
        self.view, self.heat = QComboBox(), QComboBox()
        self.table = MineralTableView()
        self.save = _button(
            "Save results…", "Write maps, heatmaps, areas and overlay as a folder that opens here again"
        )
        self.areas = _button(
            "Export areas…", "Write the table as CSV, with areas in µm² where the scale is known"
        )
        self.command = _button("Copy as command", "Copy the command that does the same without a screen")
        self._lay_out()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SETTLE_MS)
        self._later.timeout.connect(self.show_table)
        self.view.currentTextChanged.connect(self._view_changed)
        self.heat.currentIndexChanged.connect(self._heat_changed)
        self.table.chosen.connect(lambda code: self.label_chosen.emit(code, False))
        self.table.wanted.connect(lambda code: self.label_chosen.emit(code, True))
        self.save.clicked.connect(self._save)
        self.areas.clicked.connect(self._export)
        self.command.clicked.connect(self.command_wanted)
        self.hide()

    @property
    def overlay(self) -> Overlay | None:
        """The result that is looked at."""
        return self._overlay

    def look_at(self, overlay: Overlay | None) -> None:
        """Show another result, or none; the table follows shortly."""
        if overlay is not self._overlay:
            self._overlay = overlay
            if overlay is not None:
                self._fill_heat(overlay)
            self.setVisible(overlay is not None)
            self._later.start()
        self._listen()

    def show_table(self) -> None:
        """Measure the areas of what is on the screen, corrections included."""
        overlay = self._overlay
        finished = overlay is not None and overlay.map is not None
        for widget in (self.save, self.areas, self.command, self.view):
            widget.setEnabled(finished)
        if overlay is not None and overlay.map is not None:
            self.table.show_areas(areas(overlay.map, overlay.values), overlay.minerals, self.taught())
        elif overlay is not None:
            self.table.show_no_areas(overlay.minerals)  # rather than those of the result before

    def show_minerals(self) -> None:
        """Look at the minerals first."""
        self.view.setCurrentIndex(0)

    def disconnect_layers(self) -> None:
        """Listen to layers no more."""
        self._overlay = None
        self._listen()

    def _listen(self) -> None:
        labels = None if self._overlay is None else self._overlay.labels
        if labels is self._labels:
            return
        for layer, how in ((self._labels, "disconnect"), (labels, "connect")):
            if layer is not None:
                for event in (layer.events.paint, layer.events.set_data):
                    getattr(event, how)(self._painted)
        self._labels = labels

    def _painted(self, _: object = None) -> None:
        self._later.start()

    def refill(self) -> None:
        """Show the minerals anew, some of which came or went."""
        if self._overlay is not None:
            self._fill_heat(self._overlay)
            self._later.start()

    def _fill_heat(self, overlay: Overlay) -> None:
        self.heat.blockSignals(True)
        self.heat.clear()
        self.heat.addItem(PREDICTED, None)
        for mineral in overlay.minerals:
            self.heat.addItem(mineral.name, mineral.code)
        self.heat.setCurrentIndex(max(0, self.heat.findData(overlay.heatmap_code)))
        self.heat.blockSignals(False)

    def _view_changed(self, text: str) -> None:
        self.heat.setEnabled(text == HEATMAP)
        if self._overlay is not None:
            self._overlay.show_only(VIEWS[text])

    def _heat_changed(self, _: int) -> None:
        if self._overlay is not None:
            self._overlay.show_heatmap(self.heat.currentData())

    def _lay_out(self) -> None:
        self.view.addItems(list(VIEWS))
        self.view.setToolTip("Which layer of the result lies over the picture")
        self.heat.setToolTip("Evidence for which mineral the heatmap shows: blue is none, red the strongest")
        self.heat.setEnabled(False)
        show = QHBoxLayout()
        show.addWidget(self.view, 1)
        show.addWidget(self.heat, 1)
        exports = QHBoxLayout()
        for button in (self.save, self.areas, self.command):
            exports.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(show)
        column.addWidget(self.table)
        column.addLayout(exports)

    def _proposed(self, suffix: str) -> Path:
        """Name beside the picture that is not taken: dialogs enter a folder that is there, and nothing is replaced."""
        overlay = self._overlay
        if overlay is None or overlay.map is None:
            return Path.home()
        path = overlay.map.picture.path
        named = Path(path) if path else Path.home() / overlay.map.picture.name.replace("/", "-")
        further = (named.with_name(f"{named.name} {number}{suffix}") for number in count(2))
        return next(
            free for free in chain([named.with_name(named.name + suffix)], further) if not exists(free)
        )

    def _save(self) -> None:
        named, _ = QFileDialog.getSaveFileName(
            self, "Save results as a folder", str(self._proposed(SUFFIX)), f"Results (*{SUFFIX})",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        if named:
            self.save_wanted.emit(Path(named if named.endswith(SUFFIX) else named + SUFFIX))

    def _export(self) -> None:
        overlay = self._overlay
        if overlay is None or overlay.map is None:
            return
        named, _ = QFileDialog.getSaveFileName(
            self, "Export areas", str(self._proposed(" areas.csv")), "Comma-separated values (*.csv)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        if named:
            self.export_areas(Path(named if named.endswith(".csv") else named + ".csv"))

    def export_areas(self, path: Path) -> None:
        """Write the table as CSV, with where it comes from in the last columns."""
        overlay = self._overlay
        if overlay is None or overlay.map is None:
            return
        found = areas(overlay.map, overlay.values)
        told = origin(replace(overlay.map, labels=overlay.values))
        try:
            write_areas(found.assign(**told), path)
        except ResultError as error:
            self.failed.emit(str(error))
            return
        self.told.emit(f"Areas were written to {path}.")


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button
