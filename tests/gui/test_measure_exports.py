"""What the Measure dock writes, without the viewer around it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from area_support import map_of, patches
from qtpy.QtWidgets import QApplication

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import ReadOptions
from napari_ore_minerals.maps.adjusting import Reference
from napari_ore_minerals.maps.grains import GrainMap
from napari_ore_minerals.maps.measuring import measure
from napari_ore_minerals.maps.pooling import pool
from napari_ore_minerals.maps.records import PictureRecord
from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable
from napari_ore_minerals.widgets.grain_layer import show_grains
from napari_ore_minerals.widgets.layers import layer_data
from napari_ore_minerals.widgets.measure_exports import OUT_OF_DATE, ExportBar, OnScreen, _written
from napari_ore_minerals.widgets.measure_figures import Cards, Request, figures
from napari_ore_minerals.widgets.measure_source import Result, open_classified
from napari_ore_minerals.widgets.measure_table import MeasureTable
from napari_ore_minerals.widgets.pictures import LayerPicture, Placement

CORNERS = np.array([[0, 0], [0, 128], [128, 128], [128, 0]], float)

_AXES = ("scale", np.ones(2)), ("translate", np.zeros(2)), ("rotate", np.eye(2)), ("shear", np.zeros(1))
AT_THE_CORNER = Placement({**dict(_AXES), "affine": np.eye(3), "units": ("pixel", "pixel")})


def planes(number: int = 3) -> tuple[Result, ...]:
    """Results of the planes of a stack."""
    maps = [map_of(patches(seed), name="stack.tif") for seed in range(number)]
    return tuple(Result(one, one.labels, f"stack {number}") for number, one in enumerate(maps))


def test_copied_cells_cannot_become_formulas_or_further_cells(qtbot: Any) -> None:
    minerals = DEFAULT_MINERALS.minerals
    named = (minerals[0].model_copy(update={"name": "=1+1", "symbol": "+Au\t=2"}), *minerals[1:])
    found = measure(map_of(patches(1), minerals=MineralTable.of(named)))
    table = MeasureTable()
    qtbot.addWidget(table)
    table.show_figures(found.table, found.minerals, ())
    bar = ExportBar(lambda: None, table)
    qtbot.addWidget(bar)
    bar.copy_table()
    lines = [line.split("\t") for line in QApplication.clipboard().text().splitlines()]
    assert lines[1][:2] == ["'=1+1", "'+Au =2"]
    assert {len(line) for line in lines} == {5}
    assert lines[2][0] == "chalcopyrite"
    table.setRowCount(0)
    bar.copy_table()
    assert len(QApplication.clipboard().text().splitlines()) == 1
    bar.close_exports()


def test_all_planes_are_told_apart_and_pooled(tmp_path: Path) -> None:
    found = figures(Request(planes()), Cards())
    shown = OnScreen(found.request.results[1], found, None)
    assert "was written" in _written(shown, tmp_path / "a.csv", False)
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(dict.fromkeys(table["measured"])) == ["plane 1", "plane 2", "plane 3", "pooled"]
    pooled = pool([group.measured for group in found.groups if group.measured is not None])
    assert np.allclose(table.loc[table["measured"] == "pooled", "fraction"], pooled["fraction"])
    assert table["planes"][0].endswith("map, fingerprint and corrections are of plane 2")


def test_regions_of_planes_keep_both_names(tmp_path: Path) -> None:
    found = figures(Request(planes(2), regions={"vein": CORNERS}), Cards())
    _written(OnScreen(found.request.results[0], found, None), tmp_path / "a.csv", False)
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(dict.fromkeys(table["measured"])) == ["plane 1, vein", "plane 2, vein", "pooled"]


def test_a_picture_with_a_damaged_chunk_is_the_one_that_was_classified(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "m.zarr", shape=(256, 320, 3), chunks=(64, 64, 3), dtype="u1")
    array[:] = np.random.default_rng(1).integers(0, 255, array.shape, dtype=np.uint8)
    (tmp_path / "m.zarr" / array.metadata.encode_chunk_key((1, 1, 0))).write_bytes(b"not zstd")
    picture = Micrograph.open(tmp_path / "m.zarr", options=ReadOptions(salvage=True))
    mineral_map = replace(map_of(patches(1)), picture=PictureRecord.of(picture))
    assert open_classified(None, mineral_map, tmp_path / "m.zarr").read().finite is not None
    layer = LayerPicture(
        picture.read().rgb, ReadOptions(rgb=True), "m.zarr", 256, 320, None, "", None, AT_THE_CORNER
    )  # as a result folder is opened: what cannot be read is black
    assert open_classified(layer, mineral_map, tmp_path / "m.zarr").read().finite is not None
    with pytest.raises(PictureError, match="is not the picture that was classified"):
        open_classified(layer, mineral_map, None)


def grains_of(result: Result) -> GrainMap:
    """Grains that are the cells."""
    found, grid = result.mineral_map, result.mineral_map.grid
    codes = found.labels.repeat(16, axis=0).repeat(16, axis=1)
    fingerprint = found.picture.fingerprint
    return GrainMap(codes, 2, grid.height_px, grid.width_px, found.minerals, found.um_per_px, fingerprint)


@pytest.mark.parametrize(("painted", "older"), [(0, False), (40, True)])
def test_grains_that_were_painted_or_are_out_of_date_say_so(
    tmp_path: Path, painted: int, older: bool
) -> None:
    (result,) = planes(1)
    found = figures(Request((result,), grains=grains_of(result)), Cards())
    _written(OnScreen(found.request.results[0], found, None, painted, older), tmp_path / "a.json", False)
    told = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    text = "40 of 20,480 pixels of the grain map painted by a user"
    assert (text in told["facts"]["grains"]) is bool(painted)
    assert (OUT_OF_DATE in told["notes"]) is older
    _written(OnScreen(found.request.results[0], found, None, painted, older), tmp_path / "a.html", False)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert ("were then painted by hand" in page) is bool(painted)


def test_the_dock_tells_exports_what_was_painted(
    micro_model: Path, make_napari_viewer_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, (result,) = make_napari_viewer_proxy(), planes(1)
    for data, options, kind in layer_data(result.mineral_map, "PS-07", AT_THE_CORNER):
        labels = getattr(viewer, f"add_{kind}")(data, **options)
    grains = show_grains(viewer, labels, grains_of(result))
    _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Measure")
    grains.data_setitem((np.arange(5), np.arange(5)), 0)
    dock.figures = figures(Request((result,), grains=dock.grains.grain_map()), Cards())
    shown = dock._on_screen()
    assert (shown.grains_painted, shown.grains_out_of_date) == (5, False)
    dock._closed()


def test_exports_name_the_pictures_that_the_classifiers_error_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (result,) = planes(1)
    count = len(result.mineral_map.minerals)
    reference = Reference.of(np.stack([0.9 * np.eye(count) + 0.02] * 2), "2 simulated pictures")
    monkeypatch.setattr(Cards, "reference", lambda _cards, _map: reference)
    found = figures(Request((result,)), Cards())
    _written(OnScreen(found.request.results[0], found, None), tmp_path / "a.csv", False)
    table = pd.read_csv(tmp_path / "a.csv")
    assert set(table["classifier's error from"]) == {"2 simulated pictures"}


def test_fractions_by_grains_are_those_of_each_region(tmp_path: Path) -> None:
    (result,) = planes(1)
    regions = {"vein": CORNERS, "host": CORNERS + [0, 160]}
    grains = grains_of(result)
    codes = grains.codes.copy()
    codes[:64, :64] = 4  # all of the vein
    found = figures(Request((result,), regions=regions, grains=replace(grains, codes=codes)), Cards())
    for name in ("a.csv", "a.json", "a.html"):
        _written(OnScreen(found.request.results[0], found, None), tmp_path / name, False)
    table = pd.read_csv(tmp_path / "a.csv").set_index(["measured", "code"])["fraction_by_grains"]
    assert table["vein", 4] == 1.0
    assert table["host", 4] < 0.5
    notes = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["notes"]
    assert any(note.startswith("the grains give other fractions") for note in notes)
    assert "by grains %" in (tmp_path / "a.html").read_text(encoding="utf-8")
