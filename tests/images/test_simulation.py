"""Simulated micrographs: reproducible, exact, and true to the published reflectances."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError
from skimage.color import rgb2hsv

from napari_ore_minerals.images.simulated_camera import Laboratory, draw_laboratory, photograph, tone_table
from napari_ore_minerals.images.simulated_light import (
    ORE_SUBSTANCES,
    SUBSTANCES,
    WAVELENGTHS_NM,
    halogen,
    linear_colours,
    matching_functions,
    reflectance,
    white_led,
)
from napari_ore_minerals.images.simulated_noise import fractal_noise, upper_part
from napari_ore_minerals.images.simulation import SAMPLES, SimulationOptions, base_colours, simulate
from napari_ore_minerals.minerals import DEFAULT_MINERALS, PAPER_MINERALS

SMALL = SimulationOptions(height_px=200, width_px=240, um_per_px=4.0)
NEUTRAL = Laboratory()


def at(substance: str, nm: float) -> np.ndarray:
    """Least and greatest reflectance at one wavelength, per cent."""
    return 100 * np.array([np.interp(nm, WAVELENGTHS_NM, curve) for curve in reflectance(substance)])


def seen(substance: str) -> np.ndarray:
    """Mean 8-bit colour of a substance in a neutral laboratory."""
    colour = linear_colours(NEUTRAL.spectrum())[SUBSTANCES.index(substance)].mean(axis=0)
    return photograph(np.tile(colour, (8, 8, 1)), NEUTRAL, np.random.default_rng(0))[4, 4].astype(float)


def test_same_seed_same_picture() -> None:
    first, again, other = simulate(3, SMALL), simulate(3, SMALL), simulate(4, SMALL)
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert first.laboratory == again.laboratory
    assert not np.array_equal(first.rgb, other.rgb)


def test_another_laboratory_photographs_the_same_section() -> None:
    drawn, neutral = simulate(5, SMALL), simulate(5, SMALL, laboratory=NEUTRAL)
    np.testing.assert_array_equal(drawn.mask, neutral.mask)
    assert not np.array_equal(drawn.rgb, neutral.rgb)


@pytest.mark.parametrize("shape", [(200, 240), (64, 300)])
def test_shapes_and_codes(shape: tuple[int, int]) -> None:
    options = SimulationOptions(height_px=shape[0], width_px=shape[1], um_per_px=5.0)
    for seed in range(4):
        picture = simulate(seed, options)
        assert picture.rgb.shape == (*shape, 3)
        assert picture.mask.shape == shape
        assert picture.rgb.dtype == picture.mask.dtype == np.uint8
        assert set(np.unique(picture.mask)) <= set(DEFAULT_MINERALS.codes)


def test_every_mineral_appears() -> None:
    found: set[int] = set()
    for seed in range(16):
        found |= set(np.unique(simulate(seed, SMALL).mask).tolist())
    assert found == set(DEFAULT_MINERALS.codes)


@pytest.mark.parametrize("mineral", list(PAPER_MINERALS), ids=lambda mineral: mineral.symbol)
def test_only_the_minerals_asked_for(mineral) -> None:
    options = SMALL.model_copy(update={"minerals": (mineral.name,)})
    codes = set(np.unique(np.stack([simulate(seed, options).mask for seed in range(6)])).tolist())
    assert codes == {mineral.code, 6}


def test_no_minerals_is_gangue() -> None:
    assert (simulate(0, SMALL.model_copy(update={"minerals": ()})).mask == 6).all()


@pytest.mark.parametrize(
    ("substance", "nm", "least", "greatest"),
    [
        ("arsenopyrite", 470, 51, 55),
        ("arsenopyrite", 546, 52, 54),
        ("chalcopyrite", 470, 34, 33.1),
        ("chalcopyrite", 650, 49, 48.1),
        ("gold", 480, 34, 53),
        ("gold", 546, 70.7, 85.6),
        ("pyrite", 546, 53, 52),
        ("pyrite", 589, 54, 54.5),
        ("stibnite", 470, 31, 53),
        ("stibnite", 650, 30, 42),
        ("quartz", 589, 4.57, 4.69),
        ("calcite", 589, 3.82, 6.13),
    ],
)
def test_published_reflectances(substance: str, nm: float, least: float, greatest: float) -> None:
    np.testing.assert_allclose(at(substance, nm), (least, greatest), atol=0.7)


def test_reflectances_are_possible() -> None:
    for substance in SUBSTANCES:
        curves = reflectance(substance)
        assert curves.min() > 0
        assert curves.max() < 1


def test_colour_matching_functions() -> None:
    curves = matching_functions()
    peaks = WAVELENGTHS_NM[curves.argmax(axis=1)]
    np.testing.assert_allclose(peaks, (600, 555, 445), atol=10)  # CIE 1931: 600, 555, 445 nm
    np.testing.assert_allclose(curves.max(axis=1), (1.06, 1.0, 1.78), atol=0.05)


@pytest.mark.parametrize("lamp", [halogen(3200), halogen(6000), white_led(4000), white_led(6500)])
def test_order_of_blue_to_red(lamp: np.ndarray) -> None:
    colours = dict(zip(SUBSTANCES, linear_colours(lamp).mean(axis=1), strict=True))
    ratios = [
        colours[name][2] / colours[name][0]
        for name in ("gold", "chalcopyrite", "pyrite", "arsenopyrite", "stibnite")
    ]
    assert ratios == sorted(ratios)
    assert colours["pyrite"][1] > colours["chalcopyrite"][1] > colours["quartz"][1] > colours["void"][1]


def test_neutral_colours() -> None:
    saturation = {name: rgb2hsv(seen(name)[np.newaxis] / 255)[0, 1] for name in ORE_SUBSTANCES}
    assert saturation["gold"] > saturation["chalcopyrite"] > saturation["pyrite"] > saturation["arsenopyrite"]
    assert np.ptp(seen("quartz")) <= 1
    red, green, blue = seen("gold")
    assert red > green > blue


def test_mask_is_exact() -> None:
    options = SimulationOptions(height_px=160, width_px=160, um_per_px=8.0, minerals=("pyrite", "stibnite"))
    section, colours = base_colours(7, options, NEUTRAL)
    mask = section.mask()
    np.testing.assert_array_equal(mask, simulate(7, options).mask)
    pyrite = colours[mask == 4]
    assert len(pyrite) > 100
    allowed = linear_colours(NEUTRAL.spectrum())[SUBSTANCES.index("pyrite")]
    assert (pyrite >= allowed.min(axis=0) - 1e-6).all()
    assert (pyrite <= allowed.max(axis=0) + 1e-6).all()
    assert colours[mask == 6].max() < 0.07 < colours[mask != 6].min()


def test_isotropic_minerals_have_one_colour_in_a_section() -> None:
    options = SimulationOptions(
        height_px=160, width_px=160, um_per_px=8.0, minerals=("pyrite", "gold", "stibnite")
    )
    section, colours = base_colours(2, options, NEUTRAL)
    mask = section.mask()
    for code in (3, 4):
        np.testing.assert_allclose(np.ptp(colours[mask == code], axis=0), 0, atol=1e-6)
    assert np.ptp(colours[mask == 5][:, 1]) > 0.05  # bireflectance of stibnite


def test_exposure_is_what_it_says() -> None:
    for seed in range(20):
        laboratory = dataclasses.replace(draw_laboratory(np.random.default_rng(seed)), saturation=1.0)
        table = tone_table(laboratory)
        assert (np.diff(table) >= 0).all()
        level = table[round((0.5 + laboratory.flare) * (len(table) - 1))] / 255
        assert level == pytest.approx(min(laboratory.exposure, 1.0), abs=0.01)


def test_vignetting_darkens_corners_and_nothing_else() -> None:
    flat = np.full((101, 101, 3), 0.4, dtype=np.float32)
    picture = photograph(flat, dataclasses.replace(NEUTRAL, vignetting=0.4), np.random.default_rng(0))
    plain = photograph(flat, NEUTRAL, np.random.default_rng(0))
    assert picture[50, 50, 0] == plain[50, 50, 0]
    assert picture[0, 0, 0] < picture[25, 25, 0] < picture[50, 50, 0]


def test_noise_fields() -> None:
    rng = np.random.default_rng(0)
    for feature_px in (1.0, 3.0, 40.0, 5000.0):
        field = fractal_noise(rng, (120, 90), feature_px)
        assert field.shape == (120, 90)
        assert field.dtype == np.float32
    assert fractal_noise(rng, (500, 500), 10.0).std() == pytest.approx(1.0, abs=0.2)
    assert upper_part(fractal_noise(rng, (400, 400), 20.0), 0.3).mean() == pytest.approx(0.3, abs=0.02)
    assert not upper_part(np.zeros((8, 8), dtype=np.float32), 0.5).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"height_px": 63},
        {"width_px": 8193},
        {"um_per_px": 0.0},
        {"um_per_px": float("nan")},
        {"minerals": ("galena",)},
        {"jpeg": 3},
    ],
)
def test_options_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SimulationOptions(**wrong)


def test_unknown_mineral_is_named() -> None:
    with pytest.raises(ValidationError, match=r"galena.*known: arsenopyrite"):
        SimulationOptions(minerals=("galena",))


def test_samples_show_their_minerals() -> None:
    for seed, options in SAMPLES.values():
        picture = simulate(
            seed, options.model_copy(update={"height_px": 384, "width_px": 512, "um_per_px": 4.0})
        )
        assert options.minerals is not None
        assert len(np.unique(picture.mask)) >= 2
