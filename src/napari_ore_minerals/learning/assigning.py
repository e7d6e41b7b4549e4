"""Whole groups put into parts, so that each part has its share of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MISSING = 100.0  # an absent class is worse than any imbalance
_STARTS = 24
_GOOD = 1e-4  # every class within about half a percent of its share
_MOST_EXCHANGED = 300
_TRIED_ALL = 14  # groups of which every choice is tried


def assign(
    counts: NDArray[np.float64], shares: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Put groups into parts so that each part has its share of each class, as nearly as whole groups allow.

    Groups are placed one by one where they help most, in several random orders; then single groups
    move, and pairs change places, as long as that helps.

    Parameters
    ----------
    counts : (groups, classes) float array
        Tiles.
    shares : (parts,) float array
        Adds up to 1.
    random
        Draws the orders.

    Returns
    -------
    (groups,) int array
        Part of each group.
    """
    weights = counts / np.maximum(counts.sum(axis=0), 1.0)
    present = weights[:, counts.sum(axis=0) > 0]
    best, least = np.zeros(len(counts), dtype=np.int64), np.inf
    for _ in range(_STARTS):
        order = np.argsort(-present.sum(axis=1) * random.uniform(0.5, 1.5, len(counts)))
        parts = _improved(_greedy(present, shares, order), present, shares)
        cost = _cost(_sums(parts, present, len(shares)), shares)
        if cost < least - 1e-12:
            best, least = parts, float(cost)
        if least < _GOOD:
            break
    return best


def _greedy(
    weights: NDArray[np.float64], shares: NDArray[np.float64], order: NDArray[np.intp]
) -> NDArray[np.int64]:
    parts = np.zeros(len(weights), dtype=np.int64)
    sums = np.zeros((len(shares), weights.shape[1]))
    for group in order:
        short = np.maximum(shares[:, None] - sums, 0.0) / shares[:, None]
        parts[group] = int((short * weights[group]).sum(axis=1).argmax())
        sums[parts[group]] += weights[group]
    return parts


def _improved(
    parts: NDArray[np.int64], weights: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Move single groups and exchange pairs as long as that lowers the cost."""
    parts, count = parts.copy(), len(shares)
    sums = _sums(parts, weights, count)
    cost = float(_cost(sums, shares))
    for _ in range(20 * len(parts)):
        trials = np.repeat(sums[None, None], len(parts), axis=0).repeat(count, axis=1)
        rows = np.arange(len(parts))
        trials[rows, :, parts] -= weights[:, None]
        for part in range(count):
            trials[:, part, part] += weights
        costs = _cost(trials, shares)
        group, part = divmod(int(costs.argmin()), count)
        if cost < _GOOD:
            return parts
        if costs[group, part] >= cost - 1e-9:
            pair = _exchange(parts, weights, shares, sums, cost)
            if pair is None:
                return parts
            parts[list(pair)] = parts[list(pair[::-1])]
        else:
            parts[group] = part
        sums = _sums(parts, weights, count)
        cost = float(_cost(sums, shares))
    return parts


def _exchange(
    parts: NDArray[np.int64],
    weights: NDArray[np.float64],
    shares: NDArray[np.float64],
    sums: NDArray[np.float64],
    cost: float,
) -> tuple[int, int] | None:
    """Find two groups of different parts whose exchange lowers the cost; None too where groups are many."""
    for group in range(len(parts) if len(parts) <= _MOST_EXCHANGED else 0):
        others = np.flatnonzero(parts != parts[group])
        trials = np.repeat(sums[None], len(others), axis=0)
        change = weights[others] - weights[group]
        trials[:, parts[group]] += change
        trials[np.arange(len(others)), parts[others]] -= change
        costs = _cost(trials, shares)
        if len(others) and costs.min() < cost - 1e-9:
            return group, int(others[costs.argmin()])
    return None


def _sums(parts: NDArray[np.int64], weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return np.stack([weights[parts == part].sum(axis=0) for part in range(count)])


def _cost(sums: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared differences from the shares, relative to them, plus much for each mineral absent from a part."""
    relative = (sums - shares[:, None]) / shares[:, None]
    cost: NDArray[np.float64] = (relative**2 + _MISSING * (sums < 1e-9)).sum(axis=(-2, -1))
    return cost


def held_out(
    counts: NDArray[np.float64], photographs: NDArray[np.int64], share: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose deposits for the test, the best of all choices, or of many where there are too many.

    Parameters
    ----------
    counts : (deposits, minerals) float array
        Tiles; the last row, of unknown deposit, is never chosen.
    photographs : (deposits, minerals) int array
        Photographs with such tiles; at least two of each mineral must be left to learn from.
    share
        Of the tiles that are to be chosen.
    random
        Draws choices where there are too many to try all.
    """
    count = len(counts) - 1
    if count <= _TRIED_ALL:
        numbers = np.arange(1, 2**count - 1)
        chosen = ((numbers[:, None] >> np.arange(count)) & 1).astype(bool)
    else:
        chosen = random.random((2**_TRIED_ALL, count)) < share
    chosen = np.pad(chosen, ((0, 0), (0, 1)))
    totals = np.maximum(counts.sum(axis=0), 1.0)
    held = chosen @ (counts / totals)
    left = photographs.sum(axis=0) - chosen @ photographs
    costs = _cost(np.stack([1.0 - held, held], axis=1), np.array([1.0 - share, share]))
    costs += _MISSING * (left < 2).sum(axis=1)
    best: NDArray[np.bool_] = chosen[costs.argmin()]
    return best
