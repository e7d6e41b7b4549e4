"""A dataset that is rewritten while the process is killed, or the disk refuses."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from dataset_support import collection

from napari_ore_minerals.errors import DatasetError, ResultError
from napari_ore_minerals.learning import rewriting
from napari_ore_minerals.learning.collection import TileDataset, with_labels
from napari_ore_minerals.learning.sorting import with_mineral

PLAN = {"a": ("north", ""), "b": ("south", "")}


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def dataset(tmp_path: Path) -> TileDataset:
    made = collection(tmp_path, PLAN)
    made.write()
    return made


def changed(dataset: TileDataset) -> TileDataset:
    """Another table and another record, of which neither fits the older other one."""
    first = str(dataset.table["tile"].iloc[0])
    enlarged = replace(dataset, minerals=with_mineral(dataset.minerals, "galena"), name="renamed")
    return with_labels(enlarged, {first: ("galena", True, False)})


@pytest.mark.parametrize("after", range(4))
def test_a_kill_leaves_the_older_dataset_or_the_newer_one(dataset, monkeypatch, after: int):
    """Killed before the first, between any two, or after the last of the renames."""
    calls = iter(range(100))

    def dying(function):
        def rename(source, target):
            if next(calls) == after:
                raise Killed
            function(source, target)

        return rename

    monkeypatch.setattr(os, "rename", dying(os.rename))
    monkeypatch.setattr(os, "replace", dying(os.replace))
    wanted, died = changed(dataset), False
    try:
        wanted.write(overwrite=True)
    except Killed:
        died = True
    monkeypatch.undo()
    assert died == (after < 3)
    found = TileDataset.open(dataset.folder)
    expected = dataset if after == 0 else wanted
    assert (found.name, found.minerals, found.sha256()) == (
        expected.name,
        expected.minerals,
        expected.sha256(),
    )
    assert not (dataset.folder / rewriting.PENDING).exists()
    changed(dataset).write(overwrite=True)


def test_a_disk_that_refuses_leaves_the_older_dataset(dataset, monkeypatch):
    def refuse(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ResultError, match="could not be written: Permission denied"):
        changed(dataset).write(overwrite=True)
    monkeypatch.undo()
    assert TileDataset.open(dataset.folder).sha256() == dataset.sha256()
    assert {path.name for path in dataset.folder.iterdir()} == {"dataset.json", "tiles.csv"}
    assert not [path for path in dataset.folder.parent.iterdir() if path.name.startswith(".")]


def test_what_cannot_be_finished_is_one_sentence(dataset, monkeypatch):
    (dataset.folder / rewriting.PENDING).mkdir()
    (dataset.folder / rewriting.PENDING / "tiles.csv").write_text("newer")

    def refuse(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DatasetError, match=r"was being rewritten .* make the folder writable"):
        TileDataset.open(dataset.folder)
