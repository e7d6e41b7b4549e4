"""Pictures of every ordinary kind come out of their files as the pixels that went in."""

from __future__ import annotations

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images import blocks, raw_rows
from napari_ore_minerals.images.micrograph import Micrograph, ReadOptions, Window
from napari_ore_minerals.images.photographs import SMALL_JPEG_BYTES

RNG = np.random.default_rng(20261123)
COLOUR = RNG.integers(0, 256, (150, 210, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]


def values_of(guesses: tuple, what: str) -> list[str]:
    return [guess.value for guess in guesses if guess.what == what]


def smooth(height: int = 90, width: int = 120) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)


@pytest.mark.parametrize("form", ["png", "bmp", "tif"])
def test_lossless_colour(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"ore.{form}"
    Image.fromarray(COLOUR).save(path)
    picture = Micrograph.open(path)
    np.testing.assert_array_equal(picture.read().rgb, COLOUR)
    assert picture.read().finite is None
    assert (picture.height_px, picture.width_px) == COLOUR.shape[:2]
    assert (picture.name, picture.path) == (path.name, path)
    assert picture.um_per_px is None
    assert picture.um_per_px_source == ""


@pytest.mark.parametrize("form", ["png", "bmp", "tif", "jpg"])
def test_grey_is_repeated_and_said(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"ore.{form}"
    Image.fromarray(smooth()[..., 2]).save(path, quality=100)
    picture = Micrograph.open(path)
    rgb = picture.read().rgb
    assert np.abs(rgb[..., 1].astype(int) - smooth()[..., 2]).max() <= 2
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])
    assert values_of(picture.guesses, "colour") == ["grey"]


def test_jpeg_colour(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "ore.jpg", quality=98, subsampling=0)
    rgb = Micrograph.open(tmp_path / "ore.jpg").read().rgb
    assert np.abs(rgb.astype(int) - smooth()).max() <= 6


def test_jpeg_cmyk_becomes_the_colours_that_pillow_shows(tmp_path: Path) -> None:
    image = Image.fromarray(smooth()).convert("CMYK")
    image.save(tmp_path / "ore.jpg", quality=98)
    picture = Micrograph.open(tmp_path / "ore.jpg")
    with Image.open(tmp_path / "ore.jpg") as decoded:
        shown = np.asarray(decoded.convert("RGB"))
    assert np.abs(picture.read().rgb.astype(int) - shown).max() <= 1
    assert values_of(picture.guesses, "colour")


@pytest.mark.parametrize("form", ["png", "bmp", "tif"])
def test_palette(form: str, tmp_path: Path) -> None:
    image = Image.fromarray(smooth()).quantize(16)
    image.save(tmp_path / f"ore.{form}")
    rgb = Micrograph.open(tmp_path / f"ore.{form}").read().rgb
    np.testing.assert_array_equal(rgb, np.asarray(image.convert("RGB")))


def test_palette_with_transparent_colour(tmp_path: Path) -> None:
    image = Image.fromarray(smooth()).quantize(8)
    image.save(tmp_path / "ore.png", transparency=0)
    pixels = Micrograph.open(tmp_path / "ore.png").read()
    assert pixels.finite is not None
    np.testing.assert_array_equal(pixels.finite, np.asarray(image) != 0)


def test_grey_with_transparent_value(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "ore.png", transparency=int(GREY[0, 0]))
    picture = Micrograph.open(tmp_path / "ore.png")
    pixels = picture.read()
    assert pixels.finite is not None
    np.testing.assert_array_equal(pixels.finite, GREY[0, 0] != GREY)
    np.testing.assert_array_equal(
        pixels.rgb[pixels.finite], GREY[pixels.finite][:, np.newaxis].repeat(3, axis=1)
    )
    assert any("grey" in str(guess) for guess in picture.guesses)


@pytest.mark.parametrize("form", ["png", "tif"])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_dropped_and_transparent_is_no_data(form: str, channels: int, tmp_path: Path) -> None:
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[:20], alpha[20:40] = 0, 7
    values = np.dstack([COLOUR if channels == 4 else GREY, alpha])
    Image.fromarray(values).save(tmp_path / f"ore.{form}")
    picture = Micrograph.open(tmp_path / f"ore.{form}")
    pixels = picture.read()
    assert pixels.finite is not None
    np.testing.assert_array_equal(pixels.finite, alpha != 0)
    assert not pixels.rgb[:20].any()
    np.testing.assert_array_equal(pixels.rgb[20:, :, 0], GREY[20:])
    assert values_of(picture.guesses, "alpha") == ["dropped"]


def test_alpha_that_hides_all_is_ignored_and_said(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([COLOUR, np.zeros_like(GREY)])).save(tmp_path / "ore.png")
    picture = Micrograph.open(tmp_path / "ore.png")
    np.testing.assert_array_equal(picture.read().rgb, COLOUR)
    assert values_of(picture.guesses, "alpha") == ["ignored"]


def with_exif(image: Image.Image, exif: Image.Exif) -> Image.Image:
    image.info["exif"] = exif.tobytes()
    image.getexif()[0x0112] = exif[0x0112]
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["png", "tif"])
def test_orientation(orientation: int, form: str, tmp_path: Path) -> None:
    """The pixels come out as Pillow turns them, also window by window."""
    from PIL import ImageOps

    image = Image.fromarray(COLOUR)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"ore.{form}"
    if form == "tif":
        tifffile.imwrite(path, COLOUR, tile=(64, 64), extratags=[(274, "H", 1, orientation, True)])
    else:
        image.save(path, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(with_exif(image, exif)))
    picture = Micrograph.open(path)
    np.testing.assert_array_equal(picture.read().rgb, upright)
    np.testing.assert_array_equal(picture.read(Window(3, 11, 40, 70)).rgb, upright[3:43, 11:81])
    assert bool(values_of(picture.guesses, "orientation")) == (orientation != 1)


@pytest.mark.parametrize("orientation", [0, *range(1, 9), 9])
@pytest.mark.parametrize("channels", [1, 3])
def test_orientation_of_a_png_of_16_bits(orientation: int, channels: int, tmp_path: Path) -> None:
    import imagecodecs
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    values = COLOUR[..., :channels]
    upright = np.asarray(ImageOps.exif_transpose(with_exif(Image.fromarray(COLOUR), exif)))[..., :channels]
    png = imagecodecs.png_encode(np.squeeze(values.astype(np.uint16) * 257))
    said = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + said
    chunk = struct.pack(">I", len(said)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    header = 8 + 25  # signature and IHDR
    (tmp_path / "ore.png").write_bytes(png[:header] + chunk + png[header:])
    picture = Micrograph.open(tmp_path / "ore.png")
    np.testing.assert_array_equal(picture.read().rgb[..., :channels], upright)
    np.testing.assert_array_equal(
        picture.read(Window(3, 11, 40, 70)).rgb[..., :channels], upright[3:43, 11:81]
    )
    assert bool(values_of(picture.guesses, "orientation")) == (orientation in range(2, 9))


def test_jpeg_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth()).save(tmp_path / "ore.jpg", exif=exif)
    assert Micrograph.open(tmp_path / "ore.jpg").read().rgb.shape == (120, 90, 3)


TIFF_KINDS = {
    "one_strip": {},
    "strips": {"rowsperstrip": 16, "compression": "zlib"},
    "tiles": {"tile": (32, 64)},
    "tiles_deflate_predictor": {"tile": (64, 64), "compression": "zlib", "predictor": True},
    "tiles_lzw": {"tile": (64, 64), "compression": "lzw"},
    "zstd": {"compression": "zstd", "rowsperstrip": 150},
    "packbits": {"compression": "packbits"},
    "big": {"bigtiff": True, "tile": (64, 64)},
    "big_endian": {"byteorder": ">"},
    "planar": {"planarconfig": "separate"},
    "planar_tiles": {"planarconfig": "separate", "tile": (64, 64), "compression": "zlib"},
    "ome": {"ome": True, "metadata": {"axes": "YXS"}},
}


@pytest.mark.parametrize("kind", TIFF_KINDS)
@pytest.mark.parametrize("raw", [False, True], ids=["zarr", "raw rows"])
def test_tiff_kinds(kind: str, raw: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ore_minerals.images.tiff.LARGE_STRIP_BYTES", 1000 if raw else 2**40)
    how = TIFF_KINDS[kind]
    values = np.moveaxis(COLOUR, 2, 0) if "planar" in kind else COLOUR
    if kind == "ome":
        how = {"ome": True, "metadata": {"axes": "YXS"}, "tile": (64, 64)}
    tifffile.imwrite(tmp_path / "ore.tif", values, photometric="rgb", **how)
    picture = Micrograph.open(tmp_path / "ore.tif")
    np.testing.assert_array_equal(picture.read().rgb, COLOUR)
    np.testing.assert_array_equal(picture.read(Window(149, 0, 1, 210)).rgb, COLOUR[149:])
    assert picture.guesses == ()


def test_tiff_jpeg_tiles(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "ore.tif", smooth(), photometric="rgb", tile=(64, 64), compression="jpeg")
    rgb = Micrograph.open(tmp_path / "ore.tif").read().rgb
    assert np.abs(rgb.astype(int) - smooth()).mean() < 3


@pytest.mark.parametrize("channels", [2, 5])
def test_grey_channels_of_a_tiff_that_could_be_anything_are_refused(channels: int, tmp_path: Path) -> None:
    path = tmp_path / "ore.tif"
    values = np.dstack([COLOUR, COLOUR])[..., :channels]
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")
    with pytest.raises(PictureError, match=f"has {channels} grey channels and does not tell which"):
        Micrograph.open(path)


def test_channels_of_a_tiff_that_are_no_colours_are_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "ore.tif"
    values, extra = np.dstack([COLOUR, GREY, GREY]), ["unspecified", "unspecified"]
    tifffile.imwrite(path, values, photometric="rgb", planarconfig="contig", extrasamples=extra)
    picture = Micrograph.open(path)
    np.testing.assert_array_equal(picture.read().rgb, COLOUR)
    assert values_of(picture.guesses, "channels") == ["the first 3 of 5 used"]


def test_tiff_white_is_zero_and_one_bit(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "grey.tif", GREY, photometric="miniswhite")
    np.testing.assert_array_equal(Micrograph.open(tmp_path / "grey.tif").read().rgb[..., 0], 255 - GREY)
    Image.fromarray(GREY > 127).save(tmp_path / "bilevel.tif")
    np.testing.assert_array_equal(
        Micrograph.open(tmp_path / "bilevel.tif").read().rgb[..., 0], np.where(GREY > 127, 255, 0)
    )


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of values of a few bits each, as TIFF packs them, each row filled up to whole bytes."""
    places = (values[..., np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(places.reshape(len(values), -1), axis=1).tobytes()


def tiff_of_few_bits(path: Path, values: np.ndarray, bits: int, photometric: int) -> None:
    """Write a grey TIFF of 1, 2 or 4 bits by hand, which neither tifffile nor Pillow does."""
    data = packed(values, bits)
    height, width = values.shape
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    entries[279] = len(data)
    start = 8 + len(data) + len(data) % 2
    directory = struct.pack("<H", len(entries))
    for tag, value in sorted(entries.items()):
        directory += struct.pack("<HHII", tag, 4, 1, value)
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, start) + data.ljust(start - 8, b"\0") + directory + b"\0" * 4
    )


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("white", [0, 1], ids=["white is zero", "black is zero"])
@pytest.mark.parametrize("brightest", [False, True])
def test_tiff_of_few_bits(bits: int, white: int, brightest: bool, tmp_path: Path) -> None:
    """The file tells its depth: a dark picture stays dark, whatever its brightest value is."""
    most = 2**bits - 1
    values = GREY % (most + brightest)
    tiff_of_few_bits(tmp_path / "ore.tif", values, bits, photometric=white)
    picture = Micrograph.open(tmp_path / "ore.tif")
    seen = values if white else most - values
    np.testing.assert_array_equal(picture.read().rgb[..., 1], seen * (255 // most))
    assert [guess.what for guess in picture.guesses] == ["colour"]


def test_significant_bits_that_are_not_so_are_no_depth(tmp_path: Path) -> None:
    """OME says 4 bits, the values go up to 255: bright stays bright."""
    how = {"axes": "YXS", "SignificantBits": 4}
    tifffile.imwrite(tmp_path / "o.ome.tif", COLOUR, photometric="rgb", metadata=how)
    picture = Micrograph.open(tmp_path / "o.ome.tif")
    np.testing.assert_array_equal(picture.read().rgb, COLOUR)


def test_tiff_cmyk(tmp_path: Path) -> None:
    image = Image.fromarray(smooth()).convert("CMYK")
    image.save(tmp_path / "ore.tif")
    rgb = Micrograph.open(tmp_path / "ore.tif").read().rgb
    assert np.abs(rgb.astype(int) - np.asarray(image.convert("RGB"))).max() <= 1


def pyramid(path: Path) -> list[np.ndarray]:
    levels = [RNG.integers(0, 256, (512 // 2**n, 768 // 2**n, 3), dtype=np.uint8) for n in range(3)]
    with tifffile.TiffWriter(path, ome=True) as tiff:
        size = {
            "PhysicalSizeX": 0.5,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 0.5,
            "PhysicalSizeYUnit": "µm",
        }
        tiff.write(levels[0], subifds=2, tile=(128, 128), photometric="rgb", metadata={"axes": "YXS", **size})
        for level in levels[1:]:
            tiff.write(level, subfiletype=1, tile=(128, 128), photometric="rgb")
    return levels


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
def test_planes_and_levels_that_are_not_there_are_refused(name: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(tmp_path / name)
    for options in (ReadOptions(plane=3), ReadOptions(level=2)):
        with pytest.raises(OptionError, match=r"it has one plane|there is no level 2"):
            Micrograph.open(tmp_path / name, options=options)


def test_pyramid_levels_and_their_scale(tmp_path: Path) -> None:
    levels = pyramid(tmp_path / "ore.ome.tif")
    for number, level in enumerate(levels):
        picture = Micrograph.open(tmp_path / "ore.ome.tif", options=ReadOptions(level=number))
        np.testing.assert_array_equal(picture.read().rgb, level)
        assert picture.um_per_px == pytest.approx(0.5 * 2**number)
        assert picture.um_per_px_source == "OME metadata"
    with pytest.raises(OptionError, match="level 3"):
        Micrograph.open(tmp_path / "ore.ome.tif", options=ReadOptions(level=3))


@pytest.mark.parametrize("raw", [False, True], ids=["zarr", "raw rows"])
@pytest.mark.parametrize("axes", ["ZYXS", "TZYXS", "ZCYX"])
def test_stack_needs_a_plane(axes: str, raw: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ore_minerals.images.tiff.LARGE_STRIP_BYTES", 1000 if raw else 2**40)
    lengths = {"Z": 5, "T": 2, "Y": 40, "X": 50, "S": 3, "C": 3}
    values = RNG.integers(0, 256, [lengths[axis] for axis in axes], dtype=np.uint8)
    photometric = "rgb" if axes.endswith("S") else "minisblack"
    tifffile.imwrite(tmp_path / "s.ome.tif", values, photometric=photometric, metadata={"axes": axes})
    with pytest.raises(PictureError, match="Z 0 to 4"):
        Micrograph.open(tmp_path / "s.ome.tif")
    plane = (1, 3) if "T" in axes else (3,)
    picture = Micrograph.open(tmp_path / "s.ome.tif", options=ReadOptions(plane=plane))
    expected = values[plane]
    np.testing.assert_array_equal(
        picture.read().rgb, np.moveaxis(expected, 0, 2) if "C" in axes else expected
    )
    assert bool(values_of(picture.guesses, "channel order")) == ("C" in axes)
    with pytest.raises(OptionError, match="Z 0 to 4"):
        Micrograph.open(tmp_path / "s.ome.tif", options=ReadOptions(plane=(7,) * len(plane)))


def test_three_grey_pages_are_no_colours_until_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", np.moveaxis(COLOUR, 2, 0), photometric="minisblack")
    with pytest.raises(PictureError, match="plane"):
        Micrograph.open(tmp_path / "s.tif")
    picture = Micrograph.open(tmp_path / "s.tif", options=ReadOptions(channel_axis=0))
    np.testing.assert_array_equal(picture.read().rgb, COLOUR)


@pytest.mark.parametrize("raw", [False, True], ids=["zarr", "raw rows"])
def test_imagej_stack(raw: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ore_minerals.images.tiff.LARGE_STRIP_BYTES", 1000 if raw else 2**40)
    values = RNG.integers(0, 256, (4, 40, 50), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", values, imagej=True, metadata={"axes": "ZYX"})
    picture = Micrograph.open(tmp_path / "s.tif", options=ReadOptions(plane=2))
    np.testing.assert_array_equal(picture.read().rgb[..., 0], values[2])


def test_largest_of_several_pictures(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as tiff:
        tiff.write(COLOUR[::4, ::4], photometric="rgb")
        tiff.write(COLOUR, photometric="rgb")
    picture = Micrograph.open(tmp_path / "s.tif")
    np.testing.assert_array_equal(picture.read().rgb, COLOUR)
    assert values_of(picture.guesses, "plane") == ["picture 2 of the 2 in the file"]


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("form", ["tif", "png"])
def test_sixteen_bits_of_a_camera(depth: int, form: str, tmp_path: Path) -> None:
    values = (COLOUR.astype(np.uint32) * (2**depth - 1) // 255).astype(np.uint16)
    path = tmp_path / f"ore.{form}"
    if form == "png":
        import imagecodecs

        path.write_bytes(imagecodecs.png_encode(values))
    else:
        tifffile.imwrite(path, values, photometric="rgb")
    picture = Micrograph.open(path)
    assert np.abs(picture.read().rgb.astype(int) - COLOUR).max() <= 1
    assert values_of(picture.guesses, "bit depth") == [f"{depth} bits in uint16"]
    told = Micrograph.open(path, options=ReadOptions(bit_depth=16))
    assert values_of(told.guesses, "bit depth") == []
    np.testing.assert_array_equal(told.read().rgb, np.rint(values / 257.0).astype(np.uint8))


def test_grey_png_of_16_bits(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "ore.png")
    np.testing.assert_array_equal(Micrograph.open(tmp_path / "ore.png").read().rgb[..., 0], GREY)


def test_significant_bits_of_ome_are_no_guess(tmp_path: Path) -> None:
    values = (COLOUR.astype(np.uint16) * 4).clip(0, 1000)
    tifffile.imwrite(
        tmp_path / "o.ome.tif", values, photometric="rgb", metadata={"axes": "YXS", "SignificantBits": 12}
    )
    picture = Micrograph.open(tmp_path / "o.ome.tif")
    assert picture.guesses == ()
    np.testing.assert_array_equal(
        picture.read().rgb, np.floor(values * (255.0 / 4095) + 0.5).astype(np.uint8)
    )


def test_float_tiff_and_its_range(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "f.tif", (COLOUR / 255).astype(np.float32), photometric="rgb")
    picture = Micrograph.open(tmp_path / "f.tif")
    np.testing.assert_array_equal(picture.read().rgb, COLOUR)
    assert values_of(picture.guesses, "value range") == ["0 to 1"]


@pytest.mark.parametrize(
    "name", ["polished section µm 20x.png", "日本 鉱石.tif", "шлиф №3.jpg", "émail 🪨.bmp"]
)
def test_names_of_all_scripts(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "Проба 日本"
    folder.mkdir()
    Image.fromarray(smooth()).save(folder / name)
    for path in (folder / name, os.fspath(folder / name)):
        assert Micrograph.open(path).read().rgb.shape == (90, 120, 3)


def test_one_pixel(tmp_path: Path) -> None:
    for form in ("png", "tif", "bmp"):
        Image.fromarray(COLOUR[:1, :1]).save(tmp_path / f"one.{form}")
        np.testing.assert_array_equal(Micrograph.open(tmp_path / f"one.{form}").read().rgb, COLOUR[:1, :1])


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Micrograph]:
    folder = tmp_path_factory.mktemp("sources")
    Image.fromarray(COLOUR).save(folder / "a.png")
    tifffile.imwrite(folder / "strips.tif", COLOUR, rowsperstrip=7, compression="lzw", photometric="rgb")
    tifffile.imwrite(folder / "tiles.tif", COLOUR, tile=(32, 48), photometric="rgb")
    tifffile.imwrite(
        folder / "planar.tif", np.moveaxis(COLOUR, 2, 0), planarconfig="separate", photometric="rgb"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MIN_BLOCK_PX", 20)
        patch.setattr("napari_ore_minerals.images.tiff.LARGE_STRIP_BYTES", 100)
        assert raw_rows.LARGE_STRIP_BYTES > 100
        return [
            Micrograph.from_array(COLOUR),
            *(Micrograph.open(folder / name) for name in ("a.png", "strips.tif", "tiles.tif", "planar.tif")),
        ]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_window_is_the_slice_of_the_whole(sources: list[Micrograph], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, COLOUR.shape[0] - 1))
    column = data.draw(st.integers(0, COLOUR.shape[1] - 1))
    height = data.draw(st.integers(1, COLOUR.shape[0] - row))
    width = data.draw(st.integers(1, COLOUR.shape[1] - column))
    for picture in sources:
        rgb = picture.read(Window(row, column, height, width)).rgb
        np.testing.assert_array_equal(rgb, COLOUR[row : row + height, column : column + width])


def test_the_same_pixels_have_the_same_fingerprint(sources: list[Micrograph]) -> None:
    prints = {picture.fingerprint() for picture in sources}
    assert len(prints) == 1
    assert len(prints.pop()) == 64
    changed = COLOUR.copy()
    changed[70, 70] ^= 1
    assert Micrograph.from_array(changed).fingerprint() != sources[0].fingerprint()
    assert Micrograph.from_array(COLOUR[:, :-1]).fingerprint() != sources[0].fingerprint()


@pytest.mark.parametrize(
    "window", [(0, 0, 151, 10), (-1, 0, 5, 5), (0, 205, 5, 6), (0, 0, 0, 5), (0, 0, 5, -1)]
)
def test_windows_outside_are_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(PictureError, match="150 x 210"):
        Micrograph.from_array(COLOUR).read(Window(*window))


def test_what_is_read_belongs_to_the_reader() -> None:
    original = COLOUR.copy()
    picture = Micrograph.from_array(original)
    picture.read().rgb[:] = 0
    np.testing.assert_array_equal(original, COLOUR)


def test_windows_from_many_threads(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", COLOUR, tile=(16, 16), compression="zlib", photometric="rgb")
    picture = Micrograph.open(tmp_path / "t.tif")
    windows = [Window(row, column, 20, 20) for row in range(0, 130, 5) for column in range(0, 190, 5)]
    with ThreadPoolExecutor(8) as pool:
        for window, pixels in zip(windows, pool.map(picture.read, windows), strict=True):
            expected = COLOUR[window.row : window.row + 20, window.column : window.column + 20]
            np.testing.assert_array_equal(pixels.rgb, expected)


def test_files_are_closed_with_their_micrograph(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", COLOUR, tile=(16, 16), photometric="rgb")
    process = psutil.Process()
    Micrograph.open(tmp_path / "t.tif").read()
    before = len(process.open_files())
    for _ in range(20):
        Micrograph.open(tmp_path / "t.tif").read(Window(0, 0, 3, 3))
    assert len(process.open_files()) <= before


def test_plane_in_another_file_that_is_missing(tmp_path: Path) -> None:
    """OME-TIFF may spread its planes over files; a missing one must not be read as black."""
    planes = RNG.integers(0, 256, (2, 40, 50), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", planes[0], photometric="minisblack", compression="zlib")
    element = (
        '<TiffData FirstZ="{0}" FirstC="0" FirstT="0" IFD="0" PlaneCount="1">'
        '<UUID FileName="{1}.ome.tif">urn:uuid:{0}</UUID></TiffData>'
    )
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="50" SizeY="40" '
        'SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        + element.format(0, "a")
        + element.format(1, "b")
        + "</Pixels></Image></OME>"
    )
    tifffile.tiffcomment(tmp_path / "a.ome.tif", text.encode())
    first = Micrograph.open(tmp_path / "a.ome.tif", options=ReadOptions(plane=0))
    np.testing.assert_array_equal(first.read().rgb[..., 0], planes[0])
    with pytest.raises(PictureError, match="another file"):
        Micrograph.open(tmp_path / "a.ome.tif", options=ReadOptions(plane=1))


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_large_jpeg_has_the_pixels_that_pillow_decodes(tmp_path: Path, subsampling: int) -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 255, (600, 800, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=92, subsampling=subsampling)
    assert (tmp_path / "a.jpg").stat().st_size > SMALL_JPEG_BYTES
    np.testing.assert_array_equal(
        Micrograph.open(tmp_path / "a.jpg").read().rgb, np.asarray(Image.open(tmp_path / "a.jpg"))
    )


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_large_jpeg_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3), dtype=np.uint8)
    preview = Image.fromarray(noise[:100, :100])
    preview.save(tmp_path / "preview.jpg")
    exif = Image.Exif()
    exif[0x9286] = (tmp_path / "preview.jpg").read_bytes()
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=92, exif=exif)
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PictureError, match="damaged picture"):
        Micrograph.open(tmp_path / "a.jpg")
