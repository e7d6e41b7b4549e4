"""How far a model's own head moves when it is taught: penalised logistic regression on few examples.

The unknowns are the *change* of the head, which the penalty pulls towards none: a Gaussian prior with
the head as its mean.  Nothing here knows of maps or pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from napari_ore_minerals.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RefitOptions:
    """How far corrections may move the head.

    Attributes
    ----------
    freedom : float
        Prior variance of the change along features and colours; chosen on photographs of LumenStone.
    bias_freedom : float
        Prior variance of the change of a mineral's bias, which all cells share.
    """

    freedom: float = 10.0
    bias_freedom: float = 10.0


class Examples(NamedTuple):
    """Cells of which it is known what they are.

    Attributes
    ----------
    values : (n, d) float32 array
        As `CellFeatures.standardised` gives them; where there is a memory of other pictures, `CellFeatures.colours`
        beside them.
    scores : (n, minerals) float64 array
        The model's own log probabilities.
    classes : (n,) int array
        Index of the mineral in the table.
    """

    values: NDArray[np.float32]
    scores: NDArray[np.float64]
    classes: NDArray[np.intp]


AS_MEASURED = RefitOptions()


@dataclass(frozen=True)
class HeadChange:
    """How the head has moved: ``of`` tells by how much the log probabilities of cells change, up to a constant.

    Attributes
    ----------
    weights : (d, minerals) float64 array
    bias : (minerals,) float64 array
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Change of the scores of cells, (n, minerals)."""
        moved: NDArray[np.float64] = values @ self.weights.astype(np.float32) + self.bias
        return moved


def fitted_change(
    examples: Examples, options: RefitOptions = AS_MEASURED, targets: NDArray[np.float64] | None = None
) -> HeadChange:
    """Fit the change of the head to examples; float64, L-BFGS, the same answer every time.

    With `targets`, (n, minerals) shares of each example times its weight, these are fitted and not the classes.

    The solution lies in the span of the examples, so a few corrections cost a few unknowns; along their
    principal axes it is found in few steps.

    Raises
    ------
    TrainingError
        If a value is not finite.
    """
    values, scores = examples.values.astype(np.float64), examples.scores
    count, minerals = scores.shape
    if not count:
        return HeadChange(np.zeros((values.shape[1], minerals)), np.zeros(minerals))
    scaled = np.concatenate(
        [values * np.sqrt(options.freedom), np.full((count, 1), np.sqrt(options.bias_freedom))], axis=1
    )
    if not np.isfinite(scaled).all() or not np.isfinite(scores).all():
        raise TrainingError("features or answers of the corrected cells are not finite: classify again")
    truth = np.eye(minerals)[examples.classes] if targets is None else targets
    with threadpool_limits(1, user_api="blas"):  # threads would wait for each other on a busy computer
        axes, curvature = _principal_axes(scaled * np.sqrt(truth.sum(axis=1, keepdims=True)))
        change = axes @ _solved(scaled @ axes, curvature, scores, truth)
    return HeadChange(change[:-1] * np.sqrt(options.freedom), change[-1] * np.sqrt(options.bias_freedom))


def _principal_axes(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal axes of the span of the rows, (d, r), and the sum of squares along each, (r,)."""
    count, width = values.shape
    if count >= width:
        squares, axes = np.linalg.eigh(values.T @ values)
        return axes, np.maximum(squares, 0)
    squares, mixed = np.linalg.eigh(values @ values.T)
    kept = squares > 1e-10 * squares[-1]
    return values.T @ mixed[:, kept] / np.sqrt(squares[kept]), squares[kept]


def _solved(
    values: NDArray[np.float64],
    curvature: NDArray[np.float64],
    scores: NDArray[np.float64],
    truth: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Minimise cross-entropy + half the squared unknowns: (axes, minerals).

    Steps are scaled by the largest curvature that the loss can have along each axis
    (Boehning 1992, Annals of the Institute of Statistical Mathematics 44, 197-200).
    """
    shape = (values.shape[1], scores.shape[1])
    weights = truth.sum(axis=1, keepdims=True)
    step = 1 / np.sqrt(1 + curvature / 2)[:, np.newaxis]
    scaled = values * step.T

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        unknowns = flat.reshape(shape)
        logs = log_softmax(scores + scaled @ unknowns)
        misses = np.exp(logs) * weights - truth
        total = -(logs * truth).sum() + 0.5 * ((step * unknowns) ** 2).sum()
        return float(total), (scaled.T @ misses + step**2 * unknowns).ravel()

    limits = {"maxiter": 100, "ftol": 1e-9, "gtol": 1e-4}
    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=limits)
    solution: NDArray[np.float64] = step * found.x.reshape(shape)
    return solution


def balanced(examples: Sequence[Examples], *, each: int = 400, seed: int = 0) -> Examples:
    """Join examples, all in the same table: at most `each` of a mineral, drawn with a seed."""
    joined = Examples(*(np.concatenate(parts) for parts in zip(*examples, strict=True)))
    random = np.random.default_rng(seed)
    chosen = [
        np.sort(random.permutation(np.flatnonzero(joined.classes == index))[:each])
        for index in np.unique(joined.classes)
    ]
    rows = np.concatenate(chosen) if chosen else np.zeros(0, np.intp)
    return Examples(joined.values[rows], joined.scores[rows], joined.classes[rows])


def log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the softmax over the last axis, without overflow."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs
