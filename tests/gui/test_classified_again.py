"""A picture that was taught is classified again: the dock turns to the new result, and nothing that was said is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gui_support import LONG, SECONDS
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.widgets.classify import ClassifyDock
from napari_ore_minerals.widgets.gathered import Gathered
from napari_ore_minerals.widgets.layers import MAP_KEY, OWN_KEY

AddDock = Callable[..., ClassifyDock]


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    return make_napari_viewer_proxy()


def classify(dock: ClassifyDock, qtbot: Any) -> None:
    dock.replan()
    with qtbot.waitSignal(dock.session.finished, timeout=LONG):
        qtbot.mouseClick(dock.run_bar.button, Qt.MouseButton.LeftButton)


@pytest.fixture
def taught(viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray) -> ClassifyDock:
    """A dock with a classified picture of which two cells were painted."""
    dock = add_dock(viewer)
    viewer.add_image(picture, rgb=True, name="PS-07")
    classify(dock, qtbot)
    dock.choose_label(1, True)
    labels = viewer.layers["PS-07 minerals"]
    for cell in ((0, 0), (1, 2)):
        with qtbot.waitSignal(dock.teaching.followed, timeout=30 * SECONDS):
            labels.data_setitem(tuple(np.array([place]) for place in cell), 1 + int(labels.data[cell]) % 6)
    return dock


def minerals_layers(viewer: Any) -> list[Labels]:
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def test_the_dock_turns_to_the_new_result_and_what_was_said_counts_there(
    taught: ClassifyDock, viewer: Any, qtbot: Any
) -> None:
    said = {one.cell: one.code for one in taught.teaching.corrections}
    old = taught.teaching.overlay
    before = old.values.copy()
    classify(taught, qtbot)
    older, newer = minerals_layers(viewer)
    assert viewer.layers.selection.active == newer
    assert taught.result.overlay is taught.teaching.overlay
    assert taught.result.overlay.labels is not old.labels
    assert (older.visible, newer.visible) == (False, True)
    assert not any(layer.visible for layer in old.layers())
    np.testing.assert_array_equal(old.values, before)
    assert {one.cell: one.code for one in taught.teaching.corrections} == said
    assert all(newer.data[cell] == code for cell, code in said.items())
    assert taught.learn.tuning.plan.corrections == 2
    assert taught.learn.tuning.bar.button.isEnabled()
    viewer.layers.selection.active = older
    assert taught.teaching.overlay is old
    assert taught.session.picture_of(old) is not None
    assert {one.cell: one.code for one in taught.teaching.corrections} == said


def test_who_turned_to_another_picture_is_left_there(
    taught: ClassifyDock, viewer: Any, qtbot: Any, picture: np.ndarray
) -> None:
    other = viewer.add_image(picture[::-1].copy(), rgb=True, name="PS-08")
    viewer.layers.selection.active = viewer.layers["PS-07"]
    viewer.layers.selection.active = viewer.layers["PS-07 minerals"]
    taught.form.options.set_value("batch_size", 1)
    taught.replan()
    with qtbot.waitSignal(taught.session.finished, timeout=LONG):
        with qtbot.waitSignal(taught.worker.advanced, timeout=LONG):
            qtbot.mouseClick(taught.run_bar.button, Qt.MouseButton.LeftButton)
        viewer.layers.selection.active = other
    assert viewer.layers.selection.active == other


@pytest.mark.parametrize("painted", [False, True])
def test_a_run_that_fails_after_its_first_tiles_leaves_what_was_painted_on_the_screen(
    taught: ClassifyDock, viewer: Any, monkeypatch: pytest.MonkeyPatch, painted: bool
) -> None:
    old, said, tasks = taught.teaching.overlay, taught.teaching.corrections, []
    before, seen = old.values.copy(), [layer.visible for layer in old.layers()]
    monkeypatch.setattr(taught.worker, "classify", tasks.append)
    taught.classify()
    first = Gathered(tasks[0], 1)
    first.labels[0, :2], first.processed[0, :2] = 3, True
    taught.worker.advanced.emit(first)
    assert not any(layer.visible for layer in old.layers())
    if painted:
        minerals_layers(viewer)[-1].data[0, 0] = 2
    taught.worker.failed.emit("The disk went away.")
    assert [layer.visible for layer in old.layers()] == seen
    np.testing.assert_array_equal(old.values, before)
    assert len(minerals_layers(viewer)) == 1 + painted, "strokes of the user are never removed"
    viewer.layers.selection.active = viewer.layers["PS-07"]
    assert taught.teaching.overlay is old
    assert taught.teaching.corrections == said


def test_a_copy_of_a_taught_map_has_the_models_own_answer_below_it(
    taught: ClassifyDock, viewer: Any, qtbot: Any
) -> None:
    lesson, labels = taught.teaching.lesson, viewer.layers["PS-07 minerals"]
    assert labels.metadata[OWN_KEY] is lesson.base
    copy = Labels(labels.data.copy(), name="copy", metadata={MAP_KEY: labels.metadata[MAP_KEY]})
    viewer.layers.append(copy)
    viewer.layers.selection.active = copy
    again = taught.teaching.lesson
    assert again is not lesson
    assert set(again.said) == {Cell(0, 0), Cell(1, 2)}
    assert all(again.base.labels[cell] != one.code for cell, one in again.said.items())


def test_the_forecast_stays_after_a_picture_of_few_tiles(
    viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray
) -> None:
    dock = add_dock(viewer)
    viewer.add_image(picture[:128, :128], rgb=True, name="PS-07")
    with qtbot.waitSignal(dock.worker.ready, timeout=LONG):
        dock.replan()
    assert "Classify 4 tiles, about" in dock.run_bar.button.text()
    classify(dock, qtbot)
    assert "Classify 4 tiles, about" in dock.run_bar.button.text()
