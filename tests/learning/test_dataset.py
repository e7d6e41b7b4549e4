from __future__ import annotations

import numpy as np
import pytest

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.dataset import (
    UNKNOWN,
    TileSamples,
    balancing_weights,
    grouped_split,
    joined,
    majority_cells,
    masked_samples,
)
from napari_ore_minerals.minerals import DEFAULT_MINERALS


def test_fractions_and_cells_of_a_tile_worked_by_hand():
    mask = np.full((64, 64), 6, np.uint8)
    mask[:, :16] = 2  # a quarter chalcopyrite
    samples = masked_samples(
        np.zeros((64, 64, 3), np.uint8), mask, DEFAULT_MINERALS, tile_px=64, input_px=32, group=7
    )
    np.testing.assert_allclose(samples.fractions, [[0, 0.25, 0, 0, 0, 0.75]])
    assert samples.dense.shape == (1, 28, 28)
    assert set(np.unique(samples.dense[0, :, :7])) == {1}
    assert set(np.unique(samples.dense[0, :, 7:])) == {5}
    assert samples.tiles.shape == (1, 32, 32, 3)
    assert samples.groups.tolist() == [7]
    assert samples.labels.tolist() == [5]
    assert samples.clear(0.75).all()
    assert not samples.clear(0.8).any()


def test_unknown_pixels_are_left_out_of_the_fractions():
    mask = np.zeros((32, 64), np.uint8)
    mask[:16, :32] = 4
    samples = masked_samples(np.zeros((32, 64, 3), np.uint8), mask, DEFAULT_MINERALS, tile_px=32, input_px=32)
    assert len(samples) == 1
    np.testing.assert_allclose(samples.fractions, [[0, 0, 0, 1, 0, 0]])
    assert (samples.dense[0, 14:] == UNKNOWN).all()


def test_fractions_of_every_picture_add_up_to_one(samples):
    np.testing.assert_allclose(samples.fractions.sum(axis=1), 1.0, atol=1e-6)


def test_majority_of_each_cell():
    indices = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [2, 2, 3, 3], [2, 0, 1, 3]], np.uint8)
    assert majority_cells(indices, 2).tolist() == [[0, 1], [2, 3]]


def test_no_photograph_is_on_both_sides_of_a_split(samples):
    kept, held = grouped_split(samples.groups, 0.3, np.random.default_rng(0))
    assert not set(samples.groups[kept]) & set(samples.groups[held])
    assert sorted([*kept, *held]) == list(range(len(samples)))


def test_balancing_gives_each_present_class_the_same_expected_area():
    fractions = np.zeros((10, 6), np.float32)
    fractions[:8, 5] = 1.0
    fractions[8, 2] = 1.0
    fractions[9, [2, 5]] = 0.5
    samples = TileSamples(np.zeros((10, 8, 8, 3), np.uint8), fractions, np.arange(10), DEFAULT_MINERALS)
    weights = balancing_weights(samples)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[8] > 5 * weights[0]


def test_labels_become_whole_tiles():
    samples = TileSamples.of_labels(np.zeros((2, 8, 8, 3), np.uint8), [6, 1], [0, 1], DEFAULT_MINERALS)
    assert samples.labels.tolist() == [5, 0]
    with pytest.raises(DatasetError, match=r"found \[9\]"):
        TileSamples.of_labels(np.zeros((1, 8, 8, 3), np.uint8), [9], [0], DEFAULT_MINERALS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tiles", np.zeros((3, 8, 8, 3), np.float32)),
        ("tiles", np.zeros((3, 8, 9, 3), np.uint8)),
        ("fractions", np.zeros((3, 5), np.float32)),
        ("groups", np.zeros(2, np.int64)),
        ("dense", np.zeros((2, 4, 4), np.uint8)),
    ],
)
def test_samples_that_do_not_fit_are_refused(field, value):
    good = {
        "tiles": np.zeros((3, 8, 8, 3), np.uint8),
        "fractions": np.zeros((3, 6), np.float32),
        "groups": np.zeros(3, np.int64),
        "minerals": DEFAULT_MINERALS,
    }
    with pytest.raises(DatasetError, match=field):
        TileSamples(**(good | {field: value}))


def test_joining_drops_dense_unless_all_have_it(samples):
    plain = TileSamples(samples.tiles, samples.fractions, samples.groups, samples.minerals)
    assert joined([samples, samples]).dense.shape[0] == 2 * len(samples)
    assert joined([samples, plain]).dense is None
    with pytest.raises(DatasetError, match="no samples"):
        joined([])


def test_picture_and_mask_of_different_size_are_refused():
    with pytest.raises(DatasetError, match="mask"):
        masked_samples(
            np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9), np.uint8), DEFAULT_MINERALS, tile_px=8, input_px=8
        )
