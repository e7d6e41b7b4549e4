"""Tiles cover every pixel once, whatever picture, tile and stride."""

from __future__ import annotations

import threading
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import Pixels, ReadOptions, Window
from napari_ore_minerals.images.tile_reader import TileBatch, TileReader, resize_tile, run_tiles
from napari_ore_minerals.images.tiles import TileGrid

grids = st.builds(
    lambda height, width, stride, overlap: TileGrid(height, width, stride * overlap, stride),
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(8, 90),
    st.integers(1, 4),
)


@given(grids)
@settings(deadline=None)
def test_every_pixel_belongs_to_exactly_one_cell(grid: TileGrid) -> None:
    covered = np.zeros((grid.height_px, grid.width_px), int)
    for row in range(grid.rows):
        for column in range(grid.columns):
            top, left, height, width = grid.cell_window(row, column)
            covered[top : top + height, left : left + width] += 1
            assert grid.cell_area_px()[row, column] == height * width
    assert (covered == 1).all()
    assert grid.cell_area_px().sum() == grid.height_px * grid.width_px


@given(grids)
@settings(deadline=None)
def test_every_cell_is_covered_by_a_tile_that_begins_inside_the_picture(grid: TileGrid) -> None:
    covered = np.zeros(grid.shape, int)
    for row in range(grid.tile_rows):
        for column in range(grid.tile_columns):
            window = grid.window(row, column)
            assert window.row < grid.height_px
            assert window.column < grid.width_px
            covered[row : row + grid.overlap, column : column + grid.overlap] += 1
    assert covered.min() >= 1
    assert covered.max() <= grid.overlap**2


@given(grids, st.data())
@settings(deadline=None, max_examples=50)
def test_tiles_for_some_cells_are_those_that_cover_them(grid: TileGrid, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, grid.rows - 1)), data.draw(st.integers(0, grid.columns - 1))
    wanted = np.zeros(grid.shape, bool)
    wanted[row, column] = True
    expected = [
        [tile_row, tile_column]
        for tile_row in range(grid.tile_rows)
        for tile_column in range(grid.tile_columns)
        if tile_row <= row < tile_row + grid.overlap and tile_column <= column < tile_column + grid.overlap
    ]
    assert grid.tiles_for(wanted).tolist() == expected
    assert len(grid.tiles_for(np.ones(grid.shape, bool))) == grid.tile_count


def read_all(micrograph: Micrograph, grid: TileGrid, input_px: int, count: int) -> TileBatch:
    positions = grid.tiles_for(np.ones(grid.shape, bool))
    with TileReader(micrograph, grid, positions, input_px=input_px) as reader:
        parts = []
        while (batch := reader.take(count)) is not None:
            assert len(batch.rows) <= count
            parts.append(batch)
    joined = TileBatch.join(parts)
    np.testing.assert_array_equal(np.stack([joined.rows, joined.columns], axis=1), positions)
    return joined


@pytest.mark.parametrize("count", [1, 7, 64])
@pytest.mark.parametrize("overlap", [1, 2])
def test_tiles_hold_the_picture_and_its_reflection(picture: np.ndarray, count: int, overlap: int) -> None:
    micrograph = Micrograph.from_array(picture)
    grid = TileGrid.over(micrograph, tile_px=32, stride_px=32 // overlap)
    tiles = read_all(micrograph, grid, 32, count)
    padded = np.pad(picture, ((0, 64), (0, 64), (0, 0)), mode="reflect")
    for row, column, pixels in zip(tiles.rows, tiles.columns, tiles.pixels, strict=True):
        top, left, height, width = grid.window(row, column)
        np.testing.assert_array_equal(pixels, padded[top : top + height, left : left + width])


def test_a_picture_smaller_than_a_tile_works() -> None:
    micrograph = Micrograph.from_array(np.full((5, 7, 3), 77, np.uint8))
    grid = TileGrid.over(micrograph, tile_px=64)
    tiles = read_all(micrograph, grid, 32, 8)
    assert grid.shape == (1, 1)
    assert (tiles.pixels == 77).all()


def test_a_tile_with_pixels_that_are_not_finite_is_marked() -> None:
    values = np.full((64, 128), 0.5, np.float32)
    values[3, 100] = np.nan
    micrograph = Micrograph.from_array(values)
    tiles = read_all(micrograph, TileGrid.over(micrograph, tile_px=64), 32, 8)
    assert tiles.finite.tolist() == [True, False]


def test_tiles_keep_their_physical_size() -> None:
    micrograph = Micrograph.from_array(np.zeros((500, 500, 3), np.uint8), um_per_px=0.5)
    grid = TileGrid.over(micrograph, tile_px=256, stride_px=128, model_um_per_px=0.25)
    assert (grid.tile_px, grid.stride_px) == (128, 64)
    unknown = Micrograph.from_array(np.zeros((500, 500, 3), np.uint8))
    assert TileGrid.over(unknown, tile_px=256, model_um_per_px=0.25).tile_px == 256


@pytest.mark.parametrize(("tile_px", "stride_px"), [(64, 24), (64, 0), (64, -8), (4, 4), (10_000, 10_000)])
def test_tiles_that_do_not_fit_are_refused(tile_px: int, stride_px: int) -> None:
    micrograph = Micrograph.from_array(np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(OptionError, match="px"):
        TileGrid.over(micrograph, tile_px=tile_px, stride_px=stride_px)


def test_shrinking_takes_the_mean_of_areas() -> None:
    tile = np.zeros((64, 64, 3), np.uint8)
    tile[::2] = 200
    assert (resize_tile(tile, 32) == 100).all()


class CountingSource:
    """A picture that counts how many of its tiles have been read."""

    height_px, width_px = 64 * 400, 64

    def __init__(self, broken_after: int | None = None) -> None:
        self.reads, self.lock, self.broken_after = 0, threading.Lock(), broken_after

    def read(self, window: Window) -> Pixels:
        with self.lock:
            self.reads += 1
            if self.broken_after is not None and self.reads > self.broken_after:
                raise PictureError("the picture is damaged")
        return Pixels(np.zeros((window.height, window.width, 3), np.uint8), None)


def test_reading_ahead_is_bounded() -> None:
    source = CountingSource()
    micrograph = Micrograph(source, "tall")
    grid = TileGrid.over(micrograph, tile_px=64)
    positions = grid.tiles_for(np.ones(grid.shape, bool))
    with TileReader(micrograph, grid, positions, input_px=32, ahead_tiles=80) as reader:
        time.sleep(0.3)
        assert source.reads == 10
        reader.take(1)
        time.sleep(0.3)
        assert source.reads == 11


@given(st.integers(1, 2000), st.integers(1, 4))
def test_a_window_that_is_read_ahead_has_few_pixels_or_is_one_tile(stride: int, overlap: int) -> None:
    assume(8 <= stride * overlap <= 8192)
    grid = TileGrid(20_000, 20_000, stride * overlap, stride)
    count = run_tiles(grid)
    width = (count - 1) * grid.stride_px + grid.tile_px
    assert 1 <= count <= 8
    assert count == 1 or width * grid.tile_px <= 2**21


@pytest.mark.parametrize(
    ("tile_px", "stride_px", "count"),
    [(256, 256, 8), (256, 128, 8), (1024, 1024, 2), (1024, 256, 5), (4096, 4096, 1), (4096, 512, 1)],
)
def test_large_tiles_are_read_alone(tile_px: int, stride_px: int, count: int) -> None:
    assert run_tiles(TileGrid(20_000, 20_000, tile_px, stride_px)) == count


class Deep:
    """A picture of 16 bits that is made when it is read."""

    shape, dtype, chunks = (4096, 8192, 3), np.dtype(np.uint16), (512, 512, 3)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        rows, columns, _ = (range(length)[part] for length, part in zip(self.shape, key, strict=True))
        return np.full((len(rows), len(columns), 3), 65535, np.uint16)


def test_large_tiles_of_16_bits_take_little_memory() -> None:
    """Read eight at a time, with numbers in between as floats, they took more than 500 MB."""
    micrograph = Micrograph.from_array(Deep(), options=ReadOptions(bit_depth=16))
    grid = TileGrid.over(micrograph, tile_px=2048)
    tracemalloc.start()
    try:
        tiles = read_all(micrograph, grid, 224, 16)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tiles.pixels == 255).all()
    assert len(tiles.rows) == 8
    assert most < 200 * 2**20


def test_damage_in_the_picture_reaches_the_caller() -> None:
    micrograph = Micrograph(CountingSource(broken_after=3), "tall")
    with pytest.raises(PictureError, match="damaged"):
        read_all(micrograph, TileGrid.over(micrograph, tile_px=64), 32, 16)


@example(side=224, more=32, count=8)
@given(side=st.integers(1, 70), more=st.integers(1, 150), count=st.integers(1, 8))
@settings(deadline=None, max_examples=60)
def test_tiles_that_are_shrunk_together_are_those_shrunk_alone(side: int, more: int, count: int) -> None:
    tile = max(16, side + more)
    rgb = np.random.default_rng(tile).integers(0, 256, (tile, tile * count, 3), dtype=np.uint8)
    grid = TileGrid.over(Micrograph.from_array(rgb), tile_px=tile)
    positions = np.array([(0, column) for column in range(count)])
    with TileReader(Micrograph.from_array(rgb), grid, positions, input_px=side) as reader:
        found = reader.take(count)
    assert found is not None
    alone = [resize_tile(rgb[:, tile * at : tile * (at + 1)], side) for at in range(count)]
    np.testing.assert_array_equal(found.pixels, np.stack(alone))
