"""Where a tile lies in its photograph: shrunk in bands, outlined, and never in the way of sorting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")

from sorting_support import TILE_PX, unsorted_dataset

from napari_ore_minerals.images.micrograph import Micrograph, Window
from napari_ore_minerals.widgets import tile_context
from napari_ore_minerals.widgets.sitting import Sitting
from napari_ore_minerals.widgets.tile_context import LONGEST_PX, OUTLINE, Photographs, outlined, shrunk


def test_a_photograph_is_shrunk_in_bands_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.random.default_rng(3).integers(0, 255, (4 * LONGEST_PX, 300, 3), dtype=np.uint8)
    whole, scale = shrunk(Micrograph.from_array(rgb))
    assert (whole.shape, scale) == ((LONGEST_PX, 75, 3), 0.25)
    monkeypatch.setattr(tile_context, "BAND_PX", 64)
    banded, _ = shrunk(Micrograph.from_array(rgb))
    np.testing.assert_allclose(whole.astype(int), banded, atol=1)  # rows and columns are rounded in turn
    small, scale = shrunk(Micrograph.from_array(rgb[:50, :40]))
    assert scale == 1.0
    assert np.array_equal(small, rgb[:50, :40])


@pytest.mark.parametrize("corner", [(0, 0), (40, 60), (68, 68)])
def test_only_the_tile_is_bright(corner: tuple[int, int]) -> None:
    grey = np.full((100, 100, 3), 200, np.uint8)
    shown = outlined(grey, 0.5, Window(2 * corner[0], 2 * corner[1], 64, 64))
    tile = shown[corner[0] : corner[0] + 32, corner[1] : corner[1] + 32]
    assert (tile == 200).all()
    assert (shown == 200).all(-1).sum() == 32 * 32
    assert (shown == OUTLINE).all(-1).any()
    assert (grey == 200).all()


def test_photographs_are_bounded_and_one_that_is_gone_is_not_asked_for_again(tmp_path: Path) -> None:
    photographs = Photographs()
    for number in range(tile_context.PHOTOGRAPHS_KEPT + 1):
        assert photographs.read(tmp_path / f"{number}.png") == ""
    assert not photographs.has(tmp_path / "0.png")
    assert photographs.has(tmp_path / "1.png")
    assert photographs.around(tmp_path / "1.png", Window(0, 0, 8, 8)) is None


def test_a_sitting_knows_where_its_tile_lies(tmp_path: Path) -> None:
    sitting = Sitting(unsorted_dataset(tmp_path).folder)
    assert sitting.context() is None
    for _ in range(3):
        reading = sitting.next_to_read()
        if reading is not None:
            assert reading() == ""
    assert sitting.next_to_read() is None
    first = sitting.context()
    assert first is not None
    assert first.shape == (3 * TILE_PX, 5 * TILE_PX, 3)
    sitting.sheet.move(1)
    moved = sitting.context()
    assert moved is not None
    assert (moved[:, :TILE_PX] != first[:, :TILE_PX]).any()
    sitting.close()
