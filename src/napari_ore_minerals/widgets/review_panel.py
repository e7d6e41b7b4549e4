"""The review: cell by cell, the program asks about the one whose answer would teach it most."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_ore_minerals.learning.review import Review
from napari_ore_minerals.widgets.cell_frame import CellFrame
from napari_ore_minerals.widgets.cell_pictures import cell_picture, with_heat
from napari_ore_minerals.widgets.errands import Errands
from napari_ore_minerals.widgets.hints import reveal
from napari_ore_minerals.widgets.question_view import QuestionView
from napari_ore_minerals.widgets.review_keys import ACCEPT, END, SKIP, UNDO, ReviewKeys, review_acts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.learning.corrections import Cell
    from napari_ore_minerals.widgets.learning_plan import Bench
    from napari_ore_minerals.widgets.overlay import Overlay
    from napari_ore_minerals.widgets.teaching import Teaching

WHY = "Let the program ask: it shows the cells whose answer teaches it most, one after the other."
FOLLOW_FIRST = "switch on “map follows” first: what to ask next depends on what you said before"
ALL_SEEN = "Every cell has been reviewed or taught."


class ReviewPanel(QWidget):  # type: ignore[misc]
    """One button, or while reviewing: the cell, its probabilities, and the answers with their keys.

    Signals: ``told(str)``, ``failed(str)``, ``turned(bool)`` when a review begins or ends.
    """

    told = Signal(str)
    failed = Signal(str)
    turned = Signal(bool)

    def __init__(self, viewer: ViewerModel, teaching: Teaching, bench: Bench) -> None:
        super().__init__()
        self._viewer, self._teaching, self._bench = viewer, teaching, bench
        self._errands, self._frame = Errands(), CellFrame(viewer)
        self._review: Review | None = None
        self._overlay: Overlay | None = None
        self._opened: tuple[Overlay, Micrograph] | None = None
        self._drawn: tuple[Cell, NDArray[np.uint8]] | None = None
        self.codes: list[int] = []  # of the list, by place
        self.begin_button = QPushButton("Review cell by cell ▸")
        self.view = QuestionView()
        self._lay_out()
        acts = {ACCEPT: self.say_right, SKIP: self.say_nothing, UNDO: self.go_back, END: self.stop}
        self._keys = ReviewKeys(viewer, self, review_acts(self.say_number, acts))
        self._connect()
        self.refresh()

    @property
    def review(self) -> Review | None:
        """The review under way; None between reviews."""
        return self._review

    @property
    def pictured(self) -> bool:
        """Whether the cell that is asked about is on the screen."""
        return self._drawn is not None and self._review is not None and self._drawn[0] == self._review.cell

    def begin(self) -> None:
        """Ask about the first cell."""
        overlay = self._teaching.overlay
        if overlay is None or overlay.labels is None or self._teaching.lesson is None:
            return
        if not self._teaching.follow:
            self.failed.emit(FOLLOW_FIRST)
            return
        self._review, self._overlay = Review(), overlay
        self._viewer.layers.selection.active = overlay.labels
        self._keys.bind(overlay.labels)
        self._wait()
        self.turned.emit(True)
        self._teaching.ask(frozenset())

    def stop(self) -> None:
        """End the review."""
        if self._review is None:
            return
        count = len(self._review.answers)
        self._review = self._overlay = self._drawn = None
        self._keys.release()
        self._frame.remove()
        self._teaching.seen_in_review = frozenset()
        self.refresh()
        self.turned.emit(False)
        if count:
            self.told.emit(f"{count} cell{'s' * (count != 1)} reviewed")

    def say_right(self) -> None:
        """The answer of the map is right."""
        code = self._answer()
        if self._review is not None and self._review.cell is not None and code is not None:
            self._say(self._review.cell, code, self._review.accept(code))

    def say_number(self, number: int) -> None:
        """The cell is the mineral at a place of the list."""
        if self._review is None or self._review.cell is None or number >= len(self.codes):
            return
        code = self.codes[number]
        if code == self._answer():
            self.say_right()
        else:
            self._say(self._review.cell, code, self._review.choose(code))

    def say_nothing(self) -> None:
        """The user cannot say: the next one."""
        if self._review is not None and self._review.cell is not None:
            self._review = self._review.skip()
            self._wait()
            self._teaching.ask(self._review.seen)

    def go_back(self) -> None:
        """Take back the last answer, and ask about its cell again."""
        if self._review is None or not self._review.answers:
            return
        last = self._review.answers[-1]
        self._review = self._review.undo()
        self._teaching.seen_in_review = self._review.seen
        if last.code is not None:
            self._teaching.take_back([last.cell])
        self._show_cell(last.cell)

    def refresh(self) -> None:
        """Show what belongs to the state."""
        reviewing = self._review is not None
        if reviewing and (self._teaching.overlay is not self._overlay or self._teaching.lesson is None):
            self.stop()
            return
        self.view.setVisible(reviewing)
        self.begin_button.setVisible(not reviewing)
        self.begin_button.setEnabled(self._teaching.lesson is not None)
        cell = None if self._review is None else self._review.cell
        if cell is not None and self._review is not None and cell in self._said():
            self._review = self._review.skip()  # painted instead of answered
            self._wait()
            self._teaching.ask(self._review.seen)

    def close_review(self) -> None:
        """Let go of the keys and the thread; Qt's part may be gone already."""
        self._keys.release(window_gone=True)
        self._errands.close()

    def _said(self) -> frozenset[Cell]:
        lesson = self._teaching.lesson
        return frozenset() if lesson is None else frozenset(lesson.said)

    def _say(self, cell: Cell, code: int, after: Review) -> None:
        self._review = after
        self._teaching.seen_in_review = after.seen
        self._wait()
        self._teaching.say({cell: code})

    def _proposed(self, cell: Cell | None) -> None:
        if self._review is None or self._review.cell is not None:
            return
        if cell is None:
            self.stop()
            self.told.emit(ALL_SEEN)
            return
        self._review = self._review.asking(cell)
        self._show_cell(cell)

    def _wait(self) -> None:
        """Between an answer and the next question."""
        self.view.wait()
        self._show_count()

    def _show_cell(self, cell: Cell) -> None:
        overlay, lesson = self._overlay, self._teaching.lesson
        if overlay is None or overlay.map is None or lesson is None:
            return
        self._teaching.jump_to(cell)
        self._frame.show(overlay, cell)
        self.codes = list(lesson.minerals.codes)
        shares = map(float, overlay.map.probabilities[cell])
        self.view.ask(
            lesson.minerals, dict(zip(overlay.map.minerals.codes, shares, strict=True)), self._answer()
        )
        self._show_count()
        self.refresh()
        if self._review is not None and not self._review.answers:
            reveal(self)
        self._drawn = None
        self._errands.run(partial(self._draw, overlay, self._bench.picture(), cell), self._show_pictures)

    def _answer(self) -> int | None:
        """What the map says of the cell that is asked about; None where it is unclassified."""
        review, overlay, lesson = self._review, self._overlay, self._teaching.lesson
        if review is None or review.cell is None or overlay is None or lesson is None:
            return None
        code = int(overlay.values[review.cell])
        return code if code in lesson.minerals.codes else None

    def _draw(
        self, overlay: Overlay, opener: Callable[[], Micrograph] | None, cell: Cell
    ) -> tuple[Cell, NDArray[np.uint8]] | None:
        """Read the cell's pixels; in a thread."""
        if opener is None or overlay.map is None:
            return None
        if self._opened is None or self._opened[0] is not overlay:
            self._opened = overlay, opener()
        return cell, cell_picture(self._opened[1], overlay.map, cell)

    def _show_pictures(self, drawn: tuple[Cell, NDArray[np.uint8]] | None) -> None:
        review, overlay = self._review, self._overlay
        if review is None or overlay is None or overlay.map is None or drawn is None:
            self.view.show_pictures(None, None, "")
            return
        cell, picture = drawn
        if cell != review.cell:
            return
        code, table = self._answer(), overlay.map.minerals
        if code is None or code not in table.codes:
            code = table.codes[int(overlay.map.probabilities[cell].argmax())]
        self._drawn = drawn
        heat = with_heat(picture, overlay.map, cell, code)
        self.view.show_pictures(picture, heat, table.by_code(code).name)

    def _show_count(self) -> None:
        review, overlay, lesson = self._review, self._overlay, self._teaching.lesson
        if review is None or overlay is None or overlay.map is None or lesson is None:
            return
        seen = review.seen | lesson.said.keys() | lesson.blank
        left = overlay.map.processed.sum() - sum(bool(overlay.map.processed[cell]) for cell in seen)
        self.view.show_count(len(review.answers), int(left))

    def _troubled(self, _: str) -> None:
        """Nobody will propose a cell any more when the map cannot follow."""
        if self._review is not None and self._review.cell is None:
            self.stop()

    def _lay_out(self) -> None:
        self.begin_button.setToolTip(WHY)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.begin_button)
        column.addWidget(self.view)

    def _connect(self) -> None:
        self.begin_button.clicked.connect(lambda _=False: self.begin())
        self.view.accepted.connect(self.say_right)
        self.view.chosen.connect(self.say_number)
        self.view.skipped.connect(self.say_nothing)
        self.view.undone.connect(self.go_back)
        self.view.ended.connect(self.stop)
        self._teaching.proposed.connect(self._proposed)
        self._teaching.changed.connect(self.refresh)
        self._teaching.failed.connect(self._troubled)
        self._errands.failed.connect(self.failed)
