"""The review in the dock: what is asked, the keys that answer it, and napari's own keys before and after."""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui_support import LONG, SECONDS, gone
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_ore_minerals.widgets.classify import ClassifyDock
from napari_ore_minerals.widgets.layers import ROLE_KEY
from napari_ore_minerals.widgets.review_keys import ReviewKeys, review_acts

pytestmark = pytest.mark.alone
AddDock = Callable[..., ClassifyDock]
SOON = 60 * SECONDS
SHIFT = Qt.KeyboardModifier.ShiftModifier
NO_MODIFIER = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any, micro_model: Path) -> Any:
    """A viewer on the screen; torch is there before OpenGL, since the two may bring different LLVMs."""
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def dock(viewer: Any, add_dock: AddDock, qtbot: Any, picture: np.ndarray) -> ClassifyDock:
    """A dock with a classified picture."""
    found = add_dock(viewer)
    viewer.add_image(picture, rgb=True, name="PS-07")
    found.replan()
    with qtbot.waitSignal(found.session.finished, timeout=LONG):
        found.classify()
    found.learn.expand()
    return found


def asked(dock: ClassifyDock, qtbot: Any) -> Any:
    """Wait for the next question; returns its cell."""
    panel = dock.learn.review
    qtbot.waitUntil(lambda: panel.review is not None and panel.review.cell is not None, timeout=SOON)
    return panel.review.cell


def test_keys_act_on_their_layer_while_bound_and_on_no_other(viewer: Any, qtbot: Any) -> None:
    labels = viewer.add_labels(np.zeros((4, 4), np.uint8))
    beside = QWidget()
    viewer.window.add_dock_widget(beside)
    window, canvas = beside.window(), viewer.window._qt_viewer.canvas.native
    pressed: list[object] = []
    keys = ReviewKeys(unwrap(viewer), beside, review_acts(pressed.append, {"A": lambda: pressed.append("A")}))
    own = dict(labels.keymap)

    def press() -> list[object]:
        pressed.clear()
        QTest.keyClick(canvas, Qt.Key.Key_A)
        QTest.keyClick(canvas, Qt.Key.Key_2, SHIFT)
        return list(pressed)

    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=SOON)
    assert press() == []
    keys.bind(unwrap(viewer).layers[0])
    assert press() == ["A", 1]
    viewer.layers.selection.active = viewer.add_image(np.zeros((4, 4)))
    assert press() == []
    viewer.layers.selection.active = labels
    assert press() == ["A", 1]
    keys.release()
    assert press() == []
    assert dict(labels.keymap) == own


def test_keys_answer_while_reviewing_and_are_napari_s_own_again(
    dock: ClassifyDock, viewer: Any, qtbot: Any
) -> None:
    panel, teaching = dock.learn.review, dock.teaching
    labels = viewer.layers["PS-07 minerals"]
    canvas = viewer.window._qt_viewer.canvas.native

    def press(key: str, modifier: Any = NO_MODIFIER) -> None:
        QTest.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"), modifier)

    own = dict(labels.keymap)
    press("A")
    assert not teaching.corrections, "before the review a key teaches nothing"
    panel.begin()
    first = asked(dock, qtbot)
    qtbot.waitUntil(lambda: panel.pictured, timeout=SOON)
    assert viewer.layers.selection.active.name == labels.name
    assert viewer.layers["PS-07 asked"].data.tolist() == [list(first)]
    assert panel.view.answers.count() == len(panel.codes)
    answer = int(labels.data[first])
    if answer not in panel.codes:  # unclassified
        answer = panel.codes[0]
        panel.say_number(0)
    else:
        press("A")
    qtbot.waitUntil(lambda: [one.code for one in teaching.corrections] == [answer], timeout=SOON)
    second = asked(dock, qtbot)
    other = next(number for number, code in enumerate(panel.codes) if code != int(labels.data[second]))
    panel.view.answers.itemClicked.emit(panel.view.answers.item(other))
    qtbot.waitUntil(lambda: len(teaching.corrections) == 2, timeout=SOON)
    assert labels.data[second] == panel.codes[other]
    assert teaching.corrections[-1].kind == "corrected"
    third = asked(dock, qtbot)
    press("N")
    assert len({first, second, third, asked(dock, qtbot)}) == 4
    assert panel.view.count.text() == "3 reviewed, 21 left"
    press("U")
    assert panel.review.cell == third
    press("U")
    assert (panel.review.cell, len(teaching.corrections)) == (second, 1)
    press("Escape")
    assert panel.review is None
    assert dict(labels.keymap) == own, "napari has its keys back"
    assert not any(layer.metadata.get(ROLE_KEY) == "asked" for layer in viewer.layers)
    press("N")
    press("A")
    assert len(teaching.corrections) == 1, "what was said stays, and keys say nothing more"
    another_layer_keeps_its_keys(dock, viewer, qtbot)


def another_layer_keeps_its_keys(dock: ClassifyDock, viewer: Any, qtbot: Any) -> None:
    panel, said = dock.learn.review, len(dock.teaching.corrections)
    panel.begin()
    asked(dock, qtbot)
    assert all(shortcut.isEnabled() for shortcut in panel._keys._shortcuts)
    viewer.layers.selection.active = viewer.layers["PS-07"]
    assert not any(shortcut.isEnabled() for shortcut in panel._keys._shortcuts)
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_A)
    assert len(dock.teaching.corrections) == said
    viewer.layers.remove("PS-07 minerals")
    assert panel.review is None, "a review ends with its map"


@pytest.mark.fault("V1")
def test_a_viewer_closed_while_training_takes_the_process_along(
    dock: ClassifyDock, viewer: Any, qtbot: Any
) -> None:
    from napari_ore_minerals.learning.corrections import Cell

    codes = dock.teaching.lesson.minerals.codes
    dock.teaching.say({Cell(row, column): codes[column % 2] for row in range(3) for column in range(5)})
    tuning = dock.learn.tuning
    tuning.start()
    process_id = tuning.job.process_id
    assert process_id is not None
    with qtbot.waitSignal(tuning.job.advanced, timeout=LONG):
        pass
    viewer.close()
    qtbot.waitUntil(lambda: gone(process_id), timeout=5 * SECONDS)
    store = dock.learn.history._store
    assert not store.root.exists()
    assert store.current().version is None
