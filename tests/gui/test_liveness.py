"""The viewer stays alive while it classifies: the gap between ticks of a 10 ms timer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gui_support import LONG
from qtpy.QtCore import Qt, QTimer

from napari_ore_minerals.widgets.classify import ClassifyDock

pytestmark = pytest.mark.alone
MOST_OF_THEM_S, LARGEST_S = 0.050, 0.250
BUSY_S = 0.030


class Ticks:
    """When a 10 ms timer of the main thread fired."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(10)
        self.timer.timeout.connect(lambda: self.times.append(time.perf_counter()))

    def gaps(self, work: Callable[[], object]) -> np.ndarray:
        """Seconds between ticks while `work` runs the event loop."""
        self.times.clear()
        self.timer.start()
        work()
        self.timer.stop()
        return np.diff(self.times)


@pytest.mark.slow
def test_ticks_while_classifying(
    make_napari_viewer: Any, add_dock: Callable[[Any], ClassifyDock], qtbot: Any, large_picture: np.ndarray,
    record_property: Any,
) -> None:  # fmt: skip
    viewer = make_napari_viewer(show=True)
    dock = add_dock(viewer)
    viewer.add_image(large_picture, rgb=True, name="PS-07")
    dock.form.options.set_value("batch_size", 8)
    dock.form.options.set_value("stride_px", 32)
    dock.replan()
    with qtbot.waitSignal(dock.worker.ready, timeout=LONG):
        pass
    ticks = Ticks()
    idle = ticks.gaps(lambda: qtbot.wait(2000))
    if np.quantile(idle, 0.99) > BUSY_S or idle.max() > LARGEST_S / 2:
        pytest.skip(f"other programs keep this computer busy: an idle viewer ticks within {idle.max():.3f} s")

    def classify() -> None:
        with qtbot.waitSignal(dock.session.finished, timeout=LONG):
            qtbot.mouseClick(dock.run_bar.button, Qt.MouseButton.LeftButton)

    gaps = ticks.gaps(classify)
    largest = gaps.max()
    if largest >= LARGEST_S:  # a burst of another program? a viewer that stalls does so again
        largest = ticks.gaps(classify).max()
    record_property("ticks", len(gaps))
    record_property("99 % within", f"{np.quantile(gaps, 0.99):.3f} s")
    record_property("largest", f"{largest:.3f} s")
    assert len(gaps) > 300
    assert np.quantile(gaps, 0.99) < MOST_OF_THEM_S
    assert largest < LARGEST_S


@pytest.mark.slow
def test_ticks_while_the_map_follows_strokes(
    make_napari_viewer: Any, add_dock: Callable[[Any], ClassifyDock], qtbot: Any, large_picture: np.ndarray,
    record_property: Any,
) -> None:  # fmt: skip
    viewer = make_napari_viewer(show=True)
    dock = add_dock(viewer)
    viewer.add_image(large_picture, rgb=True, name="PS-07")
    dock.replan()
    with qtbot.waitSignal(dock.session.finished, timeout=LONG):
        qtbot.mouseClick(dock.run_bar.button, Qt.MouseButton.LeftButton)
    labels = viewer.layers["PS-07 minerals"]
    cells = iter(np.ndindex(labels.data.shape))

    def stroke() -> None:
        cell = next(cells)
        with qtbot.waitSignal(dock.teaching.followed, timeout=LONG):
            labels.data_setitem(tuple(np.array([place]) for place in cell), 1 + int(labels.data[cell]) % 6)

    stroke()  # the layer of frames is made once
    ticks = Ticks()
    idle = ticks.gaps(lambda: qtbot.wait(2000))
    if np.quantile(idle, 0.99) > BUSY_S or idle.max() > LARGEST_S / 2:
        pytest.skip(f"other programs keep this computer busy: an idle viewer ticks within {idle.max():.3f} s")
    gaps = ticks.gaps(lambda: [stroke() for _ in range(12)])
    largest = gaps.max()
    if largest >= LARGEST_S:
        largest = ticks.gaps(lambda: [stroke() for _ in range(12)]).max()
    record_property("largest", f"{largest:.3f} s")
    assert len(gaps) > 100
    assert np.quantile(gaps, 0.99) < LARGEST_S / 2
    assert largest < LARGEST_S
