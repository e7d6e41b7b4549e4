"""The part of the Measure dock that finds grains and tells their sizes, neighbours and liberation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QComboBox, QLabel

from napari_ore_minerals.maps.grains import options_for
from napari_ore_minerals.widgets.folding import Folding
from napari_ore_minerals.widgets.frame_table import FrameTable
from napari_ore_minerals.widgets.grain_charts import LiberationChart, SizeChart, TouchingChart
from napari_ore_minerals.widgets.grain_job import GrainJob
from napari_ore_minerals.widgets.grain_layer import (
    grains_layer,
    painted_map,
    painted_places,
    show_grains,
)
from napari_ore_minerals.widgets.grain_texts import LIBERATION, SIZES, TOUCHING, VIEWS, frame_of
from napari_ore_minerals.widgets.measure_source import open_classified, picture_under, result_of
from napari_ore_minerals.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.grain_tables import GrainTables
    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.widgets.grain_messages import Counted, Finding, Found

TITLE = "Grains"
OUT_OF_DATE = "cells were corrected since these grains were found; press Find grains again."
SETTLE_MS = 500
SIZES_TIP = "Which share of the area of whole grains is in smaller ones; grains cut by the picture's edge are left out"


class GrainPanel(Folding):
    """Signals: ``changed()`` grains came, went or were painted and counted, ``told(str)``, ``failed(str)``."""

    changed = Signal()
    told = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(
            TITLE, "Follow the boundaries of grains by the colours of the picture, and measure them"
        )
        self._viewer = viewer
        self.layer: Labels | None = None  # of minerals
        self.grains: Labels | None = None
        self._sought: Labels | None = None  # minerals whose grains are being found
        self._counted: WeakKeyDictionary[Labels, GrainTables] = WeakKeyDictionary()
        self._maps: WeakKeyDictionary[Labels, GrainMap] = WeakKeyDictionary()  # as they were counted
        self._sought_labels: NDArray[np.integer] | None = None
        self._labels: WeakKeyDictionary[Labels, NDArray[np.integer]] = (
            WeakKeyDictionary()
        )  # as grains were sought
        self._counting: tuple[Labels, GrainMap] | None = None
        self.job = GrainJob()
        self.bar = RunBar(
            "Find out which mineral each pixel is; the map and its corrections tell where to look",
            "Stop; nothing is changed",
        )
        self.note, self.view, self.table = QLabel(), QComboBox(), FrameTable()
        self.sizes = SizeChart(viewer.theme, SIZES_TIP)
        self.touching = TouchingChart(viewer.theme, TouchingChart.__doc__ or "")
        self.liberation = LiberationChart(viewer.theme, LiberationChart.__doc__ or "")
        self.charts = {SIZES: self.sizes, TOUCHING: self.touching, LIBERATION: self.liberation}
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SETTLE_MS)
        self._later.timeout.connect(self._count)
        self._lay_out()
        self._connect()

    @property
    def tables(self) -> GrainTables | None:
        """Of the grains in view, as they were counted last."""
        return None if self.grains is None else self._counted.get(self.grains)

    def grain_map(self) -> GrainMap | None:
        """Grains in view as they are painted; None where there are none."""
        if self.grains is None or self.layer is None or self.grains not in self._viewer.layers:
            return None
        return painted_map(self.grains, self.layer)

    def look_at(self, layer: Labels | None) -> None:
        """Turn to the grains of a minerals layer."""
        self.layer = layer
        grains = None if layer is None else grains_layer(self._viewer, layer)
        if grains is not self.grains:
            self.grains = grains
            if grains is not None and grains not in self._counted:
                self._later.start()
        self._show()

    def repainted(self) -> None:
        """Grains may have been painted on, or their scale was set."""
        if self.grains is not None:
            self._later.start()

    def out_of_date(self) -> bool:
        """Whether cells were corrected since the grains in view were found."""
        result, then = result_of(self.layer), None if self.grains is None else self._labels.get(self.grains)
        return result is not None and then is not None and not np.array_equal(result.labels, then)

    def find(self) -> None:
        """Find the grains of the map in view, as it is corrected."""
        result = result_of(self.layer)
        if self.layer is None or result is None or self.job.finding:
            return
        from dataclasses import replace

        mineral_map = replace(result.mineral_map, labels=result.labels)
        path = mineral_map.picture.path
        opened = partial(
            open_classified,
            picture_under(self._viewer, self.layer),
            mineral_map,
            Path(path) if path else None,
        )
        self._sought, self._sought_labels = self.layer, result.labels.copy()
        self.bar.begin()
        self.job.find(opened, mineral_map, options_for(mineral_map.grid))

    def stop(self) -> None:
        """Find nothing; all is as it was."""
        self.job.stop()
        self._end()
        self.told.emit("Stopped: no grains were found, the map is as it was")

    def close_job(self) -> None:
        """End the process; Qt's part may be gone already."""
        self.job.close()

    def _count(self) -> None:
        grain_map = self.grain_map()
        if grain_map is None or self.grains is None or self.job.finding:
            return
        if not _same(grain_map, self._maps.get(self.grains)):
            self._counting = self.grains, grain_map
            self.job.count(grain_map)

    def _advance(self, finding: Finding) -> None:
        self.bar.advance(finding.done, finding.total, finding.stage)

    def _found(self, found: Found) -> None:
        sought, labels = self._sought, self._sought_labels
        self._end()
        if sought is None or sought not in self._viewer.layers:
            self.failed.emit("The minerals layer was removed while its grains were found")
            return
        grains = show_grains(self._viewer, sought, found.grain_map)
        self._counted[grains], self._maps[grains] = found.tables, found.grain_map
        if labels is not None:
            self._labels[grains] = labels
        if painted_places(grains):
            self._later.start()
        self.look_at(sought if sought is self.layer else self.layer)
        self.changed.emit()
        self.told.emit(f"{len(found.tables.grains):,} grains were found")

    def _take_count(self, counted: Counted) -> None:
        if self._counting is not None:
            layer, grain_map = self._counting
            self._maps[layer] = grain_map
            self._counted[layer] = counted.tables
        self._show()
        self.changed.emit()

    def _fail(self, sentence: str) -> None:
        self._end()
        self.failed.emit(sentence)

    def _end(self) -> None:
        self._sought = self._sought_labels = None
        self.bar.end()
        self._show()

    def _show(self) -> None:
        tables, grains = self.tables, self.grains
        self.bar.offer(
            "Find grains" if grains is None else "Find grains again", enabled=self.layer is not None
        )
        shown = grains is not None and tables is not None
        for widget in (self.note, self.view, self.table):
            widget.setVisible(shown)
        for view, chart in self.charts.items():
            chart.setVisible(shown and view == self.view.currentText())
        if grains is None or tables is None or self.layer is None:
            return
        grain_map = painted_map(grains, self.layer)
        painted = painted_places(grains)
        by_hand = f", {painted:,} of them painted by hand" if painted else ""
        older = f"<b>Out of date:</b> {OUT_OF_DATE}<br>" if self.out_of_date() else ""
        self.note.setText(
            f"{older}A pixel of the grains layer is {grain_map.factor} x {grain_map.factor} px of the picture"
            f"{by_hand}. Paint on it: what you paint counts."
        )
        minerals = grain_map.minerals
        frame: pd.DataFrame = frame_of(self.view.currentText(), tables)
        self.table.show_frame(frame, {mineral.name: mineral.colour for mineral in minerals})
        if self.is_open():
            drawn = {
                SIZES: (tables.grains, minerals),
                TOUCHING: (tables.association, minerals),
                LIBERATION: (tables.liberation,),
            }
            self.charts[self.view.currentText()].draw(*drawn[self.view.currentText()])

    def _lay_out(self) -> None:
        self.note.setWordWrap(True)
        self.view.addItems(list(VIEWS))
        self.view.setToolTip("Which table of the grains is shown")
        for widget in (self.bar, self.note, self.view, self.table, *self.charts.values()):
            self.add(widget)
        self._show()

    def _connect(self) -> None:
        self.bar.clicked.connect(self.find)
        self.bar.cancelled.connect(self.stop)
        self.view.currentIndexChanged.connect(lambda _: self._show())
        self.button.clicked.connect(lambda _=False: self._show())
        self.job.advanced.connect(self._advance)
        self.job.found.connect(self._found)
        self.job.counted.connect(self._take_count)
        self.job.failed.connect(self._fail)


def _same(grain_map: GrainMap, counted: GrainMap | None) -> bool:
    """Whether a map was counted as it is."""
    if counted is None or counted.um_per_px != grain_map.um_per_px:
        return False
    return bool(np.array_equal(grain_map.codes, counted.codes))
