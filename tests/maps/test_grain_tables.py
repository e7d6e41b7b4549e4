"""Tables of grains: discs of known size give known counts and diameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.maps.grain_tables import (
    association_table,
    grain_table,
    grain_tables,
    liberation_table,
    size_table,
)
from napari_ore_minerals.maps.grains import GrainMap
from napari_ore_minerals.minerals import CHALCOPYRITE, GANGUE, PYRITE, MineralTable

MINERALS = MineralTable.of([CHALCOPYRITE, PYRITE, GANGUE])
CCP, PY, GNG = (mineral.code for mineral in MINERALS)


def mapped(codes: np.ndarray, factor: int = 2, um_per_px: float | None = 0.5) -> GrainMap:
    rows, columns = codes.shape
    return GrainMap(
        codes.astype(np.uint8), factor, rows * factor, columns * factor, MINERALS, um_per_px, "0" * 64
    )


def with_discs(places: list[tuple[int, int, int, int]], side: int = 200) -> np.ndarray:
    codes = np.full((side, side), GNG)
    rows, columns = np.indices(codes.shape)
    for row, column, radius, code in places:
        codes[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = code
    return codes


def test_known_discs_give_known_counts_and_diameters() -> None:
    codes = with_discs(
        [(40, 40, 20, PY), (40, 120, 10, PY), (120, 60, 30, CCP), (150, 150, 15, PY), (100, 199, 18, PY)]
    )
    found = mapped(codes)
    grains = grain_table(found)
    pyrite = size_table(found, grains).set_index("mineral").loc["pyrite"]
    assert (pyrite["grains"], pyrite["whole"]) == (4, 3)  # one is cut by the edge
    assert pyrite["mean_diameter_px"] == pytest.approx(2 * (40 + 20 + 30) / 3, rel=0.03)
    assert pyrite["d50_px"] == pytest.approx(60, rel=0.03)
    assert pyrite["d50_by_area_px"] == pytest.approx(80, rel=0.03)
    assert pyrite["d50_um"] == pytest.approx(0.5 * pyrite["d50_px"])
    assert pyrite["mean_aspect"] == pytest.approx(1.0, abs=0.02)
    alone = size_table(found, grains).set_index("mineral").loc["chalcopyrite"]
    assert (alone["whole"], alone["mean_diameter_px"]) == (1, pytest.approx(120, rel=0.03))
    assert alone[["d10_px", "d50_px", "d90_px", "d50_by_area_px", "d50_um"]].isna().all()
    disc = grains[grains["code"] == CCP].iloc[0]
    assert (disc["row"], disc["column"]) == pytest.approx((241, 121))
    assert disc["diameter_um"] == pytest.approx(60, rel=0.02)
    assert grains["area_px"].sum() == codes.size * 4
    assert grains[grains["code"] == GNG]["cut"].all()


def test_aspect_is_that_of_the_ellipse() -> None:
    rows, columns = np.indices((120, 200))
    codes = np.where(((rows - 60) / 15) ** 2 + ((columns - 100) / 60) ** 2 <= 1, PY, GNG)
    grains = grain_table(mapped(codes))
    assert grains[grains["code"] == PY]["aspect"].item() == pytest.approx(4.0, rel=0.03)


def test_small_specks_and_unclassified_are_no_grains() -> None:
    codes = with_discs([(50, 50, 20, PY)])
    codes[150:152, 150:152] = PY
    codes[150:160, 20:30] = 0
    grains = grain_table(mapped(codes))
    assert (grains["code"] == PY).sum() == 1
    assert set(grains["code"]) == {PY, GNG}
    assert (grain_table(mapped(codes), least_places=4)["code"] == PY).sum() == 2
    with pytest.raises(OptionError, match="not 0"):
        grain_table(mapped(codes), least_places=0)


def test_a_grain_beside_what_has_no_answer_is_cut() -> None:
    codes = with_discs([(50, 50, 20, PY), (120, 120, 20, PY)])
    codes[:, :45] = 0
    assert sorted(grain_table(mapped(codes)).query("code == @PY")["cut"]) == [False, True]


@given(hnp.arrays(np.uint8, (9, 11), elements=hnp.from_dtype(np.dtype(np.uint8), min_value=0, max_value=6)))
@settings(deadline=None, max_examples=15)
def test_association_is_symmetric_and_shares_of_liberation_add_up(codes: np.ndarray) -> None:
    codes = np.where(np.isin(codes, [CCP, PY, GNG]), codes, 0)
    tables = grain_tables(mapped(codes), least_places=1)
    lengths = tables.association.to_numpy()
    np.testing.assert_array_equal(lengths, lengths.T)
    assert not np.diag(lengths).any()
    for _, row in tables.liberation.iterrows():
        classes = row[[name for name in row.index if " to " in name]].to_numpy(float)
        assert np.isnan(classes).all() if row["area_px"] == 0 else classes.sum() == pytest.approx(1)
    assert tables.grains["area_px"].sum() == (codes > 0).sum() * 4


def test_boundaries_have_their_length() -> None:
    codes = with_discs([(100, 100, 60, PY)])
    lengths = association_table(mapped(codes))
    assert lengths.loc["pyrite", "gangue"] == pytest.approx(2 * np.pi * 120, rel=0.03)
    assert lengths.loc["pyrite", "chalcopyrite"] == 0
    codes[codes == GNG] = 0
    assert association_table(mapped(codes)).to_numpy().sum() == 0


def test_liberation_is_the_share_of_the_particle() -> None:
    codes = with_discs([(50, 50, 20, PY), (140, 140, 40, CCP), (140, 140, 20, PY)])
    table = liberation_table(mapped(codes)).set_index("mineral")
    inside = 1 / 4  # a disc of half the radius
    assert table.loc["pyrite", "liberation"] == pytest.approx((1 + inside) / 2, abs=0.01)
    assert table.loc["pyrite", "10% to 30%"] == pytest.approx(0.5, abs=0.01)
    assert table.loc["pyrite", "90% to 100%"] == pytest.approx(0.5, abs=0.01)
    assert table.loc["chalcopyrite", "liberation"] == pytest.approx(0.75, abs=0.01)


def test_without_a_scale_micrometres_are_missing() -> None:
    tables = grain_tables(mapped(with_discs([(50, 50, 20, PY)]), um_per_px=None))
    assert tables.grains["diameter_um"].isna().all()
    assert tables.sizes["d50_um"].isna().all()
    assert tables.grains["diameter_px"].notna().all()


def test_a_map_without_grains_has_empty_tables() -> None:
    tables = grain_tables(mapped(np.zeros((20, 20))))
    assert len(tables.grains) == 0
    assert (tables.sizes["grains"] == 0).all()
    assert tables.liberation["liberation"].isna().all()


def test_values_that_the_edge_cuts_count_as_far_as_they_reach() -> None:
    codes = with_discs([(2, 2, 1, PY), (8, 8, 2, CCP), (8, 2, 1, PY)], side=9).astype(np.uint8)
    found = GrainMap(codes, 2, 17, 17, MINERALS, None, "0" * 64)
    grains = grain_table(found, least_places=1)
    assert {code: grains.loc[grains["code"] == code, "area_px"].sum() for code in (CCP, PY, GNG)} == {
        code: found.area_px()[code] for code in (CCP, PY, GNG)
    }
    liberation = liberation_table(found).set_index("code")
    assert liberation["area_px"].to_dict() == {code: found.area_px()[code] for code in (CCP, PY)}
    assert (liberation["liberation"] == 1.0).all()
