"""Temperature, least confidence and the new version that carries them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.calibration import (
    calibrate,
    fitted_temperature,
    reliability,
    save_calibrated,
)
from napari_ore_minerals.learning.evaluation import expected_calibration_error
from napari_ore_minerals.minerals import PAPER_MINERALS
from napari_ore_minerals.models.card import ModelCard, read_card
from napari_ore_minerals.models.classifier import softmax


def drawn(count: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn from the probabilities of the logits: perfectly calibrated at temperature 1."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (count, 4)).astype(np.float32)
    truth = (random.random((count, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(max=3)
    return truth.astype(np.int64), logits


def test_temperature_undoes_an_inflated_scale():
    truth, logits = drawn()
    assert fitted_temperature(truth, logits) == pytest.approx(1.0, abs=0.1)
    assert fitted_temperature(truth, 3 * logits) == pytest.approx(3.0, rel=0.1)


def test_scaling_mends_the_calibration_of_other_tiles_and_changes_no_answer():
    found = calibrate(*(drawn()[0], 3 * drawn()[1]))
    truth, logits = drawn(seed=1)
    before, after = softmax(3 * logits), softmax(3 * logits, found.temperature)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert expected_calibration_error(truth, after) < 0.3 * expected_calibration_error(truth, before)


def test_what_is_named_above_the_least_confidence_has_the_wanted_precision():
    truth, logits = drawn()
    found = calibrate(truth, logits, 0.9)
    probabilities = softmax(logits, found.temperature)
    named = probabilities.max(axis=1) >= found.min_confidence
    right = probabilities.argmax(axis=1) == truth
    assert right[named].mean() >= 0.9 > right.mean()
    assert 0.05 < named.mean() < 1.0


def test_a_precision_that_no_confidence_reaches_leaves_the_card_as_it_is():
    truth, logits = drawn(200)
    wrong = (logits.argmax(axis=1) + 1) % 4
    found = calibrate(wrong, logits, 0.9)
    assert found.min_confidence is None
    card = ModelCard(name="m", architecture="resnet50", minerals=PAPER_MINERALS.minerals)
    assert set(found.changes(card)) == {"temperature"}
    with pytest.raises(DatasetError, match="at least one validation tile"):
        calibrate(truth[:0], logits[:0])


def test_reliability_adds_up_to_the_calibration_error():
    truth, logits = drawn()
    probabilities = softmax(2 * logits)
    table = reliability(truth, probabilities)
    known = table[table["tiles"] > 0]
    gaps = (known["confidence"] - known["accuracy"]).abs() * known["tiles"]
    assert table["tiles"].sum() == len(truth)
    assert gaps.sum() / len(truth) == pytest.approx(expected_calibration_error(truth, probabilities))
    assert known["confidence"].between(known["from"], known["to"]).all()


def test_a_calibrated_model_is_a_new_version_beside_the_old_one(micro_model: Path, tmp_path: Path):
    before = read_card(micro_model)
    truth, logits = drawn()
    found = calibrate(truth, 2 * logits, 0.9)
    card = save_calibrated(tmp_path / "new", micro_model, found)
    assert read_card(micro_model) == before
    assert (card.temperature, card.min_confidence) == (found.temperature, found.min_confidence)
    assert (card.version, card.parent) == (before.version + 1, before.weights_sha256)
    assert card.metrics == before.metrics | {"precision that the least confidence was chosen for": 0.9}
