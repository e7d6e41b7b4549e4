"""The part of the dock in which the program learns from its user."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QFrame, QWidget

from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.widgets.corrections_panel import CorrectionsPanel
from napari_ore_minerals.widgets.elsewhere import Elsewhere
from napari_ore_minerals.widgets.fine_tune_panel import FineTunePanel
from napari_ore_minerals.widgets.folding import Folding
from napari_ore_minerals.widgets.history_panel import HistoryPanel
from napari_ore_minerals.widgets.learning_plan import Bench, Speed
from napari_ore_minerals.widgets.pictures import picture_of
from napari_ore_minerals.widgets.review_panel import ReviewPanel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.models.devices import DeviceName
    from napari_ore_minerals.models.versions import ModelStore, StoredVersion
    from napari_ore_minerals.widgets.input_form import InputForm
    from napari_ore_minerals.widgets.session import Session
    from napari_ore_minerals.widgets.teaching import Teaching
    from napari_ore_minerals.widgets.version_tree import Shelf

TITLE, VERSIONS = "Learn from corrections", "Versions"


class LearnSection(Folding):
    """Corrections of the result that is looked at, the review, fine-tuning, and the versions of the model.

    Signals: ``told(str)``, ``failed(str)``, ``shelf_read(Shelf)`` what the store of models holds, and
    ``model_wanted(StoredVersion | None)`` to classify with; None is the bundled model.
    """

    told = Signal(str)
    failed = Signal(str)
    shelf_read = Signal(object)
    model_wanted = Signal(object)

    def __init__(self, viewer: ViewerModel, teaching: Teaching, bench: Bench) -> None:
        super().__init__(TITLE, "Correct the map, and let the model learn from it")
        self.corrections = CorrectionsPanel(teaching)
        self.review = ReviewPanel(viewer, teaching, bench)
        self.tuning = FineTunePanel(teaching, bench)
        self.history = HistoryPanel(bench.store)
        self.versions = Folding(VERSIONS, "Models that learnt from you: go back to any with one click")
        self.versions.add(self.history)
        self.elsewhere = Elsewhere(bench.store, teaching.diary)
        self._wanted: int | None = None
        self._has_result = False
        self._lay_out()
        self._connect(teaching)
        self.history.refresh()

    def show_result(self, there: bool) -> None:
        """Offer to teach where there is a result to teach on."""
        self._has_result = there
        self._arrange()

    def close_section(self) -> None:
        """End processes and threads; Qt's part may be gone already."""
        self.review.close_review()
        self.tuning.close_job()
        self.history.close_store()

    def _lay_out(self) -> None:
        for widget in (self.elsewhere, self.corrections, self.review, _line(), self.tuning, self.versions):
            self.add(widget)
        self._arrange()

    def _connect(self, teaching: Teaching) -> None:
        teaching.changed.connect(lambda: self._show_title(len(teaching.corrections)))
        for panel in (self.review, self.tuning, self.history, self.elsewhere):
            panel.told.connect(self.told)
            panel.failed.connect(self.failed)
        for writer in (self.tuning, self.history, teaching.diary):
            writer.failed.connect(self.elsewhere.look)
        self.elsewhere.moved.connect(self.history.refresh)
        self.review.turned.connect(lambda _: self._arrange())
        self.tuning.kept.connect(self._kept)
        self.tuning.saved.connect(lambda _: self.history.refresh())
        self.tuning.use_wanted.connect(self._use)
        self.tuning.command_wanted.connect(self._copy)
        self.history.shown.connect(self._shelf_shown)
        self.history.used.connect(self.model_wanted)

    def _show_title(self, taught: int) -> None:
        self.set_title(f"{TITLE} ({taught} taught)" if taught else TITLE)

    def _arrange(self) -> None:
        """While cells are asked about, nothing else asks for attention; without a result only versions are there."""
        reviewing, there = self.review.review is not None, self._has_result
        self.corrections.setVisible(there and not reviewing)
        self.review.setVisible(there)
        self.tuning.setVisible((there or self.tuning.occupied) and not reviewing)
        self.versions.setVisible(not reviewing)

    def _kept(self, number: int) -> None:
        self._wanted = number
        self.told.emit(f"Version {number} is saved and in use: classify again to see its answers")
        self.history.refresh()

    def _use(self, number: int) -> None:
        shelf = self.history.shelf
        versions: list[StoredVersion] = [] if shelf is None else [entry.version for entry in shelf.entries]
        for version in versions:
            if version.number == number:
                self.history.use(version)

    def _shelf_shown(self, shelf: Shelf) -> None:
        self.shelf_read.emit(shelf)
        wanted, self._wanted = self._wanted, None
        for entry in shelf.entries:
            if entry.version.number == wanted:
                self.model_wanted.emit(entry.version)

    def _copy(self, command: str) -> None:
        QApplication.clipboard().setText(command)
        self.told.emit("The command was copied: paste it into a terminal")


def bench_of(
    form: InputForm, session: Session, teaching: Teaching, store: ModelStore, speed: Callable[[], Speed]
) -> Bench:
    """Return what the Classify dock lends to the panels that learn."""

    def model() -> tuple[Path, ModelCard] | None:
        folder, card = form.models.folder, form.models.card
        return None if folder is None or card is None else (folder, card)

    def device() -> DeviceName:
        return ClassifyOptions.model_validate(form.options.options().model_dump()).device

    picture = partial(_picture_in_view, form, session, teaching)
    return Bench(model, picture, device, speed, store)


def _picture_in_view(
    form: InputForm, session: Session, teaching: Teaching
) -> Callable[[], Micrograph] | None:
    """What opens the picture of the result in view, at the level and plane that was classified."""
    overlay, lesson, card = teaching.overlay, teaching.lesson, form.models.card
    layer = None if overlay is None else session.picture_of(overlay)
    if overlay is None or lesson is None or layer is None:
        return None
    base, placement = lesson.base, overlay.placement
    finest = None if base.um_per_px is None else base.um_per_px / placement.pixel[1]
    picture = picture_of(
        layer,
        (*placement.plane, 0, 0),
        um_per_px=finest,
        model_um_per_px=None if card is None else card.um_per_px,
        answers=base.picture.answers,
    )
    same = (picture.height_px, picture.width_px) == (base.grid.height_px, base.grid.width_px)
    return picture.micrograph if same else None


def _line() -> QWidget:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setStyleSheet("color: palette(mid)")
    return line
