"""File > Save: layers of minerals and of grains leave napari in every form, as they are shown."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "maps"))
from area_support import map_of, patches

import napari_ore_minerals
from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.exports.formats import FORMATS
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.grains import GrainMap
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.widgets.grain_layer import show_grains
from napari_ore_minerals.widgets.layers import MINERALS, layer_data
from napari_ore_minerals.widgets.reader import placement_of
from napari_ore_minerals.widgets.writer import write_minerals

SIDE = 8
PLUGIN = "napari-ore-minerals"


@pytest.fixture
def viewer(micro_model: Path, make_napari_viewer_proxy: Any) -> Any:
    """A viewer, opened after torch: with software OpenGL there first, importing torch's compiler crashes."""
    return make_napari_viewer_proxy()


def shown(viewer: Any) -> tuple[Any, Any, MineralMap]:
    """Layers of minerals and of grains over their picture; the grains are right, the map errs in a cell."""
    classes = patches(11, classes=3)
    random = np.random.default_rng(2)
    colours = random.integers(30, 230, (3, 3)).astype(np.uint8)
    rgb = colours[classes].repeat(SIDE, axis=0).repeat(SIDE, axis=1)
    made = map_of(classes)
    fingerprint = Micrograph.from_array(rgb, name="PS-07").fingerprint()
    mineral_map = replace(made, picture=made.picture.model_copy(update={"fingerprint": fingerprint}))
    viewer.add_image(rgb, rgb=True, name="PS-07", scale=(0.5, 0.5), units=("um", "um"))
    for data, options, kind in layer_data(mineral_map, "PS-07", placement_of(mineral_map)):
        minerals = getattr(viewer, f"add_{kind}")(data, **options)
    assert minerals.name == f"PS-07 {MINERALS}"
    codes = np.array(mineral_map.minerals.codes, np.uint8)[classes].repeat(4, axis=0).repeat(4, axis=1)
    height, width = rgb.shape[:2]
    grains = GrainMap(codes, 2, height, width, mineral_map.minerals, 0.5, fingerprint)
    return minerals, show_grains(viewer, minerals, grains), mineral_map


def save(viewer: Any, layer: Any, path: Path) -> list[str]:
    viewer.layers.selection = {layer}
    return list(viewer.layers.save(str(path), selected=True, plugin=PLUGIN))


def test_every_form_can_be_saved() -> None:
    manifest = Path(napari_ore_minerals.__file__).parent / "napari.yaml"
    (writer,) = npe2.PluginManifest.from_file(manifest).contributions.writers
    assert set(writer.filename_extensions) == {one.suffix for one in FORMATS}


def test_minerals_are_saved_as_they_are_shown(viewer: Any, tmp_path: Path) -> None:
    minerals, _, mineral_map = shown(viewer)
    minerals.data[0, 0] = code = mineral_map.labels[0, 0] % 3 + 1
    for suffix in (".csv", ".geojson", ".png", ".ome.tif", ".ome.zarr"):
        assert save(viewer, minerals, tmp_path / f"a{suffix}") == [str(tmp_path / f"a{suffix}")]
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["corrected_cells"].sum() == 1
    assert "fraction_by_grains" not in table
    pixels = tifffile.imread(tmp_path / "a.ome.tif")
    assert (pixels[:32, :32] == code).all(), "cells, not grains"
    assert Image.open(tmp_path / "a.png").info["picture"] == "PS-07.tif"
    facts = json.loads((tmp_path / "a.ome.zarr" / "ore-minerals.json").read_text(encoding="utf-8"))
    assert facts["corrections"].startswith("1 of")
    with pytest.raises(ResultError, match="exists"):
        save(viewer, minerals, tmp_path / "a.png")


def test_grains_are_saved_as_they_are_painted(viewer: Any, tmp_path: Path) -> None:
    minerals, grains, mineral_map = shown(viewer)
    new = int(grains.data[0, 0]) % 3 + 1
    grains.data[:2, :2] = new
    for suffix in (".csv", ".grains.csv", ".json", ".ome.tif"):
        save(viewer, grains, tmp_path / f"a{suffix}")
    assert (tifffile.imread(tmp_path / "a.ome.tif")[:4, :4] == new).all()
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["fraction_by_grains"].sum() == pytest.approx(1.0)
    assert "4 of" in table["grains"][0], "painted by hand"
    assert len(pd.read_csv(tmp_path / "a.grains.csv")) > 3
    before = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert not any("grains do not follow" in note for note in before["notes"])
    minerals.data[0, 0] = mineral_map.labels[0, 0] % 3 + 1
    save(viewer, grains, tmp_path / "b.json")
    after = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert any("grains do not follow" in note for note in after["notes"])
    assert after["facts"]["corrections"].startswith("1 of")
    viewer.layers.remove(minerals)
    save(viewer, grains, tmp_path / "c.json")
    alone = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert alone["facts"]["corrections"].startswith("0 of"), "of the map that they were found from"


def test_layers_of_others_are_left_to_napari(viewer: Any, tmp_path: Path) -> None:
    other = viewer.add_labels(np.arange(12, dtype=np.uint32).reshape(3, 4))
    path = tmp_path / "cells.ome.tif"
    viewer.layers.selection = {other}
    assert viewer.layers.save(str(path), selected=True) == [str(path)]
    np.testing.assert_array_equal(tifffile.imread(path), other.data)
    for suffix in (".csv", ".png"):
        with pytest.raises(ResultError, match="is no minerals layer of this program"):
            write_minerals(str(tmp_path / f"cells{suffix}"), other.data, {"name": "cells"})


def test_a_layer_that_was_given_other_data_is_no_result(viewer: Any, tmp_path: Path) -> None:
    minerals, _, _ = shown(viewer)
    minerals.data = np.zeros((3, 3), np.uint8)
    with pytest.raises(ResultError, match="was given other data"):
        save(viewer, minerals, tmp_path / "a.csv")
