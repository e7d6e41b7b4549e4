"""What users do to layers in the middle of a run, at every moment of it: the picture stays, and no result lies astray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")

from gui_support import SECONDS
from napari.components import ViewerModel
from qtpy.QtCore import QObject, Signal

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.predict import classify, classify_steps
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import run
from napari_ore_minerals.widgets.gathered import Gathered, Task
from napari_ore_minerals.widgets.input_form import Plan, grid_over
from napari_ore_minerals.widgets.layers import MAP_KEY
from napari_ore_minerals.widgets.messages import Advance, Cells, Load
from napari_ore_minerals.widgets.pictures import picture_of
from napari_ore_minerals.widgets.session import MOVED, REMOVED, REPLACED, Session

OPTIONS = ClassifyOptions(batch_size=1, precision="fp32", device="cpu")


class Stepwise(QObject):  # type: ignore[misc]
    """A classifier's process in this one, which goes on when it is told to."""

    advanced = Signal(object)
    finished = Signal(object)
    cut_short = Signal(object)
    failed = Signal(str)

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.steps: Any = None

    def classify(self, task: Task) -> None:
        self.gathered = Gathered(task, 1)
        self.steps = classify_steps(task.open_picture(), self.classifier, task.options)

    def step(self) -> None:
        """Classify one more tile."""
        progress = next(self.steps)
        found = progress.update
        cells = Cells(found.rows, found.columns, found.labels, found.confidence)
        self.gathered.add(Advance(1, progress.done, progress.total, (cells,), ()))
        self.advanced.emit(self.gathered)

    def finish(self) -> None:
        """Classify the rest."""
        self.finished.emit(run(self.steps))

    def abandon(self) -> None:
        if self.steps is not None:
            self.steps.close()
        self.steps = None


class Desk:
    """A viewer without a window, with a picture that is being classified."""

    def __init__(self, classifier: Classifier, picture: np.ndarray) -> None:
        self.viewer, self.worker, self.pixels = ViewerModel(), Stepwise(classifier), picture
        self.session = Session(self.viewer, self.worker)  # type: ignore[arg-type]
        self.ends: list[tuple[str, str]] = []
        self.session.finished.connect(lambda _, text: self.ends.append(("finished", text)))
        self.session.dropped.connect(lambda text: self.ends.append(("dropped", text)))
        self.session.failed.connect(lambda text: self.ends.append(("failed", text)))
        self.layer = self.add(picture)

    def add(self, picture: np.ndarray) -> Any:
        return self.viewer.add_image(
            picture.copy(), rgb=True, name="PS-07", scale=(0.5, 0.5), units=("um", "um")
        )

    def begin(self, layer: Any = None, tiles: int = 0) -> None:
        layer = layer or self.layer
        picture, card = picture_of(layer), self.worker.classifier.card
        grid = grid_over(picture, card, OPTIONS)
        task = Task(picture.micrograph, Load(Path()), OPTIONS, grid)
        self.session.classify(Plan(layer, picture, card, task, grid.tile_count))
        for _ in range(tiles):
            self.step()

    def step(self) -> None:
        self.session._draw_from = 0.0
        self.worker.step()

    def end(self, qtbot: Any) -> str:
        """Classify the rest; gives what is said."""
        self.worker.finish()
        qtbot.waitUntil(lambda: not self.session.busy, timeout=5 * SECONDS)
        return self.ends[-1][1]

    def minerals(self) -> Any:
        """The layer that the session takes for its result."""
        overlay = self.session.overlay_in_view(self.layer)
        assert overlay is not None
        return overlay.labels


@pytest.fixture(scope="module")
def classifier(micro_model: Path) -> Classifier:
    return Classifier.load(micro_model, device="cpu", precision="fp32")


@pytest.fixture
def desk(qtbot: Any, classifier: Classifier, picture: np.ndarray) -> Desk:
    return Desk(classifier, picture)


@pytest.fixture
def expected(classifier: Classifier, picture: np.ndarray) -> np.ndarray:
    """Codes of the picture when nobody interferes."""
    return classify(Micrograph.from_array(picture), classifier, OPTIONS).labels


def works_again(desk: Desk, qtbot: Any, expected: np.ndarray) -> None:
    """The next run of an untouched picture succeeds, and lies over it."""
    layer = desk.add(desk.pixels)
    desk.begin(layer, 3)
    desk.end(qtbot)
    overlay = desk.session.overlay_in_view(layer)
    assert overlay is not None
    assert overlay.labels is not None
    np.testing.assert_array_equal(overlay.labels.data, expected)
    np.testing.assert_allclose(overlay.labels.data_to_world((-0.5, -0.5)), layer.data_to_world((-0.5, -0.5)))
    np.testing.assert_array_equal(layer.data, desk.pixels)


@pytest.mark.fault("L1")
@pytest.mark.parametrize("tiles", [0, 1, 12, 24])
def test_the_picture_is_deleted(desk: Desk, qtbot: Any, expected: np.ndarray, tiles: int) -> None:
    desk.begin(tiles=tiles)
    desk.viewer.layers.remove(desk.layer)
    assert desk.ends == [("dropped", REMOVED)]
    assert len(desk.viewer.layers) == 0
    assert desk.worker.steps is None
    works_again(desk, qtbot, expected)


@pytest.mark.fault("L1")
def test_the_picture_is_deleted_while_the_result_is_put_in_place(
    desk: Desk, qtbot: Any, expected: np.ndarray
) -> None:
    desk.begin(tiles=5)
    desk.worker.finish()
    assert desk.session.busy
    desk.viewer.layers.remove(desk.layer)
    qtbot.wait(100)
    assert desk.ends == [("dropped", REMOVED)]
    assert len(desk.viewer.layers) == 0
    works_again(desk, qtbot, expected)


@pytest.mark.fault("L2")
@pytest.mark.parametrize("tiles", [0, 12])
def test_the_picture_is_renamed(desk: Desk, qtbot: Any, expected: np.ndarray, tiles: int) -> None:
    desk.begin(tiles=tiles)
    desk.layer.name = "another name"
    other = desk.add(255 - desk.pixels)
    assert other.name == "PS-07"
    desk.end(qtbot)
    overlay = desk.session.overlay_in_view(desk.layer)
    assert overlay is not None
    assert desk.session.picture_of(overlay) is desk.layer
    desk.viewer.layers.selection.active = other
    assert desk.session.overlay_in_view(other) is None
    np.testing.assert_array_equal(overlay.values, expected)


@pytest.mark.fault("L3")
@pytest.mark.parametrize("tiles", [0, 12])
@pytest.mark.parametrize("side", [200, 64])
def test_the_pixels_are_replaced(desk: Desk, qtbot: Any, expected: np.ndarray, tiles: int, side: int) -> None:
    desk.begin(tiles=tiles)
    desk.layer.data = 255 - desk.pixels[:side]
    assert desk.ends == [("dropped", REPLACED)]
    assert [layer.name for layer in desk.viewer.layers] == ["PS-07"]
    np.testing.assert_array_equal(desk.layer.data, 255 - desk.pixels[:side])
    works_again(desk, qtbot, expected)


@pytest.mark.fault("L4")
@pytest.mark.parametrize("tiles", [12])
@pytest.mark.parametrize(
    "change",
    [
        {"scale": (2, 2)},
        {"translate": (7, -3)},
        {"rotate": 30},
        {"affine": [[1, 0.2, 3], [0, 1, 4], [0, 0, 1]]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_picture_is_moved(desk: Desk, qtbot: Any, tiles: int, change: dict[str, Any]) -> None:
    desk.begin(tiles=tiles)
    corner = desk.layer.data_to_world((63.5, 63.5))
    for name, value in change.items():
        setattr(desk.layer, name, value)
    assert desk.end(qtbot).endswith(MOVED)
    np.testing.assert_allclose(desk.minerals().data_to_world((0.5, 0.5)), corner)
    desk.begin(tiles=3)
    assert not desk.end(qtbot).endswith(MOVED)
    moved = desk.layer.data_to_world((63.5, 63.5))
    np.testing.assert_allclose(desk.minerals().data_to_world((0.5, 0.5)), moved)


def deleted(desk: Desk) -> None:
    desk.viewer.layers.remove(desk.minerals())


def all_deleted(desk: Desk) -> None:
    for layer in [layer for layer in desk.viewer.layers if layer is not desk.layer]:
        desk.viewer.layers.remove(layer)


def locked(desk: Desk) -> None:
    desk.minerals().editable = False


def read_only(desk: Desk) -> None:
    data = desk.minerals().data.copy()
    data.flags.writeable = False
    desk.minerals().data = data


def converted(desk: Desk) -> None:
    from napari.layers import Image

    labels = desk.minerals()
    desk.viewer.layers.remove(labels)
    desk.viewer.add_layer(Image(labels.data, name=labels.name, scale=labels.scale, units=labels.units))


def other_data(desk: Desk) -> None:
    desk.minerals().data = np.ones((3, 3), np.uint8)


def other_confidence(desk: Desk) -> None:
    desk.viewer.layers["PS-07 confidence"].data = np.zeros((9, 2))


def other_order(desk: Desk) -> None:
    desk.viewer.layers.move(len(desk.viewer.layers) - 1, 0)


@pytest.mark.fault("L5")
@pytest.mark.parametrize(
    "act", [deleted, all_deleted, locked, read_only, converted, other_data, other_confidence, other_order]
)
def test_the_result_is_meddled_with(
    desk: Desk, qtbot: Any, expected: np.ndarray, act: Callable[[Desk], None]
) -> None:
    desk.begin(tiles=12)
    act(desk)
    for _ in range(3):
        desk.step()
    assert desk.end(qtbot).startswith("24 tiles classified")
    labels = desk.minerals()
    np.testing.assert_array_equal(labels.data, expected)
    assert labels.metadata[MAP_KEY].run.complete
    assert act is not locked or not labels.editable
    np.testing.assert_array_equal(desk.layer.data, desk.pixels)
    works_again(desk, qtbot, expected)


@pytest.mark.fault("L6")
def test_the_result_is_painted_on(desk: Desk, qtbot: Any, expected: np.ndarray) -> None:
    desk.begin(tiles=12)
    labels = desk.minerals()
    strokes = {cell: 1 + int(expected[cell]) % 6 for cell in ((0, 0), (0, 1), (3, 5))}
    for cell, code in strokes.items():
        labels.data_setitem(tuple(np.array([place]) for place in cell), code)
    for _ in range(6):
        desk.step()
    desk.end(qtbot)
    painted = expected.copy()
    for cell, code in strokes.items():
        painted[cell] = code
    np.testing.assert_array_equal(labels.data, painted)
    desk.begin(tiles=3)
    desk.end(qtbot)
    np.testing.assert_array_equal(labels.data, painted, "another run leaves what was painted on")


@pytest.mark.fault("L7")
@pytest.mark.parametrize("tiles", [0, 12])
def test_all_is_cleared_and_another_picture_has_the_name(
    desk: Desk, qtbot: Any, expected: np.ndarray, tiles: int
) -> None:
    desk.begin(tiles=tiles)
    desk.viewer.layers.clear()
    new = desk.add(255 - desk.pixels)
    desk.worker.finished.emit(None)  # what was on its way when the run was given up
    desk.worker.advanced.emit(desk.worker.gathered)
    assert desk.ends == [("dropped", REMOVED)]
    assert list(desk.viewer.layers) == [new]
    assert desk.session.overlay_in_view(new) is None
    works_again(desk, qtbot, expected)
