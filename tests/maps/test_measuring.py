"""Areas with errors: shares that add up, intervals that hold the truth, regions that fit together."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from area_support import PER_CELL, map_of, patches
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.maps.adjusting import Reference
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.estimating import Sample
from napari_ore_minerals.maps.intervals import Blocks, cut, grain_diameter
from napari_ore_minerals.maps.measuring import (
    TOGETHER,
    Asked,
    doubts_of_cells,
    measure,
    measure_regions,
    ore_only,
)
from napari_ore_minerals.maps.places import Places, place_areas, places_of
from napari_ore_minerals.maps.region_files import measure_checked, read_regions
from napari_ore_minerals.maps.regions import coverage_of_mask, coverage_of_polygon
from napari_ore_minerals.minerals import DEFAULT_MINERALS

FRACTIONS = ["fraction", "fraction_of_picture", "low", "high", "sampling_error"]


def matrices(seed: int, pictures: int = 12, error: float = 0.2) -> np.ndarray:
    random = np.random.default_rng(seed)
    answers = (1 - error) * np.eye(6) + error * random.dirichlet(np.ones(6), (pictures, 6))
    return answers * random.dirichlet(np.ones(6), pictures)[:, :, None]


def discs(random: np.random.Generator, side: int, diameter: float, fraction: float) -> np.ndarray:
    pad = math.ceil(diameter)
    full = side + 2 * pad
    rate = -math.log1p(-fraction) / (math.pi / 4 * diameter**2)
    middles = random.uniform(0, full, (random.poisson(rate * full**2), 2))
    at = np.arange(full) + 0.5
    found = np.zeros((full, full), bool)
    for row, column in middles:
        found |= (at[:, None] - row) ** 2 + (at[None] - column) ** 2 < diameter**2 / 4
    return found[pad:-pad, pad:-pad]


def places(field: np.ndarray) -> Places:
    shares = np.stack([field, ~field]).astype(np.float32)
    return Places(shares, np.ones(field.shape), np.zeros(field.shape, bool), 1.0)


@given(st.integers(0, 99), st.sampled_from([(), (0,), (6, 0), (4,)]), st.booleans())
@settings(deadline=None, max_examples=12)
def test_fractions_add_up_to_one_and_lie_in_their_intervals(
    seed: int, without: tuple[int, ...], known: bool
) -> None:
    random = np.random.default_rng(seed)
    mapped = map_of(patches(seed), size=(8 * 32 - 7, 10 * 32 - 19), evidence=3.0)
    labels = np.where(random.random((8, 10)) < 0.2, random.integers(0, 7, (8, 10)), mapped.labels)
    found = measure(
        mapped, Asked(labels=labels, without=without), Reference.of(matrices(seed)) if known else None
    )
    table = found.table
    assert table["fraction_of_picture"].sum() == pytest.approx(1)
    assert table["fraction_of_ore"].sum() == pytest.approx(1)
    assert table["fraction"].sum() == pytest.approx(1)
    assert set(table.loc[table["fraction"].isna(), "code"]) <= set(without)
    assert table["area_px"].sum() == pytest.approx(249 * 301)
    assert table["area_um2"].sum() == pytest.approx(249 * 301 / 4)
    inside = table[table["fraction"] > 0]
    assert (inside["low"] <= inside["fraction"]).all()
    assert (inside["high"] >= inside["fraction"]).all()
    assert table[["low", "high"]].stack().dropna().between(0, 1).all()
    if known:
        assert (inside["low"] <= inside["picture_low"] + 0.05).all()
        assert table["fraction_adjusted"].sum() == pytest.approx(1)


def test_a_turned_picture_and_other_units_give_the_same_figures() -> None:
    field = patches(3, rows=8, columns=8)
    one = measure(map_of(field)).table
    for other in (
        map_of(field.T),
        map_of(field[::-1, ::-1]),
        map_of(field, um_per_px=7.0),
        map_of(field, stride_px=64),
    ):
        pd.testing.assert_frame_equal(measure(other).table[FRACTIONS], one[FRACTIONS], rtol=1e-6)


def test_what_a_user_said_counts_whole_and_has_no_error_of_the_classifier() -> None:
    mapped = map_of(patches(1), evidence=1.0)
    labels = np.full((8, 10), 3)
    labels[:2] = 4
    found = measure(
        mapped, Asked(labels=labels, said=np.ones((8, 10), bool)), Reference.of(matrices(1))
    ).table
    gold = found.set_index("mineral").loc["gold"]
    assert gold["fraction"] == pytest.approx(0.75)
    assert gold["fraction_adjusted"] == pytest.approx(0.75)
    assert (gold["cells"], gold["corrected_cells"]) == (60, 60)
    assert (gold["classifier_error"], gold["picture_low"]) == (0, pytest.approx(0.75))


def test_what_was_painted_before_a_map_was_saved_is_known() -> None:
    mapped = map_of(patches(1), evidence=2.0)
    labels = mapped.labels.copy()
    labels[3, 4] = labels[3, 4] % 6 + 1
    painted = replace(mapped, labels=labels)
    assert measure(painted).table["corrected_cells"].sum() == 1
    assert (
        measure(painted).table["fraction"].tolist()
        == measure(mapped, Asked(labels=labels)).table["fraction"].tolist()
    )
    shares = mapped.probabilities.copy()
    shares[0, 0] = np.eye(6)[shares[0, 0].argmax()]
    run = mapped.run.model_copy(update={"notices": ("the map follows 1 corrections by its user",)})
    taught = measure(replace(mapped, probabilities=shares, run=run), None, Reference.of(matrices(1)))
    assert taught.table["corrected_cells"].sum() == 1
    assert "before it was taught" in taught.warnings[-1]
    assert measure(replace(mapped, probabilities=shares)).table["corrected_cells"].sum() == 0


def test_the_table_of_areas_and_this_one_agree() -> None:
    mapped = map_of(patches(2), evidence=2.0)
    ours, theirs = measure(mapped).table, areas(mapped)
    for name in ("area_px", "fraction_of_picture", "fraction_of_ore", "fraction_by_cells"):
        np.testing.assert_allclose(ours[name], theirs[name][:6], rtol=1e-6)
    assert ours["cells"].tolist() == theirs["cells"][:6].tolist()


def test_no_more_points_than_places() -> None:
    checkered = np.indices((32, 40)).sum(axis=0) % 2 * 5
    checkered[0, 0] = 2  # blocks are alike but for a place
    found = measure(map_of(checkered, evidence=60), None, Reference.of(matrices(1))).table
    assert found.loc[found["fraction"] > 0.1, "effective_n"].tolist() == [32 * 40] * 2


def test_rounding_leaves_no_adjusted_fraction_below_nought() -> None:
    areas_px = np.zeros((4, 7))
    areas_px[:, 5], areas_px[:, 0] = 1000, 1e-4
    answered = areas_px.sum(axis=0)[:6]
    answered[0] += 1e-5  # shares are float32
    blocks = Blocks(1.0, 4.0, areas_px, np.arange(4)[None], 4)
    sample = Sample(blocks, areas_px, answered, 4, np.ones(7, bool), Reference.of(matrices(1)))
    assert f"{sample.estimate(0).fraction_adjusted:.1f}" == "0.0"


def test_corrections_that_were_saved_count_in_both_tables() -> None:
    mapped = map_of(patches(1), evidence=2.0)
    labels = mapped.labels.copy()
    labels[3, 4] = labels[3, 4] % 6 + 1
    painted = replace(mapped, labels=labels)
    np.testing.assert_allclose(measure(painted).table["area_px"], areas(painted)["area_px"][:6], rtol=1e-6)


def test_unclassified_cells_are_explained_where_they_have_no_area() -> None:
    mapped = map_of(patches(2), evidence=2.0)
    labels = mapped.labels.copy()
    labels[0, :6] = 0
    run = mapped.run.model_copy(update={"min_confidence": 0.9})
    shares = mapped.probabilities.copy()
    shares[0, :6], shares[0, 6:], shares[1:] = 1 / 6, np.eye(6)[labels[0, 6:] - 1], np.eye(6)[labels[1:] - 1]
    unsure = replace(mapped, labels=labels, run=run, probabilities=shares)
    found = measure(unsure)
    row = found.table.set_index("mineral").loc["unclassified"]
    assert (row["cells"], row["area_px"]) == (6, 0)
    assert any("6 of 80 cells are unclassified" in doubt for doubt in found.warnings)
    assert any("6 of 80 cells are unclassified" in doubt for doubt in doubts_of_cells(unsure))
    assert not any("unclassified" in doubt for doubt in measure(mapped).warnings)
    said = measure(unsure, Asked(said=np.ones((8, 10), bool)))
    assert said.table.set_index("mineral").loc["unclassified", "area_px"] == 6 * 32**2
    assert not any("cells are unclassified" in doubt for doubt in said.warnings)


def test_what_was_not_processed_is_left_out_and_said() -> None:
    mapped = map_of(patches(4))
    processed = np.ones((8, 10), bool)
    processed[:, 5:] = False
    half = replace(mapped, processed=processed, labels=mapped.labels * processed)
    found = measure(half)
    assert found.table["area_px"].sum() == pytest.approx(8 * 5 * 32**2)
    assert any("50.0% of what was asked for was not processed" in warning for warning in found.warnings)
    with pytest.raises(OptionError, match="nothing was measured"):
        measure(replace(mapped, processed=np.zeros((8, 10), bool), labels=np.zeros((8, 10), np.uint8)))
    with pytest.raises(OptionError, match="nothing was measured"):
        measure(map_of(np.full((16, 16), 5), evidence=30.0), Asked(without=(1, 2, 3, 4, 5, 6, 0)))


def test_places_cover_every_pixel_once() -> None:
    mapped = map_of(patches(0), size=(8 * 32 - 31, 10 * 32 - 1))
    assert place_areas(mapped.grid, PER_CELL).sum() == mapped.grid.cell_area_px().sum() == 225 * 319
    assert places_of(mapped).totals_px().sum() == pytest.approx(225 * 319, rel=1e-5)


@pytest.mark.parametrize("diameter", [4.0, 8.0, 12.0])
def test_the_grain_diameter_of_discs_is_found(diameter: float) -> None:
    random = np.random.default_rng(7)
    found = [grain_diameter(places(discs(random, 96, diameter, 0.15))) for _ in range(4)]
    assert np.mean(found) == pytest.approx(diameter, rel=0.2)


def test_intervals_from_blocks_hold_the_truth_and_counting_places_does_not() -> None:
    random = np.random.default_rng(11)
    held = counted = 0
    for _ in range(60):
        field = discs(random, 64, 5.0, 0.2)
        blocks = cut(places(field))
        found = blocks.fraction(np.array([True, False]), np.array([True, True]))
        half = 2.13 * found.error
        held += abs(found.value - 0.2) <= half
        counted += abs(found.value - 0.2) <= 1.96 * math.sqrt(0.16 / field.size)
        assert found.effective_n < field.size / 4
    assert held >= 53
    assert counted <= 45


def test_large_grains_and_small_grains_are_warned_of() -> None:
    halves = np.full((16, 16), 5)
    halves[:, :8] = 3
    assert any("intervals are too short" in warning for warning in measure(map_of(halves)).warnings)
    small = np.full((64, 64), 5)
    small[::4, ::4] = 2  # a sixteenth of every tile, never the majority
    found = measure(map_of(small))
    gold = found.table.set_index("mineral").loc["gold"]
    assert gold["fraction"] == pytest.approx(1 / 16, abs=1e-4)
    assert gold["fraction_by_cells"] == 0
    assert any("do not use the count of cells" in warning and "gold" in warning for warning in found.warnings)
    assert any("sampling alone" in warning for warning in found.warnings)


def test_what_is_not_there_may_still_be_there() -> None:
    labels = np.full((8, 10), 6)
    found = measure(map_of(patches(5)), Asked(labels=labels, said=np.ones((8, 10), bool)))
    gold = found.table.set_index("mineral").loc["gold"]
    assert gold["fraction"] == 0
    assert 0 < gold["high"] < 0.2


def test_regions_fit_together() -> None:
    mapped = map_of(patches(6), size=(250, 311), evidence=3.0)
    left = coverage_of_polygon(mapped, [(0, 0), (0, 101.3), (250, 101.3), (250, 0)])
    right = coverage_of_polygon(mapped, [(0, 101.3), (0, 311), (250, 311), (250, 101.3)])
    np.testing.assert_allclose((left + right)[places_of(mapped).area_px > 0], 1)
    parts = measure_regions(mapped, {"left": left, "right": right}, Asked(without=ore_only(DEFAULT_MINERALS)))
    assert [part.name for part in parts] == ["left", "right", TOGETHER]
    sums = [part.totals_px.sum() for part in parts]
    assert sums[0] == pytest.approx(250 * 101.3)
    assert sums[0] + sums[1] == pytest.approx(250 * 311)
    assert sums[2] > 0.98 * 250 * 311  # a place that both have a part of counts as the larger part
    mask = np.zeros((250, 311), bool)
    mask[:, :101] = True
    np.testing.assert_allclose(coverage_of_mask(mapped, mask).sum(), left.sum(), rtol=0.02)
    assert coverage_of_mask(mapped, np.ones((250, 311), bool)).min() == 1
    twice = measure_regions(mapped, {"a": left, "b": left})
    assert twice[-1].totals_px.sum() == pytest.approx(twice[0].totals_px.sum())


@pytest.mark.parametrize("side", [7.3, 50, 100.5, 200])
def test_the_area_of_a_polygon_is_exact(side: float) -> None:
    mapped = map_of(patches(6), size=(250, 311))
    area = place_areas(mapped.grid, PER_CELL)
    random = np.random.default_rng(3)
    for corner in random.uniform(0, 250 - side, (20, 2)):
        square = np.array([(0, 0), (0, side), (side, side), (side, 0)]) + corner
        assert (coverage_of_polygon(mapped, square) * area).sum() == pytest.approx(side**2, rel=1e-3)
    turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    disc = np.stack([125 + side / 2 * np.sin(turns), 150 + side / 2 * np.cos(turns)], axis=1)
    exact = 64 / 2 * np.sin(2 * np.pi / 64) * side**2 / 4
    assert (coverage_of_polygon(mapped, disc) * area).sum() == pytest.approx(exact, rel=1e-3)
    outside = square - square.min(axis=0) + (250 - side / 2, 311 - side / 2)
    assert (coverage_of_polygon(mapped, outside) * area).sum() == pytest.approx(side**2 / 4, rel=1e-3)


def test_regions_that_cannot_be_measured_are_refused() -> None:
    mapped = map_of(patches(6))
    with pytest.raises(OptionError, match="outside the picture of 256 x 320 px"):
        coverage_of_polygon(mapped, [(-50, -50), (-50, -10), (-10, -10)])
    with pytest.raises(OptionError, match="at least three corners"):
        coverage_of_polygon(mapped, [(1, 1), (5, 5)])
    with pytest.raises(OptionError, match="they must fit"):
        coverage_of_mask(mapped, np.ones((5, 5), bool))
    with pytest.raises(OptionError, match="empty"):
        coverage_of_mask(mapped, np.zeros((256, 320), bool))


def test_regions_are_read_from_what_napari_saves_and_from_masks(tmp_path: Path) -> None:
    mapped = map_of(patches(8))
    shapes = tmp_path / "regions.csv"
    shapes.write_text(
        "index,shape-type,vertex-index,axis-0,axis-1\n"
        + "".join(f"0,rectangle,{n},{r},{c}\n" for n, (r, c) in enumerate([(9.5, 9.5), (9.5, 109.5), (109.5, 109.5), (109.5, 9.5)]))
        + "".join(f"1,ellipse,{n},{r},{c}\n" for n, (r, c) in enumerate([(99.5, 99.5), (99.5, 199.5), (199.5, 199.5), (199.5, 99.5)]))
    )  # fmt: skip
    found = read_regions(mapped, shapes)
    assert list(found) == ["region 1", "region 2"]
    area = place_areas(mapped.grid, PER_CELL)
    assert (found["region 1"] * area).sum() == pytest.approx(100**2, rel=0.01)
    assert (found["region 2"] * area).sum() == pytest.approx(math.pi / 4 * 100**2, rel=0.02)
    mask = np.zeros((256, 320), np.uint8)
    mask[:64], mask[64:128] = 7, 9
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert list(read_regions(mapped, tmp_path / "mask.png")) == ["region 7", "region 9"]
    shapes.write_text("index,shape-type,vertex-index,axis-0,axis-1\n0,line,0,1,1\n0,line,1,9,9\n")
    with pytest.raises(OptionError, match="is a line, which has no area"):
        read_regions(mapped, shapes)
    shapes.write_text("a,b\n1,2\n")
    with pytest.raises(OptionError, match="has no column index, shape-type, vertex-index"):
        read_regions(mapped, shapes)


def test_checked_cells_adjust_the_plain_count(tmp_path: Path) -> None:
    mapped = map_of(np.repeat([2] * 16 + [5] * 16, 16).reshape(32, 16))
    path = tmp_path / "checked.csv"
    path.write_text("mapped,true,cells\nAu,gold,30\nAu,Py,10\ngangue,gangue,40\n")
    found = measure_checked(mapped, path).set_index("mineral")
    assert found.loc["gold", "fraction_adjusted"] == pytest.approx(0.5 * 0.75)
    assert found.loc["pyrite", "error"] == pytest.approx(0.5 * math.sqrt(0.75 * 0.25 / 39))
    path.write_text("mapped,true,cells\nAu,galena,30\n")
    with pytest.raises(OptionError, match="no mineral 'galena'"):
        measure_checked(mapped, path)
