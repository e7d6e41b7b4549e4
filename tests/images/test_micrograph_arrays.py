"""Arrays of every kind: the same pixels, the same guesses, and refusals that name the option to give."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images import blocks, interpretation
from napari_ore_minerals.images.micrograph import Guess, Micrograph, ReadOptions, Window

RNG = np.random.default_rng(20261123)
COLOUR = RNG.integers(0, 256, (150, 210, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]


def read(array: object, **options: object) -> np.ndarray:
    return Micrograph.from_array(array, options=ReadOptions(**options)).read().rgb


def values_of(picture: Micrograph, what: str) -> list[str]:
    return [guess.value for guess in picture.guesses if guess.what == what]


def read_only() -> np.ndarray:
    array = COLOUR.copy()
    array.flags.writeable = False
    return array


def sparse_view() -> np.ndarray:
    large = np.zeros((300, 420, 6), np.uint8)
    large[::2, ::2, ::2] = COLOUR
    return large[::2, ::2, ::2]


SAME = {
    "uint8": COLOUR,
    "Fortran order": np.asfortranarray(COLOUR),
    "read-only": read_only(),
    "strided view": sparse_view(),
    "flipped view": COLOUR[::-1, ::-1][::-1, ::-1],
    "uint16": COLOUR.astype(np.uint16) * 257,
    "big-endian uint16": (COLOUR.astype(np.uint16) * 257).astype(">u2"),
    "int32": COLOUR.astype(np.int32),
    "float64 0 to 1": COLOUR / 255,
    "float32 0 to 1": (COLOUR / 255).astype(np.float32),
    "big-endian float": (COLOUR / 255).astype(">f4"),
    "float 0 to 255": COLOUR.astype(np.float32),
    "dask": da.from_array(COLOUR, chunks=(37, 64, 3)),
    "dask with split channels": da.from_array(COLOUR, chunks=(64, 64, 1)),
    "zarr": zarr.array(COLOUR, chunks=(32, 48, 3)),
    "zarr of one chunk": zarr.array(COLOUR, chunks=COLOUR.shape),
    "channels first": np.moveaxis(COLOUR, 2, 0),
    "zarr, channels first": zarr.array(np.moveaxis(COLOUR, 2, 0), chunks=(1, 32, 48)),
    "plane of one": COLOUR[np.newaxis],
    "pyramid": [COLOUR, COLOUR[::2, ::2]],
    "pyramid as tuple": (da.from_array(COLOUR), da.from_array(COLOUR[::2, ::2])),
}


@pytest.mark.parametrize("kind", SAME)
def test_same_pixels_from_every_kind_of_array(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MIN_BLOCK_PX", 40)
    picture = Micrograph.from_array(SAME[kind])
    pixels = picture.read()
    np.testing.assert_array_equal(pixels.rgb, COLOUR)
    assert pixels.rgb.dtype == np.uint8
    assert pixels.rgb.flags.c_contiguous
    assert pixels.rgb.flags.writeable
    assert pixels.finite is None
    np.testing.assert_array_equal(picture.read(Window(33, 60, 50, 90)).rgb, COLOUR[33:83, 60:150])
    assert picture.fingerprint() == Micrograph.from_array(COLOUR).fingerprint()
    assert len(values_of(picture, "channel order")) == 1


def test_float16_is_as_near_as_it_can_be() -> None:
    assert np.abs(read((COLOUR / 255).astype(np.float16)).astype(int) - COLOUR).max() <= 1


def test_bool_is_black_and_white() -> None:
    np.testing.assert_array_equal(read(GREY > 127)[..., 2], np.where(GREY > 127, 255, 0))


def test_grey_and_its_notice() -> None:
    picture = Micrograph.from_array(GREY)
    np.testing.assert_array_equal(picture.read().rgb, np.repeat(GREY[..., np.newaxis], 3, axis=2))
    assert [guess.what for guess in picture.guesses] == ["colour"]
    assert "look alike" in str(picture.guesses[0])


def test_alpha_zero_is_no_data() -> None:
    alpha = np.where(GREY < 30, 0, 200).astype(np.uint8)
    pixels = Micrograph.from_array(np.dstack([COLOUR, alpha])).read()
    assert pixels.finite is not None
    np.testing.assert_array_equal(pixels.finite, alpha > 0)
    np.testing.assert_array_equal(pixels.rgb[alpha > 0], COLOUR[alpha > 0])


def test_not_a_number_is_no_data() -> None:
    values = COLOUR / 255
    values[3, 4, 1], values[5, 6, 0], values[7, 8] = np.nan, np.inf, -np.inf
    pixels = Micrograph.from_array(values).read()
    assert pixels.finite is not None
    assert sorted(zip(*np.nonzero(~pixels.finite), strict=True)) == [(3, 4), (5, 6), (7, 8)]
    assert not pixels.rgb[~pixels.finite].any()
    assert Micrograph.from_array(values).read(Window(10, 10, 50, 50)).finite is None


def test_all_not_a_number_is_refused_until_a_range_is_given() -> None:
    nothing = np.full((20, 30), np.nan)
    with pytest.raises(PictureError, match="value range"):
        Micrograph.from_array(nothing)
    pixels = Micrograph.from_array(nothing, options=ReadOptions(value_range=(0, 1))).read()
    assert pixels.finite is not None
    assert not pixels.finite.any()


@pytest.mark.parametrize(
    "values",
    [
        COLOUR.astype(np.int16) - 100,
        COLOUR / 255 - 0.5,
        COLOUR.astype(np.float32) * 257,
        COLOUR / 255 * 1.5,
        COLOUR.astype(np.uint32) * 10_000,
    ],
    ids=["negative int", "negative float", "float to 65535", "float to 1.5", "uint32"],
)
def test_ranges_that_no_camera_gives_are_refused_until_told(values: np.ndarray) -> None:
    with pytest.raises(PictureError, match="value range: low, high"):
        Micrograph.from_array(values)
    told = (float(values.min()), float(values.max()))
    picture = Micrograph.from_array(values, options=ReadOptions(value_range=told))
    rgb = picture.read().rgb
    assert (rgb.min(), rgb.max()) == (0, 255)
    assert not values_of(picture, "value range")
    expected = (values - told[0]) * (255 / (told[1] - told[0]))
    assert np.abs(rgb - expected).max() <= 0.51


def test_values_beyond_the_given_range_are_clipped() -> None:
    rgb = read(COLOUR, value_range=(100, 200))
    assert not rgb[COLOUR <= 100].any()
    assert (rgb[COLOUR >= 200] == 255).all()


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_depth_is_guessed_from_the_largest_value_or_told(depth: int) -> None:
    values = (COLOUR.astype(np.uint32) * (2**depth - 1) // 255).astype(np.uint16)
    picture = Micrograph.from_array(values)
    assert values_of(picture, "bit depth") == [f"{depth} bits in uint16"]
    assert np.abs(picture.read().rgb.astype(int) - COLOUR).max() <= 1
    assert read(values, bit_depth=16).max() == round((2**depth - 1) / 257)


def test_blue_first() -> None:
    np.testing.assert_array_equal(read(COLOUR[..., ::-1], channel_order="bgr"), COLOUR)


@pytest.mark.parametrize("shape", [(3, 40, 3), (4, 40, 4), (3, 3, 3), (4, 5, 3)])
def test_two_axes_of_colours_are_refused_until_told(shape: tuple[int, ...]) -> None:
    array = RNG.integers(1, 256, shape, dtype=np.uint8)
    with pytest.raises(PictureError, match="channel_axis"):
        Micrograph.from_array(array)
    np.testing.assert_array_equal(read(array, channel_axis=2), array[..., :3])
    np.testing.assert_array_equal(read(array, channel_axis=0), np.moveaxis(array, 0, 2)[..., :3])
    np.testing.assert_array_equal(read(array, rgb=True), array[..., :3])


def test_a_layer_that_is_not_rgb_is_a_stack() -> None:
    with pytest.raises(PictureError, match="axis 0 0 to 149"):
        Micrograph.from_array(COLOUR, options=ReadOptions(rgb=False))
    np.testing.assert_array_equal(read(COLOUR, rgb=False, plane=7)[..., 0], COLOUR[7])


def test_small_colour_picture() -> None:
    np.testing.assert_array_equal(read(COLOUR[:1, :1]), COLOUR[:1, :1])
    np.testing.assert_array_equal(read(COLOUR[:30, :30]), COLOUR[:30, :30])


def test_long_strip() -> None:
    strip = RNG.integers(0, 256, (1, 100_000), dtype=np.uint8)
    np.testing.assert_array_equal(read(strip)[..., 1], strip)


@pytest.mark.parametrize(
    ("shape", "plane", "options"),
    [
        ((5, 40, 60), (3,), {}),
        ((5, 40, 60, 3), (3,), {}),
        ((2, 5, 40, 60, 3), (1, 3), {}),
        ((2, 1, 40, 60), (1,), {}),
        ((2, 1, 40, 60), (1, 0), {}),
        ((5, 3, 40, 60), (4,), {}),
    ],
)
def test_plane_of_a_stack(shape: tuple[int, ...], plane: tuple[int, ...], options: dict[str, object]) -> None:
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    for stack in (array, zarr.array(array), da.from_array(array)):
        with pytest.raises(PictureError, match="plane"):
            Micrograph.from_array(stack)
        rgb = read(stack, plane=plane, **options)
        expected = array.squeeze()[plane[:1]] if shape == (2, 1, 40, 60) else array[plane]
        if expected.ndim == 2:
            expected = expected[..., np.newaxis]
        elif expected.shape[0] == 3:
            expected = np.moveaxis(expected, 0, 2)
        np.testing.assert_array_equal(rgb, np.broadcast_to(expected, rgb.shape))


@pytest.mark.parametrize("plane", [(5,), (-1,), (0, 0), (0, 0, 0)])
def test_planes_that_do_not_exist(plane: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="axis 0 0 to 4"):
        Micrograph.from_array(np.zeros((5, 40, 60), np.uint8), options=ReadOptions(plane=plane))


def test_levels_of_a_pyramid() -> None:
    levels = [COLOUR, COLOUR[::2, ::2], COLOUR[::4, ::4]]
    np.testing.assert_array_equal(read(levels, level=2), levels[2])
    with pytest.raises(OptionError, match="levels 0 to 2"):
        read(levels, level=3)
    with pytest.raises(PictureError, match="fine to coarse"):
        read(levels[::-1])
    with pytest.raises(OptionError, match="not a pyramid"):
        read(COLOUR, level=1)


@pytest.mark.parametrize(
    "thing",
    [
        np.zeros(5, np.uint8),
        np.zeros((0, 5), np.uint8),
        np.zeros((5, 0, 3), np.uint8),
        np.zeros((9, 9, 2), np.uint8),
        np.zeros((9, 9), complex),
        np.array([["a", "b"]]),
        np.array([[None, 1]]),
        np.zeros((9, 9), "datetime64[s]"),
        np.broadcast_to(np.uint8(0), (2**21, 2**21)),
        [],
        [[1, 2], [3, 4]],
        "picture.png",
        None,
        3,
        SimpleNamespace(shape=(5, 5), dtype="torch.uint8"),
    ],
    ids=lambda thing: str(getattr(thing, "shape", thing)),
)
def test_what_is_no_picture(thing: object) -> None:
    with pytest.raises((PictureError, OptionError)) as caught:
        Micrograph.from_array(thing, name="layer 1")
    assert str(caught.value).startswith("layer 1: ")
    assert str(caught.value).endswith(".")


def test_shape_that_is_not_known_yet() -> None:
    unknown = da.from_array(GREY)[da.from_array(GREY[:, 0]) > 100]
    with pytest.raises(PictureError, match="compute"):
        Micrograph.from_array(unknown)


def test_source_that_fails_on_one_block() -> None:
    def block(values: np.ndarray, block_info: dict) -> np.ndarray:
        if block_info[0]["chunk-location"][0] == 1:
            raise ZeroDivisionError("the disk is gone")
        return values

    failing = da.from_array(np.zeros((900, 900, 3), np.uint8), chunks=(300, 900, 3)).map_blocks(
        block, dtype=np.uint8
    )
    picture = Micrograph.from_array(failing, name="mosaic")
    assert not picture.read(Window(0, 0, 300, 100)).rgb.any()
    for _ in range(2):  # the failure is not kept: a share may come back
        with pytest.raises(PictureError, match=r"^mosaic: .*the disk is gone"):
            picture.read(Window(299, 0, 2, 2))


def test_planes_that_are_joined_in_coarser_levels() -> None:
    """Plane 5 of 7 is the last of 4 at half the size, and the only one at an eighth."""
    fine = RNG.integers(0, 256, (7, 64, 80), dtype=np.uint8)
    levels = [fine, fine[::2, ::2, ::2], fine[1:2, ::8, ::8]]
    for level, plane in ((0, 5), (1, 3), (2, 0)):
        picture = Micrograph.from_array(levels, options=ReadOptions(rgb=False, plane=5, level=level))
        np.testing.assert_array_equal(picture.read().rgb[..., 0], levels[level][plane])
        told = [f"plane {plane} on axis 0 of this level"] if level else []
        assert values_of(picture, "plane") == told
    for plane, nearest in enumerate([0, 0, 1, 2, 2, 3, 3]):
        picture = Micrograph.from_array(levels, options=ReadOptions(rgb=False, plane=plane, level=1))
        np.testing.assert_array_equal(picture.read().rgb[..., 0], levels[1][nearest])
    with pytest.raises(OptionError, match=r"no plane .*axis 0 0 to 6"):
        Micrograph.from_array(levels, options=ReadOptions(rgb=False, plane=7, level=1))


def test_levels_whose_axes_differ_are_refused_where_a_plane_is_meant() -> None:
    levels = [np.zeros((7, 64, 80), np.uint8), np.zeros((32, 40), np.uint8)]
    with pytest.raises(PictureError, match="give one level as an array of its own"):
        Micrograph.from_array(levels, options=ReadOptions(rgb=False, plane=5, level=1))


@pytest.mark.parametrize(
    "error",
    [LookupError("no such plane"), StopIteration(), type("ForeignError", (Exception,), {})("link down")],
)
def test_whatever_an_array_raises_is_a_sentence(error: Exception) -> None:
    class Failing:
        shape, dtype = (300, 300, 3), np.dtype(np.uint8)

        def __getitem__(self, key: object) -> np.ndarray:
            raise error

    picture = Micrograph.from_array(Failing(), name="mosaic")
    with pytest.raises(PictureError, match=r"^mosaic: pixels in rows 0 to 255 cannot be read \(.+\)"):
        picture.read()


def masked(form: str) -> object:
    """COLOUR with a masked corner, one colour of a pixel masked, and nonsense under the mask."""
    mask = np.zeros(COLOUR.shape, np.bool_)
    mask[:40, :60], mask[100, 200, 1] = True, True
    if form == "float":
        return np.ma.MaskedArray(np.where(mask, 1e9, COLOUR / 255), mask)
    array = np.ma.MaskedArray(np.where(mask, 77, COLOUR).astype(np.uint8), mask)
    return da.from_array(array, chunks=(37, 64, 3)) if form == "dask" else array


@pytest.mark.parametrize("form", ["numpy", "dask", "float"])
def test_what_numpy_masks_is_no_data(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MIN_BLOCK_PX", 40)
    picture = Micrograph.from_array(masked(form))
    there = np.ones(GREY.shape, np.bool_)
    there[:40, :60], there[100, 200] = False, False
    pixels = picture.read()
    assert pixels.finite is not None
    np.testing.assert_array_equal(pixels.finite, there)
    np.testing.assert_array_equal(pixels.rgb, np.where(there[..., np.newaxis], COLOUR, 0))
    assert type(pixels.rgb) is type(pixels.finite) is np.ndarray
    assert picture.read(Window(50, 70, 40, 90)).finite is None


@pytest.mark.parametrize("kind", ["float", "numpy", "grey", "alpha"])
def test_large_windows_are_the_same_band_by_band(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha = np.where(GREY < 30, 0, 200).astype(np.uint8)
    array = {"grey": GREY / 255, "alpha": np.dstack([COLOUR, alpha])}.get(kind)
    picture = Micrograph.from_array(masked(kind) if array is None else array)
    whole = picture.read()
    for pixels in (1, 700, 210 * 149):
        monkeypatch.setattr(interpretation, "BAND_PX", pixels)
        banded = picture.read()
        np.testing.assert_array_equal(banded.rgb, whole.rgb)
        assert (banded.finite is None) == (whole.finite is None)
        np.testing.assert_array_equal(banded.finite, whole.finite)


class Counted:
    """An array of chunks that counts its reads."""

    shape, dtype, chunks = (2048, 2048, 3), np.dtype(np.uint8), (512, 512, 3)

    def __init__(self) -> None:
        self.reads: list[tuple] = []
        self._lock = threading.Lock()

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        with self._lock:
            self.reads.append(tuple((part.start, part.stop) for part in key[:2]))
        rows, columns = np.arange(2048)[key[0]], np.arange(2048)[key[1]]
        value = (rows[:, None] * 31 + columns[None] * 7) % 251
        return np.repeat(value[..., None], 3, axis=2).astype(np.uint8)


def test_each_chunk_is_read_once_for_all_windows_even_from_threads() -> None:
    array = Counted()
    picture = Micrograph.from_array(array)
    whole = array[0:2048, 0:2048]
    array.reads.clear()
    windows = [Window(row, column, 224, 224) for row in range(0, 1793, 112) for column in range(0, 1793, 112)]
    with ThreadPoolExecutor(8) as pool:
        for window, pixels in zip(windows, pool.map(picture.read, windows), strict=True):
            row, column, height, width = window
            np.testing.assert_array_equal(pixels.rgb, whole[row : row + height, column : column + width])
    assert len(array.reads) == len(set(array.reads)) == 16


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CACHE_BYTES", 2 * 512 * 512 * 3)
    array = Counted()
    picture = Micrograph.from_array(array)
    for column in (0, 512, 1024, 1536, 0):
        picture.read(Window(0, column, 5, 5))
    assert len(array.reads) == 5
    picture.read(Window(0, 1540, 5, 5))
    assert len(array.reads) == 5


def test_sampling_never_reads_the_whole_of_a_large_picture() -> None:
    read_px = 0

    class Large:
        shape, dtype, chunks = (200_000, 150_000), np.dtype(np.uint16), (256, 256)

        def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
            nonlocal read_px
            values = np.full([part.stop - part.start for part in key], 4000, np.uint16)
            read_px += values.size
            return values

    picture = Micrograph.from_array(Large())
    assert values_of(picture, "bit depth") == ["12 bits in uint16"]
    assert len(picture.fingerprint()) == 64
    assert read_px < 60e6


@given(
    array=hnp.arrays(
        dtype=st.sampled_from(["u1", "<u2", ">u2", "<i4", "<f4", ">f8", "?"]),
        shape=st.one_of(
            st.tuples(st.integers(1, 9), st.integers(1, 9)),
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)),
            st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
        ),
    )
)
def test_any_array_is_read_or_refused_and_never_changed(array: np.ndarray) -> None:
    before = array.copy()
    refusal = ""
    try:
        picture = Micrograph.from_array(array)
        pixels = picture.read()
    except PictureError as error:
        refusal = str(error)
    if refusal:
        assert refusal.endswith(".")
    else:
        assert pixels.rgb.shape == (picture.height_px, picture.width_px, 3)
        assert pixels.rgb.dtype == np.uint8
        assert pixels.finite is None or pixels.finite.shape == pixels.rgb.shape[:2]
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    "wrong",
    [{"value_range": (1, 1)}, {"value_range": (0, np.nan)}, {"bit_depth": 0}, {"level": -1}, {"channels": 3}],
)
def test_options_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ReadOptions(**wrong)
    with pytest.raises(ValidationError):
        ReadOptions().level = 2  # type: ignore[misc]


def test_depth_is_for_whole_numbers() -> None:
    with pytest.raises(OptionError, match="value range"):
        read(COLOUR / 255, bit_depth=8)


def test_plane_may_be_a_numpy_number() -> None:
    assert ReadOptions(plane=np.int64(3)) == ReadOptions(plane=(3,)) == ReadOptions(plane=3)
    assert ReadOptions(plane=np.array([1, 2])).plane == (1, 2)


def test_guesses_can_be_shown() -> None:
    assert str(Guess("bit depth", "12 bits", "the largest value is 4000")) == (
        "bit depth: 12 bits (the largest value is 4000)"
    )
