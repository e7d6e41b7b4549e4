"""The colour forest: colours alone, repeatable, and no answer beyond what it has seen."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.baseline import ColourForest, colour_statistics
from napari_ore_minerals.learning.dataset import TileSamples


def test_statistics_are_those_of_the_colours_wherever_they_lie():
    tile = np.zeros((1, 4, 4, 3), np.uint8)
    tile[..., 0] = 200
    found = colour_statistics(tile, hsv=False)
    assert found.shape == (1, 21)
    assert found[0, :6].tolist() == [200, 0, 0, 0, 0, 0]
    many = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    turned = many.transpose(0, 2, 1, 3)
    np.testing.assert_allclose(colour_statistics(turned), colour_statistics(many), rtol=1e-6)
    means = many[:, ::2, ::2].reshape(3, -1, 3).mean(axis=1)
    np.testing.assert_allclose(colour_statistics(many)[:, :3], means, rtol=1e-6)
    assert colour_statistics(many[:0]).shape == (0, 42)


def test_it_tells_colours_apart_and_repeats_itself(samples: TileSamples):
    training, test = samples.groups < 4, samples.groups >= 4
    forest = ColourForest(trees=20, seed=3).fit(samples.select(training))
    probabilities = forest.probabilities(samples.tiles[test])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (probabilities.argmax(axis=1) == samples.labels[test]).mean() > 0.9
    again = ColourForest(trees=20, seed=3).fit(samples.select(training)).probabilities(samples.tiles[test])
    np.testing.assert_array_equal(probabilities, again)


def test_a_class_it_has_not_seen_has_no_chance(samples: TileSamples):
    seen = samples.labels != 2
    found = ColourForest(trees=5).fit(samples.select(seen)).probabilities(samples.tiles)
    assert found.shape == (len(samples), len(samples.minerals))
    assert not found[:, 2].any()


def test_tiles_of_mixed_minerals_alone_are_refused(samples: TileSamples):
    mixed = TileSamples(
        samples.tiles[:2], np.full((2, 6), 1 / 6, np.float32), samples.groups[:2], samples.minerals
    )
    with pytest.raises(DatasetError, match="tiles of one mineral"):
        ColourForest().fit(mixed)
