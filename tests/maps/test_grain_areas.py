"""Areas by the pixels of grains: of the same part and of the same whole as the areas by evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from area_support import PER_CELL, map_of, patches

from napari_ore_minerals.maps.grain_areas import BY_GRAINS, grain_areas_px, shares_of, with_grains
from napari_ore_minerals.maps.grains import GrainMap
from napari_ore_minerals.maps.measuring import TOGETHER, Asked, measure, measure_regions, ore_only
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.minerals import DEFAULT_MINERALS

CODES = DEFAULT_MINERALS.codes
STRIDE = 32


def random_grains(mineral_map: MineralMap, factor: int = 2) -> GrainMap:
    height, width = mineral_map.grid.height_px, mineral_map.grid.width_px
    shape = (-(-height // factor), -(-width // factor))
    codes = np.random.default_rng(4).choice([0, *CODES], shape).astype(np.uint8)
    return GrainMap(codes, factor, height, width, DEFAULT_MINERALS, None, "0" * 64)


def a_map() -> MineralMap:
    return map_of(patches(3, 6, 8), size=(190, 250), stride_px=STRIDE)


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_areas_are_those_of_every_pixel_and_add_up_to_the_picture(factor: int) -> None:
    mineral_map = a_map()
    grains = random_grains(mineral_map, factor)
    found = grain_areas_px(grains, mineral_map)
    assert dict(zip((*CODES, 0), found, strict=True)) == grains.area_px()
    assert found.sum() == 190 * 250


def test_what_was_not_processed_is_no_part_of_them_but_what_was_painted_there_is() -> None:
    mineral_map = a_map()
    gone = mineral_map.processed.copy()
    gone[:2] = False
    labels = np.where(gone, mineral_map.labels, 0).astype(np.uint8)
    partial = replace(mineral_map, processed=gone, labels=labels)
    grains = random_grains(mineral_map)
    codes = grains.codes.copy()
    codes[:32] = 0  # 64 px, two rows of cells
    codes[:4, :5] = CODES[1]  # painted: 8 x 10 px
    found = grain_areas_px(replace(grains, codes=codes), partial)
    assert found.sum() == (190 - 64) * 250 + 80
    assert found[-1] < grain_areas_px(replace(grains, codes=codes), mineral_map)[-1]


def test_regions_that_share_the_picture_share_its_areas() -> None:
    mineral_map = a_map()
    grains = random_grains(mineral_map)
    coverage = np.random.default_rng(1).random(mineral_map.class_maps.shape[1:])
    parts = [grain_areas_px(grains, mineral_map, one) for one in (coverage, 1 - coverage)]
    np.testing.assert_allclose(sum(parts), grain_areas_px(grains, mineral_map))


def test_fractions_stand_beside_those_of_the_same_part_and_whole() -> None:
    mineral_map = a_map()
    grains = random_grains(mineral_map)
    left = np.zeros(mineral_map.class_maps.shape[1:])
    left[:, : 4 * PER_CELL] = 1  # 128 px
    codes = grains.codes.copy()
    codes[:, :64] = CODES[0]
    asked = Asked(without=ore_only(DEFAULT_MINERALS))
    regions = {"left": left, "right": 1 - left}
    measured = measure_regions(mineral_map, regions, asked)
    found = with_grains(measured, replace(grains, codes=codes), mineral_map, regions)
    shares = {one.name: one.table.set_index("code")[BY_GRAINS] for one in found}
    assert list(shares) == ["left", "right", TOGETHER]
    assert shares["left"][CODES[0]] == 1.0
    assert 0.0 < shares["right"][CODES[0]] < 0.5 < shares[TOGETHER][CODES[0]] < 1.0
    gangue = next(mineral.code for mineral in DEFAULT_MINERALS if mineral.kind == "gangue")
    assert np.isnan(shares[TOGETHER][gangue])
    for one in found:
        assert one.table[BY_GRAINS].sum() == pytest.approx(1.0)


def test_where_nothing_counts_there_are_no_fractions() -> None:
    assert np.isnan(shares_of(np.array([0.0, 4.0]), np.array([True, False]))).all()


def test_the_whole_picture_has_them_too() -> None:
    mineral_map = a_map()
    grains = random_grains(mineral_map)
    (found,) = with_grains([measure(mineral_map)], grains, mineral_map)
    areas = grains.area_px()
    share = found.table.set_index("code")[BY_GRAINS][CODES[0]]
    assert share == pytest.approx(areas[CODES[0]] / (190 * 250))
