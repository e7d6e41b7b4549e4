"""Reflected light: from published reflectances to the linear sRGB that a flat white would anchor.

Reflectances are per cent in air, for the least and the greatest value that orientation
(stibnite, arsenopyrite, calcite ...) or composition (gold) allows.  Those of the five ore minerals
at 470, 546, 589 and 650 nm are Table 1 of the paper this program follows (its sources:
Criddle and Stanley 2012, Picot and Johan 1977, Craig et al. 1981); ``gold`` reaches from that table
to electrum Au80Ag20, computed from optical constants.  The values at 400 and 700 nm continue the
curves and are of no use but to simulate.  Transparent minerals follow Fresnel, R = ((n - 1)/(n + 1))^2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator
from skimage.color import xyz_tristimulus_values
from skimage.color.colorconv import rgb_from_xyz

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAVELENGTHS_NM = np.arange(400.0, 701.0, 5.0)

_TABLE_NM = (400.0, 470.0, 546.0, 589.0, 650.0, 700.0)
_ORE_PERCENT: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "arsenopyrite": (_TABLE_NM, (49, 51, 52, 53, 53, 53), (55, 55, 54, 54, 53, 53)),
    "chalcopyrite": (_TABLE_NM, (20, 34, 47, 48, 49, 49), (19, 33.1, 44.9, 47.4, 48.1, 48)),
    "gold": ((400, 480, 546, 589, 656, 700), (34, 34, 70.7, 80.1, 85.9, 88), (44, 53, 85.6, 90.8, 93.7, 95)),
    "pyrite": (_TABLE_NM, (39, 46, 53, 54, 54, 54), (38, 46, 52, 54.5, 54.5, 55)),
    "stibnite": (_TABLE_NM, (33, 31, 31, 30, 30, 29), (56, 53, 48, 45, 42, 40)),
}
_REFRACTIVE_INDICES: dict[str, tuple[float, float]] = {
    "quartz": (1.544, 1.553),
    "calcite": (1.486, 1.658),
    "dolomite": (1.50, 1.68),
    "sericite": (1.55, 1.61),
    "resin": (1.54, 1.57),
}
_VOID_PERCENT = (0.2, 1.2)  # open pits and cracks: almost no light comes back

ORE_SUBSTANCES = tuple(_ORE_PERCENT)
SUBSTANCES = (*_ORE_PERCENT, *_REFRACTIVE_INDICES, "void")


def reflectance(substance: str) -> NDArray[np.float64]:
    """Least and greatest reflectance of a substance, 0 to 1.

    Parameters
    ----------
    substance
        One of `SUBSTANCES`.

    Returns
    -------
    ndarray, shape (2, len(WAVELENGTHS_NM))
    """
    if substance in _ORE_PERCENT:
        nm, least, greatest = _ORE_PERCENT[substance]
        curves: NDArray[np.float64] = PchipInterpolator(nm, [least, greatest], axis=1)(WAVELENGTHS_NM) / 100
        return curves
    if substance in _REFRACTIVE_INDICES:
        indices = np.array(_REFRACTIVE_INDICES[substance])
        flat = ((indices - 1) / (indices + 1)) ** 2
    else:
        flat = np.array(_VOID_PERCENT) / 100
    return np.repeat(flat[:, np.newaxis], len(WAVELENGTHS_NM), axis=1)


def matching_functions() -> NDArray[np.float64]:
    """CIE 1931 2 degree colour-matching functions at `WAVELENGTHS_NM`, shape (3, n).

    The multi-lobe fit of Wyman, Sloan and Shirley (2013), Journal of Computer Graphics
    Techniques 2(2), 1-11; scikit-image holds white points but not these functions.
    """
    lobes = {  # weight, peak in nm, inverse widths below and above the peak
        0: ((1.056, 599.8, 0.0264, 0.0323), (0.362, 442.0, 0.0624, 0.0374), (-0.065, 501.1, 0.0490, 0.0382)),
        1: ((0.821, 568.8, 0.0213, 0.0247), (0.286, 530.9, 0.0613, 0.0322)),
        2: ((1.217, 437.0, 0.0845, 0.0278), (0.681, 459.0, 0.0385, 0.0725)),
    }
    curves = np.zeros((3, len(WAVELENGTHS_NM)))
    for row, terms in lobes.items():
        for weight, peak, below, above in terms:
            width = np.where(peak > WAVELENGTHS_NM, below, above)
            curves[row] += weight * np.exp(-0.5 * ((WAVELENGTHS_NM - peak) * width) ** 2)
    return curves


def halogen(kelvin: float) -> NDArray[np.float64]:
    """Spectrum of a halogen lamp behind a conversion filter: Planck's law, 1 at 560 nm."""

    def planck(nm: NDArray[np.float64]) -> NDArray[np.float64]:
        power: NDArray[np.float64] = nm**-5.0 / np.expm1(1.4387769e7 / (nm * kelvin))
        return power

    spectrum: NDArray[np.float64] = planck(WAVELENGTHS_NM) / planck(np.array([560.0]))
    return spectrum


def white_led(kelvin: float) -> NDArray[np.float64]:
    """Spectrum of a white LED: a blue line at 452 nm over a broad phosphor; cooler light has more blue."""
    blue = np.exp(-0.5 * ((WAVELENGTHS_NM - 452.0) / 11.0) ** 2)
    phosphor = np.exp(-0.5 * ((WAVELENGTHS_NM - 575.0) / 58.0) ** 2)
    return 0.02 + phosphor + blue * kelvin / 5000.0


def linear_colours(lamp: NDArray[np.float64]) -> NDArray[np.float32]:
    """Colours of all substances under a lamp, seen by a camera balanced on a flat white.

    Parameters
    ----------
    lamp
        Power at `WAVELENGTHS_NM`, any unit.

    Returns
    -------
    ndarray, shape (len(SUBSTANCES), 2, 3), float32
        Linear sRGB of the least and the greatest reflectance; a reflectance of 1 at all
        wavelengths is (1, 1, 1).  Adapted to D65 by scaling in XYZ, as the eye of CIE 1931.
    """
    sensitivity = matching_functions() * lamp
    white = np.asarray(xyz_tristimulus_values(illuminant="D65", observer="2", dtype=np.float64))
    spectra = np.stack([reflectance(substance) for substance in SUBSTANCES])
    xyz = spectra @ sensitivity.T / sensitivity.sum(axis=1) * white
    rgb = xyz @ rgb_from_xyz.T / (rgb_from_xyz @ white)
    colours: NDArray[np.float32] = np.clip(rgb, 0.0, 1.0).astype(np.float32)
    return colours
