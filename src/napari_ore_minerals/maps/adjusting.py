"""What the classifier's own errors do to area fractions, and how fractions are adjusted for them.

Two cases, told apart by where the known answers come from.  Cells of *this* map that were drawn at
random and checked: the estimator of Olofsson et al. (2014, Remote Sensing of Environment 148, 42-57),
`olofsson`.  Pictures that the model was measured on, in its card: there minerals are not as frequent as
here, so only how a *true* mineral is answered carries over.  `adjusted` finds the fractions that would be
answered as they were (Saerens et al. 2002, Neural Computation 14, 21-41), and `Reference.variance` says how
far the answers of one picture stray from the truth, since the errors within a picture are alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.card import ModelCard

_ROUNDS = 2000
_SETTLED = 1e-10


@dataclass(frozen=True)
class Reference:
    """How a model answers each true mineral in pictures whose truth is known.

    Attributes
    ----------
    answers : (minerals, minerals) float64 array
        Mean answer to each true mineral, a row each; rows add up to 1. A mineral that no picture
        shows is answered rightly, for want of better.
    spread : (minerals, minerals, minerals) float64 array
        For each true mineral, mean square and products of how far a picture's answer is from the truth.
    pictures : (minerals,) float64 array
        Effective number of pictures that show each mineral; 0 where none does.
    what : str
        Which pictures.
    """

    answers: NDArray[np.float64]
    spread: NDArray[np.float64]
    pictures: NDArray[np.float64]
    what: str

    @classmethod
    def of(cls, matrices: NDArray[np.floating], what: str = "") -> Reference:
        """From tables of (pictures, true, answered) shares of the area of each picture.

        Pictures weigh as much as they show of a mineral.
        """
        classes = matrices.shape[1]
        answers, spread, pictures = np.eye(classes), np.zeros((classes,) * 3), np.zeros(classes)
        for true in range(classes):
            shown = matrices[:, true].sum(axis=1)
            seen = shown > 0
            if not seen.any():
                continue
            weights = shown[seen] / shown.sum()
            answered = matrices[seen, true] / shown[seen, None]
            answers[true] = weights @ answered
            wrong = answered - np.eye(classes)[true]
            spread[true] = np.einsum("k,ki,kj->ij", weights, wrong, wrong)
            pictures[true] = 1.0 / float((weights**2).sum())
        return cls(answers, spread, pictures, what)

    @classmethod
    def from_card(cls, card: ModelCard, minerals: MineralTable) -> Reference | None:
        """From a card, for the minerals of a map; None where it does not say, or minerals were added since."""
        names = [mineral.name for mineral in card.minerals]
        if card.confusion is None or not {mineral.name for mineral in minerals} <= set(names):
            return None
        order = [names.index(mineral.name) for mineral in minerals]
        matrices = card.confusion.matrices()[:, order][:, :, order]
        return cls.of(matrices[matrices.sum(axis=(1, 2)) > 0], card.confusion.what)

    def variances(self, shares: NDArray[np.floating], gradient: NDArray[np.floating]) -> NDArray[np.float64]:
        """Variance of a figure by what the classifier confuses, one part for each true mineral.

        Parameters
        ----------
        shares : (minerals,) float array
            Of the area that the classifier answered for.
        gradient : (minerals,) float array
            How much the figure changes with each share.

        Returns
        -------
        (minerals,) float64 array
            They add up, since the errors of different minerals are taken as independent.
        """
        products = np.einsum("i,tij,j->t", gradient, self.spread, gradient)
        found: NDArray[np.float64] = shares**2 * np.maximum(products, 0.0)
        return found


def adjusted(mapped: NDArray[np.floating], answers: NDArray[np.floating]) -> NDArray[np.float64]:
    """Fractions of the true minerals that would be mapped as they were.

    Parameters
    ----------
    mapped : (minerals,) float array
        Mapped fractions.
    answers : (minerals, minerals) float array
        Mean answer (columns) to each true mineral (rows); rows add up to 1.

    Returns
    -------
    (minerals,) float64 array
        Likeliest fractions, none below 0; they add up to the same as `mapped`.
    """
    total = float(mapped.sum())
    if total <= 0:
        return np.zeros(len(mapped))
    target, found = mapped / total, np.full(len(mapped), 1.0 / len(mapped))
    for _ in range(_ROUNDS):
        expected = found @ answers
        better = found * (
            answers @ np.divide(target, expected, out=np.zeros_like(expected), where=expected > 0)
        )
        settled = float(np.abs(better - found).max()) < _SETTLED
        found = better
        if settled:
            break
    result: NDArray[np.float64] = total * found / found.sum()
    return result


def olofsson(
    mapped: NDArray[np.floating], checked: NDArray[np.integer] | Sequence[Sequence[int]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fractions adjusted by cells of this map that were drawn at random within each mapped class and checked.

    Parameters
    ----------
    mapped : (classes,) float array
        Mapped fractions; they add up to 1.
    checked : (classes, classes) int array
        Number of checked cells, mapped class by row, true class by column.

    Returns
    -------
    fractions, errors : (classes,) float64 arrays
        Olofsson et al. (2014), equations 9 and 10. The error is NaN where a mapped class has fewer than
        two checked cells.
    """
    counts = np.asarray(checked, float)
    rows = counts.sum(axis=1)
    shares = np.divide(counts, rows[:, None], out=np.eye(len(counts)), where=rows[:, None] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = (mapped**2)[:, None] * shares * (1 - shares) / (rows - 1)[:, None]
    needed = mapped > 0
    variances[(rows < 2) & needed] = np.nan
    return mapped @ shares, np.sqrt(variances[needed].sum(axis=0))
