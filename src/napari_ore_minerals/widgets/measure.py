"""The Measure dock: how much of each mineral, how sure, live while the map is corrected."""

from __future__ import annotations

from functools import partial
from inspect import unwrap
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.widgets.folding import Folding
from napari_ore_minerals.widgets.grain_layer import painted_places
from napari_ore_minerals.widgets.grain_panel import GrainPanel
from napari_ore_minerals.widgets.hints import Status, scrolling
from napari_ore_minerals.widgets.measure_chart import AreaChart
from napari_ore_minerals.widgets.measure_exports import ExportBar, OnScreen
from napari_ore_minerals.widgets.measure_figures import Figures, Group, Request
from napari_ore_minerals.widgets.measure_form import VISIBLE, MeasureForm
from napari_ore_minerals.widgets.measure_meter import Meter
from napari_ore_minerals.widgets.measure_regions import draw_regions, regions_of, shapes_layers
from napari_ore_minerals.widgets.measure_scale import give_scale
from napari_ore_minerals.widgets.measure_source import (
    Result,
    layer_in_view,
    picture_under,
    result_of,
    same_picture,
)
from napari_ore_minerals.widgets.measure_table import MeasureTable
from napari_ore_minerals.widgets.measure_watch import Watch

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

SETTLE_MS = 150
EMPTY = "Classify a picture, or open a result folder: its minerals are measured here."


class MeasureDock(QWidget):  # type: ignore[misc]
    """Measure the minerals of the map in view.

    Parameters
    ----------
    napari_viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = unwrap(napari_viewer)
        self.layer: Labels | None = None
        self.result: Result | None = None
        self.figures: Figures | None = None
        self.meter = Meter()
        self.form, self.group, self.table = MeasureForm(), QComboBox(), MeasureTable()
        self.title, self.note, self.status = QLabel(EMPTY), QLabel(), Status()
        self.chart = AreaChart(self._viewer.theme, "Areas of the minerals with their 95 % intervals")
        self.charts = Folding("Chart", "Bars with their 95 % intervals")
        self.grains = GrainPanel(self._viewer)
        self.exports = ExportBar(self._on_screen, self.table)
        self._lay_out()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SETTLE_MS)
        self._later.timeout.connect(self.measure)
        self.watch = Watch(self._viewer, self._later.start, self._moved, self.grains.repainted)
        self._connect()
        self.measure()

    def measure(self) -> None:
        """Ask for figures of what is on the screen; they come shortly."""
        self._later.stop()
        self.watch.renew()
        self._look()
        self.content.setVisible(self.result is not None)
        if self.result is None or self.layer is None:
            self.meter.forget()
            self.figures = None
            self.title.setText(EMPTY)
            self.status.say("")
            return
        try:
            self.meter.ask(self._request(self.layer, self.result))
        except OptionError as error:
            self._fail(str(error))

    def shown(self) -> Group | None:
        """Return the figures that the table shows."""
        if self.figures is None:
            return None
        index = max(0, int(self.group.currentIndex()))
        return self.figures.groups[min(index, len(self.figures.groups) - 1)]

    def _on_screen(self) -> OnScreen | None:
        """What an export is made of: the figures that are shown, and the map that they were measured on."""
        if self.figures is None or self.result is None or self.layer is None:
            return None
        results = self.figures.request.results
        shown = next((one for one in results if one.name == self.result.name), results[0])
        grains = self.grains.grains
        painted = 0 if grains is None else painted_places(grains)
        picture = picture_under(self._viewer, self.layer)
        return OnScreen(shown, self.figures, picture, painted, self.grains.out_of_date())

    def _look(self) -> None:
        """Find out what is in view."""
        self.layer = layer_in_view(self._viewer)
        self.result = result_of(self.layer)
        self.grains.look_at(self.layer if self.result is not None else None)
        self.form.show_parts([layer.name for layer in shapes_layers(self._viewer)])
        self.form.show_bar(self._viewer.canvas.overlays.scale_bar.visible)
        if self.layer is None or self.result is None:
            return
        mineral_map = self.result.mineral_map
        self.title.setText(f"<b>{self.result.name}</b>")
        self.form.show_planes(len(same_picture(self._viewer, self.layer)))
        self.form.show_scale(mineral_map.um_per_px, mineral_map.um_per_px_source)

    def _request(self, layer: Labels, result: Result) -> Request:
        mineral_map = result.mineral_map
        results: tuple[Result, ...] = (result,)
        if self.form.planes.isChecked():
            found = [result_of(one) for one in same_picture(self._viewer, layer)]
            results = tuple(one for one in found if one is not None)
        regions = regions_of(self._viewer, layer, self.form.part.currentText(), mineral_map.grid.stride_px)
        grains = None if len(results) > 1 else self.grains.grain_map()
        return Request(results, self.form.without(mineral_map.minerals), regions, grains)

    def _take(self, found: Figures) -> None:
        self.figures = found
        names = [group.name for group in found.groups]
        if names != [self.group.itemText(index) for index in range(self.group.count())]:
            self.group.blockSignals(True)
            self.group.clear()
            self.group.addItems(names)
            self.group.setCurrentIndex(len(names) - 1)
            self.group.blockSignals(False)
        self.group.setVisible(len(names) > 1)
        self.status.settle()
        self._show_group()

    def _show_group(self) -> None:
        group, found = self.shown(), self.figures
        if group is None or found is None:
            return
        self.table.show_figures(group.table, found.minerals, found.request.without)
        self.note.setText(group.note)
        self.status.doubt(group.warnings)
        if self.charts.is_open():
            self.chart.draw(found.groups if group is found.groups[-1] else (group,), found.minerals)

    def _take_theme(self, _: object = None) -> None:
        for chart in (self.chart, *self.grains.charts.values()):
            chart.take_theme(self._viewer.theme)

    def _fail(self, sentence: str) -> None:
        self.status.doubt(())
        self.status.complain(sentence)

    def _ticked(self, code: int, counts: bool) -> None:
        if self.result is not None:
            self.form.tick(code, counts, self.result.mineral_map.minerals)

    def _give_scale(self, um_per_px: float) -> None:
        if self.layer is not None and self.result is not None:
            give_scale(self._viewer, self.layer, um_per_px)
            self.grains.repainted()
            self.measure()

    def _draw(self) -> None:
        if self.layer is not None and self.result is not None:
            shapes = draw_regions(self._viewer, self.layer, self.result.mineral_map.grid.stride_px)
            self.form.show_parts([layer.name for layer in shapes_layers(self._viewer)])
            self.form.part.setCurrentText(shapes.name)

    def _show_bar(self, wanted: bool) -> None:
        self._viewer.canvas.overlays.scale_bar.visible = wanted

    def _moved(self) -> None:
        """The view was moved or zoomed."""
        if self.form.part.currentText() == VISIBLE:
            self._later.start()

    def _lay_out(self) -> None:
        for label in (self.title, self.note):
            label.setWordWrap(True)
        self.group.setToolTip("Which region or plane the table shows")
        self.group.hide()
        self.content = QWidget()
        inner = QVBoxLayout(self.content)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(9)
        self.charts.add(self.chart)
        self.charts.expand()
        for widget in (self.form, self.group, self.table, self.note, self.charts, self.grains, self.exports):
            inner.addWidget(widget)
        everything = QWidget()
        column = QVBoxLayout(everything)
        column.setContentsMargins(9, 6, 9, 9)
        column.setSpacing(9)
        for widget in (self.title, self.content, self.status):
            column.addWidget(widget)
        column.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(everything))
        self.setMinimumWidth(430)

    def _connect(self) -> None:
        self.form.changed.connect(self.measure)
        self.form.scale_given.connect(self._give_scale)
        self.form.bar_wanted.connect(self._show_bar)
        self.form.draw_wanted.connect(self._draw)
        self.exports.told.connect(self.status.say)
        self.exports.failed.connect(self.status.complain)
        self.group.currentIndexChanged.connect(lambda _: self._show_group())
        self.table.ticked.connect(self._ticked)
        self.charts.button.clicked.connect(lambda _=False: self._show_group())
        self.grains.changed.connect(self._later.start)
        self.grains.told.connect(self.status.say)
        self.grains.failed.connect(self.status.complain)
        self._viewer.events.theme.connect(self._take_theme)
        self.meter.measured.connect(self._take)
        self.meter.failed.connect(self._fail)
        self.destroyed.connect(partial(MeasureDock._closed, self))

    def _closed(self, _: object = None) -> None:
        """End threads and listen no more; Qt's part of the dock is gone already."""
        self.watch.close()
        self.meter.close()
        self.grains.close_job()
        self.exports.close_exports()
        self._viewer.events.theme.disconnect(self._take_theme)
