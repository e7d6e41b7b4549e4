"""The Measure dock: the figures of the map in view, live, of what, of which part, at which scale."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gui_support import LONG, SECONDS, gone
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

sys.path.append(str(Path(__file__).parents[1] / "maps"))
from area_support import map_of, patches

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.measuring import Asked, measure
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.pooling import pool
from napari_ore_minerals.maps.regions import coverage_of_polygon
from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable
from napari_ore_minerals.widgets.grain_charts import LiberationChart, SizeChart
from napari_ore_minerals.widgets.grain_panel import GrainPanel
from napari_ore_minerals.widgets.layers import MAP_KEY, layer_data
from napari_ore_minerals.widgets.measure import MeasureDock
from napari_ore_minerals.widgets.measure_form import CLASSIFIED, ORE, TICKED, VISIBLE, WHOLE
from napari_ore_minerals.widgets.measure_table import explained, interval, percent
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
    assert column(dock, "mm²")[0] == f"{table['area_mm2'][0]:.3g}"
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


def test_a_row_explains_its_symbol_and_the_errors_of_counting_points() -> None:
    row = measure(map_of(patches(3))).table.iloc[0].to_dict()
    told = explained(row)
    assert told.startswith("arsenopyrite (Apy): ")
    assert f"independent point: ± {percent(row['point_count_error'])} %" in told
    assert f"ASTM E562: {row['relative_accuracy']:.0f} %" in told
    pooled_row = pool([measure(map_of(patches(seed))) for seed in (1, 2)]).iloc[0].to_dict()
    assert "E562" not in explained(pooled_row)


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


def square(top: float, left: float, side: float, um_per_px: float = 0.5) -> np.ndarray:
    """Corners of a square of the picture, in the world."""
    corners = np.array(
        [[top, left], [top, left + side], [top + side, left + side], [top + side, left]], float
    )
    return (corners - 0.5) * um_per_px


def assert_bars_are_told_apart(dock: MeasureDock, names: list[str]) -> None:
    (legend,) = dock.chart.axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    shown = [dock.chart.axes.containers[2 * number][0].get_hatch() for number in range(len(names))]
    assert [patch.get_hatch() for patch in legend.get_patches()] == shown
    assert len(set(shown)) == len(names)


def test_regions_together_and_apart(viewer: Any, measured: Measure, qtbot: Any) -> None:
    mineral_map = map_of(patches(7))
    labels = show(viewer, mineral_map)
    dock = measured()
    shapes = viewer.add_shapes(
        [square(0, 0, 128), square(64, 128, 128)],
        shape_type="polygon",
        features={"name": ["vein", ""]},
        name="regions",
    )
    settle(dock, qtbot)
    dock.form.part.setCurrentText("regions")
    settle(dock, qtbot)
    names = [dock.group.itemText(index) for index in range(dock.group.count())]
    assert names == ["vein", "region 2", "all regions"]
    wanted = {
        "vein": [[0, 0], [0, 128], [128, 128], [128, 0]],
        "region 2": [[64, 128], [64, 256], [192, 256], [192, 128]],
    }
    for name, corners in wanted.items():
        dock.group.setCurrentText(name)
        coverage = coverage_of_polygon(mineral_map, corners)
        expected = measure(mineral_map, Asked(coverage=coverage)).table
        assert column(dock, "area %") == [percent(share) for share in expected["fraction"]]
        assert dock.shown().table["area_px"].sum() == pytest.approx(128**2)
    assert len(dock.chart.axes.containers) == 2 * 1  # bars and their intervals, of the one that is looked at
    dock.group.setCurrentText("all regions")
    assert dock.shown().table["area_px"].sum() == pytest.approx(2 * 128**2)
    assert len(dock.chart.axes.containers) == 2 * 3
    assert_bars_are_told_apart(dock, ["vein", "region 2", "all regions"])
    shapes.selected_data = {1}
    settle(dock, qtbot)
    assert [group.name for group in dock.figures.groups] == ["region 2"]
    assert dock.group.isHidden()
    shapes.data = [square(-900, -900, 30)]
    settle(dock, qtbot)
    assert "outside the picture" in dock.status.text()
    shapes.data = []
    settle(dock, qtbot)
    assert "regions has no area" in dock.status.text().lower()
    viewer.layers.remove(shapes)
    settle(dock, qtbot)
    assert dock.form.part.currentText() == WHOLE
    assert column(dock, "area %") == [percent(share) for share in measure(mineral_map).table["fraction"]]
    viewer.scene.camera.center = labels.data_to_world((1.5, 1.5))
    viewer.scene.camera.zoom = min(viewer.canvas.size) / (2 * 32 * 0.5)
    dock.form.part.setCurrentText(VISIBLE)
    settle(dock, qtbot)
    seen = dock.shown().table["area_px"].sum()
    assert 64**2 <= seen + 1 < 256 * 320
    viewer.reset_view()
    settle(dock, qtbot)
    assert dock.shown().table["area_px"].sum() == pytest.approx(256 * 320)


def test_a_plane_and_all_planes(viewer: Any, measured: Measure, qtbot: Any) -> None:
    viewer.add_image(np.zeros((3, 256, 320, 3), np.uint8), rgb=True, name="stack", scale=(1, 0.5, 0.5))
    maps = [map_of(patches(seed)) for seed in (1, 2)]
    for plane, one in enumerate(maps):
        show(viewer, one, f"stack {plane}", (plane,))
    viewer.layers.selection.active = viewer.layers["stack"]
    dock = measured()
    for plane, one in enumerate(maps):
        viewer.dims.set_current_step(0, plane)
        settle(dock, qtbot)
        assert dock.result.name == f"stack {plane} minerals"
        assert column(dock, "area %") == [percent(share) for share in measure(one).table["fraction"]]
    dock.form.planes.setChecked(True)
    settle(dock, qtbot)
    assert [group.name for group in dock.figures.groups] == ["plane 1", "plane 2", "all planes"]
    pooled = pool([measure(one) for one in maps])
    assert column(dock, "area %") == [percent(share) for share in pooled["fraction"]]


def test_the_chart_has_the_colours_of_the_viewer(viewer: Any, measured: Measure, qtbot: Any) -> None:
    mineral_map = map_of(patches(9))
    show(viewer, mineral_map)
    dock = measured()
    bars = dock.chart.axes.containers[0]
    shares = 100 * measure(mineral_map).table["fraction"]
    np.testing.assert_allclose([bar.get_width() for bar in bars], shares)
    dark = dock.chart.axes.get_facecolor()
    viewer.theme = "light"
    light = dock.chart.axes.get_facecolor()
    assert sum(dark[:3]) < 1
    assert sum(light[:3]) > 2


def coloured(classes: np.ndarray, side: int) -> np.ndarray:
    """Picture of a map: each mineral has its colour, with noise."""
    random = np.random.default_rng(2)
    colours = random.integers(30, 230, (int(classes.max()) + 1, 3))
    picture = colours[classes].repeat(side, axis=0).repeat(side, axis=1)
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def coloured_map(viewer: Any, rgb: np.ndarray, classes: np.ndarray) -> tuple[MineralMap, Any]:
    """Map of a coloured picture, and its layer."""
    known = Micrograph.from_array(rgb, name="PS-07").fingerprint()
    made = map_of(classes)
    mineral_map = replace(made, picture=made.picture.model_copy(update={"fingerprint": known}))
    return mineral_map, show(viewer, mineral_map)


def test_grains_need_the_picture_that_was_classified(viewer: Any, measured: Measure, qtbot: Any) -> None:
    classes = patches(11, classes=3)
    rgb = coloured(classes, 8)
    coloured_map(viewer, rgb, classes)
    dock = measured()
    settle(dock, qtbot)
    panel = dock.grains
    panel.expand()
    panel.bar.button.click()
    qtbot.waitUntil(lambda: "open it over the map" in dock.status.text(), timeout=30 * SECONDS)
    picture = viewer.add_image(rgb[::-1].copy(), rgb=True, name="PS-07", scale=(0.5, 0.5), units=("um", "um"))
    panel.find()
    qtbot.waitUntil(lambda: "is not the picture" in dock.status.text(), timeout=30 * SECONDS)
    assert panel.grains is None
    picture.data = rgb
    panel.find()
    assert panel.bar.running
    process = panel.job.process_id
    panel.stop()
    assert not panel.bar.running
    qtbot.waitUntil(lambda: gone(process), timeout=10 * SECONDS)


def look_at_views(panel: GrainPanel) -> None:
    """Each view has its table and its plot, which say the same."""
    for view in range(3):
        panel.view.setCurrentIndex(view)
        assert panel.table.rowCount() > 0
        seen = [chart for chart in panel.charts.values() if not chart.isHidden()]
        assert seen == [panel.charts[panel.view.currentText()]]
        assert seen[0].axes is not None
    bars = panel.liberation.axes.patches
    assert sum(bar.get_width() for bar in bars) == pytest.approx(
        100 * len(panel.tables.liberation.query("area_px > 0"))
    )
    shares = panel.tables.association.to_numpy()[:3, :3]
    shares = 100 * shares / shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(panel.touching.axes.images[0].get_array(), shares)
    assert not any(line.get_visible() for line in panel.touching.axes.get_xgridlines())


@pytest.mark.slow
def test_grains_are_found_painted_and_counted(viewer: Any, measured: Measure, qtbot: Any) -> None:
    classes = patches(11, classes=3)
    rgb = coloured(classes, 8)
    picture = viewer.add_image(rgb, rgb=True, name="PS-07", scale=(0.5, 0.5), units=("um", "um"))
    mineral_map, labels = coloured_map(viewer, rgb, classes)
    dock = measured()
    panel = dock.grains
    panel.expand()
    panel.find()
    qtbot.waitUntil(lambda: panel.grains is not None, timeout=60 * SECONDS)
    settle(dock, qtbot)
    grains = panel.grains
    assert (grains.name, labels.visible, viewer.layers.selection.active) == ("PS-07 grains", False, grains)
    np.testing.assert_allclose(
        grains.data_to_world((-0.5, -0.5)), picture.data_to_world((-0.5, -0.5)), atol=1e-9
    )
    truth = np.array(mineral_map.minerals.codes)[classes].repeat(4, axis=0).repeat(4, axis=1)
    assert (grains.data == truth).mean() > 0.95
    assert panel.table.rowCount() == 3
    assert "grains %" in [
        dock.table.horizontalHeaderItem(n).text() for n in range(6) if not dock.table.isColumnHidden(n)
    ]
    assert dock.table.isColumnHidden(dock.table.columnCount() - 1), "names need the room of mm²"
    assert dock.chart.axes.get_legend() is None, "the legend is above the bars"
    assert [text.get_text() for text in dock.chart.axes.figure.legends[0].get_texts()] == ["by grains"]
    kept = labels.data[0, 0]
    labels.data_setitem((np.array([0]), np.array([0])), kept % 3 + 1)
    settle(dock, qtbot)
    assert "Out of date" in panel.note.text()
    labels.data_setitem((np.array([0]), np.array([0])), kept)
    settle(dock, qtbot)
    assert "Out of date" not in panel.note.text()
    code = int(grains.data[5, 5])
    before, count = column(dock, "grains %"), panel.tables.grains
    new = next(one for one in mineral_map.minerals.codes[:3] if one != code)
    grains.data_setitem(tuple(axis.ravel() for axis in np.mgrid[0:60, 0:60]), new)
    qtbot.waitUntil(lambda: panel.tables.grains is not count, timeout=30 * SECONDS)
    settle(dock, qtbot)
    assert column(dock, "grains %") != before
    assert "painted by hand" in panel.note.text()
    areas = panel.grain_map().area_px()
    assert areas[new] > (truth == new).sum() * 4
    panel.find()
    qtbot.waitUntil(lambda: not panel.job.busy, timeout=60 * SECONDS)
    assert (grains.data[:60, :60] == new).all()
    look_at_views(panel)


def test_minerals_left_out_of_the_plot_of_sizes_are_named(viewer: Any, qtbot: Any) -> None:
    chart = SizeChart("dark", "")
    qtbot.addWidget(chart)
    grains = pd.DataFrame({"code": [4] * 6 + [3] * 4, "cut": False, "diameter_px": np.arange(10.0) + 1})
    grains["diameter_um"] = np.nan
    chart.draw(grains, DEFAULT_MINERALS)
    assert [line.get_label() for line in chart.axes.lines] == ["pyrite"]
    assert chart.axes.get_title("left") == "not drawn, fewer than 5 whole grains: gold"


@pytest.mark.parametrize("minerals", [1, 5])
def test_the_legend_of_liberation_covers_nothing(viewer: Any, qtbot: Any, minerals: int) -> None:
    names = [mineral.name for mineral in DEFAULT_MINERALS][:minerals]
    table = pd.DataFrame(
        {"mineral": names, "area_px": 9.0, "0% to 50%": 0.5, "50% to 90%": 0.3, "90% to 100%": 0.2}
    )
    chart = LiberationChart("dark", "")
    qtbot.addWidget(chart)
    chart.draw(table)
    chart.show()
    chart.resize(380, chart.height())
    QApplication.processEvents()
    chart.axes.figure.canvas.draw()
    legend, label = chart.axes.get_legend(), chart.axes.xaxis.label
    assert legend.get_window_extent().y0 >= 0
    assert legend.get_window_extent().y1 <= label.get_window_extent().y0


@pytest.mark.filterwarnings("error")
def test_plots_show_names_in_any_script_and_as_they_are(viewer: Any, qtbot: Any) -> None:
    names = {4: "黄铁矿", 3: "$\\gold$"}
    minerals = MineralTable.of(
        [
            mineral.model_copy(update={"name": names.get(mineral.code, mineral.name)})
            for mineral in DEFAULT_MINERALS
        ]
    )
    chart = SizeChart("dark", "")
    qtbot.addWidget(chart)
    grains = pd.DataFrame({"code": [4] * 6 + [3] * 9, "cut": False, "diameter_px": np.arange(15.0) + 1})
    grains["diameter_um"] = np.nan
    chart.draw(grains, minerals)
    chart.axes.figure.canvas.draw()
    assert {text.get_text() for text in chart.axes.get_legend().get_texts()} == set(names.values())


def test_regions_are_drawn_in_pixels_of_the_picture(viewer: Any, measured: Measure, qtbot: Any) -> None:
    mineral_map = map_of(patches(12))
    show(viewer, mineral_map)
    dock = measured()
    dock.form.draw.click()
    settle(dock, qtbot)
    shapes = viewer.layers["PS-07 regions"]
    assert (dock.form.part.currentText(), str(shapes.mode)) == (shapes.name, "add_polygon")
    assert "no area" in dock.status.text()
    corners = np.array([[10, 20], [10, 100], [90, 100], [90, 20]], float)
    shapes.add_polygons(corners - 0.5)
    settle(dock, qtbot)
    assert dock.shown().table["area_px"].sum() == pytest.approx(80**2, rel=0.01)
    assert dock.status.text() == ""


def test_exports_are_what_is_shown(viewer: Any, measured: Measure, qtbot: Any, tmp_path: Path) -> None:
    mineral_map = map_of(patches(13))
    labels = show(viewer, mineral_map)
    labels.data_setitem((np.arange(8), np.ones(8, int)), mineral_map.minerals.codes[1])
    dock = measured()
    dock.form.of.setCurrentText(ORE)
    dock.form.scale.setValue(0.25)
    settle(dock, qtbot)
    dock.exports.fill()
    offers = {action.text(): action.isEnabled() for action in dock.exports.menu.actions()}
    assert any(there for there in offers.values())
    assert all("needs" in text for text, there in offers.items() if not there)
    path = tmp_path / "PS-07.csv"
    with qtbot.waitSignal(dock.exports.background.done, timeout=30 * SECONDS):
        dock.exports.write(path)
    table = pd.read_csv(path, comment="#")
    shares = table.set_index("mineral")["fraction"]
    for row, mineral in enumerate(column(dock, "mineral")):
        shown = column(dock, "area %")[row]
        assert (shown == "–") == np.isnan(shares[mineral])
        assert shown == percent(shares[mineral])
    assert "0.25" in path.read_text()
    before = path.read_bytes()
    with qtbot.waitSignal(dock.exports.background.failed, timeout=30 * SECONDS):
        dock.exports.write(path)
    assert "exists" in dock.status.text()
    assert path.read_bytes() == before
    with qtbot.waitSignal(dock.exports.background.failed, timeout=30 * SECONDS):
        dock.exports.write(tmp_path / "PS-07.grains.csv")
    assert "find the grains" in dock.status.text()
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["PS-07.csv"]
    dock.exports.copy.click()
    assert QApplication.clipboard().text().splitlines()[0].split("\t")[:3] == ["mineral", "symbol", "area %"]


@pytest.mark.slow
def test_planes_of_a_stack_keep_their_results(
    viewer: Any, add_dock: Any, measured: Measure, qtbot: Any, picture: np.ndarray
) -> None:
    stack = viewer.add_image(np.stack([picture, picture[::-1]]), rgb=True, name="PS-07")
    classify, dock = add_dock(viewer), measured()
    for plane in (0, 1, 1):
        viewer.layers.selection.active = stack
        viewer.dims.set_current_step(0, plane)
        classify.replan()
        with qtbot.waitSignal(classify.session.finished, timeout=LONG):
            classify.classify()
    settle(dock, qtbot)
    assert len([layer for layer in viewer.layers if "minerals" in layer.name]) == 2
    for plane in (0, 1):
        viewer.layers.selection.active = stack
        viewer.dims.set_current_step(0, plane)
        settle(dock, qtbot)
        classify._look()
        assert classify.result.overlay.placement.plane == (plane,)
        assert classify.result.overlay.labels is dock.layer
    dock.form.planes.setChecked(True)
    settle(dock, qtbot)
    assert [group.name for group in dock.figures.groups] == ["plane 1", "plane 2", "all planes"]
