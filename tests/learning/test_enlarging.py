"""The enlarged training set and the contact sheet."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from dataset_support import SIDE, collection
from PIL import Image

from napari_ore_minerals.errors import DatasetError, ResultError
from napari_ore_minerals.learning.collection import TileDataset, with_labels
from napari_ore_minerals.learning.contact_sheet import contact_sheet, write_contact_sheet
from napari_ore_minerals.learning.enlarging import augmented_steps
from napari_ore_minerals.learning.tile_table import check_split
from napari_ore_minerals.progress import run

PLAN = {"a": ("", "training"), "b": ("", "training"), "c": ("", "validation"), "d": ("", "test")}
SIX = {"erasing", "flip", "gamma", "zoom", "contrast", "saturation"}


@pytest.fixture
def dataset(tmp_path: Path) -> TileDataset:
    made = collection(tmp_path, PLAN)
    made.write()
    return made


def test_every_training_tile_becomes_seven_and_the_others_stay(dataset: TileDataset, tmp_path: Path):
    out = tmp_path / "enlarged"
    run(augmented_steps(dataset, out))
    found = TileDataset.open(out)
    assert len(found.tiles("training")) == 7 * len(dataset.tiles("training"))
    for part in ("validation", "test"):
        assert found.tiles(part)["sha256"].tolist() == dataset.tiles(part)["sha256"].tolist()
    assert len(list((out / "pictures").iterdir())) == 6 * 12
    new = found.table[~found.table["tile"].isin(dataset.table["tile"])]
    old = dataset.table.set_index("tile")
    for row in new.itertuples():
        before, _, kind = row.tile.rpartition("-")
        assert kind in SIX
        same = ["photograph", "mineral", "deposit", "part", "origin"]
        assert all(getattr(row, name) == old.loc[before, name] for name in same)


def test_new_tiles_are_the_pictures_on_disk_and_old_ones_are_read_from_where_they_were(dataset, tmp_path):
    run(augmented_steps(dataset, tmp_path / "far" / "enlarged"))
    found = TileDataset.open(tmp_path / "far" / "enlarged")
    samples = found.samples("training", input_px=SIDE, cache=tmp_path / "cache")
    before = dataset.samples("training", input_px=SIDE, cache=tmp_path / "cache")
    np.testing.assert_array_equal(samples.tiles[: len(before)], before.tiles)
    np.testing.assert_array_equal(np.unique(samples.groups), np.unique(before.groups))
    row = found.tiles("training").iloc[-1]
    stored = np.asarray(Image.open(found.folder / row["picture"]))
    np.testing.assert_array_equal(samples.tiles[-1], stored)


def test_the_same_seed_gives_the_same_set_and_another_one_another(dataset, tmp_path):
    hashes = [
        run(augmented_steps(dataset, tmp_path / name, seed=seed)).table["sha256"].tolist()
        for name, seed in (("one", 1), ("again", 1), ("two", 2))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_leak_is_still_seen_after_enlarging(dataset, tmp_path):
    table = run(augmented_steps(dataset, tmp_path / "enlarged")).table
    moved = table.assign(part=table["part"].where(~table["tile"].str.endswith("-flip"), "test"))
    with pytest.raises(DatasetError, match="photographs are in more than one part"):
        check_split(moved)


def test_only_clear_training_tiles_are_enlarged(dataset, tmp_path):
    changed = with_labels(dataset, {"a-r0-c0": ("gold", False, False), "a-r0-c1": ("", True, True)})
    found = run(augmented_steps(changed, tmp_path / "enlarged"))
    assert len(found.tiles("training")) == 7 * 10


def test_copies_that_came_out_the_same_are_kept_once(dataset, tmp_path):
    """Automatic gamma knows no chance, and there are three flips only."""
    found = run(augmented_steps(dataset, tmp_path / "enlarged", copies=2))
    kinds = found.tiles("training")["tile"].str.extract(r"-(\D+)\d$")[0].value_counts()
    assert kinds["gamma"] == 12
    assert kinds["zoom"] == kinds["contrast"] == 24
    assert found.dropped["tiles of the same pixels as another"] == 24 - 12 + 24 - kinds["flip"]


def test_what_cannot_be_enlarged(dataset, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(ResultError, match="exists"):
        next(augmented_steps(dataset, tmp_path / "there"))
    assert run(augmented_steps(dataset, tmp_path / "stopped"), lambda _: True) is dataset
    unsplit = collection(tmp_path / "x", {"a": ("", "")})
    with pytest.raises(DatasetError, match="has no labelled training tile"):
        next(augmented_steps(unsplit, tmp_path / "out"))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResultError, match="No space left on device"):
        run(augmented_steps(dataset, tmp_path / "out"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_contact_sheet_has_a_row_a_tile_and_a_column_an_augmentation(dataset, tmp_path):
    rgb = np.zeros((SIDE, SIDE, 3), np.uint8)
    figure = contact_sheet([("gold\nt1", rgb), ("pyrite\nt2", rgb)])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:8] == [
        "original",
        "erasing",
        "flip",
        "gamma",
        "zoom",
        "contrast",
        "saturation",
        "all together",
    ]
    assert len(figure.axes) == 16
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["gold\nt1", "pyrite\nt2"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), rgb)


def test_a_contact_sheet_is_written_whole_and_not_over_another(dataset, tmp_path):
    path = tmp_path / "sheets" / "sheet.png"
    write_contact_sheet(dataset, path, rows=2, kind="laboratory")
    with Image.open(path) as image:
        assert image.width > image.height > 100
    with pytest.raises(ResultError, match="exists"):
        write_contact_sheet(dataset, path, rows=2)
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]
