"""Learning from cells beside the rest of their photograph."""

import numpy as np
import pytest
from pydantic import ValidationError

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.anchoring import CellColours
from napari_ore_minerals.learning.anchored import AnchoredOptions, LabelledCells, train_anchored

QUICK = AnchoredOptions(crops=2, networks=2, hidden=16, epochs=40, exposure=0.0, balance=0.0)


def photograph(light: float, seed: int) -> LabelledCells:
    """Gangue, a mineral and another half as bright again; the light makes either of one brightness."""
    random = np.random.default_rng(seed)
    classes = random.permutation(np.arange(48) % 3).reshape(6, 8)
    levels = np.array([25.0, 80.0, 120.0])[classes] * light
    rgb = np.kron(levels, np.ones((16, 16)))[..., None] + random.normal(0, 2, (96, 128, 3))
    return LabelledCells(
        CellColours.of(np.clip(rgb, 0, 255).astype(np.uint8), 16), np.eye(3, dtype=np.float32)[classes]
    )


LEARNT = [photograph(light, seed) for seed, light in enumerate(np.linspace(0.7, 1.6, 8))]
HELD_OUT = [photograph(light, seed) for seed, light in enumerate((0.8, 1.0, 1.2, 1.5), start=20)]


def share_right(classifier, photographs) -> float:
    right = [
        classifier.probabilities(p.colours).argmax(axis=2) == p.shares.argmax(axis=2) for p in photographs
    ]
    return float(np.mean(right))


def test_minerals_that_only_their_photograph_tells_apart_are_told_apart():
    anchored = train_anchored(LEARNT, QUICK.model_copy(update={"look": "anchored"}))
    absolute = train_anchored(LEARNT, QUICK.model_copy(update={"look": "absolute"}))
    assert share_right(anchored, HELD_OUT) > 0.95
    assert share_right(absolute, HELD_OUT) < 0.9


def test_probabilities_add_up_to_one():
    found = train_anchored(LEARNT, QUICK).probabilities(HELD_OUT[0].colours)
    assert found.shape == (6, 8, 3)
    np.testing.assert_allclose(found.sum(axis=2), 1.0, atol=1e-5)


def test_the_same_seed_gives_the_same_answers_and_another_seed_others():
    answers = [
        train_anchored(LEARNT[:3], QUICK.model_copy(update={"seed": seed})).probabilities(HELD_OUT[0].colours)
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert (answers[0] != answers[2]).any()


def test_cells_of_more_than_one_mineral_are_not_learnt_from():
    mixed = [LabelledCells(p.colours, np.full_like(p.shares, 1 / 3)) for p in LEARNT[:2]]
    with pytest.raises(DatasetError, match="0 cells of 0 are at least 95%"):
        train_anchored(mixed, QUICK)


def test_one_photograph_is_not_enough():
    with pytest.raises(DatasetError, match="at least two photographs with masks, not 1"):
        train_anchored(LEARNT[:1], QUICK)


def test_options_out_of_bounds_are_refused():
    with pytest.raises(ValidationError):
        AnchoredOptions(networks=0)
