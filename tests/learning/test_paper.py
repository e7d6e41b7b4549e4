"""The printed figures, and that our definitions are the ones they were computed with."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ore_minerals.learning import paper
from napari_ore_minerals.learning.evaluation import class_scores
from napari_ore_minerals.minerals import PAPER_MINERALS

HALF = 0.0051  # of the last printed decimal


def test_minerals_and_tiles_are_complete():
    assert tuple(mineral.name for mineral in PAPER_MINERALS) == paper.MINERALS
    assert [sum(counts) for counts in paper.TILES.values()] == [2713, 905, 906]
    assert 7 * sum(paper.TILES["training"]) == paper.TRAINING_AFTER_AUGMENTATION


@pytest.mark.parametrize("model", paper.PRINTED.values(), ids=lambda model: model.title)
def test_printed_accuracy_is_the_share_of_all_tiles_and_f1_the_harmonic_mean(model: paper.PrintedModel):
    """Recall weighted by the tiles of each mineral gives the printed accuracy."""
    recall = np.array([model.scores[name].recall for name in paper.MINERALS])
    assert np.average(recall, weights=paper.TILES["test"]) == pytest.approx(model.accuracy, abs=2 * HALF)
    for score in model.scores.values():
        f1 = [
            2 * p * r / (p + r)
            for p in (score.precision - HALF, score.precision + HALF)
            for r in (score.recall - HALF, score.recall + HALF)
        ]
        assert min(f1) - HALF <= score.f1 <= max(f1) + HALF


@pytest.mark.parametrize("model", paper.PRINTED.values(), ids=lambda model: model.title)
def test_our_definitions_give_the_printed_figures(model: paper.PrintedModel):
    """A confusion matrix with the printed recalls and column sums has the printed precision and F1."""
    true = np.array(paper.TILES["test"], dtype=float)
    printed = [model.scores[name] for name in paper.MINERALS]
    right = np.round(true * [score.recall for score in printed])
    wrong_answers = right / [score.precision for score in printed] - right
    for index, score in enumerate(printed):
        others = true.sum() - true[index]
        two = np.array(
            [
                [right[index], true[index] - right[index]],
                [wrong_answers[index], others - wrong_answers[index]],
            ]
        )
        found = class_scores(two.round().astype(np.int64))[0]
        assert found.precision == pytest.approx(score.precision, abs=0.01)
        assert found.recall == pytest.approx(score.recall, abs=0.01)
        assert found.f1 == pytest.approx(score.f1, abs=0.011)
