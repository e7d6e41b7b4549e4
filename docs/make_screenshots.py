"""Take the pictures of the documentation from the real viewer, over a simulated sample.

``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py [MODEL]``; with ``sorting`` for
MODEL only that of the sorting view is taken.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtTest import QTest

from napari_ore_minerals.images.simulation import SimulationOptions, simulate
from napari_ore_minerals.learning.tile_options import TileOptions
from napari_ore_minerals.learning.tiling import tile_steps
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.progress import run

OUT = Path(__file__).parent / "images"
SIZE = (1480, 900)
LONGEST_SECONDS = 600
SORTED_PICTURES, SORTED_TILES = 15, 13
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


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else None
    if given != "sorting":
        main(Path(given) if given else None)
    with tempfile.TemporaryDirectory() as temporary:
        sort_tiles(Path(temporary))
