"""Datasets on disk: read back as written, whole or not at all, and refused where they make no sense."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dataset_support import SIDE, collection, noise, save

from napari_ore_minerals.errors import DatasetError, ResultError
from napari_ore_minerals.learning.collection import TileDataset, several_minerals, with_labels
from napari_ore_minerals.learning.tile_cache import picture_reference

PLAN = {
    "a": ("north", "training"),
    "b": ("north", "training"),
    "c": ("south", "validation"),
    "d": ("east", "test"),
}


@pytest.fixture
def dataset(tmp_path: Path) -> TileDataset:
    made = collection(tmp_path, PLAN)
    made.write()
    return made


def edit(dataset: TileDataset, change) -> None:
    path = dataset.folder / "tiles.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(path, index=False)


def test_a_dataset_is_read_back_as_it_was_written(dataset: TileDataset):
    again = TileDataset.open(dataset.folder)
    pd.testing.assert_frame_equal(again.table, dataset.table, check_dtype=False)
    assert (again.name, again.minerals, again.tile_px, again.dropped, again.making) == (
        dataset.name,
        dataset.minerals,
        dataset.tile_px,
        dataset.dropped,
        dataset.making,
    )
    assert again.sha256() == dataset.sha256()


def test_pictures_are_referred_to_and_the_whole_may_be_moved(dataset: TileDataset, tmp_path: Path):
    assert {path.name for path in dataset.folder.iterdir()} == {"dataset.json", "tiles.csv"}
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    samples = TileDataset.open(moved / "dataset").samples("test", input_px=SIDE, cache=moved / "cache")
    assert len(samples) == 6


def test_samples_are_the_tiles_of_the_pictures_in_the_order_of_the_table(dataset: TileDataset, tmp_path):
    for cached in (False, True):
        samples = dataset.samples("training", input_px=SIDE, cache=tmp_path / "cache")
        for tile, row in zip(samples.tiles, dataset.tiles("training").itertuples(), strict=True):
            rgb = noise("abcd".index(row.photograph))
            expected = rgb[row.row_px : row.row_px + SIDE, row.column_px : row.column_px + SIDE]
            np.testing.assert_array_equal(tile, expected, err_msg=f"cached: {cached}")
        names = [dataset.minerals[index].name for index in samples.labels]
        assert names == dataset.tiles("training")["mineral"].tolist()
    everything = dataset.samples(None, input_px=SIDE, cache=tmp_path / "cache")
    assert len(np.unique(everything.groups)) == 4
    for part in ("training", "validation", "test"):
        chosen = (dataset.table["part"] == part).to_numpy()
        alone = dataset.samples(part, input_px=SIDE, cache=tmp_path / "cache")
        np.testing.assert_array_equal(alone.groups, everything.groups[chosen])


def test_pictures_are_decoded_once(dataset: TileDataset, tmp_path: Path):
    first = dataset.samples("test", input_px=24, cache=tmp_path / "cache")
    assert first.tiles.shape == (6, 24, 24, 3)
    assert not first.tiles.flags.writeable
    (tmp_path / "d.png").unlink()
    again = dataset.samples("test", input_px=24, cache=tmp_path / "cache")
    np.testing.assert_array_equal(first.tiles, again.tiles)


def test_a_cache_that_was_cut_short_is_made_anew(dataset: TileDataset, tmp_path: Path):
    before = np.array(dataset.samples("test", input_px=24, cache=tmp_path / "cache").tiles)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:500])
    np.testing.assert_array_equal(
        dataset.samples("test", input_px=24, cache=tmp_path / "cache").tiles, before
    )


def test_unsure_and_unlabelled_tiles_are_not_learnt_from(dataset: TileDataset, tmp_path: Path):
    changed = with_labels(
        dataset,
        {"a-r0-c0": ("gold", False, False), "a-r0-c1": ("", True, False), "a-r0-c2": ("gold", True, True)},
    )
    assert len(changed.samples("training", input_px=SIDE, cache=tmp_path / "cache")) == 12 - 3
    assert changed.table.loc[several_minerals(changed.table), "tile"].tolist() == ["a-r0-c2"]


def test_labels_by_hand_are_pure_and_read_back(dataset: TileDataset):
    before = dataset.table.copy()
    changed = with_labels(dataset, {"d-r1-c2": ("gold", True, False)})
    pd.testing.assert_frame_equal(dataset.table, before)
    changed.write(overwrite=True)
    row = TileDataset.open(dataset.folder).table.set_index("tile").loc["d-r1-c2"]
    assert (row["mineral"], row["origin"], row["fraction"], bool(row["sure"])) == ("gold", "hand", 1.0, True)
    with pytest.raises(DatasetError, match=r"galena: no mineral of dataset dataset, which has gold, pyrite"):
        with_labels(dataset, {"d-r1-c2": ("galena", True, False)})
    with pytest.raises(DatasetError, match="has no tile nowhere"):
        with_labels(dataset, {"nowhere": ("gold", True, False)})


def test_table_2_worked_by_hand(dataset: TileDataset):
    table = dataset.table2()
    assert table.loc["gold", ["training", "validation", "test"]].tolist() == [6, 3, 3]
    assert table.loc["all", ["training", "validation", "test"]].tolist() == [12, 6, 6]
    assert table.loc["all", ["training photographs", "test photographs"]].tolist() == [2, 1]
    assert table.loc["all", ["training deposits", "validation deposits"]].tolist() == [1, 1]
    plain = replace(dataset, table=dataset.table.assign(part="", deposit="")).table2()
    assert plain.columns.tolist() == ["tiles", "photographs"]


def test_an_older_dataset_is_not_replaced_unasked(dataset: TileDataset):
    with pytest.raises(ResultError, match="holds a dataset"):
        dataset.write()
    dataset.write(overwrite=True)


def test_other_files_of_the_folder_stay(dataset: TileDataset):
    (dataset.folder / "notes.txt").write_text("mine")
    dataset.write(overwrite=True)
    assert (dataset.folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool):
    dataset = collection(tmp_path, PLAN)
    if exists:
        dataset.write()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultError, match="No space left on device"):
        with_labels(dataset, {"a-r0-c0": ("pyrite", True, False)}).write(overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_cache_without_room_is_said_before_it_is_filled(dataset: TileDataset, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(ResultError, match="6 tiles need 0 MB"):
        dataset.samples("test", input_px=SIDE, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("mineral", "galena", "1 tiles have a mineral that is none of gold, pyrite: a-r0-c0"),
        ("part", "exam", "1 tiles have a part that is none of training, validation, test: a-r0-c0"),
        ("fraction", "1.5", "1 tiles have a fraction that is not within 0 and 1"),
        ("fraction", "much", "fraction must be numbers"),
        ("sure", "maybe", "1 tiles sure must be True or False"),
        ("tile", "a-r0-c1", "have the name of another tile"),
        ("tile_px", "64", "1 tiles are not of 32 px as the dataset says"),
        ("row_px", "-1", "1 tiles lie outside their picture"),
        ("sha256", "zz", "1 tiles have no SHA-256 of their pixels"),
        ("origin", "dream", "have an origin that is none of"),
    ],
)
def test_tables_that_make_no_sense_are_refused(dataset: TileDataset, column: str, value: str, sentence: str):
    edit(dataset, lambda table: table.__setitem__(column, [value, *table[column][1:]]))
    with pytest.raises(DatasetError, match=sentence):
        TileDataset.open(dataset.folder)


def test_a_table_that_went_through_a_spreadsheet_is_read(dataset: TileDataset):
    edit(dataset, lambda table: table.__setitem__("sure", table["sure"].str.upper()))
    path = dataset.folder / "tiles.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert TileDataset.open(dataset.folder).table["sure"].all()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "is no dataset: its dataset.json cannot be read"),
        ("", "is no record of a dataset"),
        ('{"schema_version": 2}', "is no record of a dataset: schema_version"),
    ],
)
def test_folders_that_are_no_dataset_are_refused(dataset: TileDataset, text: str | None, sentence: str):
    path = dataset.folder / "dataset.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        TileDataset.open(dataset.folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"part": {0: "test"}}, r"1 of 4 photographs are in more than one part \(a\)"),
        (
            {"deposit": {**dict.fromkeys(range(18, 24), "north")}},
            r"1 of 2 deposits are in training and in test",
        ),
        ({"picture_sha256": dict.fromkeys(range(18, 24), "0" * 64)}, "pictures are in more than one part"),
        ({"sha256": {0: "1" * 64, 23: "1" * 64}}, "have the same pixels as another tile"),
    ],
)
def test_a_leaking_split_is_neither_opened_nor_written(dataset: TileDataset, change, sentence: str):
    table = dataset.table.copy()
    for column, values in change.items():
        for row, value in values.items():
            table.loc[row, column] = value
    leaking = replace(dataset, table=table)
    with pytest.raises(DatasetError, match=sentence):
        leaking.write(overwrite=True)
    table.to_csv(dataset.folder / "tiles.csv", index=False)
    with pytest.raises(DatasetError, match=sentence):
        TileDataset.open(dataset.folder)


def test_samples_say_what_is_wrong_with_pictures(dataset: TileDataset, tmp_path: Path):
    save(tmp_path / "d.png", noise(99))
    with pytest.raises(DatasetError, match=r"d\.png has changed since the dataset was made \(tile d-r0-c0\)"):
        dataset.samples("test", input_px=SIDE, cache=tmp_path / "cache")
    save(tmp_path / "d.png", noise(99)[:20])
    with pytest.raises(DatasetError, match="is no longer a picture with the tiles"):
        dataset.samples("test", input_px=SIDE, cache=tmp_path / "cache")
    (tmp_path / "d.png").unlink()
    with pytest.raises(DatasetError, match="1 of 1 pictures are not where the dataset"):
        dataset.samples("test", input_px=SIDE, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir()), "nothing half-written remains"
    unsplit = replace(dataset, table=dataset.table.assign(part=""))
    with pytest.raises(DatasetError, match=r"no labelled and sure tile.*24 in no part"):
        unsplit.samples("test", input_px=SIDE)


@pytest.mark.parametrize(
    ("picture", "reference"),
    [("ds/p.png", "p.png"), ("q/p.png", "../q/p.png"), ("ds/=p.png", "./=p.png"), ("../p.png", None)],
)
def test_references_are_relative_where_the_picture_moves_with_the_dataset(tmp_path, picture, reference):
    found = picture_reference(tmp_path / "ds", tmp_path / picture)
    assert found == (reference or (tmp_path.parent / "p.png").as_posix())
