"""How the benchmark on real photographs holds photographs back, and what it keeps; on made-up tiles."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from lumenstone_tiles import Collection, folds_by_lot, folds_by_neighbourhood, folds_by_photograph, parts
from lumenstone_train import _answers

MINERALS = MineralTable.of([DEFAULT_MINERALS[0], DEFAULT_MINERALS[3], DEFAULT_MINERALS[5]])


@pytest.fixture(scope="module")
def data() -> Collection:
    random = np.random.default_rng(0)
    tiles = random.integers(5, 40, 30)
    photographs = np.repeat(np.arange(30), tiles)
    truth = random.integers(0, 3, len(photographs))
    pixels = np.zeros((len(truth), 2, 2, 3), np.uint8)
    places = np.zeros((len(truth), 2), np.int64)
    return Collection(
        pixels, truth, np.ones(len(truth)), photographs, places, MINERALS, cells=[None] * 30, counts={}
    )


def pairs(folds: np.ndarray) -> np.ndarray:
    """Which photographs are held back together, whatever the folds are called."""
    return folds[:, None] == folds


def test_other_seeds_hold_other_photographs_back_and_every_one_once(data: Collection):
    found = [folds_by_lot(data, 5, seed) for seed in (1, 2, 1)]
    assert (pairs(found[0]) != pairs(found[1])).mean() > 0.1
    assert (pairs(found[0]) != pairs(folds_by_photograph(data, 5))).mean() > 0.1
    np.testing.assert_array_equal(found[0], found[2])
    for folds in (*found, folds_by_photograph(data, 5), folds_by_neighbourhood(data, 5)):
        cut = list(parts(data, folds, np.ones(len(data.truth), bool)))
        tested = np.concatenate([part.tested for part in cut])
        np.testing.assert_array_equal(np.sort(tested), np.arange(len(data.truth)))
        for part in cut:
            assert not set(data.photographs[part.learnt]) & set(data.photographs[part.tested])
    counts = np.bincount(found[0][data.photographs])
    assert counts.max() < 1.3 * counts.min()


def test_answers_are_kept_for_the_same_method_options_and_tiles_alone(data: Collection, tmp_path: Path):
    calls: list[float] = []

    def guess(data: Collection, part: object, *, at: float) -> np.ndarray:
        calls.append(at)
        return np.full((len(part.tested), 3), at, np.float32)

    first, second = list(parts(data, folds_by_photograph(data, 5), np.ones(len(data.truth), bool)))[:2]
    for _ in range(2):
        answers, seconds = _answers(data, first, partial(guess, at=1.0), tmp_path)
        assert (answers == 1.0).all()
        assert seconds >= 0.0
    assert calls == [1.0]
    _answers(data, first, partial(guess, at=2.0), tmp_path)
    _answers(data, second, partial(guess, at=1.0), tmp_path)
    assert calls == [1.0, 2.0, 1.0]
    _answers(data, first, partial(guess, at=1.0), None)
    assert len(calls) == 4
