"""Metrics of a classifier: pure functions of labels, probabilities and shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_ore_minerals.minerals import MineralTable

CALIBRATION_BINS = 15
LEAST_PROBABILITY = 1e-7  # what float32 can tell from 0 beside 1; a forest says 0 where it has seen nothing


@dataclass(frozen=True)
class ClassScore:
    """How well one class is found.

    Attributes
    ----------
    precision, recall, f1 : float
        0 to 1; 0 where a ratio has nothing to divide by.
    support : int
        Number of samples that truly are of the class.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """What a classifier does on samples whose class is known.

    Attributes
    ----------
    minerals : MineralTable
    confusion : (classes, classes) int array
        True class by row, predicted class by column, in the order of `minerals`.
    scores : tuple of ClassScore
        In the order of `minerals`.
    calibration_error : float
        Expected calibration error, see `expected_calibration_error`.
    cross_entropy : float
        Mean negative log likelihood of the true class, in nats.
    """

    minerals: MineralTable
    confusion: NDArray[np.int64]
    scores: tuple[ClassScore, ...]
    calibration_error: float
    cross_entropy: float

    @property
    def accuracy(self) -> float:
        """Share of samples whose class is found."""
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that have samples."""
        return balanced_accuracy(self.confusion)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that have samples."""
        return float(np.mean([score.f1 for score in self.scores if score.support]))

    @property
    def macro_precision(self) -> float:
        """Mean precision over the classes that have samples."""
        return float(np.mean([score.precision for score in self.scores if score.support]))


def evaluate(truth: ArrayLike, probabilities: NDArray[np.floating], minerals: MineralTable) -> Evaluation:
    """Compare probabilities with the truth.

    Parameters
    ----------
    truth : (n,) ints
        Index of the true class of each sample.
    probabilities : (n, classes) float array
    minerals : MineralTable
        The classes, in the order of the columns.

    Raises
    ------
    DatasetError
        If there are no samples or the shapes do not fit.
    """
    known = np.asarray(truth, dtype=np.int64)
    if probabilities.shape != (len(known), len(minerals)) or not len(known):
        raise DatasetError(
            f"evaluation needs at least one sample and probabilities of shape ({len(known)}, {len(minerals)}), "
            f"not {probabilities.shape}"
        )
    confusion = confusion_matrix(known, probabilities.argmax(axis=1), len(minerals))
    return Evaluation(
        minerals,
        confusion,
        class_scores(confusion),
        expected_calibration_error(known, probabilities),
        float(losses(known, probabilities).mean()),
    )


def losses(truth: NDArray[np.int64], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Negative log likelihood of the true class of each sample, (n,), in nats; at most about 16."""
    likely = probabilities[np.arange(len(truth)), truth].astype(float)
    found: NDArray[np.float64] = -np.log(np.maximum(likely, LEAST_PROBABILITY))
    return found


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count pairs: (classes, classes), true class by row, predicted class by column."""
    pairs = np.asarray(truth, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def class_scores(confusion: NDArray[np.int64]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of each class of a confusion matrix."""
    found = np.diag(confusion).astype(float)
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    precision, recall = found / np.maximum(predicted, 1), found / np.maximum(true, 1)
    f1 = 2.0 * found / np.maximum(predicted + true, 1)
    return tuple(
        ClassScore(float(p), float(r), float(f), int(n))
        for p, r, f, n in zip(precision, recall, f1, true, strict=True)
    )


def balanced_accuracy(confusion: NDArray[np.int64]) -> float:
    """Mean recall over the classes that have samples; the chance level is 1 / number of classes."""
    true = confusion.sum(axis=1)
    return float((np.diag(confusion)[true > 0] / true[true > 0]).mean()) if true.any() else 0.0


def expected_calibration_error(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], bins: int = CALIBRATION_BINS
) -> float:
    """Mean distance of confidence from accuracy over bins of equal width (Guo et al. 2017, ICML, 1321-1330).

    Parameters
    ----------
    truth : (n,) int array
    probabilities : (n, classes) float array
    bins
        Number of bins between 0 and 1.
    """
    confidence = probabilities.max(axis=1).astype(float)
    right = (probabilities.argmax(axis=1) == truth).astype(float)
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(index, confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(truth), 1))


def area_error(
    true_shares: NDArray[np.floating], found_shares: NDArray[np.floating], groups: NDArray[np.int64]
) -> float:
    """Mean distance, over photographs and classes, of the found from the true area share.

    Parameters
    ----------
    true_shares, found_shares : (n, classes) float arrays
        Shares of each class in each tile; tiles of one photograph are of the same size.
    groups : (n,) int array
        Photograph of each tile.

    Returns
    -------
    float
        0 to 1; times 100 it is in percentage points.
    """
    differences = found_shares.astype(float) - true_shares.astype(float)
    means = [np.abs(differences[groups == group].mean(axis=0)) for group in np.unique(groups)]
    return float(np.mean(means)) if means else 0.0


def grouped_interval(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    groups: NDArray[np.int64],
    random: np.random.Generator,
    draws: int = 2000,
) -> tuple[float, float]:
    """95 % interval of the balanced accuracy by the percentile bootstrap over photographs.

    Parameters
    ----------
    truth, predicted : (n,) int arrays
        Class indices.
    groups : (n,) int array
        Photograph of each tile; photographs are drawn, never tiles, which are alike within one.
    random
        Draws the photographs.
    draws
        Number of bootstrap samples.
    """
    classes = int(max(truth.max(), predicted.max())) + 1
    found = np.unique(groups)
    tables = np.stack(
        [confusion_matrix(truth[groups == group], predicted[groups == group], classes) for group in found]
    )
    values = [
        balanced_accuracy(tables[random.integers(0, len(found), len(found))].sum(axis=0))
        for _ in range(draws)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def confident_from(truth: NDArray[np.int64], probabilities: NDArray[np.floating], precision: float) -> float:
    """Return the least confidence from which at least the share `precision` of predictions is right.

    Parameters
    ----------
    truth : (n,) int array
    probabilities : (n, classes) float array
    precision
        Wanted accuracy of the predictions that are kept, 0 to 1.

    Returns
    -------
    float
        0 if all predictions together reach it; 1 if none do.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == truth)[order]
    reached = np.cumsum(right) / np.arange(1, len(right) + 1) >= precision
    if not reached.any():
        return 1.0
    last = int(np.flatnonzero(reached)[-1])
    return 0.0 if last == len(right) - 1 else float(confidence[order][last])
