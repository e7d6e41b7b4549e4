"""Fine-tuning in the dock, with the process that trains: kept, cancelled, killed, worse; the store stays whole."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("napari")

from gui_support import LONG, SECONDS, gone
from qtpy.QtCore import QObject, Qt, Signal

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.learning.fine_tune_options import FineTuneOptions
from napari_ore_minerals.learning.journal import Journal, read_corrections
from napari_ore_minerals.learning.lesson import Lesson
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.history import read_note
from napari_ore_minerals.models.versions import ModelStore
from napari_ore_minerals.progress import run
from napari_ore_minerals.widgets.diary import note_of
from napari_ore_minerals.widgets.fine_tune_panel import CANCELLED, FIRST, NOT_OPEN, FineTunePanel
from napari_ore_minerals.widgets.learning_job import LearningJob
from napari_ore_minerals.widgets.learning_plan import Bench, Speed

pytestmark = pytest.mark.alone
CHANGED = """
import time
from napari_ore_minerals.learning import fine_tuning
from napari_ore_minerals.widgets import learning_process
{what}
learning_process.main()
"""
QUICK = """
from napari_ore_minerals.learning.fine_tune_options import FineTuneOptions
plain = FineTuneOptions.training
FineTuneOptions.training = lambda options: plain(options).model_copy(update={"epochs": 1})
"""
WORSE = QUICK + "fine_tuning.verdict = lambda before, after: (False, 'it forgets: macro-F1 falls')"
SLOW = """
steps = fine_tuning.train_steps
def slow(*args, **options):
    found = steps(*args, **options)
    while True:
        try:
            progress = next(found)
        except StopIteration as end:
            return end.value
        time.sleep(0.2)
        yield progress
fine_tuning.train_steps = slow
"""


class Taught(QObject):  # type: ignore[misc]
    """What the panel needs of Teaching, without a viewer."""

    changed = Signal()

    def __init__(self, lesson: Lesson, journal: Journal) -> None:
        super().__init__()
        self.lesson, self.diary = lesson, SimpleNamespace(journal=journal)

    @property
    def corrections(self) -> Any:
        return self.lesson.corrections

    def say(self, cells: dict[Cell, int]) -> None:
        self.lesson = self.lesson.say(cells)
        self.changed.emit()


@pytest.fixture(scope="module")
def plain(micro_model: Path) -> Lesson:
    """A map of which nothing was said."""
    random = np.random.default_rng(5)
    fields = random.integers(20, 240, (6, 8, 3), dtype=np.uint8).repeat(64, axis=0).repeat(64, axis=1)
    micrograph = Micrograph.from_array(fields, name="PS-07")
    return Lesson.of(classify(micrograph, Classifier.load(micro_model), ClassifyOptions()))


@pytest.fixture
def array() -> np.ndarray:
    random = np.random.default_rng(5)
    return random.integers(20, 240, (6, 8, 3), dtype=np.uint8).repeat(64, axis=0).repeat(64, axis=1)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def new_panel(
    qtbot: Any, plain: Lesson, array: np.ndarray, micro_model: Path, tmp_path: Path, store: ModelStore
) -> Iterator[Callable[..., FineTunePanel]]:
    """Makes panels over a picture of which 16 cells were taught."""
    panels: list[FineTunePanel] = []

    def new(what: str = "", *, is_open: bool = True, said: int = 16) -> FineTunePanel:
        micrograph = Micrograph.from_array(array, name="PS-07")
        bench = Bench(
            lambda: (micro_model, read_card(micro_model)),
            lambda: (lambda: micrograph) if is_open else None,
            lambda: "cpu",
            lambda: Speed(100.0, "CPU"),
            store,
        )
        cells = {Cell(number // 8, number % 8): 1 + number % 2 for number in range(said)}
        taught = Taught(plain.say(cells), Journal(tmp_path / "corrections"))
        command = [sys.executable, "-c", CHANGED.format(what=what)]
        panel = FineTunePanel(taught, bench, LearningJob(command))  # type: ignore[arg-type]
        qtbot.addWidget(panel)
        panel.resize(360, 600)
        panel.show()
        panels.append(panel)
        return panel

    yield new
    for panel in panels:
        panel.close_job()


def started(panel: FineTunePanel, qtbot: Any) -> int:
    """Press the button; returns the number of the process that trains."""
    qtbot.mouseClick(panel.bar.button, Qt.MouseButton.LeftButton)
    process_id = panel.job.process_id
    assert process_id is not None
    assert panel.bar.running
    return process_id


def heard(panel: FineTunePanel) -> list[str]:
    told: list[str] = []
    panel.told.connect(told.append)
    return told


def test_the_button_says_what_it_costs_and_the_command_does_the_same(
    new_panel: Callable[..., FineTunePanel], micro_model: Path, tmp_path: Path
) -> None:
    panel = new_panel()
    assert panel.bar.button.text().startswith("Fine-tune on 16 corrections, about ")
    assert panel.bar.button.text().endswith(" on CPU")
    panel.depth.setCurrentIndex(panel.depth.findData("head"))
    command = panel.plan.command(tmp_path / "copied")  # type: ignore[union-attr]
    assert command.startswith("ore-minerals learn --corrections ")
    assert f"--parent {micro_model}" in command
    assert command.endswith("--depth head --device cpu")


def test_the_copied_command_learns_what_the_dock_would_and_no_more(
    new_panel: Callable[..., FineTunePanel], array: np.ndarray, tmp_path: Path, qtbot: Any
) -> None:
    """The journal also holds what was not taken over, cells of another grid and a mineral that was left out."""
    panel = new_panel()
    lesson = panel._teaching.lesson
    assert not panel.command.isEnabled()
    assert "it has no file" in panel.command.toolTip()
    path = tmp_path / "PS-07.png"
    Image.fromarray(array).save(path)
    picture = lesson.base.picture.model_copy(update={"path": str(path)})
    lesson = replace(lesson, base=replace(lesson.base, picture=picture))
    journal = panel._teaching.diary.journal
    journal.note(note_of(lesson))
    journal.write(lesson.say({Cell(5, 5): 3}).corrections)
    panel._teaching.lesson = lesson.without_mineral(6)
    panel._teaching.changed.emit()
    qtbot.waitUntil(panel.command.isEnabled, timeout=20 * SECONDS)
    with qtbot.waitSignal(panel.command_wanted, timeout=20 * SECONDS) as copied:
        panel.command.click()
    words = shlex.split(copied.args[0])
    found = read_corrections(Path(words[words.index("--corrections") + 1]))
    assert found.corrections == panel.plan.lessons[0].corrections
    assert found.note.minerals == panel._teaching.lesson.minerals.minerals
    Image.fromarray(array[::-1].copy()).save(path)
    panel._read_earlier()
    qtbot.waitUntil(lambda: not panel.command.isEnabled(), timeout=20 * SECONDS)
    assert "other pixels" in panel.command.toolTip()


@pytest.mark.fault("T2")
def test_too_little_to_learn_from_is_said_before_a_click(new_panel: Callable[..., FineTunePanel]) -> None:
    panel = new_panel(said=1)
    assert (panel.words.text(), panel.bar.button.isEnabled()) == (FIRST, False)
    panel._teaching.say({Cell(3, 3): 2})
    assert panel.bar.button.isEnabled()
    closed = new_panel(is_open=False)
    assert (closed.words.text(), closed.bar.button.isEnabled()) == (NOT_OPEN, False)


def test_earlier_pictures_are_learnt_from_as_long_as_their_files_are_there(
    new_panel: Callable[..., FineTunePanel], plain: Lesson, tmp_path: Path, qtbot: Any
) -> None:
    """A file that is gone, and one that was saved again with other pixels, stand in nobody's way.

    The viewer shows a photograph as it lies in its file, whatever its orientation.
    """
    journal, turned = Journal(tmp_path / "corrections"), Image.Exif()
    turned[274] = 6
    for kind in ("there", "gone", "saved again", "turned"):
        path, pixels = tmp_path / f"{kind}.png", np.full((384, 512, 3), 40 + len(kind), np.uint8)
        Image.fromarray(pixels).save(path, exif=turned if kind == "turned" else None)
        fingerprint = Micrograph.from_array(pixels).fingerprint()
        if kind == "gone":
            path.unlink()
        elif kind == "saved again":
            Image.fromarray(np.full((384, 512, 3), 99, np.uint8)).save(path)
        journal.note(
            note_of(plain).model_copy(update={"picture": fingerprint, "path": str(path), "name": kind})
        )
        said = plain.say({Cell(0, 0): 1, Cell(0, 1): 2}).corrections
        journal.write([one.model_copy(update={"picture": fingerprint}) for one in said])
    panel = new_panel()
    told = heard(panel)
    panel._read_earlier()
    qtbot.waitUntil(panel.others.isVisible, timeout=20 * SECONDS)
    assert len(told) == 1
    assert told[0].startswith("saved again is not learnt from: its file gives other pixels")
    assert panel.others.text() == "and on 2 earlier pictures (4 cells)"
    assert panel.plan is not None
    assert (panel.plan.corrections, len(panel.plan.notes)) == (20, 3)
    panel.others.setChecked(False)
    assert panel.plan.corrections == 16


def test_to_the_end_and_kept_with_the_weights_of_the_core(
    new_panel: Callable[..., FineTunePanel],
    array: np.ndarray,
    micro_model: Path,
    store: ModelStore,
    qtbot: Any,
) -> None:
    from napari_ore_minerals.learning.fine_tuning import CorrectedPicture, fine_tune_steps, keep_version

    panel = new_panel()
    process_id = started(panel, qtbot)
    with qtbot.waitSignal(panel.job.learnt, timeout=LONG) as found:
        pass
    learnt = found.args[0]
    assert len(panel.plot.points) >= 1
    assert panel.result.isVisible()
    assert not panel.bar.isVisible()
    assert learnt.figures[0].cells > 0
    if learnt.saved is not None:
        pytest.fail(f"sixteen cells of two colours should be learnt: {learnt.why}")
    assert not store.versions(), "nothing is saved before the user says so"
    panel.result.name.setText("hill-7")
    panel.result.note.setText("new lamp")
    with qtbot.waitSignal(panel.kept, timeout=LONG):
        panel.result.keep.click()
    version = store.current().version
    assert version is not None
    assert (version.number, version.card.name, read_note(store, version)) == (1, "hill-7", "new lamp")
    assert version.card.parent == read_card(micro_model).weights_sha256
    qtbot.waitUntil(lambda: gone(process_id), timeout=5 * SECONDS)
    assert panel.bar.button.isVisible()
    picture = CorrectedPicture(
        Micrograph.from_array(array, name="PS-07"),
        panel._teaching.corrections,
        panel._teaching.lesson.minerals,
    )
    result = run(fine_tune_steps(micro_model, [picture], FineTuneOptions(device="cpu")))
    again = keep_version(result, store, activate=False)
    assert again.card.weights_sha256 == version.card.weights_sha256


@pytest.mark.slow
def test_discarding_forgets_what_was_learnt(
    new_panel: Callable[..., FineTunePanel], store: ModelStore, qtbot: Any
) -> None:
    panel = new_panel(QUICK + "fine_tuning.verdict = lambda before, after: (True, 'it is better')")
    process_id = started(panel, qtbot)
    with qtbot.waitSignal(panel.job.learnt, timeout=LONG):
        pass
    panel.result.discard.click()
    qtbot.waitUntil(lambda: gone(process_id), timeout=5 * SECONDS)
    assert not store.versions()
    assert panel.bar.button.isEnabled()


@pytest.mark.parametrize("midway", [False, True])
def test_cancel_ends_the_process_and_leaves_the_store_as_it_was(
    new_panel: Callable[..., FineTunePanel], store: ModelStore, qtbot: Any, midway: bool
) -> None:
    panel = new_panel(SLOW)
    told = heard(panel)
    process_id = started(panel, qtbot)
    if midway:
        with qtbot.waitSignal(
            panel.job.advanced, timeout=LONG, check_params_cb=lambda one: "epoch" in one.stage
        ):
            pass
    qtbot.mouseClick(panel.bar.cancel, Qt.MouseButton.LeftButton)
    assert told == [CANCELLED]
    qtbot.waitUntil(lambda: gone(process_id), timeout=5 * SECONDS)
    assert not store.root.exists()
    assert panel.bar.button.isEnabled()


def test_a_killed_process_is_told_and_loses_nothing(
    new_panel: Callable[..., FineTunePanel], store: ModelStore, qtbot: Any
) -> None:
    panel = new_panel(SLOW)
    process_id = started(panel, qtbot)
    with qtbot.waitSignal(panel.failed, timeout=LONG) as said:
        os.kill(process_id, signal.SIGKILL)
    assert "killed" in said.args[0]
    assert "corrections and all versions are as they were" in said.args[0]
    assert not store.root.exists()
    assert panel.bar.button.isEnabled()


@pytest.mark.fault("T5")
def test_a_worse_version_is_saved_but_not_used_and_says_why(
    new_panel: Callable[..., FineTunePanel], store: ModelStore, qtbot: Any
) -> None:
    panel = new_panel(WORSE)
    wanted: list[int] = []
    panel.use_wanted.connect(wanted.append)
    started(panel, qtbot)
    with qtbot.waitSignal(panel.saved, timeout=LONG):
        pass
    assert [version.number for version in store.versions()] == [1]
    assert store.current().version is None
    assert "not put to use" in panel.result.verdict.text()
    assert "forgets" in panel.result.why.text()
    assert (panel.result.keep.text(), panel.result.discard.text()) == ("Use it anyway", "Go on as before")
    panel.result.keep.click()
    assert wanted == [1]
