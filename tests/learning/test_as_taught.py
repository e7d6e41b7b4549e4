"""A picture's file is opened as it was when it was taught."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_ore_minerals.errors import DatasetError, PictureError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import PictureAnswers, ReadOptions
from napari_ore_minerals.learning.as_taught import open_as_taught


def in_the_viewer(path: Path, plane: tuple[int, ...] | None = None) -> Micrograph:
    """What napari's own reader shows, as the dock opens it."""
    values = imageio.imread(path)
    options = ReadOptions(rgb=values.shape[-1] in (3, 4), plane=plane, salvage=True)
    return Micrograph.from_array(values, options=options)


@pytest.fixture
def fields(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_photograph_that_the_viewer_shows_as_it_lies(
    tmp_path: Path, fields: Image.Image, orientation: int
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    fields.save(tmp_path / "a.jpg", exif=exif)
    shown, upright = in_the_viewer(tmp_path / "a.jpg"), Micrograph.open(tmp_path / "a.jpg")
    for taught in (shown, upright):
        found = open_as_taught(tmp_path / "a.jpg", taught.fingerprint())
        np.testing.assert_array_equal(found.read().rgb, taught.read().rgb)
        assert found.path == tmp_path / "a.jpg"


def test_four_inks_that_the_viewer_takes_for_colours(tmp_path: Path, fields: Image.Image) -> None:
    fields.convert("CMYK").save(tmp_path / "a.jpg")
    taught = in_the_viewer(tmp_path / "a.jpg")
    found = open_as_taught(tmp_path / "a.jpg", taught.fingerprint())
    np.testing.assert_array_equal(found.read().rgb, taught.read().rgb)


@pytest.mark.parametrize(("shape", "plane"), [((5,), (3,)), ((2, 5), (1, 4))])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_the_plane_of_a_stack_is_found_by_its_pixels(
    tmp_path: Path, shape: tuple[int, ...], plane: tuple[int, ...], colours: tuple[int, ...]
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (*shape, 70, 90, *colours), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb" if colours else "minisblack")
    taught = in_the_viewer(tmp_path / "a.tif", plane)
    found = open_as_taught(tmp_path / "a.tif", taught.fingerprint())
    np.testing.assert_array_equal(found.read().rgb, taught.read().rgb)


def test_the_answers_that_were_given_are_given_again(tmp_path: Path, picture: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture.astype(np.uint16) * 5, photometric="rgb")
    answers = PictureAnswers(bit_depth=14)
    taught = Micrograph.open(tmp_path / "a.tif", options=answers.salvaging())
    with pytest.raises(DatasetError, match="other pixels"):
        open_as_taught(tmp_path / "a.tif", taught.fingerprint())
    found = open_as_taught(tmp_path / "a.tif", taught.fingerprint(), answers)
    np.testing.assert_array_equal(found.read().rgb, taught.read().rgb)


def test_other_pixels_and_files_that_are_no_picture_are_told(tmp_path: Path, fields: Image.Image) -> None:
    fields.save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"a\.png: its file gives other pixels"):
        open_as_taught(tmp_path / "a.png", "0" * 64)
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(PictureError, match="no picture of a known kind"):
        open_as_taught(tmp_path / "b.png", "0" * 64)
