from __future__ import annotations

import pytest

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.learning.default_model import (
    DEFAULT_TRAINING,
    Recipe,
    default_model_steps,
)
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import run


@pytest.mark.slow
def test_a_tiny_default_model_is_made_and_can_be_loaded(tmp_path):
    training = DEFAULT_TRAINING.model_copy(
        update={"epochs": 1, "samples_per_epoch": 8, "batch_size": 4, "device": "cpu"}
    )
    recipe = Recipe(
        pictures=1, choosing=1, held_out=1, cache=tmp_path / "cache", workers=1, training=training
    )
    card = run(default_model_steps(recipe, tmp_path / "model"))
    assert Classifier.load(tmp_path / "model", device="cpu").card == card
    assert "has seen no real photograph" in card.provenance
    assert card.training.samples == 16
    assert 0.4 <= card.min_confidence <= 0.6
    assert 0.0 <= card.metrics["simulated accuracy"] <= 1.0
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 16 * 2**20


def test_an_older_model_is_not_overwritten(tmp_path):
    with pytest.raises(ModelError, match="never overwritten"):
        run(default_model_steps(Recipe(), tmp_path))
