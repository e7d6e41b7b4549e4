"""Corrections: found by comparing, never lost by more than a torn line, never of an unknown mineral."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.corrections import (
    Correction,
    changes,
    counts,
    found_corrections,
    merged,
    with_mineral,
    without_mineral,
)
from napari_ore_minerals.learning.journal import Journal, PictureNote
from napari_ore_minerals.minerals import DEFAULT_MINERALS, Mineral, MineralTable

PICTURE, OTHER, MODEL = "a" * 64, "b" * 64, "c" * 64


def correction(row: int, column: int, code: int = 4, **fields: object) -> Correction:
    known = {
        "picture": PICTURE, "row": row, "column": column, "tile_px": 64, "stride_px": 64, "height_px": 640,
        "width_px": 640, "code": code, "kind": "corrected", "time": "2026-11-23T08:00:00+00:00", "model": MODEL,
    }  # fmt: skip
    return Correction.model_validate(known | fields)


@given(
    arrays.arrays(np.uint8, (5, 6), elements=st.integers(0, 6)),
    arrays.arrays(np.int64, (5, 6), elements=st.integers(-2, 300)),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=8),
)
@settings(deadline=None)
def test_what_is_found_is_exactly_what_differs_or_was_confirmed(
    predicted: np.ndarray, painted: np.ndarray, confirmed: set[tuple[int, int]]
) -> None:
    found = found_corrections(predicted, painted, confirmed, DEFAULT_MINERALS)
    got = {
        (int(r), int(c)): bool(changed) for (r, c), changed in zip(found.cells, found.corrected, strict=True)
    }
    for cell in np.ndindex(5, 6):
        known, changed = 1 <= painted[cell] <= 6, painted[cell] != predicted[cell]
        assert (cell in got) == (known and (changed or cell in confirmed))
        if cell in got:
            assert got[cell] == changed
    assert found.codes.tolist() == [painted[tuple(cell)] for cell in found.cells]
    strange = painted[(painted != 0) & ((painted < 1) | (painted > 6))]
    assert found.unknown == {int(v): int((strange == v).sum()) for v in np.unique(strange)}
    assert found.erased == int(((painted == 0) & (predicted != 0)).sum())


def test_undoing_a_stroke_leaves_no_correction() -> None:
    predicted = np.full((3, 3), 4, np.uint8)
    assert not len(found_corrections(predicted, predicted.copy(), [], DEFAULT_MINERALS).cells)


@pytest.mark.parametrize("cell", [(-1, 0), (3, 0), (0, 3)])
def test_confirmed_cells_outside_are_refused(cell: tuple[int, int]) -> None:
    with pytest.raises(DatasetError, match="outside"):
        found_corrections(np.ones((3, 3), int), np.ones((3, 3), int), [cell], DEFAULT_MINERALS)


def test_counts_are_of_every_mineral() -> None:
    found = counts([correction(0, 0), correction(0, 1), correction(1, 1, 2)], DEFAULT_MINERALS)
    assert found == {1: 0, 2: 1, 3: 0, 4: 2, 5: 0, 6: 0}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "Pyrite"}, "'Pyrite' cannot be added: there is a mineral named Pyrite already"),
        ({"symbol": "Py"}, "'x' cannot be added: there is a mineral with the symbol Py already"),
        ({"colour": "red"}, "colour 'red' is not valid"),
        ({"name": ""}, "name '' is not valid"),
    ],
)
def test_a_mineral_that_cannot_be_added_is_one_plain_sentence(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(DatasetError) as told:
        with_mineral(DEFAULT_MINERALS, **({"name": "x", "symbol": "X", "colour": "#000000"} | wrong))
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert "pydantic" not in str(told.value)


def test_minerals_can_be_added_and_left_out() -> None:
    more = with_mineral(DEFAULT_MINERALS, name="bornite", symbol="Bn", colour="#aa3377")
    assert more.by_name("Bn").code == 7
    assert without_mineral(more, 7) == DEFAULT_MINERALS
    assert (
        with_mineral(without_mineral(more, 3), name="x", symbol="X", colour="#000000").by_name("x").code == 3
    )
    for wrong in ({"name": "pyrite"}, {"symbol": "Py"}, {"colour": "red"}, {"name": "a\u202eb"}):
        with pytest.raises(DatasetError, match="cannot be added"):
            with_mineral(DEFAULT_MINERALS, **({"name": "x", "symbol": "X", "colour": "#000000"} | wrong))
    with pytest.raises(DatasetError, match="no mineral of code 9"):
        without_mineral(DEFAULT_MINERALS, 9)


def test_changes_are_what_the_journal_needs(tmp_path: Path) -> None:
    older = [correction(0, 0), correction(1, 1), correction(2, 2)]
    newer = [correction(0, 0, time="later"), correction(1, 1, 2), correction(3, 3)]
    made, taken = changes(older, newer)
    assert made == newer[1:]
    assert taken == [older[2]]
    journal = Journal(tmp_path)
    journal.write(older)
    journal.write(made, taken)
    assert list(journal.read(PICTURE).corrections) == [older[0], *newer[1:]]


def test_corrections_come_back_by_picture_and_can_be_reverted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "µ 日本")
    mine, other = [correction(0, 0), correction(0, 1)], correction(5, 5, picture=OTHER)
    journal.write([*mine, other])
    again = Journal(tmp_path / "µ 日本")
    assert list(again.read(PICTURE).corrections) == mine
    assert list(again.read(OTHER).corrections) == [other]
    assert list(again.read("d" * 64).corrections) == []
    assert again.pictures() == [PICTURE, OTHER]
    again.forget(mine[:1])
    assert list(journal.read(PICTURE).corrections) == mine[1:]
    again.forget(list(journal.read(PICTURE).corrections))
    assert list(journal.read(PICTURE).corrections) == []


def test_the_same_cell_of_another_grid_is_another_correction(tmp_path: Path) -> None:
    both = [correction(0, 0), correction(0, 0, 2, stride_px=32)]
    Journal(tmp_path).write(both)
    assert list(Journal(tmp_path).read(PICTURE).corrections) == both


@given(st.integers(0, 400), st.binary(max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_torn_or_damaged_end_costs_that_line_only(
    tmp_path_factory: pytest.TempPathFactory, cut: int, rubbish: bytes
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal"))
    journal.write([correction(row, 0) for row in range(5)])
    path = journal.folder / f"{PICTURE}.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut] + rubbish)
    whole = content[: len(content) - cut].count(b"\n")
    kept = list(journal.read(PICTURE).corrections)
    assert kept[:whole] == [correction(row, 0) for row in range(whole)]
    journal.write([correction(9, 9)])
    assert list(journal.read(PICTURE).corrections)[-1] == correction(9, 9)


@pytest.mark.parametrize("name", ["", "../x", "A" * 64, "a" * 63, "a" * 64 + "/.."])
def test_only_fingerprints_name_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="no fingerprint"):
        Journal(tmp_path).read(name)


def test_lines_of_others_are_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write([correction(0, 0)])
    good = json.loads((tmp_path / f"{PICTURE}.jsonl").read_text())
    wrong = [
        {"code": 0},
        {"code": 256},
        {"code": "4"},
        {"row": -1},
        {"more": 1},
        {"picture": OTHER},
        {"action": "x"},
    ]
    with (tmp_path / f"{PICTURE}.jsonl").open("a") as file:
        for fields in wrong:
            file.write(json.dumps(good | {"row": 8} | fields) + "\n")
        file.write("[]\nnull\n" + "[" * 3000 + "\n")
    assert list(journal.read(PICTURE).corrections) == [correction(0, 0)]


def test_a_disk_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="choose another folder"):
        Journal(tmp_path / "file").write([correction(0, 0)])


CHILD = """
import sys
from test_corrections import correction
from napari_ore_minerals.learning.journal import Journal, PictureNote
journal = Journal(sys.argv[1])
for row in range(10**6):
    journal.write([correction(row, 0), correction(row, 1)])
    print(row, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.05])
def test_killed_while_writing_nothing_that_was_written_is_lost(tmp_path: Path, wait_s: float) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(wait_s)
    child.send_signal(signal.SIGKILL)
    written = 1 + len(child.stdout.read().split())
    kept = list(Journal(tmp_path).read(PICTURE).corrections)
    assert 2 * written <= len(kept) <= 2 * written + 2
    assert kept[-1].row == (len(kept) - 1) // 2


def test_what_codes_meant_when_it_was_said_holds(tmp_path: Path) -> None:
    """Two models may number their minerals differently: what was said with one is not misread with the other."""
    galena = with_mineral(DEFAULT_MINERALS, name="galena", symbol="Gn", colour="#112233")
    turned = MineralTable.of(
        [
            *(
                mineral.model_copy(update={"code": 8 - mineral.code})
                for mineral in reversed(DEFAULT_MINERALS.minerals)
            ),
            Mineral(code=9, name="gunningite", symbol="Gn", colour="#000000"),
        ]
    )
    journal = Journal(tmp_path)
    journal.note(PictureNote(picture=PICTURE, name="a", minerals=galena.minerals))
    journal.write([correction(0, 0, 3), correction(0, 1, 7)])
    journal.note(PictureNote(picture=PICTURE, name="a", minerals=turned.minerals))
    journal.write([correction(1, 1, 3)])
    found = journal.read(PICTURE)
    assert found.note is not None
    table = MineralTable.of(found.note.minerals)
    names = {one.cell: table.by_code(one.code).name for one in found.corrections}
    assert names == {(0, 0): "gold", (0, 1): "galena", (1, 1): "stibnite"}
    assert table.by_name("galena").symbol == "Gn2"
    journal.note(PictureNote(picture=PICTURE, name="a", minerals=galena.minerals))
    assert [one.code for one in journal.read(PICTURE).corrections] == [3, 7, 5]


@pytest.mark.fault("T4")
def test_tables_are_brought_together_by_name() -> None:
    assert merged(DEFAULT_MINERALS, DEFAULT_MINERALS) == (
        DEFAULT_MINERALS,
        {code: code for code in range(1, 7)},
    )
    strange = Mineral(code=1, name="Gng", symbol="py", colour="#000000", kind="gangue")
    table, codes = merged(DEFAULT_MINERALS, [strange])
    assert codes == {1: 7}
    assert (table[-1].name, table[-1].symbol, table[-1].kind) == ("Gng", "py2", "gangue")


def test_a_note_with_a_mineral_twice_is_no_note() -> None:
    with pytest.raises(ValueError, match="share a code"):
        PictureNote(picture=PICTURE, name="a", minerals=(DEFAULT_MINERALS[0],) * 2)
