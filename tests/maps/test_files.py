"""Result folders: bit-equal, whole or not at all, never over an older one unless told."""

from __future__ import annotations

import csv
import io
import json
import shutil
import warnings
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps import files
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.files import read_result, result_folder, safe_cells, write_areas, write_result
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.overlay import round_length, thumbnail
from napari_ore_minerals.maps.predict import classify, classify_steps
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.classifier import Classifier

NAMES = {"minerals.tif", "confidence.tif", "heatmaps.tif", "areas.csv", "overlay.png", "run.json"}


@pytest.fixture
def micrograph(picture: np.ndarray) -> Micrograph:
    return Micrograph.from_array(picture, name="PS-07.tif", um_per_px=0.5)


@pytest.fixture
def mapped(micrograph: Micrograph, micro_model: Path) -> MineralMap:
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")
    return classify(micrograph, classifier, ClassifyOptions(stride_px=32))


def assert_equal(one: MineralMap, other: MineralMap) -> None:
    for field in fields(MineralMap):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            assert ours.tobytes() == theirs.tobytes(), field.name
        else:
            assert ours == theirs, field.name


def test_a_result_is_read_back_bit_equal(mapped: MineralMap, micrograph: Micrograph, tmp_path: Path) -> None:
    folder = write_result(mapped, tmp_path / "PS-07.tif.oremap", micrograph=micrograph)
    assert {path.name for path in folder.iterdir()} == NAMES
    assert {path.name for path in tmp_path.iterdir()} == {folder.name}
    assert_equal(read_result(folder), mapped)


def test_a_result_that_was_stopped_is_read_back_bit_equal(
    micrograph: Micrograph, micro_model: Path, tmp_path: Path
) -> None:
    steps = classify_steps(
        micrograph, Classifier.load(micro_model, precision="fp32"), ClassifyOptions(batch_size=4)
    )
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send(True)
    assert_equal(read_result(write_result(end.value.value, tmp_path / "x")), end.value.value)


def test_others_can_read_the_files(mapped: MineralMap, micrograph: Micrograph, tmp_path: Path) -> None:
    folder = write_result(mapped, tmp_path / "r", micrograph=micrograph)
    with tifffile.TiffFile(folder / "minerals.tif") as tiff:
        assert tiff.is_ome
        ome = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        np.testing.assert_array_equal(tiff.asarray(), mapped.labels)
    assert (ome["PhysicalSizeX"], ome["PhysicalSizeXUnit"]) == (16.0, "µm")
    confidence = tifffile.imread(folder / "confidence.tif")
    np.testing.assert_array_equal(confidence[0], mapped.confidence)
    with tifffile.TiffFile(folder / "heatmaps.tif") as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [channel["Name"] for channel in pixels["Channel"]] == [m.name for m in mapped.minerals]
    assert pixels["PhysicalSizeY"] == pytest.approx(16.0 / mapped.places_per_cell)
    table = pd.read_csv(folder / "areas.csv")
    assert table["area_px"].tolist() == areas(mapped)["area_px"].tolist()
    assert (
        json.loads((folder / "run.json").read_text())["model"]["weights_sha256"]
        == mapped.model.weights_sha256
    )


def test_the_overlay_shows_picture_map_and_legend(
    mapped: MineralMap, micrograph: Micrograph, tmp_path: Path
) -> None:
    folder = write_result(mapped, tmp_path / "r", micrograph=micrograph)
    overlay = np.asarray(Image.open(folder / "overlay.png").convert("RGB")).astype(int)
    height, width = overlay.shape[:2]
    assert width > height
    assert overlay[height // 2, : width // 2].std() > 10
    legend = overlay[:, int(width * 0.61) :]
    code = int(np.bincount(mapped.labels[mapped.labels > 0]).argmax())
    colour = np.array(mapped.minerals.by_code(code).rgb)
    assert (np.abs(legend - colour).max(axis=-1) < 8).sum() > 50, "the legend has the mineral's own colour"


def test_names_in_letters_that_no_font_has_are_drawn_without_a_warning(
    mapped: MineralMap, tmp_path: Path
) -> None:
    named = replace(mapped, picture=mapped.picture.model_copy(update={"name": "矿石 \U00013000.tif"}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = write_result(named, tmp_path / "r")
    assert (folder / "overlay.png").stat().st_size > 0


def test_an_older_result_stays_unless_told(mapped: MineralMap, tmp_path: Path) -> None:
    folder = write_result(mapped, tmp_path / "r")
    before = (folder / "run.json").read_bytes()
    changed = replace(mapped, warnings=("another",))
    with pytest.raises(ResultError, match="exists"):
        write_result(changed, folder)
    assert (folder / "run.json").read_bytes() == before
    write_result(changed, folder, overwrite=True)
    assert read_result(folder).warnings == ("another",)
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_that_is_no_result_is_never_replaced(mapped: MineralMap, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "thesis.docx").write_text("years of work")
    with pytest.raises(ResultError, match="not overwritten"):
        write_result(mapped, tmp_path / "r", overwrite=True)
    assert (tmp_path / "r" / "thesis.docx").read_text() == "years of work"


@pytest.mark.fault("D1")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_leaves_everything_as_it_was(
    mapped: MineralMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    if overwrite:
        write_result(mapped, tmp_path / "r")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_overlay", full)
    with pytest.raises(ResultError, match="No space left"):
        write_result(mapped, tmp_path / "r", overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == (["r"] if overwrite else [])
    if overwrite:
        assert_equal(read_result(tmp_path / "r"), mapped)


DAMAGE = {
    "no run record": lambda folder: (folder / "run.json").unlink(),
    "a run record that is no JSON": lambda folder: (folder / "run.json").write_text("{"),
    "a run record of another program": lambda folder: (folder / "run.json").write_text("{}"),
    "no minerals": lambda folder: (folder / "minerals.tif").unlink(),
    "a map of another size": lambda folder: tifffile.imwrite(
        folder / "minerals.tif", np.zeros((2, 2), np.uint8)
    ),
    "a map of another type": lambda folder: tifffile.imwrite(
        folder / "minerals.tif", np.zeros((7, 11), np.int16)
    ),
    "a truncated map": lambda folder: (folder / "heatmaps.tif").write_bytes(
        (folder / "heatmaps.tif").read_bytes()[:200]
    ),
    "a map with bytes that no codec takes": lambda folder: overwritten(folder / "heatmaps.tif"),
}


def overwritten(path: Path) -> None:
    """Overwrite the beginning of the first page's compressed data."""
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[0].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_results_are_refused_in_one_sentence(mapped: MineralMap, tmp_path: Path, damage: str) -> None:
    folder = write_result(mapped, tmp_path / "r")
    DAMAGE[damage](folder)
    with pytest.raises(ResultError) as caught:
        read_result(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no result folder"):
        read_result(tmp_path / "nothing")


def test_pictures_of_one_name_and_two_kinds_have_two_results() -> None:
    assert result_folder(Path("a/b.tif")) == Path("a/b.tif.oremap")
    assert result_folder(Path("a/b.jpg"), Path("out")) == Path("out/b.jpg.oremap")


def test_an_area_table_is_not_written_over_a_file(mapped: MineralMap, tmp_path: Path) -> None:
    (tmp_path / "areas.csv").write_text("mine")
    with pytest.raises(ResultError, match="exists"):
        write_areas(areas(mapped), tmp_path / "areas.csv")
    assert (tmp_path / "areas.csv").read_text() == "mine"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r")), min_size=1, max_size=5))
def test_text_cells_cannot_become_formulas(names: list[str]) -> None:
    table = safe_cells(pd.DataFrame({"mineral": names, "value": [-1.5] * len(names)}))
    text = table.to_csv(index=False, lineterminator="\n")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    assert [row[1] for row in rows] == ["-1.5"] * len(names)
    for row, name in zip(rows, names, strict=True):
        assert not row[0].startswith(("=", "+", "-", "@", "\t"))
        assert row[0] in (name, "'" + name)


def test_a_thumbnail_is_the_mean_of_areas_read_in_blocks(picture: np.ndarray) -> None:
    large = np.tile(picture[:198], (20, 1, 1))
    small = thumbnail(Micrograph.from_array(large), 1320)
    assert small.shape == (1320, 110, 3)
    expected = large.reshape(1320, 3, 110, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small, expected, atol=1)


@pytest.mark.parametrize(("wanted", "expected"), [(9.99, 5.0), (10.0, 10.0), (430.0, 200.0), (0.07, 0.05)])
def test_scale_bars_have_round_lengths(wanted: float, expected: float) -> None:
    assert round_length(wanted) == pytest.approx(expected)


def test_a_result_folder_can_be_moved(mapped: MineralMap, tmp_path: Path) -> None:
    folder = write_result(mapped, tmp_path / "Größe µm 日本" / "r.oremap")
    shutil.move(folder, tmp_path / "elsewhere")
    assert_equal(read_result(tmp_path / "elsewhere"), mapped)
