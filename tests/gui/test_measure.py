"""The Measure dock: the figures of the map in view, live, of what, of which part, at which scale."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui_support import SECONDS
from qtpy.QtCore import Qt

sys.path.append(str(Path(__file__).parents[1] / "maps"))
from area_support import map_of, patches

from napari_ore_minerals.maps.measuring import Asked, measure
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.widgets.layers import MAP_KEY, layer_data
from napari_ore_minerals.widgets.measure import MeasureDock
from napari_ore_minerals.widgets.measure_form import CLASSIFIED, ORE, TICKED
from napari_ore_minerals.widgets.measure_table import interval, percent
from napari_ore_minerals.widgets.pictures import Placement

Measure = Callable[[], MeasureDock]


def placement(um_per_px: float | None, plane: tuple[int, ...] = ()) -> Placement:
    size, unit = um_per_px or 1.0, "pixel" if um_per_px is None else "um"
    lead = len(plane)
    return Placement(
        {
            "scale": np.array([1.0] * lead + [size] * 2),
            "translate": np.zeros(lead + 2),
            "rotate": np.eye(lead + 2),
            "shear": np.zeros((lead + 2) * (lead + 1) // 2),
            "affine": np.eye(lead + 3),
            "units": ("pixel",) * lead + (unit, unit),
        },
        plane,
    )


def show(viewer: Any, mineral_map: MineralMap, name: str = "PS-07", plane: tuple[int, ...] = ()) -> Any:
    """Add the layers of a map; gives that of minerals."""
    for data, options, kind in layer_data(mineral_map, name, placement(mineral_map.um_per_px, plane)):
        layer = getattr(viewer, f"add_{kind}")(data, **options)
    return layer


@pytest.fixture
def viewer(micro_model: Path, make_napari_viewer_proxy: Any) -> Any:
    """A viewer, opened after torch: with software OpenGL there first, importing torch's compiler crashes."""
    return make_napari_viewer_proxy()


@pytest.fixture
def measured(viewer: Any, qtbot: Any) -> Iterator[Measure]:
    """Opens the dock, as the Plugins menu does, and waits for its figures."""
    docks: list[MeasureDock] = []

    def opened() -> MeasureDock:
        if not docks:
            _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Measure")
            docks.append(dock)
        settle(docks[0], qtbot)
        return docks[0]

    yield opened
    for dock in docks:
        dock._closed()


def settle(dock: MeasureDock, qtbot: Any) -> None:
    """Wait until the figures are those of the screen."""
    qtbot.wait(20)
    qtbot.waitUntil(lambda: not dock._later.isActive() and not dock.meter.busy, timeout=20 * SECONDS)


def column(dock: MeasureDock, name: str) -> list[str]:
    return [dock.table.text(row, name) for row in range(dock.table.rowCount())]


def test_the_table_says_what_measuring_says_and_follows_what_is_painted(
    viewer: Any, measured: Measure, qtbot: Any
) -> None:
    dock = measured()
    assert dock.content.isHidden()
    mineral_map = map_of(patches(3))
    labels = show(viewer, mineral_map)
    settle(dock, qtbot)
    assert not dock.content.isHidden()
    table = measure(mineral_map).table
    assert column(dock, "mineral") == table["mineral"].tolist()
    assert column(dock, "area %") == [percent(share) for share in table["fraction"]]
    assert column(dock, "95 % interval") == [
        interval(*ends) for ends in zip(table["low"], table["high"], strict=True)
    ]
    assert column(dock, "mm²")[0] == f"{table['area_mm2'][0]:.4g}"
    assert "blocks of" in dock.note.text()
    labels.data_setitem((np.arange(8), np.zeros(8, int)), mineral_map.minerals.codes[2])
    settle(dock, qtbot)
    painted = measure(mineral_map, Asked(np.asarray(labels.data))).table
    assert painted["fraction"][2] > table["fraction"][2]
    assert column(dock, "area %") == [percent(share) for share in painted["fraction"]]
    labels.undo()
    settle(dock, qtbot)
    assert column(dock, "area %") == [percent(share) for share in table["fraction"]]
    viewer.layers.remove(labels)
    settle(dock, qtbot)
    assert dock.content.isHidden()


def test_of_what(viewer: Any, measured: Measure, qtbot: Any) -> None:
    mineral_map = map_of(patches(4))
    show(viewer, mineral_map)
    dock = measured()
    dock.form.of.setCurrentText(ORE)
    settle(dock, qtbot)
    ore = [mineral.kind == "ore" for mineral in mineral_map.minerals]
    assert [text != "–" for text in column(dock, "area %")] == ore
    dock.form.of.setCurrentText(CLASSIFIED)
    settle(dock, qtbot)
    before = column(dock, "area %")
    dock.table.item(0, 0).setCheckState(Qt.CheckState.Unchecked)
    settle(dock, qtbot)
    assert dock.form.of.currentText() == TICKED
    assert column(dock, "area %")[0] == "–"
    assert float(column(dock, "area %")[1]) > float(before[1])
    dock.table.item(0, 0).setCheckState(Qt.CheckState.Checked)
    settle(dock, qtbot)
    assert column(dock, "area %") == before
    for row in range(dock.table.rowCount()):
        dock.table.item(row, 0).setCheckState(Qt.CheckState.Unchecked)
        settle(dock, qtbot)
    assert "leave fewer minerals out" in dock.status.text()


def test_a_scale_that_is_given_here(viewer: Any, measured: Measure, qtbot: Any) -> None:
    mineral_map = map_of(patches(5), um_per_px=None)
    grid = mineral_map.grid
    picture = viewer.add_image(np.zeros((grid.height_px, grid.width_px, 3), np.uint8), rgb=True, name="PS-07")
    other = viewer.add_image(np.zeros((100, 50, 3), np.uint8), rgb=True, name="another")
    shapes = viewer.add_shapes([np.array([[0, 0], [0, 64], [64, 64], [64, 0]])], shape_type="polygon")
    labels = show(viewer, mineral_map)
    dock = measured()
    assert dock.form.scale.text() == "unknown"
    assert dock.table.isColumnHidden(5)
    for um_per_px in (0.5, 0.25):
        dock.form.scale.setValue(um_per_px)
        settle(dock, qtbot)
        assert not dock.table.isColumnHidden(5)
        area = float(dock.figures.groups[0].table["area_um2"].sum())
        assert area == pytest.approx(grid.height_px * grid.width_px * um_per_px**2)
        assert tuple(map(str, picture.units)) == ("micrometer", "micrometer")
        np.testing.assert_allclose(picture.scale, um_per_px)
        np.testing.assert_allclose(
            labels.data_to_world((-0.5, -0.5)), picture.data_to_world((-0.5, -0.5)), atol=1e-9
        )
        np.testing.assert_allclose(shapes.scale, um_per_px)
        np.testing.assert_allclose(other.scale, 1.0)
    assert viewer.canvas.overlays.scale_bar.visible
    assert labels.metadata[MAP_KEY] is mineral_map
    assert dock.result.mineral_map.um_per_px_source == "given by the user"
    dock.form.bar.setChecked(False)
    assert not viewer.canvas.overlays.scale_bar.visible


def test_results_that_cannot_be_measured(viewer: Any, measured: Measure, qtbot: Any) -> None:
    mineral_map = map_of(patches(6))
    labels = show(viewer, mineral_map)
    dock = measured()
    labels.data = np.zeros((3, 3), np.uint8)
    settle(dock, qtbot)
    assert dock.content.isHidden()
    nothing = np.zeros_like(mineral_map.labels)
    labels.metadata[MAP_KEY] = replace(mineral_map, labels=nothing, processed=nothing.astype(bool))
    labels.data = nothing.copy()
    settle(dock, qtbot)
    assert "nothing was measured" in dock.status.text().lower()
    labels.metadata[MAP_KEY] = None  # a run begins
    labels.refresh()
    settle(dock, qtbot)
    assert dock.content.isHidden()


def test_corrections_of_an_opened_result_are_framed_where_they_were_painted(
    viewer: Any, add_dock: Any, measured: Measure, qtbot: Any
) -> None:
    mineral_map = map_of(patches(8), um_per_px=None)
    labels = show(viewer, mineral_map)
    classify = add_dock(viewer)
    viewer.layers.selection.active = labels
    dock = measured()
    dock.form.scale.setValue(0.5)
    classify.replan()
    classify._look()
    overlay = classify.result.overlay
    np.testing.assert_allclose(overlay.placement.of_cells(mineral_map.grid.stride_px)["scale"], labels.scale)
    np.testing.assert_allclose(
        overlay.placement.of_cells(mineral_map.grid.stride_px)["translate"], labels.translate
    )
    assert overlay.corrected_map().um_per_px == 0.5
