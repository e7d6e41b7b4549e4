"""Sorting by eye: undo takes back exactly what was done, and what was decided outlives its process."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sorting_support import unsorted_dataset

from napari_ore_minerals.errors import DatasetError, ResultError
from napari_ore_minerals.learning.collection import TileDataset, TileLabel
from napari_ore_minerals.learning.sorting import (
    ALL,
    NOTHING,
    SEVERAL,
    TO_SORT,
    UNSURE,
    Sorting,
    labels_of,
    with_mineral,
)
from napari_ore_minerals.learning.sorting_journal import (
    JOURNAL_NAME,
    SortingJournal,
    read_journal,
    resume,
    save,
)

PYRITE, GOLD = TileLabel("pyrite"), TileLabel("gold", sure=False)
MANY = TileLabel("", several=True)


@pytest.fixture
def dataset(tmp_path: Path) -> TileDataset:
    return unsorted_dataset(tmp_path)


def all_labels(sorting: Sorting) -> dict[str, TileLabel]:
    return {tile: sorting.label(tile) for tile in sorting.tiles}


def recounted(sorting: Sorting) -> None:
    labels = list(all_labels(sorting).values())
    assert sorting.sorted_count == sum(bool(label.mineral) or label.several for label in labels)
    assert sorting.unsure_count == sum(not label.sure for label in labels)
    assert sorting.count(SEVERAL) == sum(label.several for label in labels)
    for mineral in sorting.minerals:
        assert sorting.count(mineral.name) == sum(label.mineral == mineral.name for label in labels)


def test_counts_and_undo_agree_with_any_sequence_of_steps(dataset: TileDataset) -> None:
    random = np.random.default_rng(0)
    sorting, seen = Sorting(dataset), []
    choices = [PYRITE, GOLD, MANY, NOTHING, TileLabel("", sure=False)]
    for _ in range(60):
        seen.append(all_labels(sorting))
        tiles = random.choice(sorting.tiles, random.integers(1, 4), replace=False).tolist()
        if not sorting.decide({tile: choices[random.integers(len(choices))] for tile in tiles}):
            seen.pop()
        recounted(sorting)
    last = all_labels(sorting)
    for before in reversed(seen):
        sorting.undo()
        assert all_labels(sorting) == before
        recounted(sorting)
    assert not sorting.can_undo
    assert sorting.undo() == ()
    assert not sorting.pending()
    while sorting.can_redo:
        sorting.redo()
    assert all_labels(sorting) == last
    recounted(sorting)


def test_a_new_decision_forgets_what_was_taken_back(dataset: TileDataset) -> None:
    sorting = Sorting(dataset)
    first, second = sorting.tiles[:2]
    sorting.decide({first: PYRITE})
    sorting.undo()
    sorting.decide({second: GOLD})
    assert not sorting.can_redo
    assert sorting.decide({second: GOLD}) == ()


def test_what_is_chosen(dataset: TileDataset) -> None:
    sorting = Sorting(dataset)
    first, second, third, *rest = sorting.tiles
    sorting.decide({first: PYRITE, second: GOLD, third: MANY})
    assert sorting.chosen(ALL) == sorting.tiles
    assert sorting.chosen(TO_SORT) == tuple(rest)
    assert sorting.chosen(UNSURE) == sorting.chosen("gold") == (second,)
    assert sorting.chosen(SEVERAL) == (third,)
    assert sorting.progress() == "3 of 30 sorted, 1 unsure"


def test_a_strange_mineral_or_tile_is_refused_and_changes_nothing(dataset: TileDataset) -> None:
    sorting = Sorting(dataset)
    with pytest.raises(DatasetError, match="add it first"):
        sorting.decide({sorting.tiles[0]: TileLabel("galena")})
    with pytest.raises(DatasetError, match="no tile nothing"):
        sorting.decide({"nothing": PYRITE})
    assert sorting.sorted_count == 0


def test_added_minerals_are_told_apart_and_leave_the_others_as_they_are(dataset: TileDataset) -> None:
    minerals = dataset.minerals
    for name in ("galena", "sphalerite", "bornite", "a mineral", "a mineral too"):
        minerals = with_mineral(minerals, name)
    assert tuple(minerals)[: len(dataset.minerals)] == tuple(dataset.minerals)
    for what in ("code", "symbol", "colour", "name"):
        assert len({getattr(mineral, what) for mineral in minerals}) == len(minerals)
    sorting = Sorting(dataset)
    assert sorting.add_mineral("Sp").name == "sphalerite"
    assert sorting.add_mineral("Pyrite").name == "pyrite"
    assert len(sorting.minerals) == len(dataset.minerals) + 1
    with pytest.raises(DatasetError):
        sorting.add_mineral("  ")


def test_a_sitting_goes_on_where_it_was_left(dataset: TileDataset) -> None:
    sorting, journal = Sorting(dataset), SortingJournal(dataset.folder)
    first, second = sorting.tiles[:2]
    journal.write(sorting.decide({first: PYRITE, second: MANY}))
    journal.write(sorting.decide({first: GOLD}))
    journal.write(sorting.undo())
    journal.add_mineral("galena")
    journal.close()
    again, notice = resume(TileDataset.open(dataset.folder))
    assert all_labels(again) == all_labels(sorting)
    assert not notice
    assert again.minerals.by_name("galena")
    recounted(again)


def test_what_was_saved_is_in_the_table_and_no_longer_pending(dataset: TileDataset) -> None:
    sorting, journal = Sorting(dataset), SortingJournal(dataset.folder)
    first, second, third = sorting.tiles[:3]
    sorting.add_mineral("galena")
    journal.write(sorting.decide({first: TileLabel("galena"), second: MANY}))
    written = sorting.pending()
    save(dataset.folder, written, sorting.minerals)
    journal.write(sorting.decide({third: GOLD}))  # while it was written
    sorting.saved(written)
    journal.saved(sorting.pending())
    journal.close()
    assert read_journal(dataset.folder).labels == {third: GOLD}
    reopened = TileDataset.open(dataset.folder)
    assert labels_of(reopened)[first] == TileLabel("galena")
    assert labels_of(reopened)[second] == MANY
    assert labels_of(reopened)[third] == NOTHING
    rows = reopened.table.set_index("tile")
    assert rows.loc[first, "origin"] == "hand"
    assert all_labels(resume(reopened)[0]) == all_labels(sorting)


def test_saving_keeps_a_split_that_was_made_meanwhile(dataset: TileDataset) -> None:
    sorting = Sorting(dataset)
    sorting.decide({sorting.tiles[0]: PYRITE})
    replace(dataset, table=dataset.table.assign(part="training")).write(overwrite=True)
    save(dataset.folder, sorting.pending(), sorting.minerals)
    table = TileDataset.open(dataset.folder).table
    assert (table["part"] == "training").all()
    assert (table["mineral"] == "pyrite").sum() == 1


def test_a_save_that_fails_leaves_the_files_as_they_were(
    dataset: TileDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (dataset.folder / "tiles.csv").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_ore_minerals.learning.collection.os.fsync", full)
    with pytest.raises(ResultError, match="No space left"):
        save(dataset.folder, {dataset.table["tile"].iloc[0]: PYRITE}, dataset.minerals)
    assert (dataset.folder / "tiles.csv").read_bytes() == before


def test_damaged_lines_and_strange_tiles_are_left_out(dataset: TileDataset) -> None:
    first = dataset.table["tile"].iloc[0]
    journal = SortingJournal(dataset.folder)
    journal.write(Sorting(dataset).decide({first: PYRITE}))
    journal.close()
    path = dataset.folder / JOURNAL_NAME
    good = path.read_text()
    path.write_text("[]\n{}\n\x00\n" + good + good.replace(first, "gone") + good[: len(good) // 2])
    sorting, notice = resume(TileDataset.open(dataset.folder))
    assert sorting.pending() == {first: PYRITE}
    assert notice.startswith("1 decision")
    journal = SortingJournal(dataset.folder)  # the torn line is ended before the next one
    journal.write(sorting.decide({first: MANY}))
    journal.close()
    assert read_journal(dataset.folder).labels[first] == MANY


def test_one_viewer_at_a_time(dataset: TileDataset) -> None:
    journal = SortingJournal(dataset.folder)
    with pytest.raises(DatasetError, match="another viewer"):
        SortingJournal(dataset.folder)
    journal.close()
    SortingJournal(dataset.folder).close()


KILLED = """
import sys, os, signal
from pathlib import Path
from napari_ore_minerals.learning.collection import TileDataset, TileLabel
from napari_ore_minerals.learning.sorting_journal import SortingJournal, resume
dataset = TileDataset.open(Path(sys.argv[1]))
sorting, _ = resume(dataset)
journal = SortingJournal(dataset.folder)
for tile in sorting.tiles[:20]:
    journal.write(sorting.decide({tile: TileLabel("pyrite")}))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_process_loses_nothing(dataset: TileDataset) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(dataset.folder)], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    sorting, _ = resume(TileDataset.open(dataset.folder))
    assert sorting.chosen("pyrite") == sorting.tiles[:20]
    SortingJournal(dataset.folder).close()  # and its lock is gone
