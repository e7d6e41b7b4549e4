"""The head refitted: near the corrections the map follows, elsewhere it stays, and evidence and answer agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_ore_minerals.errors import DatasetError, OptionError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.learning.corrections import (
    Cell,
    Correction,
    Found,
    as_corrections,
    with_mineral,
    without_mineral,
)
from napari_ore_minerals.learning.head_change import Examples, RefitOptions, balanced, fitted_change
from napari_ore_minerals.learning.refit import examples_of, learnt_elsewhere, refitted_map
from napari_ore_minerals.learning.review import Review, next_cell
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.features import CellFeatures, colour_statistics
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.places import follows_other_pictures
from napari_ore_minerals.maps.predict import classify_steps, plan
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.cam import classifier_layer
from napari_ore_minerals.models.classifier import Classifier, softmax
from napari_ore_minerals.progress import run

DARK, LIGHT = (60, 55, 50), (220, 205, 140)


@pytest.fixture(scope="module")
def classifier(micro_model: Path) -> Classifier:
    return Classifier.load(micro_model, device="cpu", precision="fp32")


def classified(classifier: Classifier, **options: int) -> tuple[MineralMap, CellFeatures]:
    """A picture whose left half is dark and whose right half is light, 6 x 8 cells of 64 px."""
    random = np.random.default_rng(0)
    rgb = np.empty((6 * 64, 8 * 64, 3))
    rgb[:, :256], rgb[:, 256:] = DARK, LIGHT
    picture = Micrograph.from_array(np.clip(rgb + random.normal(0, 8, rgb.shape), 0, 255).astype(np.uint8))
    chosen = ClassifyOptions(**options)
    features = CellFeatures(plan(picture, classifier.card, chosen))
    return run(classify_steps(picture, classifier, chosen, features=features)), features


@pytest.fixture(scope="module")
def half_and_half(classifier: Classifier) -> tuple[MineralMap, CellFeatures]:
    return classified(classifier)


def said(mineral_map: MineralMap, cells: Sequence[tuple[int, int]], code: int) -> list[Correction]:
    count = len(cells)
    found = Found(np.array(cells).reshape(-1, 2), np.full(count, code, np.uint8), np.ones(count, bool), {}, 0)
    return as_corrections(found, mineral_map, now="2026-11-23T08:00:00+00:00")


def other_than(mineral_map: MineralMap, cell: tuple[int, int]) -> int:
    """The code that the map finds least likely in a cell."""
    return mineral_map.minerals.codes[int(mineral_map.probabilities[cell].argmin())]


@pytest.mark.parametrize("stride", [64, 32])
def test_the_head_on_the_features_gives_the_probabilities(classifier: Classifier, stride: int) -> None:
    mineral_map, features = classified(classifier, stride_px=stride)
    assert features.known.all()
    cells = np.argwhere(features.known)
    seen = features._raw(cells)[:, : -colour_statistics(np.zeros((8, 8, 3), np.uint8)).size]
    head = classifier_layer(classifier.network)
    logits = seen @ head.weight.numpy().T + head.bias.numpy()
    again = softmax(logits.astype(np.float32), classifier.card.temperature)
    np.testing.assert_allclose(
        again, mineral_map.probabilities.reshape(-1, 6), atol=0.02 if stride == 64 else 1e-4
    )


def test_keeping_features_changes_nothing_in_the_map(classifier: Classifier) -> None:
    with_features, _ = classified(classifier)
    picture = Micrograph.from_array(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(OptionError, match="features are kept for"):
        run(classify_steps(picture, classifier, features=CellFeatures(with_features.grid)))
    assert classifier.predict(np.zeros((2, 32, 32, 3), np.uint8)).features is None


def test_features_on_disk_are_those_in_memory(
    classifier: Classifier, half_and_half: tuple[MineralMap, CellFeatures]
) -> None:
    mineral_map, in_memory = half_and_half
    on_disk = CellFeatures(mineral_map.grid, largest_in_memory=0)
    random = np.random.default_rng(0)
    again = CellFeatures(mineral_map.grid)
    for row, column in np.ndindex(6, 8):
        seen, pixels = (
            random.normal(size=(4, 4, 8)).astype(np.float32),
            np.full((32, 32, 3), row * 9 + column, np.uint8),
        )
        on_disk.add(row, column, seen, pixels)
        again.add(row, column, seen, pixels)
    assert isinstance(on_disk._features, np.memmap)
    np.testing.assert_array_equal(on_disk.standardised(), again.standardised())
    values = in_memory.standardised()
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)


def test_colours_as_they_are_mean_the_same_in_every_picture() -> None:
    dark, bright = np.full((32, 32, 3), 60, np.uint8), np.full((32, 32, 3), 180, np.uint8)
    kept = []
    for other in (dark, bright):
        features = CellFeatures(TileGrid(32, 64, 32, 32))
        for column, pixels in enumerate((dark + 20, other)):
            features.add(0, column, np.zeros((4, 4, 8), np.float32), pixels)
        cell = np.array([[0, 0]])
        kept.append((features.colours(cell), features.standardised(cell)))
    np.testing.assert_array_equal(kept[0][0], kept[1][0])
    assert (kept[0][1] != kept[1][1]).any()


def test_nothing_said_changes_nothing(half_and_half: tuple[MineralMap, CellFeatures]) -> None:
    mineral_map, features = half_and_half
    assert refitted_map(mineral_map, features, []) is mineral_map
    foreign = [one.model_copy(update={"picture": "f" * 64}) for one in said(mineral_map, [(0, 0)], 4)]
    assert refitted_map(mineral_map, features, foreign) is mineral_map


def test_the_like_of_a_correction_follows(half_and_half: tuple[MineralMap, CellFeatures]) -> None:
    mineral_map, features = half_and_half
    left, right = other_than(mineral_map, (0, 0)), other_than(mineral_map, (0, 7))
    new = refitted_map(
        mineral_map,
        features,
        said(mineral_map, [(0, 0), (3, 2)], left) + said(mineral_map, [(0, 7), (4, 6)], 3),
    )
    likeliest = np.array(new.minerals.codes)[new.probabilities.argmax(axis=-1)]
    assert (likeliest[:, :4] == left).all()
    assert (likeliest[:, 4:] == 3).all()
    assert right


def test_one_correction_does_not_overturn_what_is_unlike_it(
    half_and_half: tuple[MineralMap, CellFeatures],
) -> None:
    mineral_map, features = half_and_half
    sure = np.zeros_like(mineral_map.probabilities)
    sure[..., 0] = 0.002
    sure[..., 1:] = 0.001
    sure[:, :4, 3] = sure[:, 4:, 1] = 0.995
    settled = replace(mineral_map, probabilities=sure)
    new = refitted_map(settled, features, said(settled, [(2, 2)], 3))
    answers = new.probabilities.argmax(axis=-1)
    assert (answers[:, 4:] == 1).all()
    assert new.probabilities[:, :4, 2].mean() > 50 * new.probabilities[:, 4:, 2].mean()


@pytest.mark.parametrize("stride", [64, 32])
def test_the_mean_of_the_class_map_stays_the_logit(classifier: Classifier, stride: int) -> None:
    mineral_map, features = classified(classifier, stride_px=stride)
    more = with_mineral(mineral_map.minerals, name="bornite", symbol="Bn", colour="#aa3377")
    taught = said(mineral_map, [(1, 1)], 7) + said(mineral_map, [(2, 7)], 2)
    new = refitted_map(mineral_map, features, taught, minerals=more)
    side = new.places_per_cell
    places = new.class_maps.astype(np.float32).reshape(7, new.grid.rows, side, new.grid.columns, side)
    logits = np.moveaxis(places.mean(axis=(2, 4)), 0, -1)
    again = softmax(logits, new.run.temperature)
    free = np.ones(new.grid.shape, bool)
    free[1, 1] = free[2, 7] = False
    np.testing.assert_allclose(again[free], new.probabilities[free], atol=0.02)


def test_what_the_user_said_stands(half_and_half: tuple[MineralMap, CellFeatures]) -> None:
    mineral_map, features = half_and_half
    before = mineral_map.labels.copy()
    taught = said(mineral_map, [(0, 0), (0, 1)], 5) + said(mineral_map, [(0, 2)], 1)
    new = refitted_map(mineral_map, features, taught)
    assert new.labels[0, :3].tolist() == [5, 5, 1]
    assert new.confidence[0, :3].tolist() == [1, 1, 1]
    np.testing.assert_allclose(new.probabilities.sum(axis=-1), 1, atol=1e-5)
    assert areas(new)["fraction_of_picture"].sum() == pytest.approx(1)
    assert "3 corrections" in new.run.notices[-1]
    np.testing.assert_array_equal(mineral_map.labels, before)


def test_a_mineral_left_out_is_nowhere(half_and_half: tuple[MineralMap, CellFeatures]) -> None:
    mineral_map, features = half_and_half
    gone = int(mineral_map.minerals.codes[int(mineral_map.probabilities.mean(axis=(0, 1)).argmax())])
    new = refitted_map(mineral_map, features, [], minerals=without_mineral(mineral_map.minerals, gone))
    assert gone not in new.labels
    np.testing.assert_allclose(new.probabilities.sum(axis=-1), 1, atol=1e-5)
    assert new.class_maps.shape[0] == new.probabilities.shape[-1] == 5
    with pytest.raises(DatasetError, match="add these minerals"):
        refitted_map(mineral_map, features, said(mineral_map, [(0, 0)], gone), minerals=new.minerals)


def test_order_and_repetition_do_not_matter(half_and_half: tuple[MineralMap, CellFeatures]) -> None:
    mineral_map, features = half_and_half
    taught = said(mineral_map, [(0, 0), (3, 1)], 5) + said(mineral_map, [(2, 6)], 1)
    one, two = (refitted_map(mineral_map, features, part) for part in (taught, taught[::-1]))
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-4)
    np.testing.assert_array_equal(
        one.probabilities, refitted_map(mineral_map, features, taught).probabilities
    )


def test_the_span_of_few_examples_holds_the_solution() -> None:
    """With fewer examples than features the solution is that of the same examples in the few axes they span."""
    random = np.random.default_rng(0)
    narrow, axes = random.normal(size=(8, 7)), np.linalg.qr(random.normal(size=(30, 7)))[0]
    scores, classes = random.normal(size=(8, 3)), random.integers(0, 3, 8)
    wide = fitted_change(Examples((narrow @ axes.T).astype(np.float32), scores, classes))
    whole = fitted_change(Examples(narrow.astype(np.float32), scores, classes))
    np.testing.assert_allclose(wide.weights, axes @ whole.weights, atol=2e-3)
    np.testing.assert_allclose(wide.bias, whole.bias, atol=2e-3)


def test_no_freedom_is_no_change() -> None:
    random = np.random.default_rng(0)
    few = Examples(
        random.normal(size=(8, 30)).astype(np.float32), random.normal(size=(8, 3)), np.zeros(8, np.intp)
    )
    stiff = fitted_change(few, RefitOptions(freedom=1e-9, bias_freedom=1e-9))
    assert abs(stiff.of(few.values)).max() < 1e-6


def test_other_pictures_are_followed_first_and_this_one_last(
    half_and_half: tuple[MineralMap, CellFeatures],
) -> None:
    mineral_map, features = half_and_half
    lesson = examples_of(
        mineral_map, features, said(mineral_map, [(r, c) for r in range(6) for c in range(4)], 2)
    )
    assert len(balanced([lesson, lesson], each=12).classes) == 12
    assert learnt_elsewhere([]) is None
    earlier = learnt_elsewhere([lesson])
    new = refitted_map(mineral_map, features, [], earlier=earlier)
    assert (new.probabilities[:, :4].argmax(axis=-1) == 1).all()
    assert follows_other_pictures(new)
    right = refitted_map(mineral_map, features, said(mineral_map, [(2, 7)], 4), earlier=earlier)
    assert (right.probabilities[:, :4].argmax(axis=-1) == 1).all()
    assert (right.probabilities[:, 4:].argmax(axis=-1) == 3).all()
    against = refitted_map(mineral_map, features, said(mineral_map, [(0, 0)], 5), earlier=earlier)
    assert (against.probabilities[:, :4].argmax(axis=-1) == 4).all(), "what is said here outweighs it"
    free = refitted_map(mineral_map, features, said(mineral_map, [(0, 0)], 5))
    assert not follows_other_pictures(free)


def test_the_review_asks_about_unlike_cells(half_and_half: tuple[MineralMap, CellFeatures]) -> None:
    mineral_map, features = half_and_half
    review, sides = Review(), []
    for _ in range(4):
        cell = next_cell(mineral_map, features, review)
        assert cell is not None
        assert cell == next_cell(mineral_map, features, review)
        sides.append(cell.column < 4)
        review = review.asking(cell).accept(4)
    assert set(sides[:2]) == {True, False}
    assert len(review.seen) == 4


def test_the_review_ends_and_does_not_repeat_itself(half_and_half: tuple[MineralMap, CellFeatures]) -> None:
    mineral_map, features = half_and_half
    review, painted = Review(), frozenset({Cell(0, 0), Cell(99, 99)})
    while (cell := next_cell(mineral_map, features, review, corrected=painted)) is not None:
        assert cell not in review.seen | painted
        review = review.asking(cell).skip()
    assert len(review.seen) == 47


def test_undo_gives_back_every_state() -> None:
    states = [Review().asking(Cell(0, 0))]
    steps = (lambda r: r.accept(4), lambda r: r.choose(2), lambda r: r.skip())
    for number, step in enumerate(steps, start=1):
        states.append(step(states[-1]).asking(Cell(number, 0)))
    assert states[-1].taught == {Cell(0, 0): 4, Cell(1, 0): 2}
    assert states[-1].confirmed == {Cell(0, 0)}
    current = states[-1]
    for expected in reversed(states[:-1]):
        current = current.undo()
        assert current == expected
    assert current.undo() == current
    with pytest.raises(OptionError, match="no cell"):
        Review().accept(4)
    with pytest.raises(OptionError, match="no code"):
        states[0].choose(0)
