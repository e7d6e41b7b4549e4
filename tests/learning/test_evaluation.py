from __future__ import annotations

import numpy as np
import pytest

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.evaluation import (
    area_error,
    balanced_accuracy,
    class_scores,
    confident_from,
    confusion_matrix,
    evaluate,
    expected_calibration_error,
    grouped_interval,
)
from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable

THREE = MineralTable.of(list(DEFAULT_MINERALS)[:3])


def test_confusion_scores_and_accuracies_worked_by_hand():
    truth, predicted = [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]
    confusion = confusion_matrix(truth, predicted, 3)
    assert confusion.tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 0]]
    first, second, third = class_scores(confusion)
    assert (first.precision, first.recall, first.f1, first.support) == (0.75, 0.75, 0.75, 4)
    assert (second.precision, second.recall, second.f1, second.support) == (0.5, 0.5, 0.5, 2)
    assert (third.precision, third.recall, third.f1, third.support) == (0.0, 0.0, 0.0, 0)
    assert balanced_accuracy(confusion) == pytest.approx(0.625)  # the class without samples is left out


def test_evaluation_agrees_with_scikit_learn():
    from sklearn import metrics

    random = np.random.default_rng(0)
    truth, probabilities = random.integers(0, 3, 200), random.dirichlet([1, 1, 1], 200)
    found, predicted = evaluate(truth, probabilities, THREE), probabilities.argmax(axis=1)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    precision = metrics.precision_score(truth, predicted, average="macro", zero_division=0)
    assert found.macro_precision == pytest.approx(precision)
    assert found.cross_entropy == pytest.approx(metrics.log_loss(truth, probabilities))


def test_calibration_error_worked_by_hand():
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    truth = np.array([0] * 8 + [1] * 2 + [0] * 6 + [1] * 4)
    assert expected_calibration_error(truth, probabilities) == pytest.approx(0.05)


def test_a_class_that_was_held_impossible_costs_much_but_not_all():
    found = evaluate([0, 1], np.array([[1.0, 0.0], [1.0, 0.0]]), MineralTable.of(list(THREE)[:2]))
    assert found.cross_entropy == pytest.approx(8.06, abs=0.01)


def test_area_error_is_that_of_photographs_not_of_tiles():
    true = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    found = np.array([[0.0, 1.0], [1.0, 0.0], [0.7, 0.3]])
    # errors of the two tiles of the first photograph cancel; the second is off by 0.2 in both classes
    assert area_error(true, found, np.array([0, 0, 1])) == pytest.approx(0.1)


def test_interval_holds_the_estimate_and_narrows_with_photographs():
    def width(photographs: int) -> float:
        random = np.random.default_rng(1)
        truth = random.integers(0, 3, photographs * 10)
        predicted = np.where(random.random(len(truth)) < 0.8, truth, (truth + 1) % 3)
        low, high = grouped_interval(truth, predicted, np.arange(len(truth)) // 10, random, draws=300)
        assert low < balanced_accuracy(confusion_matrix(truth, predicted, 3)) < high
        return high - low

    assert width(80) < width(5)


def test_confidence_from_which_predictions_can_be_trusted():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    truth = np.array([0, 0, 1, 1])
    assert confident_from(truth, probabilities, 0.6) == pytest.approx(0.7)
    assert confident_from(truth, probabilities, 1.0) == pytest.approx(0.8)
    assert confident_from(truth, probabilities, 0.5) == 0.0
    assert confident_from(1 - truth, probabilities, 0.9) == 1.0


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DatasetError, match="at least one sample"):
        evaluate([], np.zeros((0, 3)), THREE)
    with pytest.raises(DatasetError, match="shape"):
        evaluate([0, 1], np.zeros((2, 4)), THREE)
