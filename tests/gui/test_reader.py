"""Result folders open again with all layers; areas are written as they are on the screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.files import result_folder, write_result
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.widgets.layers import MAP_KEY
from napari_ore_minerals.widgets.reader import get_reader
from napari_ore_minerals.widgets.sample_data import SAMPLE_KEYS, sample_first, sample_second
from napari_ore_minerals.widgets.writer import write_minerals


@pytest.fixture
def saved(micro_model: Path, picture: np.ndarray, tmp_path: Path) -> tuple[Path, MineralMap]:
    """A result folder beside its picture."""
    path = tmp_path / "PS-07.png"
    Image.fromarray(picture).save(path)
    micrograph = Micrograph.open(path, um_per_px=0.5)
    mineral_map = classify(micrograph, Classifier.load(micro_model, precision="fp32"))
    return write_result(mineral_map, result_folder(path), micrograph=micrograph), mineral_map


def read(folder: Path) -> list[tuple[Any, dict[str, Any], str]]:
    reader = get_reader(str(folder))
    assert reader is not None
    return reader(str(folder))


def test_all_layers_come_back(saved: tuple[Path, MineralMap], picture: np.ndarray) -> None:
    folder, mineral_map = saved
    layers = read(folder)
    assert [(meta["name"], kind) for _, meta, kind in layers] == [
        ("PS-07.png", "image"), ("PS-07.png confidence", "image"), ("PS-07.png heatmap", "image"),
        ("PS-07.png minerals", "labels"),
    ]  # fmt: skip
    np.testing.assert_array_equal(layers[0][0], picture)
    np.testing.assert_array_equal(layers[3][0], mineral_map.labels)
    np.testing.assert_array_equal(layers[2][0], mineral_map.heatmap())
    np.testing.assert_allclose(layers[0][1]["scale"], 0.5)
    np.testing.assert_allclose(layers[3][1]["scale"], 32)
    np.testing.assert_array_equal(layers[3][1]["metadata"][MAP_KEY].labels, mineral_map.labels)
    assert [meta.get("visible", True) for _, meta, _ in layers] == [True, False, False, True], (
        "as after a run"
    )


def test_another_picture_of_the_same_name_is_not_taken(
    saved: tuple[Path, MineralMap], picture: np.ndarray
) -> None:
    folder, _ = saved
    Image.fromarray(255 - picture).save(folder.parent / "PS-07.png")
    assert [kind for _, _, kind in read(folder)] == ["image", "image", "labels"]


def test_without_the_picture(saved: tuple[Path, MineralMap]) -> None:
    folder, _ = saved
    (folder.parent / "PS-07.png").unlink()
    assert len(read(folder)) == 3


@pytest.mark.parametrize("name", ["picture.png", "x.oremap"])
def test_other_things_are_left_to_other_readers(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert get_reader(str(tmp_path / name)) is None
    assert get_reader([]) is None


def test_areas_of_the_layer_as_shown(saved: tuple[Path, MineralMap], tmp_path: Path) -> None:
    folder, _ = saved
    data, meta, _ = read(folder)[-1]
    changed = int((data != 4).sum())
    data[:] = 4
    out = tmp_path / "areas.csv"
    assert write_minerals(str(out), data, meta) == [str(out)]
    table = pd.read_csv(out).set_index("mineral")
    assert table.loc["pyrite", "fraction_by_cells"] == 1
    assert table.loc["pyrite", "corrected_cells"] == changed
    assert set(table["corrections"]) == {f"{changed} of {data.size} cells given or confirmed by a user"}
    outlines = json.loads(Path(write_minerals(str(tmp_path / "a.geojson"), data, meta)[0]).read_text())
    assert [one["properties"]["classification"]["name"] for one in outlines["features"]] == ["pyrite"]
    with pytest.raises(ResultError, match="exists"):
        write_minerals(str(out), data, meta)


def test_areas_of_another_layer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="classify a picture first"):
        write_minerals(str(tmp_path / "a.csv"), np.zeros((3, 3)), {"name": "cells"})


def test_samples_have_scale_and_units() -> None:
    assert len(SAMPLE_KEYS) == 2
    for sample in (sample_first, sample_second):
        ((rgb, meta, kind),) = sample()
        assert kind == "image"
        assert rgb.dtype == np.uint8
        assert rgb.shape[2] == 3
        assert min(meta["scale"]) > 0
        assert meta["units"] == ("um", "um")
