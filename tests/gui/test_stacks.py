"""Stacks of planes: the plane that is classified, told of, hovered over and learnt from is the one in view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gui_support import LONG

from napari_ore_minerals.widgets.classify import ClassifyDock
from napari_ore_minerals.widgets.learn_section import _picture_in_view

AddDock = Callable[..., ClassifyDock]


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    return make_napari_viewer_proxy()


@pytest.fixture
def planes(picture: np.ndarray) -> np.ndarray:
    return np.stack([picture, picture[::-1], 255 - picture])


def classify(dock: ClassifyDock, qtbot: Any) -> None:
    dock.replan()
    with qtbot.waitSignal(dock.session.finished, timeout=LONG):
        dock.classify()


def test_the_plane_is_that_of_the_layer_whatever_else_is_in_the_viewer(
    viewer: Any, add_dock: AddDock, planes: np.ndarray
) -> None:
    dock = add_dock(viewer)
    viewer.add_image(np.zeros((9, 8, 8)), name="thin slices", scale=(0.25, 1, 1))
    stack = viewer.add_image(planes, rgb=True, name="PS-07", translate=(10, 0, 0))
    viewer.dims.set_point(0, 11)
    dock.replan()
    assert dock._plan is not None
    assert dock._plan.layer == stack
    assert dock._plan.picture.placement.plane == (1,)
    np.testing.assert_array_equal(dock._plan.picture.micrograph().read().rgb, planes[1])
    viewer.dims.set_point(0, 3)
    dock.replan()
    assert not dock.run_bar.button.isEnabled()
    assert "no plane of it is in view" in dock.status.text()


def test_what_is_said_and_learnt_is_of_the_plane_in_view(
    viewer: Any, add_dock: AddDock, qtbot: Any, planes: np.ndarray
) -> None:
    dock = add_dock(viewer)
    viewer.add_image(planes, rgb=True, name="PS-07")
    for plane in (1, 2):
        viewer.dims.set_current_step(0, plane)
        viewer.layers.selection.active = viewer.layers["PS-07"]
        classify(dock, qtbot)
    labels = viewer.layers.selection.active  # of plane 2
    for plane in (1, 2):
        viewer.dims.set_current_step(0, plane)
        dock._look()
        assert dock.result.overlay is not None
        assert dock.result.overlay.placement.plane == (plane,)
        qtbot.waitUntil(lambda: dock.teaching.lesson is not None, timeout=LONG)
        opened = _picture_in_view(dock.form, dock.session, dock.teaching)
        assert opened is not None
        np.testing.assert_array_equal(opened().read().rgb, planes[plane])
        status = labels.get_status((plane, 5, 5), view_direction=None, dims_displayed=[1, 2], world=True)
        assert ("confidence" in status["value"]) == (plane == 2)
        assert bool(status["value"]) == (plane == 2)
    viewer.dims.set_current_step(0, 0)
    dock._look()
    assert dock.result.overlay is None, "nothing of this plane was classified"
