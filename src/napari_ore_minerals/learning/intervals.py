"""95 % intervals of every figure by the percentile bootstrap over photographs.

Tiles of one photograph are alike, so photographs are drawn, never tiles (Davison
and Hinkley 1997, Bootstrap Methods and Their Application, section 3.8).  With few
photographs such intervals are too narrow; `FEW_PHOTOGRAPHS` is where to say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from .evaluation import CALIBRATION_BINS, losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import MineralTable

DRAWS = 2000
FEW_PHOTOGRAPHS = 10
QUANTILES = (0.025, 0.975)
HEADLINES = (
    "accuracy",
    "balanced accuracy",
    "macro precision",
    "macro recall",
    "macro F1",
    "cross entropy",
    "calibration error",
)
FIGURES = ("precision", "recall", "F1")
COLUMNS = ("figure", "mineral", "value", "low", "high", "tiles", "photographs")

Figures = dict[tuple[str, str], "NDArray[np.float64]"]


class Tallies(NamedTuple):
    """Sums from which every figure follows, one row a photograph or a draw of photographs.

    Attributes
    ----------
    confusion : (rows, classes, classes) float array
    losses : (rows,) float array
    gaps : (rows, bins) float array
        Confidence minus correctness, by bin of confidence.
    """

    confusion: NDArray[np.float64]
    losses: NDArray[np.float64]
    gaps: NDArray[np.float64]

    def drawn(self, weights: NDArray[np.float64]) -> Tallies:
        """Sums over photographs, each counted as often as `weights` (draws, photographs) say."""
        return Tallies(*(np.tensordot(weights, values, axes=1) for values in self))


def tallies(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], groups: NDArray[np.int64]
) -> Tallies:
    """Sum up each photograph.

    Parameters
    ----------
    truth : (n,) int array
    probabilities : (n, classes) float array
    groups : (n,) int array
        Photograph of each tile.
    """
    classes, found = probabilities.shape[1], np.unique(groups)
    row = np.searchsorted(found, groups)
    confidence, answer = probabilities.max(axis=1).astype(float), probabilities.argmax(axis=1)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps, confusion = np.zeros((len(found), CALIBRATION_BINS)), np.zeros((len(found), classes, classes))
    np.add.at(gaps, (row, bins), confidence - (answer == truth))
    np.add.at(confusion, (row, truth, answer), 1.0)
    lost = np.bincount(row, losses(truth, probabilities), minlength=len(found)).astype(float)
    return Tallies(confusion, lost, gaps)


def figures_of(sums: Tallies, minerals: MineralTable) -> Figures:
    """Compute every figure of each row of `sums`, by name of figure and mineral ("" for all).

    Averages are over the minerals that have tiles; figures of a mineral without tiles are NaN.
    """
    confusion = sums.confusion
    right, count = np.einsum("rcc->rc", confusion), np.maximum(confusion.sum(axis=(1, 2)), 1.0)
    true, answered = confusion.sum(axis=2), confusion.sum(axis=1)
    present = true > 0
    by_mineral = {
        "precision": right / np.maximum(answered, 1.0),
        "recall": right / np.maximum(true, 1.0),
        "F1": 2.0 * right / np.maximum(true + answered, 1.0),
    }
    with_tiles = np.maximum(present.sum(axis=1), 1)
    means = {name: (values * present).sum(axis=1) / with_tiles for name, values in by_mineral.items()}
    found: Figures = {
        ("accuracy", ""): right.sum(axis=1) / count,
        ("balanced accuracy", ""): means["recall"],
        **{(f"macro {name}", ""): values for name, values in means.items()},
        ("cross entropy", ""): sums.losses / count,
        ("calibration error", ""): np.abs(sums.gaps).sum(axis=1) / count,
    }
    for index, mineral in enumerate(minerals):
        for name, values in by_mineral.items():
            found[name, mineral.name] = np.where(present[:, index], values[:, index], np.nan)
    return found


def table_of_figures(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    groups: NDArray[np.int64],
    minerals: MineralTable,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Every figure with its 95 % interval over photographs.

    Parameters
    ----------
    truth : (n,) int array
        Index of the true class.
    probabilities : (n, classes) float array
    groups : (n,) int array
        Photograph of each tile.
    minerals
        The classes.
    seed, draws
        Of the bootstrap.

    Returns
    -------
    DataFrame
        ``figure``, ``mineral`` ("" for all), ``value``, ``low``, ``high``, ``tiles``, ``photographs``; the
        interval is NaN where fewer than two photographs show the mineral.
    """
    of_photographs = tallies(truth, probabilities, groups)
    photographs = len(of_photographs.losses)
    values = figures_of(of_photographs.drawn(np.ones((1, photographs))), minerals)
    spread = figures_of(of_photographs.drawn(_weights(photographs, seed, draws)), minerals)
    shown = (of_photographs.confusion.sum(axis=2) > 0).sum(axis=0)
    tiles = np.bincount(truth, minlength=len(minerals))
    support = {m.name: (int(tiles[i]), int(shown[i])) for i, m in enumerate(minerals)}
    support[""] = (len(truth), photographs)
    rows = []
    for (figure, mineral), value in values.items():
        ends = _ends(spread[figure, mineral]) if support[mineral][1] > 1 else (np.nan, np.nan)
        rows.append((figure, mineral, float(value[0]), *ends, *support[mineral]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def difference(
    truth: NDArray[np.int64],
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    groups: NDArray[np.int64],
    *,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Balanced accuracy of one model less that of another on the same tiles, with its 95 % interval.

    Photographs are drawn for both at once, so that what is hard for both cancels.

    Parameters
    ----------
    truth : (n,) int array
    first, second : (n, classes) float arrays
        Probabilities of the two models.
    groups : (n,) int array
        Photograph of each tile.

    Returns
    -------
    value, low, high : float
    """
    both = [tallies(truth, probabilities, groups) for probabilities in (first, second)]
    photographs = len(both[0].losses)
    every, drawn = np.ones((1, photographs)), _weights(photographs, seed, DRAWS)
    values, spread = (
        np.subtract(*(_balanced(part.drawn(weights)) for part in both)) for weights in (every, drawn)
    )
    low, high = _ends(spread) if photographs > 1 else (np.nan, np.nan)
    return float(values[0]), low, high


def ratio(
    counted: NDArray[np.bool_], among: NDArray[np.bool_], groups: NDArray[np.int64], *, seed: int = 0
) -> tuple[float, float, float]:
    """Share of the tiles `among` that are `counted`, with its 95 % interval over photographs.

    Returns
    -------
    value, low, high : float
        NaN where there is nothing to divide by, or fewer than two photographs.
    """
    row = np.unique(groups, return_inverse=True)[1]
    sums = np.stack([np.bincount(row, counted & among), np.bincount(row, among)])
    photographs = sums.shape[1]
    with np.errstate(invalid="ignore"):
        value = np.divide(*sums.sum(axis=1))
        spread = np.divide(*(_weights(photographs, seed, DRAWS) @ sums.T).T)
    low, high = _ends(spread) if photographs > 1 else (np.nan, np.nan)
    return float(value), low, high


def _balanced(sums: Tallies) -> NDArray[np.float64]:
    right, true = np.einsum("rcc->rc", sums.confusion), sums.confusion.sum(axis=2)
    found: NDArray[np.float64] = (right / np.maximum(true, 1.0)).sum(axis=1) / (true > 0).sum(axis=1)
    return found


def _weights(photographs: int, seed: int, draws: int) -> NDArray[np.float64]:
    chances = np.full(photographs, 1.0 / photographs)
    counts = np.random.default_rng(seed).multinomial(photographs, chances, size=draws)
    return counts.astype(float)


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, QUANTILES)
    return float(low), float(high)
