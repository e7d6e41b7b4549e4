"""The result of a very large picture: the picture level by level, the map as cells that can be painted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_ore_minerals.images import levels
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.batch import batch_steps
from napari_ore_minerals.maps.files import read_result
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import run
from napari_ore_minerals.widgets.pictures import picture_of
from napari_ore_minerals.widgets.reader import read_layers


@pytest.fixture
def opened(
    picture: np.ndarray, micro_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ViewerModel, Path]:
    """A viewer with a result; 1,000 x 1,650 px count as large."""
    monkeypatch.setattr(levels, "LARGE_PX", 1_000_000)
    monkeypatch.setattr(levels, "COARSEST_PX", 64)
    rgb = picture.repeat(5, axis=0).repeat(5, axis=1)
    path = tmp_path / "m.zarr"
    array = zarr.create_array(path, shape=rgb.shape, chunks=(256, 256, 3), dtype="u1")
    array[:] = rgb
    (path / "c" / "0" / "0" / "0").unlink()
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")
    (outcome,) = run(batch_steps([path], classifier, ClassifyOptions(), out=tmp_path / "out"))
    viewer = ViewerModel()
    for data, arguments, kind in read_layers(str(outcome.folder)):
        getattr(viewer, f"add_{kind}")(data, **arguments)
    return viewer, outcome.folder


def test_the_picture_is_multiscale_and_the_map_is_small_and_paintable(
    opened: tuple[ViewerModel, Path], picture: np.ndarray
) -> None:
    viewer, folder = opened
    image, minerals = viewer.layers[0], viewer.layers[-1]
    assert isinstance(image, Image)
    assert isinstance(minerals, Labels)
    assert image.multiscale
    assert [tuple(shape) for shape in image.level_shapes][:2] == [(1000, 1650), (250, 413)]
    assert not minerals.multiscale
    assert minerals.data.shape == read_result(folder).grid.shape == (16, 26)
    minerals.paint((3, 4), 5)
    assert minerals.data[3, 4] == 5
    np.testing.assert_allclose(image.extent.world, minerals.extent.world, atol=64)


def test_the_layer_is_classified_as_its_file_with_its_holes(opened: tuple[ViewerModel, Path]) -> None:
    viewer, folder = opened
    layer_picture = picture_of(viewer.layers[0], um_per_px=1.0, model_um_per_px=8.0)
    assert (layer_picture.height_px, layer_picture.options.level) == (1000, 0), "not a level for the eye"
    micrograph = layer_picture.micrograph()
    assert micrograph.fingerprint() == read_result(folder).picture.fingerprint
    assert micrograph.holes().missing == 1
    assert micrograph.fingerprint() == Micrograph.open(folder.parents[1] / "m.zarr").fingerprint()
