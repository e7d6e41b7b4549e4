"""A laboratory's lamp, camera and file format, and the photograph they make of reflected light.

The ranges were measured: they hold, and exceed a little on both sides, what the 82 photographs of
LumenStone S1 and S2 show (Khvostikov et al. 2021, ISPRS Archives XLIV-2/W1-2021, 113-118):
medians of pyrite, chalcopyrite and gangue of each photograph in 8-bit sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .simulated_light import halogen, white_led
from .simulated_noise import coordinates, log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS = 1 << 14
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


@dataclass(frozen=True)
class Laboratory:
    """Lamp and camera of one laboratory; the defaults are neutral and without noise.

    Attributes
    ----------
    lamp : str
        ``"halogen"`` or ``"led"``.
    kelvin : float
        Colour temperature of the lamp.
    exposure : float
        Level, 0 to 1 (of 8 bits), at which a reflectance of 0.5 is written; above 1 it is clipped.
    white_balance : tuple of float
        Gain of red, green and blue before the tone curve; a flat white is neutral at (1, 1, 1).
    saturation : float
        1 leaves colours as they are.
    gamma, contrast, flare : float
        Exponent of the tone curve; share of an S-curve in it; stray light as a reflectance, below 0
        where the camera cuts the blacks.
    sharpening : float
        Share of the difference from a blurred picture that the camera adds.
    vignetting : float
        Loss of light in the corners, 0 to 1; `optical_axis` is its centre as shares of height and width.
    defocus_px, noise_levels : float
        Deviation of the blur in pixels and of the noise in 8-bit levels.
    fringe : float
        Blue is blurred by this share more than green, red by half of it.
    jpeg_quality : int
        1 to 100; 0 for no JPEG.
    """

    lamp: str = "halogen"
    kelvin: float = 5500.0
    exposure: float = 0.75
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    gamma: float = 2.2
    contrast: float = 0.0
    flare: float = 0.0
    sharpening: float = 0.0
    vignetting: float = 0.0
    optical_axis: tuple[float, float] = (0.5, 0.5)
    defocus_px: float = 0.0
    fringe: float = 0.0
    noise_levels: float = 0.0
    jpeg_quality: int = 0

    def spectrum(self) -> NDArray[np.float64]:
        """Power of the lamp at `WAVELENGTHS_NM`."""
        return halogen(self.kelvin) if self.lamp == "halogen" else white_led(self.kelvin)


def draw_laboratory(rng: np.random.Generator) -> Laboratory:
    """Draw a laboratory; see the module for where the ranges come from."""
    warmth = rng.normal(0.065, 0.04)
    tint = rng.normal(0.0, 0.015)
    return Laboratory(
        lamp="halogen" if rng.random() < 0.65 else "led",
        kelvin=float(rng.uniform(3000, 6500)),
        exposure=float(rng.triangular(0.5, 0.68, 1.05)),
        white_balance=(
            float(np.exp(warmth + tint)),
            float(np.exp(-tint)),
            float(np.exp(-warmth + tint)),
        ),
        saturation=float(rng.uniform(0.65, 1.1)),
        gamma=float(rng.uniform(1.25, 2.35)),
        contrast=float(rng.uniform(0.0, 0.45)),
        flare=float(rng.uniform(-0.02, 0.025)),
        sharpening=float(rng.uniform(0.0, 1.2) if rng.random() < 0.6 else 0.0),
        vignetting=float(rng.triangular(0.0, 0.1, 0.4)),
        optical_axis=(float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.3, 0.7))),
        defocus_px=float(log_uniform(rng, 0.55, 2.2)),
        fringe=float(rng.uniform(0.0, 0.5)),
        noise_levels=float(log_uniform(rng, 0.3, 3.5)),
        jpeg_quality=int(rng.integers(55, 99)),
    )


def photograph(
    reflected: NDArray[np.float32], laboratory: Laboratory, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Photograph reflected light.

    Parameters
    ----------
    reflected
        Linear sRGB reflectance, (height, width, 3), 0 to 1; a flat white is (1, 1, 1).
    laboratory
        Lamp and camera; the lamp's spectrum is already in `reflected`.
    rng
        Source of the noise.

    Returns
    -------
    ndarray, uint8, (height, width, 3)
    """
    light = reflected
    if laboratory.vignetting > 0:
        light = light * _falloff(laboratory, light.shape)[..., np.newaxis]
    if laboratory.defocus_px > 0:
        light = _defocused(light, laboratory)
    light = cv2.transform(light + np.float32(laboratory.flare), _colour_matrix(laboratory))
    table = tone_table(laboratory)
    picture: NDArray[np.uint8]
    position = np.clip(light * np.float32(_LEVELS - 1) + np.float32(0.5), 0, _LEVELS - 1).astype(np.uint16)
    levels = table[position]
    if laboratory.sharpening > 0:
        levels += np.float32(laboratory.sharpening) * (levels - cv2.GaussianBlur(levels, (0, 0), 1.2))
    if laboratory.noise_levels > 0:
        noise = rng.standard_normal(levels.shape, dtype=np.float32)
        levels = levels + np.float32(1.6 * laboratory.noise_levels) * cv2.GaussianBlur(noise, (0, 0), 0.55)
    picture = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return picture if laboratory.jpeg_quality == 0 else _through_jpeg(picture, laboratory.jpeg_quality)


def tone_table(laboratory: Laboratory) -> NDArray[np.float32]:
    """8-bit level of each of `_LEVELS` steps of linear light from 0 to 1."""
    light = np.linspace(0.0, 1.0, _LEVELS)

    def curve(exposed: NDArray[np.float64]) -> NDArray[np.float64]:
        written = np.clip(exposed, 0, 1.4) ** (1 / laboratory.gamma)
        bent: NDArray[np.float64] = np.clip(written, 0, 1) ** 2 * (3 - 2 * np.clip(written, 0, 1))
        return (1 - laboratory.contrast) * written + laboratory.contrast * bent

    steps = np.linspace(0.0, 1.4, _LEVELS)
    gain = np.interp(laboratory.exposure, curve(steps), steps) / (0.5 + laboratory.flare)
    return np.minimum(255 * curve(light * gain), 255).astype(np.float32)


def _defocused(light: NDArray[np.float32], laboratory: Laboratory) -> NDArray[np.float32]:
    widths = laboratory.defocus_px * (1 + laboratory.fringe * np.array([0.5, 0.0, 1.0]))
    channels = [
        cv2.GaussianBlur(np.ascontiguousarray(light[..., channel]), (0, 0), width)
        for channel, width in enumerate(widths.tolist())
    ]
    return np.stack(channels, axis=-1)


def _colour_matrix(laboratory: Laboratory) -> NDArray[np.float32]:
    saturation = np.float32(laboratory.saturation)
    grey = np.tile(_LUMINANCE, (3, 1))
    mixing = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * grey
    matrix: NDArray[np.float32] = np.diag(np.array(laboratory.white_balance, dtype=np.float32)) @ mixing
    return matrix


def _falloff(laboratory: Laboratory, shape: tuple[int, ...]) -> NDArray[np.float32]:
    rows, columns = coordinates(shape)
    row, column = (share * side for share, side in zip(laboratory.optical_axis, shape[:2], strict=True))
    far = np.float32(0.5 * np.hypot(shape[0], shape[1]))
    away = np.sqrt((rows - np.float32(row)) ** 2 + (columns - np.float32(column)) ** 2) / far
    kept: NDArray[np.float32] = 1 - np.float32(laboratory.vignetting) * np.minimum(
        away, 1.5
    ) ** 2 / np.float32(1.5)
    return kept


def _through_jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, file = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
