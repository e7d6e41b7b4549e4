"""Colours of minerals in reflected light, from published reflectances.

Sources of the reflectances: Cai et al. (2024), American Mineralogist, Table 1, and the
handbooks named there (Criddle and Stanley 2012; Picot and Johan 1977; Ramdohr 2013).
Transparent minerals follow from Fresnel's law, R = ((n - 1) / (n + 1))^2.
Colour-matching functions: the analytic fit of Wyman, Sloan and Shirley (2013),
Journal of Computer Graphics Techniques 2(2), 1-11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.color.colorconv import rgb_from_xyz

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAVELENGTHS_NM = np.arange(400.0, 701.0, 10.0)
STANDARD_NM = (470.0, 546.0, 589.0, 650.0)

# Least and greatest reflectance with orientation, per cent in air, at STANDARD_NM.
REFLECTANCES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "arsenopyrite": ((51.0, 52.0, 53.0, 53.0), (55.0, 54.0, 54.0, 53.0)),
    "chalcopyrite": ((33.1, 44.9, 47.4, 48.1), (34.0, 47.0, 48.0, 49.0)),
    "gold": ((34.0, 70.7, 80.1, 85.9), (37.0, 81.0, 91.0, 96.0)),
    "pyrite": ((46.0, 52.0, 54.0, 54.0), (46.0, 53.0, 54.5, 54.5)),
    "stibnite": ((31.0, 30.0, 30.0, 28.5), (53.0, 48.0, 45.0, 42.0)),
    "quartz": ((4.6, 4.6, 4.6, 4.6), (4.7, 4.7, 4.7, 4.7)),
    "calcite": ((3.8, 3.8, 3.8, 3.8), (6.1, 6.1, 6.1, 6.1)),
    "sericite": ((4.7, 4.7, 4.7, 4.7), (5.5, 5.5, 5.5, 5.5)),
}


def spectrum(mineral: str, turn: float = 0.5) -> NDArray[np.float64]:
    """Reflectance over `WAVELENGTHS_NM`, 0 to 1.

    Parameters
    ----------
    mineral
        A key of `REFLECTANCES`.
    turn
        Orientation of the grain: 0 for the least, 1 for the greatest reflectance.

    Notes
    -----
    Linear between the four standard wavelengths; flat beyond them.
    """
    least, greatest = (np.array(values) for values in REFLECTANCES[mineral])
    at_standards = least + turn * (greatest - least)
    share: NDArray[np.float64] = np.interp(WAVELENGTHS_NM, STANDARD_NM, at_standards) / 100.0
    return share


def linear_rgb(mineral: str, turn: float = 0.5, *, lamp_kelvin: float = 5500.0) -> NDArray[np.float64]:
    """Linear sRGB of a mineral seen by a camera that is balanced on a perfect mirror.

    Parameters
    ----------
    mineral, turn
        See `spectrum`.
    lamp_kelvin
        Colour temperature of the lamp, a black body.

    Returns
    -------
    (3,) float array
        1 is the perfect mirror.
    """
    lamp = _black_body(lamp_kelvin)
    seen = rgb_from_xyz_linear((spectrum(mineral, turn) * lamp) @ colour_matching())
    white = rgb_from_xyz_linear(lamp @ colour_matching())
    return np.maximum(seen / white, 0.0)


def rgb_from_xyz_linear(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear sRGB of CIE XYZ, without gamma or clipping."""
    linear: NDArray[np.float64] = rgb_from_xyz @ xyz
    return linear


def colour_matching() -> NDArray[np.float64]:
    """CIE 1931 colour-matching functions at `WAVELENGTHS_NM`, (31, 3)."""

    def lobe(height: float, centre: float, below: float, above: float) -> NDArray[np.float64]:
        distance = WAVELENGTHS_NM - centre
        value: NDArray[np.float64] = height * np.exp(
            -0.5 * (distance * np.where(distance < 0, below, above)) ** 2
        )
        return value

    x = (
        lobe(0.362, 442.0, 0.0624, 0.0374)
        + lobe(1.056, 599.8, 0.0264, 0.0323)
        + lobe(-0.065, 501.1, 0.0490, 0.0382)
    )
    y = lobe(0.821, 568.8, 0.0213, 0.0247) + lobe(0.286, 530.9, 0.0613, 0.0322)
    z = lobe(1.217, 437.0, 0.0845, 0.0278) + lobe(0.681, 459.0, 0.0385, 0.0725)
    return np.stack([x, y, z], axis=1)


def _black_body(kelvin: float) -> NDArray[np.float64]:
    """Planck's law over `WAVELENGTHS_NM`, scaled to a greatest value of 1."""
    metres = WAVELENGTHS_NM * 1e-9
    emitted = metres**-5 / np.expm1(1.4388e-2 / (metres * kelvin))
    scaled: NDArray[np.float64] = emitted / emitted.max()
    return scaled
