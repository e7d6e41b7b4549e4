"""The classifier's process: results, cancel, crashes, errors, two at once, and its end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from gui_support import LONG, SECONDS, gone

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.learning.lesson import Lesson
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.widgets import jobs
from napari_ore_minerals.widgets.gathered import Gathered, Task
from napari_ore_minerals.widgets.input_form import grid_over
from napari_ore_minerals.widgets.jobs import Worker
from napari_ore_minerals.widgets.messages import Load, MapKey

pytestmark = pytest.mark.alone
Start = Callable[..., Worker]
BROKEN = """
import os, time
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.widgets import worker
plain, calls = Classifier.predict, [0]
def predict(self, pixels, **options):
    calls[0] += 1
    if calls[0] == {at}:
        {what}
    return plain(self, pixels, **options)
Classifier.predict = predict
worker.main()
"""


@pytest.fixture
def start(qtbot: Any) -> Iterator[Start]:
    """Makes workers and ends them."""
    made: list[Worker] = []

    def new(what: str = "pass", at: int = 2) -> Worker:
        made.append(Worker([sys.executable, "-c", BROKEN.format(what=what, at=at)]))
        return made[-1]

    yield new
    for worker in made:
        worker.close()


def task(model: Path, array: np.ndarray, **options: Any) -> Task:
    micrograph = Micrograph.from_array(array, name="PS-07")
    chosen = ClassifyOptions(**options)
    load = Load(model, chosen.device, chosen.precision)
    return Task(lambda: micrograph, load, chosen, grid_over(micrograph, read_card(model), chosen))  # type: ignore[arg-type]


def heard(worker: Worker) -> list[tuple[str, Any]]:
    """Gather how runs end."""
    ends: list[tuple[str, Any]] = []
    for name in ("finished", "cut_short", "failed"):
        getattr(worker, name).connect(lambda value, name=name: ends.append((name, value)))
    return ends


def test_the_result_is_that_of_the_core(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray
) -> None:
    worker = start()
    with qtbot.waitSignal(worker.finished, timeout=LONG) as found:
        worker.classify(task(micro_model, picture, precision="fp32"))
    mineral_map = found.args[0]
    expected = classify(
        Micrograph.from_array(picture, name="PS-07"),
        Classifier.load(micro_model, precision="fp32"),
        ClassifyOptions(),
    )
    np.testing.assert_array_equal(mineral_map.labels, expected.labels)
    np.testing.assert_allclose(mineral_map.probabilities, expected.probabilities, atol=1e-5)
    assert mineral_map.picture.fingerprint == expected.picture.fingerprint
    assert not worker.busy
    process_id = worker.process_id
    with qtbot.waitSignal(worker.finished, timeout=LONG):
        worker.classify(task(micro_model, picture, precision="fp32"))
    assert worker.process_id == process_id, "the process stays warm"


@pytest.mark.fault("W10")
def test_cancel_keeps_what_is_known_within_a_second(
    start: Start, qtbot: Any, micro_model: Path, large_picture: np.ndarray
) -> None:
    worker = start("time.sleep(0)")
    states: list[Gathered] = []
    worker.advanced.connect(states.append)
    with qtbot.waitSignal(worker.advanced, timeout=LONG):
        worker.classify(task(micro_model, large_picture, batch_size=1))
    begun = time.monotonic()
    with qtbot.waitSignal(worker.finished, timeout=SECONDS) as found:
        worker.cancel()
    assert time.monotonic() - begun < 1.0
    mineral_map = found.args[0]
    known = mineral_map.processed
    assert 0 < known.sum() < known.size
    assert not mineral_map.run.complete
    assert (mineral_map.labels[~known] == 0).all()
    assert known[states[0].processed].all()


@pytest.mark.fault("W10", "W11")
def test_cancel_of_a_process_that_hangs_kills_it_and_keeps_the_cells(
    start: Start, qtbot: Any, micro_model: Path, large_picture: np.ndarray
) -> None:
    worker = start("time.sleep(60)")
    with qtbot.waitSignal(worker.advanced, timeout=LONG):
        worker.classify(task(micro_model, large_picture, batch_size=4))
    process_id, begun = worker.process_id, time.monotonic()
    with qtbot.waitSignal(worker.cut_short, timeout=2 * SECONDS) as found:
        worker.cancel()
    assert time.monotonic() - begun < 1.0
    assert 0 < found.args[0].processed.sum() < found.args[0].processed.size
    qtbot.waitUntil(lambda: gone(process_id), timeout=2 * SECONDS)
    assert not worker.busy


@pytest.mark.fault("W2", "W3", "W7")
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("os.kill(os.getpid(), 9)", "ended unexpectedly"),
        ("raise SystemExit(3)", "exit code 3"),
        ("raise KeyError('strange')", "KeyError: 'strange'"),
        ("raise RuntimeError('a torch error')", "a torch error"),
        ("raise MemoryError", "not enough memory"),
    ],
)
def test_a_failure_is_one_message_and_the_next_run_works(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray, what: str, said: str
) -> None:
    worker = start(what)
    ends = heard(worker)
    worker.classify(task(micro_model, picture, batch_size=4))
    qtbot.waitUntil(lambda: bool(ends), timeout=LONG)
    qtbot.wait(300)
    assert [name for name, _ in ends] == ["failed"]
    assert said in ends[0][1]
    assert not worker.busy
    stays_warm = "RuntimeError" in what or "MemoryError" in what
    assert (worker.process_id is not None) == stays_warm
    if "kill" not in what:
        return
    worker._command = start()._command
    with qtbot.waitSignal(worker.finished, timeout=LONG):
        worker.classify(task(micro_model, picture))
    assert len(ends) == 2


@pytest.mark.fault("W1")
def test_out_of_memory_goes_on_with_smaller_batches(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray
) -> None:
    worker = start("import torch; raise torch.OutOfMemoryError('CUDA out of memory')")
    told: list[str] = []
    worker.noticed.connect(told.append)
    with qtbot.waitSignal(worker.finished, timeout=LONG) as found:
        worker.classify(task(micro_model, picture, batch_size=8))
    assert found.args[0].run.complete
    assert any("batches of 4" in text for text in told)


@pytest.mark.fault("W8")
def test_a_storm_of_warnings_is_no_notice_and_changes_nothing_here(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray
) -> None:
    import warnings

    before, told = (warnings.showwarning, warnings.filters[:]), []
    worker = start(
        "import warnings as w; w.simplefilter('always'); [w.warn(f'no {n}') for n in range(10_000)]"
    )
    worker.noticed.connect(told.append)
    with qtbot.waitSignal(worker.finished, timeout=LONG) as found:
        worker.classify(task(micro_model, picture, batch_size=4))
    assert found.args[0].run.complete
    assert not told
    assert (warnings.showwarning, warnings.filters[:]) == before


@pytest.mark.fault("W11")
def test_a_process_that_says_nothing_is_told_and_cancel_still_answers(
    start: Start, qtbot: Any, micro_model: Path, large_picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jobs.SILENT_SECONDS <= 30
    worker, told = start("time.sleep(60)"), []
    worker.noticed.connect(told.append)
    with qtbot.waitSignal(worker.advanced, timeout=LONG):
        worker.classify(task(micro_model, large_picture, batch_size=4))
    assert not told
    monkeypatch.setattr(jobs, "SILENT_SECONDS", 0.4)
    qtbot.waitUntil(lambda: bool(told), timeout=5 * SECONDS)
    assert "said nothing" in told[0]
    assert "Cancel" in told[0]
    with qtbot.waitSignal(worker.cut_short, timeout=2 * SECONDS) as found:
        worker.cancel()
    assert found.args[0].processed.any()


def test_killed_from_outside(start: Start, qtbot: Any, micro_model: Path, large_picture: np.ndarray) -> None:
    worker = start()
    ends = heard(worker)
    with qtbot.waitSignal(worker.advanced, timeout=LONG):
        worker.classify(task(micro_model, large_picture, batch_size=1))
    assert worker.process_id
    os.kill(worker.process_id, signal.SIGKILL)
    qtbot.waitUntil(lambda: bool(ends), timeout=5 * SECONDS)
    assert [name for name, _ in ends] == ["failed"]
    assert "memory" in ends[0][1]


def test_a_process_that_never_connects(qtbot: Any, micro_model: Path, picture: np.ndarray) -> None:
    worker = Worker([sys.executable, "-c", "import sys; sys.exit('no such module')"])
    with qtbot.waitSignal(worker.failed, timeout=20 * SECONDS) as found:
        worker.classify(task(micro_model, picture))
    assert "no such module" in found.args[0]
    worker.close()


def test_a_picture_that_cannot_be_read_is_one_message(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray
) -> None:
    class Damaged:
        shape, dtype, ndim = picture.shape, picture.dtype, 3

        def __getitem__(self, key: Any) -> Any:
            raise OSError("the disk was taken out")

    worker = start()
    with qtbot.waitSignal(worker.failed, timeout=LONG) as found:
        worker.classify(task(micro_model, Damaged()))  # type: ignore[arg-type]
    assert "the disk was taken out" in found.args[0]


class ForeignError(Exception):
    """What no library of ours raises."""


@pytest.mark.parametrize("when", ["the picture is opened", "its shape is asked for", "a tile is read"])
def test_whatever_a_dask_picture_raises_is_one_message_and_the_next_run_works(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray, when: str
) -> None:
    good = task(micro_model, picture)
    calls = count()

    def block(values: np.ndarray) -> np.ndarray:
        if next(calls) >= 2:  # bytes are not sampled when they are opened; some tiles are read before
            raise ForeignError("the link is down")
        return values

    def opened() -> Micrograph:
        if when == "the picture is opened":
            raise ForeignError("the link is down")
        if when == "its shape is asked for":
            return Micrograph.from_array(NoShape(), name="PS-07")
        lazy = da.from_array(picture, chunks=(64, 64, 3)).map_blocks(block, dtype=picture.dtype, meta=picture)
        return Micrograph.from_array(lazy, name="PS-07")

    class NoShape:
        dtype, ndim = picture.dtype, 3

        @property
        def shape(self) -> Any:
            raise ForeignError("the link is down")

    worker = start()
    ends = heard(worker)
    worker.classify(good._replace(open_picture=opened))
    qtbot.waitUntil(lambda: bool(ends), timeout=LONG)
    assert [name for name, _ in ends] == ["failed"]
    assert "the link is down" in ends[0][1]
    assert "\n" not in ends[0][1]
    assert ends[0][1].endswith(".")
    process_id = worker.process_id
    assert process_id is not None
    assert not worker.busy
    with qtbot.waitSignal(worker.finished, timeout=LONG):
        worker.classify(good)
    assert worker.process_id == process_id, "the same process goes on"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_picture_that_ends_its_thread_ends_the_run(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray
) -> None:
    """Not even an exit asked for by a picture's array leaves a run that nothing ends."""

    class Leaving:
        shape, dtype, ndim = picture.shape, picture.dtype, 3

        def __getitem__(self, key: Any) -> Any:
            raise SystemExit

    worker = start()
    with qtbot.waitSignal(worker.failed, timeout=LONG) as found:
        worker.classify(task(micro_model, Leaving()))  # type: ignore[arg-type]
    assert "ended unexpectedly" in found.args[0]
    assert not worker.busy


def test_a_model_that_is_gone_is_one_message(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    worker = start()
    missing = task(micro_model, picture)._replace(load=Load(tmp_path / "nothing"))
    with qtbot.waitSignal(worker.failed, timeout=LONG) as found:
        worker.classify(missing)
    assert "is no model" in found.args[0]
    assert not worker.busy


def test_two_workers_do_not_disturb_each_other(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray
) -> None:
    one, other = start(), start("os._exit(7)")
    ends, other_ends = heard(one), heard(other)
    one.classify(task(micro_model, picture))
    other.classify(task(micro_model, picture))
    qtbot.waitUntil(lambda: bool(ends) and bool(other_ends), timeout=LONG)
    assert [name for name, _ in ends] == ["finished"]
    assert [name for name, _ in other_ends] == ["failed"]


@pytest.mark.fault("W9")
def test_a_second_run_is_refused_while_one_runs(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray
) -> None:
    worker = start()
    ends, told = heard(worker), []
    worker.noticed.connect(told.append)
    worker.classify(task(micro_model, picture))
    worker.classify(task(micro_model, picture))
    qtbot.waitUntil(lambda: bool(ends), timeout=LONG)
    qtbot.wait(200)
    assert len(ends) == 1
    assert any("already" in text for text in told)


@pytest.mark.fault("V1")
def test_closing_ends_the_process(
    start: Start, qtbot: Any, micro_model: Path, large_picture: np.ndarray
) -> None:
    worker = start()
    with qtbot.waitSignal(worker.advanced, timeout=LONG):
        worker.classify(task(micro_model, large_picture, batch_size=1))
    process_id = worker.process_id
    worker.close()
    qtbot.waitUntil(lambda: gone(process_id), timeout=2 * SECONDS)


@pytest.mark.fault("V1")
def test_the_process_ends_with_the_viewers(tmp_path: Path, micro_model: Path) -> None:
    """A viewer that is killed leaves no classifier behind."""
    import subprocess

    code = (
        "import sys, time\n"
        "from qtpy.QtCore import QCoreApplication\n"
        "from pathlib import Path\n"
        "from napari_ore_minerals.widgets.jobs import Worker\n"
        "from napari_ore_minerals.widgets.messages import Load\n"
        "app = QCoreApplication([])\n"
        "worker = Worker()\n"
        "worker.ready.connect(lambda _: (print(worker.process_id, flush=True)))\n"
        f"worker.load(Load(Path({str(micro_model)!r})))\n"
        "app.exec()\n"
    )
    viewer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert viewer.stdout is not None
    process_id = int(viewer.stdout.readline())
    assert not gone(process_id)
    viewer.kill()
    viewer.wait()
    until = time.monotonic() + 5
    while not gone(process_id) and time.monotonic() < until:
        time.sleep(0.05)
    assert gone(process_id)


def test_the_viewers_process_never_loads_torch() -> None:
    import subprocess

    code = (
        "import sys\n"
        "import napari_ore_minerals.widgets.classify, napari_ore_minerals.widgets.reader\n"
        "import napari_ore_minerals.widgets.writer, napari_ore_minerals.maps.files\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_map_follows_while_another_picture_is_classified(
    start: Start, qtbot: Any, micro_model: Path, picture: np.ndarray, large_picture: np.ndarray
) -> None:
    worker = start()
    with qtbot.waitSignal(worker.finished, timeout=LONG) as found:
        worker.classify(task(micro_model, picture))
    lesson = Lesson.of(found.args[0])
    lesson = lesson.say({Cell(0, 0): 1 + int(lesson.base.labels[0, 0]) % 6})
    ends = heard(worker)
    with qtbot.waitSignal(worker.advanced, timeout=LONG):
        worker.classify(task(micro_model, large_picture, batch_size=1))
    with qtbot.waitSignal(worker.followed, timeout=LONG) as answer:
        worker.follow(MapKey.of(lesson.base), lesson.corrections, lesson.minerals)
    assert worker.busy
    assert not ends
    followed = answer.args[0]
    assert followed.mineral_map.labels[0, 0] == lesson.said[Cell(0, 0)].code
    assert MapKey.of(followed.mineral_map) == MapKey.of(lesson.base)
    assert followed.next_cell not in (None, (0, 0))
    worker.cancel()
    qtbot.waitUntil(lambda: bool(ends), timeout=LONG)
    worker._drop_child()
    with qtbot.waitSignal(worker.not_followed, timeout=5 * SECONDS) as told:
        worker.follow(MapKey.of(lesson.base), lesson.corrections, lesson.minerals)
    assert "classify it again" in told.args[0]
    assert worker.process_id is None, "no process is started only to say so"
