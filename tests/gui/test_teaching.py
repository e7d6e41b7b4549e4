"""Painting on a map teaches it: the map follows, everything can be undone, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gui_support import LONG, SECONDS
from qtpy.QtCore import Qt

from napari_ore_minerals.learning import journal
from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.widgets.classify import ClassifyDock

AddDock = Callable[..., ClassifyDock]


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    return make_napari_viewer_proxy()


@pytest.fixture
def taught(viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray) -> ClassifyDock:
    """A dock with a classified picture."""
    return classified(viewer, add_dock, qtbot, picture)


def classified(viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray) -> ClassifyDock:
    dock = add_dock(viewer)
    viewer.add_image(picture, rgb=True, name="PS-07")
    dock.replan()
    with qtbot.waitSignal(dock.session.finished, timeout=LONG):
        qtbot.mouseClick(dock.run_bar.button, Qt.MouseButton.LeftButton)
    return dock


def paint(viewer: Any, cell: tuple[int, int], code: int, name: str = "PS-07 minerals") -> None:
    labels = viewer.layers[name]
    labels.data_setitem(tuple(np.array([place]) for place in cell), code)


def other_than(dock: ClassifyDock, cell: tuple[int, int]) -> int:
    return 1 + int(dock.teaching.lesson.base.labels[cell]) % 6


def test_a_stroke_moves_the_map_and_undo_takes_it_back(taught: ClassifyDock, viewer: Any, qtbot: Any) -> None:
    labels, teaching = viewer.layers["PS-07 minerals"], taught.teaching
    before, code = labels.data.copy(), other_than(taught, (1, 2))
    heat = viewer.layers["PS-07 heatmap"].data.copy()
    with qtbot.waitSignal(teaching.followed, timeout=30 * SECONDS):
        paint(viewer, (1, 2), code)
    assert labels.data[1, 2] == code
    assert [(one.cell, one.code, one.kind) for one in teaching.corrections] == [((1, 2), code, "corrected")]
    assert teaching.overlay.map.probabilities[1, 2].max() == 1
    assert not np.array_equal(heat, viewer.layers["PS-07 heatmap"].data)
    np.testing.assert_array_equal(teaching.overlay.map.labels, labels.data)
    assert viewer.layers["PS-07 corrections"].data.tolist() == [[1, 2]]
    qtbot.waitUntil(lambda: teaching.saved_at != "", timeout=2 * SECONDS)
    assert len(journal.Journal().read(teaching.lesson.base.picture.fingerprint).corrections) == 1
    assert taught.learn.corrections.list.count() == 1
    qtbot.waitUntil(lambda: not taught.result.table.isColumnHidden(4), timeout=5 * SECONDS)
    with qtbot.waitSignal(teaching.followed, timeout=30 * SECONDS):
        qtbot.keyClick(
            viewer.window._qt_viewer.canvas.native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier
        )
    np.testing.assert_array_equal(labels.data, before)
    assert not teaching.corrections
    qtbot.waitUntil(
        lambda: not journal.Journal().read(teaching.lesson.base.picture.fingerprint).corrections,
        timeout=2 * SECONDS,
    )
    with qtbot.waitSignal(teaching.followed, timeout=30 * SECONDS):
        teaching.redo()
    assert labels.data[1, 2] == code


def test_what_an_earlier_session_taught_is_offered(
    make_napari_viewer_proxy: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray
) -> None:
    first = make_napari_viewer_proxy()
    dock = classified(first, add_dock, qtbot, picture)
    dock.teaching.add_mineral("galena", "Gn", "#112233")
    with qtbot.waitSignal(dock.teaching.followed, timeout=30 * SECONDS):
        dock.teaching.say({Cell(1, 1): dock.teaching.lesson.minerals.by_name("galena").code})
    qtbot.waitUntil(lambda: dock.teaching.saved_at != "", timeout=2 * SECONDS)
    second = make_napari_viewer_proxy()
    again = classified(second, add_dock, qtbot, picture)
    panel = again.learn.corrections
    qtbot.waitUntil(lambda: not panel.offer.isHidden(), timeout=5 * SECONDS)
    assert "1 correction of" in panel.offer_words.text()
    with qtbot.waitSignal(again.teaching.followed, timeout=30 * SECONDS):
        qtbot.mouseClick(panel.use, Qt.MouseButton.LeftButton)
    assert [again.teaching.lesson.minerals.by_code(one.code).name for one in again.teaching.corrections] == [
        "galena"
    ]
    assert panel.offer.isHidden()
    names = [again.result.table.item(row, 0).text() for row in range(again.result.table.rowCount())]
    qtbot.waitUntil(
        lambda: (
            "galena"
            in [again.result.table.item(row, 0).text() for row in range(again.result.table.rowCount())]
        ),
        timeout=5 * SECONDS,
    )
    assert names


def test_a_killed_process_keeps_corrections_and_says_what_to_do(
    taught: ClassifyDock, viewer: Any, qtbot: Any
) -> None:
    taught.worker._child.kill()
    with qtbot.waitSignal(taught.teaching.failed, timeout=30 * SECONDS) as told:
        paint(viewer, (0, 1), other_than(taught, (0, 1)))
    assert "classify it again" in told.args[0]
    assert len(taught.teaching.corrections) == 1
    labels = viewer.layers["PS-07 minerals"]
    assert labels.data[0, 1] == taught.teaching.corrections[0].code


def test_layers_deleted_and_docks_closed_while_the_map_follows(
    taught: ClassifyDock, viewer: Any, qtbot: Any
) -> None:
    paint(viewer, (0, 1), other_than(taught, (0, 1)))
    taught.teaching.take_strokes()
    viewer.layers.remove("PS-07 minerals")
    qtbot.wait(500)
    viewer.layers.clear()
    qtbot.wait(200)
    assert taught.teaching.lesson is None or taught.learn.isHidden()
