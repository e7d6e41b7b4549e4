"""Chunks that are not there are no data, never black; the rest of the picture is read as ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import Holes, ReadOptions, Window

SIDE, CHUNK = 600, 128


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(1).integers(1, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def zarr_of(folder: Path, rgb: np.ndarray, **how: object) -> zarr.Array:
    array = zarr.create_array(folder, shape=rgb.shape, chunks=(CHUNK, CHUNK, 3), dtype="u1", **how)
    array[:] = rgb
    return array


@pytest.mark.parametrize("form", [2, 3])
def test_a_zarr_chunk_that_is_gone_has_no_data(form: int, rgb: np.ndarray, tmp_path: Path) -> None:
    array = zarr_of(tmp_path / "m.zarr", rgb, zarr_format=form)
    (tmp_path / "m.zarr" / array.metadata.encode_chunk_key((1, 2, 0))).unlink()
    expected = np.ones((SIDE, SIDE), bool)
    expected[CHUNK : 2 * CHUNK, 2 * CHUNK : 3 * CHUNK] = False
    for picture in (Micrograph.open(tmp_path / "m.zarr"), Micrograph.from_array(array)):
        pixels = picture.read()
        assert pixels.finite is not None
        np.testing.assert_array_equal(pixels.finite, expected)
        np.testing.assert_array_equal(pixels.rgb, rgb * expected[..., None])
        part = Window(100, 250, 77, 150)
        found = picture.read(part).finite
        assert found is not None
        np.testing.assert_array_equal(found, expected[100:177, 250:400])
        assert picture.read(Window(0, 0, CHUNK, SIDE)).finite is None


def test_colours_in_front_and_a_chunk_for_each_colour(rgb: np.ndarray, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "m.zarr", shape=(3, SIDE, SIDE), chunks=(1, 200, 300), dtype="u1")
    array[:] = rgb.transpose(2, 0, 1)
    (tmp_path / "m.zarr" / array.metadata.encode_chunk_key((1, 0, 1))).unlink()
    finite = Micrograph.open(tmp_path / "m.zarr").read().finite
    assert finite is not None
    assert not finite[:200, 300:].any()
    assert finite.sum() == SIDE * SIDE - 200 * 300


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_tiff_tile_that_was_left_out_has_no_data(orientation: int, rgb: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    rows = -(-SIDE // CHUNK)
    whole = np.zeros((rows * CHUNK, rows * CHUNK, 3), np.uint8)
    whole[:SIDE, :SIDE] = rgb
    tiles = [
        None if (row, column) == (1, 2) else whole[row * CHUNK : (row + 1) * CHUNK, column * CHUNK : (column + 1) * CHUNK]
        for row in range(rows)
        for column in range(rows)
    ]  # fmt: skip
    tifffile.imwrite(
        path, iter(tiles), shape=rgb.shape, dtype=np.uint8, tile=(CHUNK, CHUNK), photometric="rgb",
        compression="zlib", extratags=[(274, 3, 1, orientation, True)],
    )  # fmt: skip
    expected = np.ones((SIDE, SIDE), bool)
    expected[CHUNK : 2 * CHUNK, 2 * CHUNK : 3 * CHUNK] = False
    finite = Micrograph.open(path).read().finite
    assert finite is not None
    np.testing.assert_array_equal(finite, expected if orientation == 1 else np.rot90(expected, -1))


def test_a_damaged_chunk_is_an_error_of_its_windows_alone(rgb: np.ndarray, tmp_path: Path) -> None:
    array = zarr_of(tmp_path / "m.zarr", rgb)
    (tmp_path / "m.zarr" / array.metadata.encode_chunk_key((4, 4, 0))).write_bytes(b"not zstd")
    picture = Micrograph.open(tmp_path / "m.zarr")
    np.testing.assert_array_equal(picture.read(Window(0, 0, 200, 200)).rgb, rgb[:200, :200])
    with pytest.raises(PictureError, match="cannot be read"):
        picture.read(Window(550, 550, 50, 50))
    assert len(picture.fingerprint()) == 64


def test_an_ome_zarr_tells_levels_colours_and_scale(rgb: np.ndarray, tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "m.zarr")
    for number, step in enumerate((1, 2)):
        data = rgb[::step, ::step].transpose(2, 0, 1)
        group.create_array(str(number), shape=data.shape, chunks=(3, 200, 200), dtype="u1")[:] = data
    axes = [
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "millimeter"} for name in "yx"),
    ]
    levels = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [1, side, side]}]}
        for number, side in enumerate((0.0005, 0.001))
    ]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
    picture = Micrograph.open(tmp_path / "m.zarr")
    np.testing.assert_array_equal(picture.read().rgb, rgb)
    assert (picture.um_per_px, picture.um_per_px_source) == (0.5, "OME metadata")


@pytest.mark.parametrize("what", ["empty", "group", "broken"])
def test_a_folder_that_is_no_picture_is_refused_in_a_sentence(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "m.zarr"
    folder.mkdir()
    if what == "group":
        zarr.create_group(folder, overwrite=True)
    if what == "broken":
        (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array"}')
    with pytest.raises(PictureError, match=r"m\.zarr: is .*no Zarr array"):
        Micrograph.open(folder)


SALVAGE = ReadOptions(salvage=True)


@pytest.mark.fault("D14")
@pytest.mark.parametrize("damage", ["not zstd", "", "gone"])
def test_damaged_chunks_are_salvaged_as_no_data_whatever_the_windows(
    damage: str, rgb: np.ndarray, tmp_path: Path
) -> None:
    array = zarr_of(tmp_path / "m.zarr", rgb)
    chunk = tmp_path / "m.zarr" / array.metadata.encode_chunk_key((1, 2, 0))
    picture = Micrograph.open(tmp_path / "m.zarr", options=SALVAGE)
    strict = Micrograph.open(tmp_path / "m.zarr")
    if damage == "gone":
        chunk.unlink()  # after the picture was opened, as when a disk is unplugged
    else:
        chunk.write_bytes(damage.encode())
    expected = np.ones((SIDE, SIDE), bool)
    expected[CHUNK : 2 * CHUNK, 2 * CHUNK : 3 * CHUNK] = False
    for top in range(0, SIDE, 150):
        for left in range(0, SIDE, 200):
            rgb_read, finite = picture.read(Window(top, left, 150, 200))
            there = expected[top : top + 150, left : left + 200]
            np.testing.assert_array_equal(np.ones_like(there) if finite is None else finite, there)
            np.testing.assert_array_equal(
                rgb_read, rgb[top : top + 150, left : left + 200] * there[..., None]
            )
    assert picture.holes() == Holes(chunks=25, missing=0, damaged=1)
    with pytest.raises(PictureError, match="cannot be read"):
        strict.read()


def test_damaged_tiles_of_a_tiff_are_salvaged(rgb: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, rgb, tile=(CHUNK, CHUNK), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].dataoffsets[7], tiff.pages[0].databytecounts[7]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * count)
    picture = Micrograph.open(path, options=SALVAGE)
    finite = picture.read().finite
    assert finite is not None
    expected = np.ones((SIDE, SIDE), bool)
    expected[CHUNK : 2 * CHUNK, 2 * CHUNK : 3 * CHUNK] = False
    np.testing.assert_array_equal(finite, expected)
    assert picture.holes().damaged == 1


def test_missing_chunks_are_counted(rgb: np.ndarray, tmp_path: Path) -> None:
    array = zarr_of(tmp_path / "m.zarr", rgb)
    for place in ((0, 0, 0), (4, 4, 0)):
        (tmp_path / "m.zarr" / array.metadata.encode_chunk_key(place)).unlink()
    assert Micrograph.open(tmp_path / "m.zarr").holes() == Holes(25, 2, 0)
    assert Micrograph.from_array(rgb).holes() == Holes()
