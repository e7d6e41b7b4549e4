"""The user's path through the Classify dock, and what users do in the middle of a run."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gui_support import LONG, SECONDS, gone
from qtpy.QtCore import Qt

from napari_ore_minerals.maps.files import read_result
from napari_ore_minerals.widgets.classify import ClassifyDock
from napari_ore_minerals.widgets.layers import MAP_KEY
from napari_ore_minerals.widgets.mineral_table import COLUMNS

AddDock = Callable[..., ClassifyDock]


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    return make_napari_viewer_proxy()


def add_picture(viewer: Any, array: np.ndarray, **options: Any) -> Any:
    return viewer.add_image(
        array, rgb=True, name="PS-07", **{"scale": (0.5, 0.5), "units": ("um", "um")} | options
    )


def run(dock: ClassifyDock, qtbot: Any) -> None:
    """Click Classify and wait for the end."""
    dock.replan()
    with qtbot.waitSignal(dock.session.finished, timeout=LONG):
        qtbot.mouseClick(dock.run_bar.button, Qt.MouseButton.LeftButton)


def begin(dock: ClassifyDock, qtbot: Any) -> int:
    """Click Classify with small batches and wait for the first tiles; gives the process."""
    dock.form.options.set_value("batch_size", 1)
    dock.replan()
    with qtbot.waitSignal(dock.worker.advanced, timeout=LONG):
        qtbot.mouseClick(dock.run_bar.button, Qt.MouseButton.LeftButton)
    assert dock.session.busy
    assert dock.worker.process_id
    return dock.worker.process_id


def test_from_picture_to_table(viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray) -> None:
    dock = add_dock(viewer)
    assert not dock.run_bar.button.isEnabled()
    assert not dock.empty.isHidden()
    layer = add_picture(viewer, picture, translate=(10, 20))
    dock.replan()
    assert dock.run_bar.button.text().startswith("Classify 24 tiles")
    assert dock.empty.isHidden()
    run(dock, qtbot)
    names = [layer.name for layer in viewer.layers]
    assert names == ["PS-07", "PS-07 confidence", "PS-07 heatmap", "PS-07 minerals"]
    labels = viewer.layers["PS-07 minerals"]
    assert labels.data.shape == (4, 6)
    np.testing.assert_allclose(labels.data_to_world((-0.5, -0.5)), layer.data_to_world((-0.5, -0.5)))
    np.testing.assert_allclose(labels.data_to_world((2.5, 4.5)), layer.data_to_world((191.5, 319.5)))
    assert viewer.layers.selection.active == labels
    cells = sum(
        int(dock.result.table.item(row, COLUMNS.index("cells")).text().split()[0])
        for row in range(dock.result.table.rowCount())
    )
    assert cells == 24
    assert "24 tiles classified" in dock.status.text()
    assert not dock.run_bar.running


def test_what_is_said_is_of_the_picture_that_is_looked_at(
    viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    white = viewer.add_image(np.full((50, 50, 3), 255, np.uint8), rgb=True, name="white")
    run(dock, qtbot)
    assert dock.status.text() == "1 tile classified in 1 s on CPU."
    assert "saturated" in dock.status.doubts()
    add_picture(viewer, picture)
    assert dock.status.text() == ""
    assert dock.status.doubts() == ""
    viewer.layers.selection.active = white
    assert "saturated" in dock.status.doubts()


def test_what_can_be_done_with_a_result(
    viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray, tmp_path: Path
) -> None:
    dock = add_dock(viewer)
    layer = add_picture(viewer, picture)
    dock.replan()
    assert dock.form.scale.value() == 0.5
    dock.form.scale.setValue(0.8)
    run(dock, qtbot)
    labels = viewer.layers["PS-07 minerals"]
    mineral_map = labels.metadata[MAP_KEY]
    assert (mineral_map.um_per_px, mineral_map.um_per_px_source) == (0.8, "given by the user")
    assert shlex.split(dock.command())[:2] == ["ore-minerals", "classify"]
    assert "--um-per-px 0.8" in dock.command()
    rows_select_labels(dock, viewer, layer)
    heatmaps_are_switched(dock, viewer)
    pictures_are_followed(dock, viewer, layer)
    viewer.layers.selection.active = layer
    with qtbot.waitSignal(dock.teaching.followed, timeout=60 * SECONDS):
        labels.data_setitem((np.array([0]), np.array([1])), 5)
    folder = tmp_path / "PS-07.oremap"
    dock.save(folder)
    qtbot.waitUntil(lambda: "were written" in dock.status.text(), timeout=60 * SECONDS)
    np.testing.assert_array_equal(read_result(folder).labels, labels.data)
    dock.save(folder)
    qtbot.waitUntil(lambda: "exists" in dock.status.text(), timeout=60 * SECONDS)
    dock.result.view.setCurrentText("minerals")
    labels.data[:] = 3
    labels.refresh()
    qtbot.waitUntil(
        lambda: dock.result.table.item(2, COLUMNS.index("cells")).text() == "24 (100 %)", timeout=5 * SECONDS
    )
    assert 50 < float(dock.result.table.item(2, COLUMNS.index("area %")).text()) <= 100
    dock.result.export_areas(tmp_path / "areas.csv")
    rows = pd.read_csv(tmp_path / "areas.csv")
    assert rows["fraction_of_picture"].sum() == pytest.approx(1)
    assert (rows["scale"] == "0.8 um/px (given by the user)").all()
    assert rows["corrections"].str.startswith("2").all()
    assert rows[["program", "model sha256", "options"]].notna().all(axis=None)


def rows_select_labels(dock: ClassifyDock, viewer: Any, layer: Any) -> None:
    labels = viewer.layers["PS-07 minerals"]
    viewer.layers.selection.active = layer
    dock.result.table.cellClicked.emit(3, 0)
    assert labels.selected_label == 4
    assert viewer.layers.selection.active == labels
    assert str(labels.mode) == "pan_zoom"
    dock.result.table.cellDoubleClicked.emit(1, 0)
    assert (labels.selected_label, str(labels.mode), labels.brush_size) == (2, "paint", 1)


def heatmaps_are_switched(dock: ClassifyDock, viewer: Any) -> None:
    heatmap = viewer.layers["PS-07 heatmap"]
    mineral_map = heatmap.metadata[MAP_KEY]
    assert [layer.visible for layer in viewer.layers] == [True, False, False, True]
    dock.result.view.setCurrentText("heatmap")
    assert [layer.visible for layer in viewer.layers] == [True, False, True, False]
    assert dock.result.heat.itemText(0) == "predicted class"
    np.testing.assert_array_equal(heatmap.data, mineral_map.heatmap())
    dock.result.heat.setCurrentText("gold")
    np.testing.assert_array_equal(heatmap.data, mineral_map.heatmap(3))


def pictures_are_followed(dock: ClassifyDock, viewer: Any, first: Any) -> None:
    second = viewer.add_image(np.zeros((100, 100, 3), np.uint8), rgb=True, name="PS-08", units=("um", "um"))
    assert dock.form.pictures.layer == second
    viewer.layers.selection.active = viewer.layers["PS-07 heatmap"]
    assert dock.form.pictures.layer == second
    assert not dock.result.isHidden()
    viewer.layers.selection.active = second
    assert dock.result.isHidden()
    viewer.layers.selection.active = first
    assert dock.form.pictures.layer == first
    assert [dock.form.pictures.itemText(number) for number in range(2)] == ["PS-08", "PS-07"]
    viewer.layers.remove(second)


def test_corrections_survive_another_run(
    viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    layer = add_picture(viewer, picture)
    run(dock, qtbot)
    labels = viewer.layers["PS-07 minerals"]
    viewer.layers.selection.active = layer
    run(dock, qtbot)
    assert len(viewer.layers) == 4, "an untouched result is replaced"
    labels = viewer.layers["PS-07 minerals"]
    labels.data_setitem((np.array([1]), np.array([1])), 1 + int(labels.data[1, 1]) % 5)
    painted = labels.data.copy()
    viewer.layers.selection.active = layer
    run(dock, qtbot)
    np.testing.assert_array_equal(labels.data, painted)
    kept = [layer for layer in viewer.layers if "minerals" in layer.name]
    assert len(kept) == 2


def test_part_in_view_and_under_shapes(
    viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    layer = add_picture(viewer, picture)
    corners = [layer.data_to_world(corner) for corner in [(10, 10), (10, 100), (50, 100), (50, 10)]]
    viewer.add_shapes([np.array(corners)], shape_type="polygon", units=("um", "um"))
    viewer.layers.selection.active = layer
    dock.form.area.setCurrentText("selected shapes")
    dock.replan()
    assert dock.run_bar.button.text().startswith("Classify 2 tiles")
    run(dock, qtbot)
    known = viewer.layers["PS-07 minerals"].metadata[MAP_KEY].processed
    assert np.argwhere(known).tolist() == [[0, 0], [0, 1]]
    dock.form.area.setCurrentText("visible part")
    viewer.scene.camera.center = (0, -9000, 0)
    dock.replan()
    assert not dock.run_bar.button.isEnabled()
    assert "not in view" in dock.status.text()


def test_cancel_keeps_the_tiles(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    add_picture(viewer, large_picture)
    begin(dock, qtbot)
    assert dock.run_bar.running
    with qtbot.waitSignal(dock.session.finished, timeout=SECONDS):
        qtbot.mouseClick(dock.run_bar.cancel, Qt.MouseButton.LeftButton)
    labels = viewer.layers["PS-07 minerals"]
    known = labels.metadata[MAP_KEY].processed
    assert 0 < known.sum() < known.size
    assert (labels.data[~known] == 0).all()
    assert "are kept" in dock.status.text()
    assert dock.run_bar.button.isEnabled()


def test_cancel_before_the_first_tile(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    add_picture(viewer, large_picture)
    dock.replan()
    dock.classify()
    with qtbot.waitSignal(dock.session.dropped, timeout=SECONDS):
        dock.cancel()
    assert len(viewer.layers) == 1
    assert "before the first" in dock.status.text()
    assert dock.run_bar.button.isEnabled()


def test_a_killed_process_is_one_message_and_the_next_run_works(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    add_picture(viewer, large_picture[:640])
    messages: list[str] = []
    dock.session.failed.connect(messages.append)
    process = begin(dock, qtbot)
    os.kill(process, signal.SIGKILL)
    qtbot.waitUntil(lambda: bool(messages), timeout=5 * SECONDS)
    assert "ended unexpectedly" in dock.status.text()
    assert len(messages) == 1
    dock.form.options.set_value("batch_size", None)
    run(dock, qtbot)
    assert len(messages) == 1
    assert viewer.layers["PS-07 minerals"].metadata[MAP_KEY].run.complete


@pytest.mark.fault("L1")
def test_picture_deleted_in_the_middle(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    layer = add_picture(viewer, large_picture)
    begin(dock, qtbot)
    with qtbot.waitSignal(dock.session.dropped, timeout=SECONDS):
        viewer.layers.remove(layer)
    qtbot.wait(500)
    assert len(viewer.layers) == 0
    assert "removed" in dock.status.text()
    add_picture(viewer, large_picture[:128, :128])
    dock.form.options.set_value("batch_size", None)
    run(dock, qtbot)
    assert viewer.layers["PS-07 minerals"].data.shape == (2, 2)


@pytest.mark.fault("L3")
def test_pixels_replaced_in_the_middle(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    layer = add_picture(viewer, large_picture)
    begin(dock, qtbot)
    with qtbot.waitSignal(dock.session.dropped, timeout=SECONDS):
        layer.data = large_picture[:64, :64]
    qtbot.wait(500)
    assert [layer.name for layer in viewer.layers] == ["PS-07"]
    assert "replaced" in dock.status.text()


@pytest.mark.fault("L2", "L4", "L5", "L8")
def test_all_kinds_of_things_in_the_middle(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray
) -> None:
    """Renaming, moving, deleting the result, turning to 3D and back: no exception, and the result goes to its picture."""
    dock = add_dock(viewer)
    layer = add_picture(viewer, large_picture[:640, :1600])
    begin(dock, qtbot)
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=5 * SECONDS)
    layer.name = "another name"
    layer.translate = (5, 5)
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    viewer.layers.remove(viewer.layers["PS-07 minerals"])
    with qtbot.waitSignal(dock.session.finished, timeout=LONG):
        pass
    assert viewer.layers["PS-07 minerals"].metadata[MAP_KEY].run.complete


@pytest.mark.fault("V1")
def test_viewer_closed_in_the_middle(
    make_napari_viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray
) -> None:
    viewer = make_napari_viewer()
    dock = add_dock(viewer)
    add_picture(viewer, large_picture)
    process = begin(dock, qtbot)
    assert not gone(process)
    viewer.close()
    qtbot.waitUntil(lambda: gone(process), timeout=2 * SECONDS)


@pytest.mark.fault("V2", "L7")
def test_dock_closed_in_the_middle_and_opened_again(
    viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray, large_picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    layer = add_picture(viewer, large_picture)
    process = begin(dock, qtbot)
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.waitUntil(lambda: gone(process), timeout=2 * SECONDS)
    layer.name = "PS-08"
    viewer.layers.selection.active = None
    viewer.layers.clear()
    add_picture(viewer, picture)
    run(add_dock(viewer), qtbot)


@pytest.mark.fault("V3")
def test_two_viewers(make_napari_viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray) -> None:
    one, other = make_napari_viewer(), make_napari_viewer()
    docks = [add_dock(one), add_dock(other)]
    add_picture(one, picture)
    add_picture(other, 255 - picture)
    for dock in docks:
        dock.replan()
        dock.classify()
    qtbot.waitUntil(lambda: not any(dock.session.busy for dock in docks), timeout=LONG)
    maps = [viewer.layers["PS-07 minerals"].metadata[MAP_KEY] for viewer in (one, other)]
    assert maps[0].picture.fingerprint != maps[1].picture.fingerprint
    assert docks[0].worker.process_id != docks[1].worker.process_id


def test_bad_models_are_told(viewer: Any, add_dock: AddDock, tmp_path: Path) -> None:
    dock = add_dock(viewer)
    dock.form.models.choose(tmp_path)
    assert "is no model" in dock.status.text()
    assert dock.form.models.card.name == "micro"
