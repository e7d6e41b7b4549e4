"""Large pictures are looked at level by level, and nothing is read that is not shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ore_minerals.images import levels
from napari_ore_minerals.images.levels import PictureLevel, is_large, levels_of, write_levels
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import Pixels, Window

RGB = np.random.default_rng(2).integers(0, 256, (90, 70, 3), dtype=np.uint8)
PARTS = st.one_of(st.integers(0, 69), st.slices(70).filter(lambda part: (part.step or 1) > 0))


@given(st.lists(PARTS, min_size=1, max_size=2), st.sampled_from([(), (...,), (..., 1), (slice(0, 2),)]))
@settings(max_examples=300)
def test_a_level_gives_what_an_array_gives(keys: list[int | slice], more: tuple[object, ...]) -> None:
    level = PictureLevel(Micrograph.from_array(RGB))
    for key in (tuple(keys), keys[0], *([(*keys, *more)] if len(keys) == 2 or more[:1] == (...,) else [])):
        np.testing.assert_array_equal(level[key], RGB[key])


def test_only_what_is_asked_for_is_read() -> None:
    class Source:
        height_px, width_px = 2**15, 2**15
        read_px = 0

        def read(self, window: Window) -> Pixels:
            self.read_px += window.height * window.width
            return Pixels(np.zeros((window.height, window.width, 3), np.uint8), None)

    source = Source()
    level = PictureLevel(Micrograph(source, "a"))
    assert level.shape == (2**15, 2**15, 3)
    assert level[100:200, 30_000:30_100].shape == (100, 100, 3)
    assert source.read_px == 100 * 100
    assert is_large(*level.shape[:2])
    assert not is_large(10_000, 10_000)


def test_levels_are_written_once_and_look_like_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "COARSEST_PX", 100)
    smooth = np.add.outer(np.arange(2100), np.arange(3001))[..., None] * [0.02, 0.04, 0.01] % 200
    rgb = smooth.astype(np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", rgb, tile=(256, 256), photometric="rgb", compression="zlib")
    micrograph = Micrograph.open(tmp_path / "m.tif")
    assert write_levels(micrograph, tmp_path / "picture.tif")
    found = levels_of(micrograph, tmp_path / "picture.tif")
    assert [level.shape for level in found] == [
        (2100, 3001, 3), (525, 751, 3), (132, 188, 3), (33, 47, 3)
    ]  # fmt: skip
    np.testing.assert_array_equal(found[0][5:300, 7:100], rgb[5:300, 7:100])
    mean = rgb[:2100, :3000].reshape(525, 4, 750, 4, 3).mean(axis=(1, 3))
    difference = np.abs(found[1][:, :750].astype(float) - mean)
    assert np.median(difference) < 3
    assert abs(float(found[3][:].mean()) - float(rgb.mean())) < 3


def test_a_picture_with_a_pyramid_needs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "COARSEST_PX", 20)
    group = zarr.create_group(tmp_path / "m.zarr")
    for number in range(2):
        group.create_array(str(number), data=RGB[:: 2**number, :: 2**number].transpose(2, 0, 1).copy())
    axes = [{"name": name} for name in "cyx"]
    datasets = [{"path": str(number)} for number in range(2)]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": datasets}]}
    micrograph = Micrograph.open(tmp_path / "m.zarr")
    assert not write_levels(micrograph, tmp_path / "picture.tif")
    assert not (tmp_path / "picture.tif").exists()
    fine, coarse = levels_of(micrograph, tmp_path / "picture.tif")
    np.testing.assert_array_equal(fine[:], RGB)
    np.testing.assert_array_equal(coarse[3:9, 5], RGB[::2, ::2][3:9, 5])


def test_a_level_is_the_micrograph_that_it_was_made_of_with_its_holes(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "m.zarr", shape=RGB.shape, chunks=(32, 32, 3), dtype="u1")
    array[:] = RGB
    (tmp_path / "m.zarr" / "c" / "0" / "1" / "0").unlink()
    micrograph = Micrograph.open(tmp_path / "m.zarr")
    again = Micrograph.from_array([PictureLevel(micrograph)], name="layer", um_per_px=0.5)
    finite = again.read().finite
    assert finite is not None
    assert finite.sum() == 90 * 70 - 32 * 32
    assert (again.name, again.um_per_px) == ("layer", 0.5)
    assert again.fingerprint() == micrograph.fingerprint()
