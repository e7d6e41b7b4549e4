"""Cells beside the rest of their photograph: what a lamp changes, and what it does not."""

import numpy as np
import pytest

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.anchoring import COLOURS, CellColours


def photograph(seed: int = 0) -> np.ndarray:
    """Patches of three reflectances with noise, 160 x 224 px, none brighter than 150."""
    random = np.random.default_rng(seed)
    patches = np.array([[40, 40, 45], [90, 95, 100], [130, 120, 90]])[random.integers(0, 3, (10, 14))]
    return np.clip(
        np.kron(patches, np.ones((16, 16, 1))) + random.normal(0, 3, (160, 224, 1)), 0, 150
    ).astype(np.uint8)


@pytest.mark.parametrize(("look", "values"), [("anchored", 96), ("absolute", 36), ("both", 175)])
def test_every_cell_has_its_values(look, values):
    features = CellColours.of(photograph(), 32).features(look)
    assert features.shape == (5, 7, values)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_a_constant_picture_has_its_colour_and_no_roughness():
    cells = CellColours.of(np.full((64, 64, 3), (200, 150, 50), np.uint8), 32)
    np.testing.assert_array_equal(cells.statistics[..., :3], np.broadcast_to([200, 150, 50], (2, 2, 3)))
    np.testing.assert_allclose(cells.statistics[..., 3:6], 0.0)
    np.testing.assert_allclose(cells.statistics[..., COLOURS:], 0.0, atol=1e-3)


def test_the_rest_of_a_picture_beyond_whole_cells_does_not_count():
    rgb = photograph()
    larger = np.pad(rgb, ((0, 20), (0, 9), (0, 0)), constant_values=255)
    np.testing.assert_array_equal(CellColours.of(larger, 32).statistics, CellColours.of(rgb, 32).statistics)


def test_under_another_lamp_the_relative_values_stay_and_the_absolute_ones_do_not():
    cells = CellColours.of(photograph(), 32)
    lit = cells.relit([1.35, 1.3, 1.2])
    tones = slice(-2 * 6 - 27 - 30, None)  # ranks and differences
    before, after = (part.features("anchored")[..., tones] for part in (cells, lit))
    assert np.abs(before - after).max() < 0.1  # of a change of 0.3; DARK keeps it from being 0
    assert np.abs(cells.features("absolute") - lit.features("absolute")).max() > 20


def test_the_same_lamp_changes_nothing():
    cells = CellColours.of(photograph(), 32)
    np.testing.assert_allclose(cells.relit([1, 1, 1]).features(), cells.features(), rtol=1e-6)


def test_too_much_light_is_clipped():
    assert CellColours.of(photograph(), 32).relit([9, 9, 9]).pixels.max() == 255


def test_a_part_is_seen_as_if_there_were_no_more():
    cells = CellColours.of(photograph(), 32)
    part = cells.crop(slice(1, 4), slice(2, 6))
    assert part.shape == (3, 4)
    assert part.pixels.shape == (12, 16, 3)
    np.testing.assert_array_equal(part.features("absolute"), cells.features("absolute")[1:4, 2:6])
    whole = cells.crop(slice(0, 5), slice(0, 7))
    np.testing.assert_array_equal(whole.features(), cells.features())


@pytest.mark.parametrize("cell_px", [8, 20, 192])
def test_cells_that_do_not_fit_are_refused(cell_px):
    with pytest.raises(OptionError, match=f"224 x 160 px, not {cell_px} px"):
        CellColours.of(photograph(), cell_px)
