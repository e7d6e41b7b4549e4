"""Teaching step by step, with a worker that answers when the test says so: nothing is mixed up, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gui_support import SECONDS
from napari.components import ViewerModel
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import QObject, Qt, Signal

from napari_ore_minerals.errors import DatasetError, OreMineralsError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.learning.journal import Journal, Lessons
from napari_ore_minerals.learning.lesson import Lesson
from napari_ore_minerals.maps.features import CellFeatures
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.predict import classify_steps, plan
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.minerals import MineralTable
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import run
from napari_ore_minerals.widgets.corrections_panel import CorrectionsPanel
from napari_ore_minerals.widgets.diary import Diary
from napari_ore_minerals.widgets.layers import MAP_KEY
from napari_ore_minerals.widgets.messages import Follow, MapKey
from napari_ore_minerals.widgets.overlay import Overlay
from napari_ore_minerals.widgets.pictures import picture_of
from napari_ore_minerals.widgets.pupils import Pupils
from napari_ore_minerals.widgets.teaching import Teaching

Made = tuple[MineralMap, CellFeatures]


class Answering(QObject):
    """A classifier's process in this one, which answers when it is told to."""

    followed = Signal(object)
    not_followed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.pupils, self.wishes = Pupils(), []

    def follow(self, of: MapKey, corrections: Any, minerals: Any, *, seen: Any = frozenset()) -> int:
        self.wishes.append(Follow(len(self.wishes) + 1, of, corrections, minerals, seen))
        return len(self.wishes)

    def answer(self, number: int = -1) -> None:
        """Answer a wish, by default the last one."""
        try:
            self.followed.emit(self.pupils.followed(self.wishes[number]))
        except OreMineralsError as error:
            self.not_followed.emit(str(error))


def made(model: Path, seed: int, **options: int) -> Made:
    random = np.random.default_rng(seed)
    fields = random.integers(20, 240, (5, 7, 3), dtype=np.uint8).repeat(64, axis=0).repeat(64, axis=1)
    micrograph, classifier = (
        Micrograph.from_array(fields, name="PS-07"),
        Classifier.load(model, precision="fp32"),
    )
    chosen = ClassifyOptions(**options)  # type: ignore[arg-type]
    features = CellFeatures(plan(micrograph, classifier.card, chosen))
    return run(classify_steps(micrograph, classifier, chosen, features=features)), features


@pytest.fixture(scope="module")
def first(micro_model: Path) -> Made:
    return made(micro_model, 5)


@pytest.fixture(scope="module")
def second(micro_model: Path) -> Made:
    return made(micro_model, 6)


@pytest.fixture(scope="module")
def third(micro_model: Path) -> Made:
    return made(micro_model, 7)


class Desk:
    """A viewer without a window, a worker, and what is taught."""

    def __init__(self, folder: Path) -> None:
        self.viewer, self.worker = ViewerModel(), Answering()
        self.teaching = Teaching(self.viewer, self.worker, Journal(folder))  # type: ignore[arg-type]

    def show(self, result: Made) -> Overlay:
        """Show a result and look at it."""
        mineral_map, features = result
        size = (mineral_map.grid.height_px, mineral_map.grid.width_px, 3)
        picture = self.viewer.add_image(np.zeros(size, np.uint8), rgb=True, name="PS-07")
        placement = picture_of(picture).placement
        overlay = Overlay(self.viewer, "PS-07", mineral_map.grid, mineral_map.minerals, placement)
        list(overlay.completing(mineral_map))
        self.worker.pupils.keep(mineral_map, features)
        self.teaching.look_at(overlay)
        return overlay

    def paint(self, overlay: Overlay, cell: tuple[int, int], code: int) -> None:
        """Paint a cell and have it looked at."""
        assert overlay.labels is not None
        overlay.labels.data_setitem(tuple(np.array([place]) for place in cell), code)
        self.teaching.take_strokes()


@pytest.fixture
def desk(qtbot: Any, tmp_path: Path) -> Any:
    found = Desk(tmp_path / "journal")
    yield found
    found.teaching.close()


def other(result: Made, cell: tuple[int, int]) -> int:
    return 1 + int(result[0].labels[cell]) % 6


def test_an_answer_that_was_overtaken_keeps_all_strokes(desk: Desk, first: Made) -> None:
    """Two wishes and a stroke that was not looked at yet: the first answer is shown, and every stroke stays."""
    overlay = desk.show(first)
    codes = {cell: other(first, cell) for cell in ((0, 0), (1, 1), (2, 2))}
    desk.paint(overlay, (0, 0), codes[0, 0])
    desk.paint(overlay, (1, 1), codes[1, 1])
    assert overlay.labels is not None
    overlay.labels.data_setitem((np.array([2]), np.array([2])), codes[2, 2])
    desk.worker.answer(0)
    assert overlay.map is not None
    assert overlay.map.probabilities[0, 0].max() == 1
    assert overlay.map.probabilities[1, 1].max() < 1
    assert {cell: int(overlay.values[cell]) for cell in codes} == codes
    desk.worker.answer(1)
    assert {cell: int(overlay.values[cell]) for cell in codes} == codes
    desk.teaching.take_strokes()
    assert {tuple(one.cell): one.code for one in desk.teaching.corrections} == codes
    desk.worker.answer()
    assert {cell: int(overlay.values[cell]) for cell in codes} == codes
    np.testing.assert_array_equal(overlay.values, overlay.map.labels)


def drag(labels: Any, *path: tuple[float, float]) -> None:
    """Press, move and release the mouse over a layer."""

    def event(kind: str, place: tuple[float, float]) -> Any:
        position = labels.data_to_world(place)
        plain = SimpleNamespace(
            type=kind, position=position, pos=position, button=1, buttons=[1], modifiers=[], handled=False,
            is_dragging=kind == "mouse_move", view_direction=None, up_direction=None, dims_displayed=[0, 1],
            dims_point=[0, 0],
        )  # fmt: skip
        return ReadOnlyWrapper(plain, exceptions=("handled",))

    mouse_press_callbacks(labels, event("mouse_press", path[0]))
    for place in path[1:]:
        mouse_move_callbacks(labels, event("mouse_move", place))
    mouse_release_callbacks(labels, event("mouse_release", path[-1]))


def test_painting_a_cell_with_what_it_is_confirms_it(desk: Desk, first: Made) -> None:
    """One stroke over a whole row: cells that were something else are corrected, the others are right."""
    overlay, labels = desk.show(first), first[0].labels
    assert overlay.labels is not None
    code = int(labels[2, 3]) or 4
    overlay.labels.mode, overlay.labels.selected_label, overlay.labels.brush_size = "paint", code, 1
    drag(overlay.labels, (2, 0), (2, 6))
    desk.teaching.take_strokes()
    kinds = {one.cell.column: one.kind for one in desk.teaching.corrections}
    assert kinds == {c: "confirmed" if labels[2, c] == code else "corrected" for c in range(7)}
    desk.teaching.undo()
    assert not desk.teaching.corrections, "one stroke is one step"
    overlay.labels.mode = "pan_zoom"
    drag(overlay.labels, (2, 0), (2, 6))
    desk.teaching.take_strokes()
    assert not desk.teaching.corrections


def test_a_map_that_arrives_in_the_middle_of_a_stroke(desk: Desk, first: Made) -> None:
    overlay = desk.show(first)
    assert overlay.labels is not None
    desk.paint(overlay, (0, 0), other(first, (0, 0)))
    code = 1 + max(int(first[0].labels[2, 1]), 1) % 6
    overlay.labels.mode, overlay.labels.selected_label = "paint", code
    answering = iter((lambda: None, desk.worker.answer, lambda: None))
    overlay.labels.mouse_drag_callbacks.append(_between(answering))
    drag(overlay.labels, (2, 0), (2, 2), (2, 6))
    assert overlay.map is not first[0], "the map followed meanwhile"
    assert str(overlay.labels.mode) == "paint"
    desk.teaching.take_strokes()
    desk.worker.answer()
    assert (overlay.values[2] == code).all()
    assert overlay.values[0, 0] == other(first, (0, 0))


def _between(acts: Iterator[Callable[[], object]]) -> Callable[..., Iterator[None]]:
    def callback(_: object, event: Any) -> Iterator[None]:
        next(acts)()
        yield
        while event.type == "mouse_move":
            next(acts)()
            yield

    return callback


@pytest.mark.fault("T3")
def test_labels_that_are_no_mineral_are_pointed_out_and_not_learnt(desk: Desk, first: Made) -> None:
    overlay, told = desk.show(first), []
    desk.teaching.failed.connect(told.append)
    desk.paint(overlay, (2, 2), 99)
    assert len(told) == 1
    assert "99 is no mineral: 1 cell painted with it is not learnt from" in told[0]
    assert not desk.teaching.corrections
    assert not desk.worker.wishes
    result = overlay.corrected_map()
    assert result is not None
    assert result.labels[2, 2] == 0


def test_a_complaint_about_a_stroke_ends_with_the_next_good_one(desk: Desk, first: Made) -> None:
    overlay, settled = desk.show(first), []
    desk.teaching.settled.connect(lambda: settled.append(True))
    desk.paint(overlay, (2, 2), 99)
    desk.teaching.take_strokes()
    assert not settled
    for cell in ((0, 0), (0, 1)):
        desk.paint(overlay, cell, other(first, cell))
        assert settled == [True]


def test_without_following_only_the_painted_cells_change(desk: Desk, first: Made) -> None:
    overlay = desk.show(first)
    desk.paint(overlay, (0, 0), other(first, (0, 0)))
    desk.worker.answer()
    desk.teaching.follow = False
    code = other(first, (1, 2))
    desk.paint(overlay, (1, 2), code)
    assert len(desk.worker.wishes) == 1
    assert np.argwhere(overlay.values != first[0].labels).tolist() == [[0, 0], [1, 2]]
    desk.teaching.follow = True
    desk.worker.answer()
    assert overlay.map is not None
    assert overlay.map.probabilities[1, 2].max() == 1


def test_two_pictures_never_mix(desk: Desk, first: Made, second: Made) -> None:
    one = desk.show(first)
    desk.paint(one, (0, 0), other(first, (0, 0)))
    two = desk.show(second)
    before = two.values.copy()
    desk.worker.answer(0)
    np.testing.assert_array_equal(two.values, before)
    assert not desk.teaching.corrections
    assert two.map is second[0]
    desk.paint(two, (3, 3), other(second, (3, 3)))
    desk.worker.answer()
    desk.teaching.look_at(one)
    assert [one.cell for one in desk.teaching.corrections] == [(0, 0)]
    desk.worker.answer()  # the answer that was missed is asked for again
    assert one.map is not None
    assert one.map.probabilities[0, 0].max() == 1
    assert len(desk.worker.wishes) == 3
    desk.teaching.look_at(two)
    assert len(desk.worker.wishes) == 3, "nothing was missed there"


def test_two_results_of_one_picture_never_mix(desk: Desk, first: Made) -> None:
    mineral_map, features = first
    later = mineral_map.run.model_copy(update={"created": "2030-01-01T00:00:00+00:00"})
    again = replace(mineral_map, labels=mineral_map.labels.copy(), run=later), features
    one = desk.show(first)
    desk.paint(one, (0, 0), other(first, (0, 0)))
    two = desk.show(again)
    carried = two.map
    assert [cell.cell for cell in desk.teaching.corrections] == [(0, 0)], "what was said goes on counting"
    assert desk.teaching.lesson is not None
    assert desk.teaching.lesson.base is again[0]
    desk.worker.answer(0)
    assert two.map is carried
    assert desk.worker.wishes[0].of != MapKey.of(again[0])


def test_a_run_that_was_killed_cannot_be_taught_and_says_nothing(desk: Desk, first: Made, qtbot: Any) -> None:
    mineral_map, features = first
    nameless = mineral_map.picture.model_copy(update={"fingerprint": ""})
    told: list[str] = []
    desk.teaching.failed.connect(told.append)
    overlay = desk.show((replace(mineral_map, picture=nameless), features))
    desk.paint(overlay, (0, 0), other(first, (0, 0)))
    assert desk.teaching.lesson is None
    assert not told


@pytest.mark.fault("L5")
def test_other_data_on_the_layer_is_no_stroke(desk: Desk, first: Made) -> None:
    overlay = desk.show(first)
    assert overlay.labels is not None
    desk.paint(overlay, (0, 0), other(first, (0, 0)))
    kept = overlay.labels.data.copy()
    overlay.labels.data = np.ones((3, 3), np.uint8)
    desk.teaching.take_strokes()
    desk.worker.answer()
    desk.teaching.undo()
    overlay.labels.data = kept
    assert len(desk.teaching.corrections) == 1
    desk.paint(overlay, (1, 1), other(first, (1, 1)))
    assert len(desk.teaching.corrections) == 2


@pytest.mark.fault("D1")
def test_what_the_disk_refused_is_written_with_the_next_stroke(
    desk: Desk, first: Made, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay, journal, told = desk.show(first), desk.teaching.diary.journal, []
    desk.teaching.failed.connect(told.append)

    def full(*_: object) -> None:
        raise DatasetError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "write", full)
        desk.paint(overlay, (0, 0), other(first, (0, 0)))
        qtbot.waitUntil(lambda: bool(told), timeout=5 * SECONDS)
    assert not desk.teaching.saved_at
    desk.paint(overlay, (1, 1), other(first, (1, 1)))
    qtbot.waitUntil(lambda: bool(desk.teaching.saved_at), timeout=5 * SECONDS)
    found = journal.read(first[0].picture.fingerprint)
    assert [one.cell for one in found.corrections] == [(0, 0), (1, 1)]


def test_a_mineral_that_was_left_out_stays_out_of_the_journal(desk: Desk, first: Made, qtbot: Any) -> None:
    overlay, journal = desk.show(first), desk.teaching.diary.journal
    desk.teaching.add_mineral("galena", "Gn", "#112233")
    desk.teaching.say({Cell(0, 0): 7, Cell(0, 1): 1})
    desk.teaching.leave_out(7)
    picture = first[0].picture.fingerprint

    def names() -> list[str]:
        note = journal.read(picture).note
        return [] if note is None else [mineral.name for mineral in note.minerals]

    qtbot.waitUntil(lambda: len(journal.read(picture).corrections) == 1, timeout=5 * SECONDS)
    qtbot.waitUntil(lambda: bool(names()) and "galena" not in names(), timeout=5 * SECONDS)
    assert overlay.minerals == desk.teaching.lesson.minerals  # type: ignore[union-attr]


def test_two_viewers_with_other_codes_teach_one_picture(first: Made, tmp_path: Path, qtbot: Any) -> None:
    """Each line counts by name, though the other viewer wrote what its own codes mean in between."""
    other_codes = [mineral.model_copy(update={"code": 7 - mineral.code}) for mineral in first[0].minerals]
    mine = Lesson.of(first[0])
    theirs = Lesson(first[0], MineralTable.of(other_codes))
    diaries = [Diary(Journal(tmp_path)) for _ in range(2)]
    journal, picture = Journal(tmp_path), first[0].picture.fingerprint

    def write(diary: Diary, older: Lesson, newer: Lesson, count: int) -> None:
        diary.write(older, newer)
        qtbot.waitUntil(lambda: len(journal.read(picture).corrections) == count, timeout=5 * SECONDS)

    one, two = mine.say({Cell(0, 0): 1}), theirs.say({Cell(0, 1): 1})
    write(diaries[0], mine, one, 1)
    write(diaries[1], theirs, two, 2)
    write(diaries[0], one, one.say({Cell(0, 2): 1}), 3)
    found = journal.read(picture)
    assert found.note is not None
    table = MineralTable.of(found.note.minerals)
    arsenopyrite, gangue = first[0].minerals[0].name, first[0].minerals[5].name
    assert [table.by_code(said.code).name for said in found.corrections] == [
        arsenopyrite,
        gangue,
        arsenopyrite,
    ]
    for diary in diaries:
        diary.close()


def test_finer_cells_where_tiles_overlap(desk: Desk, micro_model: Path) -> None:
    fine = made(micro_model, 5, stride_px=32)
    overlay = desk.show(fine)
    assert overlay.values.shape == (10, 14)
    desk.paint(overlay, (9, 13), other(fine, (9, 13)))
    desk.worker.answer()
    (one,) = desk.teaching.corrections
    assert (one.cell, one.tile_px, one.stride_px) == ((9, 13), 64, 32)
    assert overlay.map is not None
    assert overlay.map.probabilities[9, 13].max() == 1
    assert overlay.outline is not None
    assert overlay.labels is not None
    np.testing.assert_allclose(overlay.outline.data_to_world((9, 13)), overlay.labels.data_to_world((9, 13)))


def test_the_result_carries_what_was_said(desk: Desk, first: Made) -> None:
    overlay = desk.show(first)
    sure = tuple(int(place) for place in np.argwhere(first[0].labels > 0)[-1])
    desk.paint(overlay, (0, 0), other(first, (0, 0)))
    desk.teaching.confirm([Cell(*sure)])
    desk.worker.answer()
    result = overlay.corrected_map()
    assert result is not None
    assert any("by hand" in warning for warning in result.warnings)
    assert result.labels[0, 0] == other(first, (0, 0))
    assert all(layer.metadata[MAP_KEY] is overlay.map for layer in overlay.layers())
    assert overlay.painted[0, 0]
    assert not overlay.can_show(overlay.grid, overlay.minerals)
    assert {one.kind for one in desk.teaching.corrections} == {"corrected", "confirmed"}


def test_after_the_dock_is_closed_the_layer_is_napari_s_own(qtbot: Any, tmp_path: Path, first: Made) -> None:
    desk = Desk(tmp_path)
    overlay = desk.show(first)
    assert overlay.labels is not None
    assert len(overlay.labels.keymap) == 2
    desk.paint(overlay, (0, 0), other(first, (0, 0)))
    desk.teaching.close()
    assert not overlay.labels.keymap
    overlay.labels.data_setitem((np.array([0]), np.array([1])), 5)
    desk.worker.answer(0)
    qtbot.waitUntil(lambda: bool(Journal(tmp_path).pictures()), timeout=2 * SECONDS)
    assert len(Journal(tmp_path).read(first[0].picture.fingerprint).corrections) == 1


def test_what_was_said_of_another_picture_counts_by_name(desk: Desk, first: Made, second: Made) -> None:
    """A mineral of the user's own has the same code as another one of another picture: they are not confused."""
    one = desk.show(first)
    desk.teaching.add_mineral("galena", "Gn", "#112233")
    desk.teaching.say({Cell(0, 0): 7})
    desk.worker.answer()
    assert one.map is not None
    desk.show(second)
    desk.teaching.add_mineral("bornite", "Bn", "#445566")
    pupils = desk.worker.pupils
    assert pupils._learnt_elsewhere(desk.worker.wishes[-1]) is None
    desk.teaching.undo()
    desk.teaching.add_mineral("galena", "Gn", "#112233")
    wish = desk.worker.wishes[-1]
    learnt = pupils._learnt_elsewhere(wish)
    assert learnt is not None
    assert learnt.bias.argmax() == 6
    assert pupils._learnt_elsewhere(wish._replace(corrections=())) is learnt, "it is learnt once"


def test_a_new_picture_follows_what_was_taught_on_two_others(
    desk: Desk, first: Made, second: Made, third: Made
) -> None:
    shown = []
    for result in (first, second):
        shown.append(desk.show(result))
        asked = len(desk.worker.wishes)
        desk.teaching.add_mineral("galena", "Gn", "#112233")
        desk.teaching.say({Cell(row, column): 7 for row in range(5) for column in range(5)})
        desk.worker.answer()
    assert asked == 2, "one other picture is too little to go by"
    overlay = desk.show(third)
    assert not desk.teaching.corrections
    desk.worker.answer()
    assert overlay.map is not None
    assert [mineral.name for mineral in overlay.map.minerals][-1] == "galena"
    assert (overlay.map.labels == 7).sum() > 20
    assert any("other pictures" in warning for warning in overlay.map.warnings)
    desk.teaching.follow = False
    assert (overlay.map.labels != 7).all()
    assert not any("other pictures" in warning for warning in overlay.map.warnings)


def test_the_panel_lists_what_was_said_and_takes_it_back(desk: Desk, first: Made, qtbot: Any) -> None:
    desk.show(first)
    panel = CorrectionsPanel(desk.teaching)
    qtbot.addWidget(panel)
    panel.show()
    assert not panel.list.isVisible()
    cells = {
        Cell(row, column): 1 + int(first[0].labels[row, column]) % 6
        for row in range(5)
        for column in range(7)
    }
    desk.teaching.say(cells)
    assert panel.list.count() == len(cells)
    assert "<b>35</b> cells taught" in panel.words.text()
    assert not panel.take_back.isEnabled()
    assert panel.list.item(0).text().endswith("row 5, column 7")
    panel.list.item(0).setSelected(True)
    assert panel.take_back.isEnabled()
    qtbot.keyClick(panel.list, Qt.Key.Key_Delete)
    assert len(desk.teaching.corrections) == 34
    assert Cell(4, 6) not in desk.teaching.lesson.said
    qtbot.mouseClick(panel.undo, Qt.MouseButton.LeftButton)
    assert len(desk.teaching.corrections) == 35
    desk.teaching.take_back_all()
    assert not panel.list.isVisible()
    assert panel.list.count() == 0


def test_an_offer_is_of_its_own_picture(desk: Desk, first: Made, second: Made, qtbot: Any) -> None:
    panel = CorrectionsPanel(desk.teaching)
    qtbot.addWidget(panel)
    panel.show()
    one = desk.show(first)
    older = desk.teaching.lesson.say({Cell(0, 0): other(first, (0, 0))})  # type: ignore[union-attr]
    desk.teaching.offered.emit(Lessons(None, older.corrections))
    assert panel.offer.isVisible()
    desk.show(second)
    assert not panel.offer.isVisible()
    desk.teaching.look_at(one)
    assert panel.offer.isVisible()
    panel.use.click()
    assert [said.cell for said in desk.teaching.corrections] == [(0, 0)]
    assert not panel.offer.isVisible()


def test_what_a_stroke_needs_is_loaded_before_it() -> None:
    """The process that classifies does so after its answer; it costs the best part of a second."""
    code = (
        "import sys; from napari_ore_minerals.widgets import worker; "
        "name = 'napari_ore_minerals.learning.refit'; before = name in sys.modules; "
        "worker.warm_up(); print(before, name in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]


PAINTING = """
import sys, time
from pathlib import Path
sys.path[:0] = [{here!r}]
import numpy as np
from qtpy.QtCore import QCoreApplication, QTimer
from test_teaching_steps import Desk, made
app = QCoreApplication([])
desk = Desk(Path({folder!r}))
overlay = desk.show(made(Path({model!r}), 5))
cells = [(row, column) for row in range(5) for column in range(7)]
def paint():
    cell = cells.pop(0)
    code = 1 + int(desk.teaching.lesson.base.labels[cell]) % 6
    overlay.labels.data_setitem(tuple(np.array([place]) for place in cell), code)
    print(*cell, time.time(), flush=True)
timer = QTimer()
timer.timeout.connect(paint)
timer.start(150)
app.exec()
"""


@pytest.mark.slow
def test_a_viewer_that_is_killed_loses_two_seconds_at_most(
    tmp_path: Path, first: Made, micro_model: Path
) -> None:
    code = PAINTING.format(
        here=str(Path(__file__).parent), folder=str(tmp_path / "j"), model=str(micro_model)
    )
    viewer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert viewer.stdout is not None
    painted = [viewer.stdout.readline().split()]
    until = time.time() + 3.2
    while time.time() < until:
        painted.append(viewer.stdout.readline().split())
    os.kill(viewer.pid, signal.SIGKILL)
    killed = time.time()
    viewer.wait()
    written = {
        tuple(one.cell) for one in Journal(tmp_path / "j").read(first[0].picture.fingerprint).corrections
    }
    due = {(int(row), int(column)) for row, column, when in painted if float(when) < killed - 2}
    assert due
    assert due <= written
