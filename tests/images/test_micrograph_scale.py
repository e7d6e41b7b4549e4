"""Micrometres per pixel: taken where they can be believed, and said to be unknown where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.scale import tag_scale, um_per_unit

GREY = np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)


def scaled(path: Path, **how: object) -> Micrograph:
    tifffile.imwrite(path, GREY, photometric="minisblack", **how)
    return Micrograph.open(path)


@pytest.mark.parametrize(
    ("size", "unit", "um_per_px"),
    [(0.42, "µm", 0.42), (0.42, None, 0.42), (420, "nm", 0.42), (0.0011, "mm", 1.1), (1e-6, "m", 1.0)],
)
def test_ome(size: float, unit: str | None, um_per_px: float, tmp_path: Path) -> None:
    metadata: dict[str, object] = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size * 1.005}
    if unit:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    picture = scaled(tmp_path / "o.ome.tif", metadata=metadata)
    assert picture.um_per_px == pytest.approx(um_per_px)
    assert picture.um_per_px_source == "OME metadata"


def test_ome_in_pixels_is_unknown(tmp_path: Path) -> None:
    metadata = {"axes": "YX", "PhysicalSizeX": 1.0, "PhysicalSizeXUnit": "pixel"}
    assert scaled(tmp_path / "o.ome.tif", metadata=metadata).um_per_px is None


@pytest.mark.parametrize(
    ("resolution", "unit", "um_per_px"),
    [((20000, 20000), 3, 0.5), ((10000 / 1.22, 10000 / 1.22), 3, 1.22), ((25400 / 2.5, 25400 / 2.5), 2, 2.5)],
)
def test_tiff_resolution(
    resolution: tuple[float, float], unit: int, um_per_px: float, tmp_path: Path
) -> None:
    picture = scaled(tmp_path / "r.tif", resolution=resolution, resolutionunit=unit)
    assert picture.um_per_px == pytest.approx(um_per_px, rel=1e-5)
    assert picture.um_per_px_source == "TIFF resolution tag"


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600, 1200])
@pytest.mark.parametrize("unit", [2, 3])
def test_resolutions_for_printers_are_no_scale_and_it_is_said(dpi: float, unit: int, tmp_path: Path) -> None:
    value = dpi if unit == 2 else round(dpi / 2.54, 2)
    picture = scaled(tmp_path / "r.tif", resolution=(value, value), resolutionunit=unit)
    assert picture.um_per_px is None
    assert picture.um_per_px_source == ""
    assert [(guess.what, guess.value) for guess in picture.guesses if guess.what == "scale"] == [
        ("scale", "unknown")
    ]


def test_imagej(tmp_path: Path) -> None:
    picture = scaled(tmp_path / "i.tif", imagej=True, resolution=(4.0, 4.0), metadata={"unit": "micron"})
    assert picture.um_per_px == pytest.approx(0.25)
    assert picture.um_per_px_source == "ImageJ metadata"
    assert (
        scaled(tmp_path / "p.tif", imagej=True, resolution=(4.0, 4.0), metadata={"unit": "pixel"}).um_per_px
        is None
    )


@pytest.mark.parametrize("resolution", [(20000, 19000), (20000, 20500)])
def test_pixels_that_are_not_square_have_no_scale(resolution: tuple[int, int], tmp_path: Path) -> None:
    picture = scaled(tmp_path / "r.tif", resolution=resolution, resolutionunit=3)
    assert picture.um_per_px is None
    assert "not square" in picture.guesses[-1].why
    np.testing.assert_array_equal(picture.read().rgb[..., 0], GREY)


@pytest.mark.parametrize("ratio", [(0, 1), (1, 0), (0, 0), (2**32 - 1, 1), (1,), 5, None, ("a", "b")])
@pytest.mark.parametrize("imagej_unit", [None, "um", ""])
def test_absurd_resolutions(ratio: object, imagej_unit: str | None) -> None:
    tags = {"XResolution": ratio, "YResolution": ratio, "ResolutionUnit": 3}
    assert tag_scale(tags, imagej_unit).um_per_px is None


def test_no_tags_no_scale_no_notice(tmp_path: Path) -> None:
    picture = scaled(tmp_path / "r.tif")
    assert (picture.um_per_px, picture.um_per_px_source) == (None, "")
    assert not [guess for guess in picture.guesses if guess.what == "scale"]


def test_the_user_goes_first(tmp_path: Path) -> None:
    scaled(tmp_path / "r.tif", resolution=(300, 300), resolutionunit=2)
    picture = Micrograph.open(tmp_path / "r.tif", um_per_px=0.7)
    assert (picture.um_per_px, picture.um_per_px_source) == (0.7, "given by the user")
    assert not [guess for guess in picture.guesses if guess.what == "scale"]
    assert Micrograph.from_array(GREY, um_per_px=0.7).um_per_px == 0.7


def test_with_scale() -> None:
    picture = Micrograph.from_array(GREY)
    scaled_picture = picture.with_scale(2, "layer scale")
    assert (scaled_picture.um_per_px, scaled_picture.um_per_px_source) == (2.0, "layer scale")
    assert picture.um_per_px is None
    assert scaled_picture.fingerprint() == picture.fingerprint()


@pytest.mark.parametrize("um_per_px", [0, -1, 1e-4, 1001, float("nan"), float("inf")])
def test_scales_beyond_belief_are_refused(um_per_px: float) -> None:
    with pytest.raises(OptionError, match=r"between 0.001 and 1000"):
        Micrograph.from_array(GREY, um_per_px=um_per_px)
    with pytest.raises(OptionError, match=r"between 0.001 and 1000"):
        Micrograph.from_array(GREY).with_scale(um_per_px)


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("µm", 1),
        ("μm", 1),
        ("\\u00B5m", 1),
        ("&#181;m", 1),
        ("micrometers", 1),
        ("Inch", 25400),
        ("parsec", None),
    ],
)
def test_spellings_of_units(unit: str, um: float | None) -> None:
    assert um_per_unit(unit) == um
