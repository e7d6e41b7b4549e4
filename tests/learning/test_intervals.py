"""Intervals over photographs: they hold the estimate, agree with a plain loop and cover the truth."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ore_minerals.learning.evaluation import evaluate, grouped_interval
from napari_ore_minerals.learning.intervals import COLUMNS, HEADLINES, difference, ratio, table_of_figures
from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable

THREE = MineralTable.of(list(DEFAULT_MINERALS)[:3])


def answers(photographs: int, *, seed: int = 0, skill: float = 3.0, alike: float = 1.0):
    """Truth, probabilities and groups; photographs differ in how hard they are by `alike`."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(photographs), 12)
    truth = random.integers(0, 3, len(groups))
    logits = random.normal(0, 1, (len(groups), 3))
    logits[np.arange(len(groups)), truth] += skill + alike * random.normal(0, 1, photographs)[groups]
    return truth, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), groups


def test_values_are_those_of_the_evaluation_and_lie_within_their_intervals():
    truth, probabilities, groups = answers(40, skill=1.0)
    table = table_of_figures(truth, probabilities, groups, THREE)
    found = evaluate(truth, probabilities, THREE)
    value = table.set_index(["figure", "mineral"])["value"]
    assert value["accuracy", ""] == pytest.approx(found.accuracy)
    assert value["balanced accuracy", ""] == pytest.approx(found.balanced_accuracy)
    assert value["macro recall", ""] == pytest.approx(found.balanced_accuracy)
    assert value["macro precision", ""] == pytest.approx(found.macro_precision)
    assert value["macro F1", ""] == pytest.approx(found.macro_f1)
    assert value["cross entropy", ""] == pytest.approx(found.cross_entropy)
    assert value["calibration error", ""] == pytest.approx(found.calibration_error)
    for mineral, score in zip(THREE, found.scores, strict=True):
        assert value["precision", mineral.name] == pytest.approx(score.precision)
        assert value["recall", mineral.name] == pytest.approx(score.recall)
        assert value["F1", mineral.name] == pytest.approx(score.f1)
    inside = table[table["figure"] != "calibration error"]  # its draws lie above it, as any absolute value's
    assert ((inside["low"] <= inside["value"]) & (inside["value"] <= inside["high"])).all()
    assert set(HEADLINES) <= set(table["figure"])
    assert tuple(table.columns) == COLUMNS


def test_the_interval_is_that_of_a_plain_loop():
    truth, probabilities, groups = answers(30, skill=1.0)
    table = table_of_figures(truth, probabilities, groups, THREE).set_index("figure")
    plain = grouped_interval(truth, probabilities.argmax(axis=1), groups, np.random.default_rng(1))
    assert table.loc["balanced accuracy", ["low", "high"]].to_numpy(float) == pytest.approx(plain, abs=0.01)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    many = answers(4000, seed=9, skill=1.0, alike=2.0)
    true, held, held_by_tiles = evaluate(many[0], many[1], THREE).accuracy, 0, 0
    for seed in range(50):
        truth, probabilities, groups = answers(40, seed=seed, skill=1.0, alike=2.0)
        rows = [
            table_of_figures(truth, probabilities, of, THREE, draws=200).set_index("figure").loc["accuracy"]
            for of in (groups, np.arange(len(truth)))
        ]
        held += rows[0]["low"] <= true <= rows[0]["high"]
        held_by_tiles += rows[1]["low"] <= true <= rows[1]["high"]
    assert held / 50 >= 0.86
    assert held_by_tiles < held  # drawing tiles, which are alike within a photograph, promises too much


def test_one_photograph_has_no_interval_and_a_mineral_without_tiles_no_figure():
    truth, probabilities, groups = answers(1)
    table = table_of_figures(truth, probabilities, groups, THREE)
    assert table["low"].isna().all()
    truth, probabilities, groups = answers(8)
    kept = truth != 2
    table = table_of_figures(truth[kept], probabilities[kept], groups[kept], THREE).set_index(
        ["figure", "mineral"]
    )
    assert table.loc[[("recall", THREE[2].name), ("F1", THREE[2].name)], "value"].isna().all()
    assert table.loc[("recall", THREE[2].name), "tiles"] == 0
    assert np.isfinite(table.loc[("balanced accuracy", ""), ["value", "low", "high"]].to_numpy(float)).all()


def test_differences_are_paired():
    """What is hard for both models cancels: the difference is known better than either figure."""
    truth, probabilities, groups = answers(20, skill=0.5, alike=2.0)
    worse = probabilities.copy()
    fooled = np.arange(len(truth)) % 7 == 0
    worse[fooled] = np.roll(np.eye(3)[truth[fooled]], 1, axis=1)
    value, low, high = difference(truth, probabilities, worse, groups)
    table = table_of_figures(truth, probabilities, groups, THREE).set_index("figure").loc["balanced accuracy"]
    assert 0 < low < value < high
    assert high - low < table["high"] - table["low"]
    assert difference(truth, worse, worse, groups) == (0.0, 0.0, 0.0)


def test_a_share_and_its_interval():
    groups = np.repeat(np.arange(20), 10)
    among = np.arange(200) % 2 == 0
    counted = among & (groups % 4 > 0)
    value, low, high = ratio(counted, among, groups)
    assert value == pytest.approx(0.75)
    assert 0.45 < low < value < high < 1.0
    assert np.isnan(ratio(counted, np.zeros(200, bool), groups)).all()
    assert ratio(among, np.ones(200, bool), groups) == (0.5, 0.5, 0.5)
