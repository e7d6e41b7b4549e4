"""Docks and viewers that are closed, or nearly, and views that change, in the middle of a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")

from gui_support import LONG, SECONDS, gone
from napari.settings import get_settings
from qtpy.QtWidgets import QDialog
from test_classify_dock import add_picture, begin, run

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.files import read_result, write_result
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.widgets.classify import ClassifyDock
from napari_ore_minerals.widgets.layers import MAP_KEY

AddDock = Callable[..., ClassifyDock]


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    return make_napari_viewer_proxy()


def listeners(viewer: Any) -> list[int]:
    """How many listen to what the docks listen to."""
    layers, dims = viewer.layers, viewer.dims
    emitters = (
        layers.events.inserted,
        layers.events.removed,
        layers.selection.events.active,
        dims.events.current_step,
        dims.events.ndisplay,
        viewer.scene.camera.events,
    )
    return [len(emitter.callbacks) for emitter in emitters]


@pytest.mark.slow
@pytest.mark.fault("V2")
def test_the_dock_is_closed_in_the_middle_and_opened_again_20_times(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray
) -> None:
    add_picture(viewer, large_picture[:256, :256])
    before = listeners(viewer)
    for _ in range(20):
        dock = add_dock(viewer)
        dock.replan()
        dock.classify()
        process = dock.worker.process_id
        assert dock.session.busy
        assert process
        viewer.window.remove_dock_widget(dock)
        dock.deleteLater()
        qtbot.waitUntil(lambda process=process: gone(process), timeout=5 * SECONDS)
        qtbot.waitUntil(lambda: listeners(viewer) == before, timeout=5 * SECONDS)
    dock = add_dock(viewer)
    run(dock, qtbot)
    assert viewer.layers["PS-07 minerals"].metadata[MAP_KEY].run.complete


@pytest.mark.fault("V4")
def test_a_quit_that_is_called_off_stops_nothing(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari._qt import qt_main_window

    asked: list[object] = []

    def dialog(*_: object, **__: object) -> Any:
        return SimpleNamespace(exec_=lambda: asked.append(None) or QDialog.DialogCode.Rejected)

    monkeypatch.setattr(qt_main_window, "ConfirmCloseDialog", dialog)
    monkeypatch.setattr(get_settings().application, "confirm_close_window", True)
    dock = add_dock(viewer)
    add_picture(viewer, large_picture)
    process = begin(dock, qtbot)
    for quit_app in (False, True):
        viewer.window._qt_window.close(quit_app=quit_app, confirm_need=True)
    assert len(asked) == 2
    with qtbot.waitSignal(dock.worker.advanced, timeout=LONG):
        pass
    assert not gone(process)
    with qtbot.waitSignal(dock.session.finished, timeout=2 * SECONDS):
        dock.cancel()


@pytest.mark.fault("L8")
def test_sliders_are_moved_and_slicing_is_asynchronous(
    viewer: Any, add_dock: AddDock, qtbot: Any, large_picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_settings().experimental, "async_", True)
    dock = add_dock(viewer)
    planes = np.stack([large_picture[top : top + 640, :640] for top in (0, 640, 1280)])
    viewer.add_image(planes, rgb=True, name="PS-07")
    viewer.dims.set_current_step(0, 1)
    begin(dock, qtbot)
    for step, ndisplay in ((2, 2), (0, 3), (1, 2), (0, 2)):
        viewer.dims.set_current_step(0, step)
        viewer.dims.ndisplay = ndisplay
        qtbot.wait(20)
    qtbot.waitUntil(lambda: not dock.session.busy, timeout=LONG)  # it may have ended while the sliders moved
    labels = viewer.layers["PS-07 minerals"]
    assert labels.metadata[MAP_KEY].run.complete
    np.testing.assert_allclose(labels.data_to_world((0, 0, 0))[0], 1, err_msg="the plane of the click")
    np.testing.assert_array_equal(viewer.layers["PS-07"].data, planes)


CLOSING = """
import sys, time
from functools import partial
from pathlib import Path
from qtpy.QtCore import QCoreApplication
from napari_ore_minerals.maps import files
from napari_ore_minerals.widgets.background import Background
from napari_ore_minerals.widgets.saving import write_screen
app, background, plain = QCoreApplication([]), Background(), files._write_files
def slowly(*given):
    time.sleep(0.3)
    plain(*given)
files._write_files = slowly
source, *targets = map(Path, sys.argv[1:])
mineral_map = files.read_result(source)
for target in targets:
    background.run(partial(write_screen, mineral_map, target, None))
background.close()
"""


@pytest.mark.fault("V1")
def test_results_that_are_being_written_when_the_viewer_is_closed_are_written(
    micro_model: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    whole = classify(Micrograph.from_array(picture), Classifier.load(micro_model, device="cpu"))
    folder = tmp_path / "results"
    folder.mkdir()
    source, *targets = (folder / name for name in ("whole", "one", "other"))
    write_result(whole, source)
    asked = [sys.executable, "-c", CLOSING, *map(str, (source, *targets))]
    viewer = subprocess.run(asked, capture_output=True, text=True, timeout=LONG / SECONDS)
    assert viewer.returncode == 0, viewer.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["one", "other", "whole"]
    for target in targets:
        np.testing.assert_array_equal(read_result(target).labels, whole.labels)
