"""Teaching: what is painted on a map becomes corrections, is written down, and the map follows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal
from weakref import ReferenceType, WeakKeyDictionary, ref

from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.journal import Lessons
from napari_ore_minerals.learning.lesson import Lesson
from napari_ore_minerals.learning.refit import with_minerals
from napari_ore_minerals.widgets.diary import Diary, note_of
from napari_ore_minerals.widgets.layer_watch import LayerWatch
from napari_ore_minerals.widgets.messages import MapKey
from napari_ore_minerals.widgets.outline import show_outline
from napari_ore_minerals.widgets.taught_result import TaughtResult, others_taught
from napari_ore_minerals.widgets.view_of_cells import go_to_cell

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.learning.corrections import Cell, Correction
    from napari_ore_minerals.learning.journal import Journal
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.widgets.jobs import Worker
    from napari_ore_minerals.widgets.messages import Followed
    from napari_ore_minerals.widgets.overlay import Overlay

SETTLE_MS = 120  # after a stroke, before it is looked at


class Teaching(QObject):  # type: ignore[misc]
    """What the user says of the result that is looked at.

    Strokes are found by comparing the layer with what was last seen on it, since napari's undo tells
    nobody.  The layer is rewritten after each of them, which napari's own undo would not survive: on
    layers that are taught, Ctrl+Z and Ctrl+Shift+Z go through the steps of the lesson.

    Signals: ``changed()`` when the lesson did, ``followed(MineralMap)``, ``proposed(Cell or None)`` the cell
    whose answer would teach most, ``offered(Lessons)`` of an earlier session, ``told(str)``, ``failed(str)``,
    ``settled()`` when a stroke after one that could not be learnt from can.
    """

    changed = Signal()
    followed = Signal(object)
    proposed = Signal(object)
    offered = Signal(object)
    told = Signal(str)
    failed = Signal(str)
    settled = Signal()

    def __init__(self, viewer: ViewerModel, worker: Worker, journal: Journal | None = None) -> None:
        super().__init__()
        self._viewer, self._worker = viewer, worker
        self.diary = Diary(journal)
        self.overlay: Overlay | None = None
        self.saved_at = ""
        self.seen_in_review: frozenset[Cell] = frozenset()
        self._follow = True
        self._complaint, self._unknown = "", False
        self._asked: dict[int, tuple[ReferenceType[Overlay], Lesson]] = {}
        self._results: WeakKeyDictionary[Overlay, TaughtResult] = WeakKeyDictionary()
        self._said: dict[tuple[str, str, TileGrid], Lessons] = {}  # of each picture, model and grid
        self._touched: dict[Cell, int] = {}
        self._watch = LayerWatch(self._painted, self._touch, self.undo, self.redo)
        self.diary.saved.connect(self._saved)
        self.diary.failed.connect(self.failed)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self.take_strokes)
        worker.followed.connect(self._take_map)
        worker.not_followed.connect(self._not_followed)

    @property
    def lesson(self) -> Lesson | None:
        """What was said of the result that is looked at; None while there is no finished one."""
        result = self._result
        return None if result is None else result.lesson

    @property
    def _result(self) -> TaughtResult | None:
        overlay = self.overlay
        result = None if overlay is None else self._results.get(overlay)
        return result if overlay is not None and result is not None and result.is_of(overlay.map) else None

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """What was said of the result that is looked at, in order."""
        return () if self.lesson is None else self.lesson.corrections

    @property
    def follow(self) -> bool:
        """Whether the map follows what is said; without it corrections are only gathered."""
        return self._follow

    @follow.setter
    def follow(self, wanted: bool) -> None:
        self._follow = wanted
        lesson = self.lesson
        if lesson is None:
            return
        if wanted:
            self.ask()
        else:
            self._show(with_minerals(lesson.base, lesson.minerals))

    def look_at(self, overlay: Overlay | None) -> None:
        """Turn to another result, or to one that is finished now."""
        if overlay is not self.overlay:
            self.take_strokes()
            self.seen_in_review, self._complaint = frozenset(), ""
            self.overlay, self._touched = overlay, {}
        self._watch.turn_to(None if overlay is None else overlay.labels)
        result = self._result
        if result is None and overlay is not None and overlay.map is not None:
            self._begin(overlay, overlay.map)
        elif result is not None and result.behind:
            self.ask()
        self.changed.emit()

    def say(self, cells: Mapping[Cell, int]) -> None:
        """Say what cells are."""
        self._step(lambda lesson: lesson.say(cells))

    def confirm(self, cells: Collection[Cell]) -> None:
        """Say that the answers of cells are right; unclassified cells are left out."""
        if self.overlay is not None and self.lesson is not None:
            values, codes = self.overlay.values, self.lesson.minerals.codes
            self.say({cell: int(values[cell]) for cell in cells if int(values[cell]) in codes})

    def take_back(self, cells: Collection[Cell]) -> None:
        """Take back what was said of cells."""
        self._step(lambda lesson: lesson.take_back(cells))

    def take_back_all(self) -> None:
        """Take back everything that was said of this result; it can be undone."""
        self._step(Lesson.take_back_all)

    def undo(self, _: object = None) -> None:
        """Go back one step."""
        self._step(Lesson.undo)

    def redo(self, _: object = None) -> None:
        """Do again what was undone."""
        self._step(Lesson.redo)

    def add_mineral(
        self, name: str, symbol: str, colour: str, kind: Literal["ore", "gangue"] = "ore"
    ) -> None:
        """Add a mineral that the model does not know."""
        self._step(lambda lesson: lesson.with_mineral(name=name, symbol=symbol, colour=colour, kind=kind))

    def leave_out(self, code: int) -> None:
        """Leave a mineral out, with what was said of it."""
        self._step(lambda lesson: lesson.without_mineral(code))

    def take_over(self, lessons: Lessons) -> None:
        """Use corrections of an earlier session."""
        self._step(lambda lesson: lesson.with_older(lessons.corrections, lessons.minerals))

    def jump_to(self, cell: Cell) -> None:
        """Move the view to a cell."""
        if self.overlay is not None and self.overlay.labels in self._viewer.layers:
            go_to_cell(self._viewer, self.overlay.labels, cell)

    def ask(self, seen: frozenset[Cell] | None = None) -> None:
        """Let the map follow, and have the next cell proposed that is not among `seen`."""
        if seen is not None:
            self.seen_in_review = seen
        overlay, lesson = self.overlay, self.lesson
        if overlay is None or lesson is None or not self._follow:
            return
        seen_too = self.seen_in_review | lesson.blank
        job = self._worker.follow(MapKey.of(lesson.base), lesson.corrections, lesson.minerals, seen=seen_too)
        self._asked[job] = ref(overlay), lesson

    def take_strokes(self) -> None:
        """Look at what was painted since the last time."""
        overlay, result = self.overlay, self._result
        if overlay is None or result is None or not overlay.fits:
            return
        lesson, (touched, self._touched) = result.lesson, (self._touched, {})
        after, complaint = result.painted(overlay.values, touched)
        if complaint:
            self.failed.emit(complaint)
        if after is not lesson:
            if self._unknown and not complaint:
                self.settled.emit()
            self._take(after)
            self.ask()
        self._unknown = bool(complaint) or (self._unknown and after is lesson)

    def close(self) -> None:
        """Write down what was painted last, and listen no more."""
        if isalive(self):
            self._settle.stop()
            self.blockSignals(True)  # what listens may be gone
            self.take_strokes()
        self.overlay = None
        self._watch.release()
        self.diary.close()

    def _step(self, step: Callable[[Lesson], Lesson]) -> None:
        """Take one step with what was painted before it, and show it."""
        self.take_strokes()
        overlay, result = self.overlay, self._result
        if overlay is None or result is None:
            return
        lesson = result.lesson
        try:
            after = step(lesson)
        except (DatasetError, KeyError) as error:
            self.failed.emit(str(error))
            return
        if after is not lesson and overlay.fits:
            self._take(after)
            self._show(result.at_once(overlay, lesson))
            self.ask()

    def _take(self, lesson: Lesson) -> None:
        """Make a lesson the present one: written down, framed on the map, and followed."""
        overlay, result = self.overlay, self._result
        if overlay is None or result is None:
            return
        older, result.lesson = result.lesson, lesson
        self._said[_key(lesson.base)] = Lessons(note_of(lesson), lesson.corrections)
        self.diary.write(older, lesson)
        show_outline(self._viewer, overlay, lesson.said.keys())
        self.changed.emit()

    def _take_map(self, answer: Followed) -> None:
        """Show a map that follows; one that was overtaken by a stroke is shown too, or none would be while painting."""
        asked = self._asked.pop(answer.job, None)
        self._asked = {job: one for job, one in self._asked.items() if job > answer.job}
        overlay, result = self.overlay, self._result
        if asked is None or overlay is None or result is None or asked[0]() is not overlay:
            return
        lesson = result.lesson
        if not self._follow or asked[1].base is not lesson.base or asked[1].minerals != lesson.minerals:
            return
        result.followed = asked[1]
        self._show(answer.mineral_map)
        self.followed.emit(overlay.map)
        if asked[1] is lesson:
            self.proposed.emit(answer.next_cell)

    def _show(self, mineral_map: MineralMap) -> None:
        """Write a map with what was said onto the layers; strokes that were not looked at yet stay."""
        overlay, result = self.overlay, self._result
        if overlay is not None and result is not None and overlay.fits and result.show(overlay, mineral_map):
            self._settle.start()

    def _begin(self, overlay: Overlay, mineral_map: MineralMap) -> None:
        """Begin a lesson; a run whose process had to be killed cannot tell which picture it was of."""
        if not mineral_map.picture.fingerprint:
            return
        others = others_taught([one.lesson for one in self._results.values()], mineral_map)
        result = self._results[overlay] = TaughtResult(overlay, mineral_map, others)
        self._watch.teach()
        self.take_strokes()
        if carried := self._said.get(_key(mineral_map)):
            self.take_over(carried)
        if others:
            self.ask()
        try:
            found = self.diary.journal.read(mineral_map.picture.fingerprint)
        except DatasetError as error:
            self.failed.emit(str(error))
            return
        if result.lesson.with_older(found.corrections, found.minerals) is not result.lesson:
            self.offered.emit(found)

    def _not_followed(self, sentence: str) -> None:
        if sentence != self._complaint:
            self._complaint = sentence
            self.failed.emit(sentence)

    def _saved(self, time: str) -> None:
        self.saved_at = time
        self.changed.emit()

    def _touch(self, cells: Mapping[Cell, int]) -> None:
        """Cells were painted with what they are already: their answers are right."""
        self._touched |= cells
        self._settle.start()

    def _painted(self, _: Any = None) -> None:
        self._settle.start()


def _key(mineral_map: MineralMap) -> tuple[str, str, TileGrid]:
    return mineral_map.picture.fingerprint, mineral_map.model.weights_sha256, mineral_map.grid
