"""What the Measure dock writes, without the viewer around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from area_support import map_of, patches

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import ReadOptions
from napari_ore_minerals.maps.pooling import pool
from napari_ore_minerals.maps.records import PictureRecord
from napari_ore_minerals.widgets.measure_exports import OnScreen, _written
from napari_ore_minerals.widgets.measure_figures import Cards, Request, figures
from napari_ore_minerals.widgets.measure_source import Result, open_classified

CORNERS = np.array([[0, 0], [0, 128], [128, 128], [128, 0]], float)


def planes(number: int = 3) -> tuple[Result, ...]:
    """Results of the planes of a stack."""
    maps = [map_of(patches(seed), name="stack.tif") for seed in range(number)]
    return tuple(Result(one, one.labels, f"stack {number}") for number, one in enumerate(maps))


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
