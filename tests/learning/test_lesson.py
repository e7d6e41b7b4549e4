"""What a user has said of a map: a value whose every step can be undone."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.learning.journal import Journal, PictureNote
from napari_ore_minerals.learning.lesson import MOST_STEPS, Lesson, stroke
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.minerals import DEFAULT_MINERALS, Mineral, MineralTable
from napari_ore_minerals.models.classifier import Classifier


@pytest.fixture(scope="module")
def mineral_map(micro_model: Path) -> MineralMap:
    pixels = np.random.default_rng(0).integers(0, 255, (200, 330, 3), dtype=np.uint8)
    return classify(Micrograph.from_array(pixels), Classifier.load(micro_model, device="cpu"))


@given(
    arrays.arrays(np.uint8, (4, 5), elements=st.integers(0, 6)),
    arrays.arrays(np.int64, (4, 5), elements=st.integers(-2, 300)),
)
@settings(deadline=None, max_examples=50)
def test_a_stroke_is_what_differs(seen: np.ndarray, painted: np.ndarray) -> None:
    found = stroke(seen, painted, DEFAULT_MINERALS)
    changed = {Cell(*map(int, cell)) for cell in np.argwhere(seen != painted)}
    assert set(found.said) == {cell for cell in changed if 1 <= painted[cell] <= 6}
    assert set(found.blank) == {cell for cell in changed if painted[cell] == 0}
    assert sum(found.unknown.values()) == len(changed) - len(found.said) - len(found.blank)
    assert not set(found.unknown) & set(range(7))


steps = st.lists(
    st.tuples(st.sampled_from(["say", "back", "undo", "redo"]), st.integers(0, 3), st.integers(1, 6)),
    max_size=25,
)


@given(steps=steps)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_undoing_and_redoing_go_through_the_very_same_states(mineral_map: MineralMap, steps: list) -> None:
    lesson, states, at = Lesson.of(mineral_map), [{}], 0
    for what, column, code in steps:
        cell = Cell(0, column)
        if what == "undo":
            lesson, at = lesson.undo(), max(0, at - 1)
        elif what == "redo":
            lesson, at = lesson.redo(), min(len(states) - 1, at + 1)
        else:
            after = lesson.say({cell: code}, now="t") if what == "say" else lesson.take_back([cell])
            if after is not lesson:
                states[at + 1 :] = [{cell: one.code for cell, one in after.said.items()}]
                at += 1
            lesson = after
        assert {cell: one.code for cell, one in lesson.said.items()} == states[at]
        assert (lesson.can_undo, lesson.can_redo) == (at > 0, at < len(states) - 1)


def test_saying_what_the_model_said_confirms_it(mineral_map: MineralMap) -> None:
    code = int(mineral_map.labels[0, 0]) or 4
    base = replace(mineral_map, labels=np.full_like(mineral_map.labels, code))
    other = 1 + code % 6
    lesson = Lesson.of(base).say({Cell(0, 0): code, Cell(0, 1): other})
    assert [one.kind for one in lesson.corrections] == ["confirmed", "corrected"]
    assert lesson.say({Cell(0, 1): other}) is lesson
    assert lesson.answers(base.labels)[0, 1] == other
    assert not Lesson.of(base).corrections
    with pytest.raises(KeyError):
        lesson.say({Cell(0, 0): 99})


def test_minerals_are_added_and_left_out(mineral_map: MineralMap) -> None:
    lesson = Lesson.of(mineral_map).with_mineral(name="galena", symbol="Gn", colour="#112233")
    code = lesson.minerals.by_name("galena").code
    taught = lesson.say({Cell(1, 1): code, Cell(1, 2): 4})
    assert taught.undo().undo().minerals == mineral_map.minerals
    without = taught.without_mineral(code)
    assert [one.code for one in without.corrections] == [4]
    with pytest.raises(DatasetError, match="galena"):
        lesson.with_mineral(name="galena", symbol="Gal", colour="#112233")


def test_what_was_written_down_comes_back_by_name(mineral_map: MineralMap, tmp_path: Path) -> None:
    taught = Lesson.of(mineral_map).with_mineral(name="galena", symbol="Gn", colour="#112233")
    taught = taught.say({Cell(0, 0): taught.minerals.by_name("galena").code, Cell(2, 1): 4})
    picture = mineral_map.picture.fingerprint
    journal = Journal(tmp_path)
    journal.note(PictureNote(picture=picture, name="a", path="/x/a.tif", minerals=taught.minerals.minerals))
    journal.write(taught.corrections)
    found = journal.read(picture)
    assert found.note is not None
    assert found.note.path == "/x/a.tif"
    assert found.corrections == taught.corrections
    other = MineralTable.of([mineral for mineral in mineral_map.minerals if mineral.code != 1])
    renumbered = replace(mineral_map, minerals=other)
    again = Lesson.of(renumbered).with_older(found.corrections, found.note.minerals)
    names = {cell: again.minerals.by_code(one.code).name for cell, one in again.said.items()}
    assert names == {Cell(0, 0): "galena", Cell(2, 1): "pyrite"}
    assert [one.time for one in again.corrections] == [one.time for one in taught.corrections]
    elsewhere = replace(mineral_map, picture=mineral_map.picture.model_copy(update={"fingerprint": "0" * 64}))
    assert not Lesson.of(elsewhere).with_older(found.corrections, found.note.minerals).said


def test_a_symbol_that_is_taken_does_not_lose_what_was_said(mineral_map: MineralMap) -> None:
    other = Mineral(code=9, name="gunningite", symbol="Py", colour="#000000")
    taught = Lesson.of(mineral_map).say({Cell(0, 0): 4})
    older = [one.model_copy(update={"code": 9}) for one in taught.corrections]
    again = Lesson.of(mineral_map).with_older(older, [other])
    assert again.minerals.by_code(again.said[Cell(0, 0)].code).name == "gunningite"


def test_many_cells_at_once_do_not_make_the_viewer_wait(mineral_map: MineralMap) -> None:
    grid = TileGrid(height_px=64 * 100, width_px=64 * 100, tile_px=64, stride_px=64)
    base = replace(mineral_map, grid=grid, labels=np.ones(grid.shape, np.uint8))
    cells = [Cell(row, column) for row in range(100) for column in range(100)]
    lesson = Lesson.of(base).say(dict.fromkeys(cells, 4))
    begun = time.perf_counter()
    assert not lesson.take_back(cell for cell in cells).said
    assert not lesson.say({}, blank=(cell for cell in cells)).said
    assert not lesson.take_back_all().said
    assert time.perf_counter() - begun < 0.5


def test_a_long_sitting_does_not_fill_the_memory(mineral_map: MineralMap) -> None:
    lesson = Lesson.of(mineral_map)
    for step in range(MOST_STEPS + 20):
        lesson = lesson.say({Cell(0, 0): 1 + step % 6})
    steps = 0
    while lesson.can_undo:
        lesson, steps = lesson.undo(), steps + 1
    assert steps == MOST_STEPS
