"""Take the pictures of the documentation from the real viewer, over a simulated sample.

``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py [MODEL]``; with ``sorting``,
``learning`` or ``measuring`` for MODEL only those of the sorting view, of learning from corrections, or of the Measure
dock are taken.  Journals,
models and caches of the user are not touched: all of that goes to a temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtTest import QTest

from napari_ore_minerals.images.simulation import SAMPLES, SimulationOptions, simulate
from napari_ore_minerals.learning.tile_options import TileOptions
from napari_ore_minerals.learning.tiling import tile_steps
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.progress import run
from napari_ore_minerals.widgets.hints import reveal

OUT = Path(__file__).parent / "images"
SIZE = (1480, 900)
LONGEST_SECONDS = 600
SORTED_PICTURES, SORTED_TILES = 15, 13
LEARNING_SIZE, LEARNING_SEED, REVIEWED = (1024, 1280), 5, 32
OTHER_LAMP = (1.0, 0.80, 0.55)  # of red, green and blue: a lamp that the model has not seen
SEVERAL_BELOW, SURE_FROM = 0.6, 0.7


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


def sort_tiles(folder: Path) -> None:
    """Sort tiles of simulated micrographs as their masks say, half-way down a page, and take a picture."""
    (folder / "pictures").mkdir()
    masks = {}
    for seed in range(SORTED_PICTURES):
        micrograph = simulate(seed, SimulationOptions(height_px=512, width_px=512))
        masks[f"PS-{seed:02d}"] = micrograph.mask
        Image.fromarray(micrograph.rgb).save(folder / "pictures" / f"PS-{seed:02d}.png")
    names = tuple(mineral.name for mineral in DEFAULT_MINERALS)
    dataset = run(
        tile_steps([folder / "pictures"], folder / "ores", TileOptions(labels="none", minerals=names))
    )
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Sort tiles")
    QTest.qWait(300)
    dock.open(dataset.folder)
    wait_until(lambda: dock.sitting is not None and not dock.pictures.busy)
    for tile in dataset.table.itertuples():
        if tile.Index == SORTED_TILES:
            break
        mask = masks[tile.photograph][tile.row_px : tile.row_px + 256, tile.column_px : tile.column_px + 256]
        shares = [(float((mask == mineral.code).mean()), mineral.name) for mineral in DEFAULT_MINERALS]
        share, name = max(shares)
        numbers = [mineral.name for mineral in dock.sitting.sorting.minerals]
        if SEVERAL_BELOW < share < SURE_FROM:
            dock.act("unsure")
        dock.act("several" if share <= SEVERAL_BELOW else f"mineral {numbers.index(name) + 1}")
    take(viewer, "sort-tiles.png")
    dock.close_dataset()
    wait_until(lambda: not dock.files.busy)
    viewer.close()


def learn(model: Path | None) -> None:
    """Review cells of a picture under another lamp as its mask says, fine-tune, keep, and take pictures."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Classify")
    size = SimulationOptions(height_px=LEARNING_SIZE[0], width_px=LEARNING_SIZE[1])
    micrograph = simulate(LEARNING_SEED, size)
    viewer.add_image((micrograph.rgb * np.array(OTHER_LAMP)).astype(np.uint8), rgb=True, name="PS-07")
    if model is not None:
        dock.form.models.choose(model)
    wait_until(lambda: dock._ready is not None)
    dock.form.options.set_value("stride_px", dock.form.models.card.tile_px // 2)
    dock.replan()
    dock.classify()
    wait_until(lambda: not dock.session.busy)
    viewer.reset_view()
    dock.learn.expand()
    review(viewer, dock, micrograph.mask)
    take(viewer, "taught.png")
    tuning = dock.learn.tuning
    print(tuning.bar.button.text())
    tuning.start()
    wait_until(lambda: len(tuning.plot.points) > 2 or not tuning.bar.running)
    take(viewer, "fine-tuning.png")
    wait_until(lambda: not tuning.bar.running)
    take(viewer, "before-after.png")
    print(tuning.result.verdict.text(), tuning.result.why.text())
    tuning.result.keep.click()
    wait_until(lambda: not tuning.job.busy and not dock.learn.history.busy)
    dock.learn.versions.expand()
    reveal(dock.learn.versions)
    take(viewer, "versions.png")
    viewer.close()


def measure(model: Path | None) -> None:
    """Classify a picture, find its grains, and take pictures of what the Measure dock says of both."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, classifying = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Classify")
    seed, what = next(iter(SAMPLES.values()))
    micrograph = simulate(seed, what)
    viewer.add_image(
        micrograph.rgb, rgb=True, name="PS-07", scale=[micrograph.um_per_px] * 2, units=("um", "um")
    )
    if model is not None:
        classifying.form.models.choose(model)
    wait_until(lambda: classifying._ready is not None)
    classifying.form.options.set_value("stride_px", classifying.form.models.card.tile_px // 2)
    classifying.replan()
    classifying.classify()
    wait_until(lambda: not classifying.session.busy)
    viewer.window.remove_dock_widget("all")
    _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Measure")
    viewer.reset_view()
    dock.form.of.setCurrentText("the ore")
    dock.form.bar.setChecked(True)
    wait_until(lambda: dock.figures is not None)
    QTest.qWait(1500)
    take(viewer, "measure.png")
    dock.grains.expand()
    dock.grains.find()
    wait_until(lambda: dock.grains.tables is not None and not dock.grains.job.finding)
    dock.charts.fold(True)
    QTest.qWait(1500)
    reveal(dock.grains)
    take(viewer, "grains.png")
    viewer.close()


def review(viewer: napari.Viewer, dock: object, mask: np.ndarray) -> None:
    """Answer what is asked as the mask says."""
    panel, grid = dock.learn.review, dock.teaching.lesson.base.grid  # type: ignore[attr-defined]
    panel.begin()
    for number in range(REVIEWED):
        wait_until(lambda: panel.review.cell is not None and panel.pictured)
        if number == REVIEWED // 4:
            take(viewer, "review.png")
        window = grid.cell_window(*panel.review.cell)
        rows = slice(window.row, window.row + window.height)
        part = mask[rows, window.column : window.column + window.width]
        panel.say_number(panel.codes.index(int(np.bincount(part.ravel()).argmax())))
    wait_until(lambda: panel.review.cell is not None)
    panel.stop()
    viewer.reset_view()
    QTest.qWait(1000)


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else None
    parts = {"sorting", "learning", "measuring"}
    named = Path(given) if given is not None and given not in parts else None
    wanted = {given} if given in parts else parts | {"classifying"}
    with tempfile.TemporaryDirectory() as temporary:
        for place in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            os.environ[place] = str(Path(temporary, place))
        if "classifying" in wanted:
            main(named)
        if "sorting" in wanted:
            (sorted_here := Path(temporary, "sorted")).mkdir()
            sort_tiles(sorted_here)
        if "learning" in wanted:
            learn(named)
        if "measuring" in wanted:
            measure(named)
