"""Take the pictures of the documentation from the real viewer, over a simulated sample.

``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py [MODEL]``
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import napari
from qtpy.QtTest import QTest

OUT = Path(__file__).parent / "images"
SIZE = (1480, 900)
LONGEST_SECONDS = 600


def wait_until(condition: object) -> None:
    """Let Qt work until ``condition()``."""
    until = time.monotonic() + LONGEST_SECONDS
    while not condition():  # type: ignore[operator]
        if time.monotonic() > until:
            raise TimeoutError("the viewer did not get there")
        QTest.qWait(50)


def take(viewer: napari.Viewer, name: str) -> None:
    """Write what the window shows."""
    QTest.qWait(400)
    OUT.mkdir(exist_ok=True)
    viewer.screenshot(str(OUT / name), canvas_only=False, flash=False)
    print(OUT / name)


def main(model: Path | None) -> None:
    """Classify the first sample and take pictures on the way."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Classify")
    dock.open_sample()
    viewer.canvas.overlays.scale_bar.visible = True
    if model is not None:
        dock.form.models.choose(model)

    wait_until(lambda: dock._ready is not None)
    dock.form.options.set_value("stride_px", dock.form.models.card.tile_px // 2)
    dock.replan()
    print(dock.run_bar.button.text())
    dock.classify()
    wait_until(lambda: not dock.session.busy)
    viewer.reset_view()
    take(viewer, "classify.png")
    dock.result.view.setCurrentText("heatmap")
    take(viewer, "heatmap.png")
    viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
