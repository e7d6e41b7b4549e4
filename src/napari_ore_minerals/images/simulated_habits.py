"""Habits of minerals: outlines of crystals, blebs and aggregates, drawn as maps of grain numbers.

Every function returns a layer, uint16 (height, width): 0 where the mineral is absent, else the
number of a grain, from 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from .simulated_noise import bent, fractal_noise, log_uniform, smooth_noise, upper_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ANGLES = np.linspace(0.0, 2 * np.pi, 180, endpoint=False)
_MOST_GRAINS = 1500

_CUBE = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
_PYRITOHEDRON = np.array(  # {210}, the pentagonal dodecahedron of pyrite
    [[2, 1, 0], [2, -1, 0], [0, 2, 1], [0, 2, -1], [1, 0, 2], [-1, 0, 2]], dtype=float
) / np.sqrt(5)
_OCTAHEDRON = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]], dtype=float) / np.sqrt(3)
"""Faces of cubic forms, one of each opposite pair."""


def _radii(normals: NDArray[np.float64], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radius at `_ANGLES` of convex outlines given by lines: normals (n, k, 2), distances (n, k)."""
    towards = normals @ np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
    with np.errstate(divide="ignore"):
        reach = np.where(towards > 1e-6, distances[..., np.newaxis] / np.maximum(towards, 1e-6), np.inf)
    radii: NDArray[np.float64] = np.minimum(reach.min(axis=1), 3.0)
    return radii


def _points(radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outlines (n, angles, 2) as columns and rows about the origin."""
    points: NDArray[np.float64] = radii[..., np.newaxis] * np.stack(
        [np.cos(_ANGLES), np.sin(_ANGLES)], axis=1
    )
    return points


def _scaled(outlines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shrink long outlines so that their area varies less than their length."""
    scaled: NDArray[np.float64] = outlines / np.sqrt(np.abs(outlines).max(axis=(1, 2), keepdims=True))
    return scaled


def cubic_sections(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Outlines of random plane sections through cubes, pentagonal dodecahedra and octahedra.

    Returns
    -------
    ndarray, shape (count, angles, 2)
        Radius about 1.
    """
    forms = (_CUBE, _CUBE, _PYRITOHEDRON, _PYRITOHEDRON, _OCTAHEDRON)
    outlines = []
    for form in rng.integers(len(forms), size=count):
        half = forms[form]
        faces = np.concatenate([half, -half]) @ Rotation.random(random_state=rng).as_matrix().T
        distances = np.maximum(
            rng.uniform(0.85, 1.15, len(faces)) - faces[:, 2] * rng.uniform(-0.7, 0.7), 0.25
        )
        outlines.append(_radii(faces[np.newaxis, :, :2], distances[np.newaxis])[0])
    return _points(np.stack(outlines))


def rhombs(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Outlines of arsenopyrite: rhombs, spears (long rhombs) and columns with pointed ends."""
    half_angle = rng.uniform(0.55, 0.95, count)
    column = rng.random(count) < 0.5
    cut = np.where(column, rng.uniform(0.35, 0.8, count), 2.0)
    normals, distances = [], []
    for sign_column in (1, -1):
        for sign_row in (1, -1):
            normals.append(
                np.stack([sign_column * np.cos(half_angle), sign_row * np.sin(half_angle)], axis=1)
            )
            distances.append(rng.uniform(0.75, 1.0, count))
    for sign in (1, -1):
        normals.append(np.tile([0.0, float(sign)], (count, 1)))
        distances.append(cut)
    outlines = _points(_radii(np.stack(normals, axis=1), np.stack(distances, axis=1)))
    outlines[..., 0] *= np.where(
        column, log_uniform(rng, 1.3, 6.0, count), log_uniform(rng, 1.0, 2.8, count)
    )[:, np.newaxis]
    return _scaled(outlines)


def laths(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Outlines of stibnite: long columns and laths with slanted ends."""
    slant = rng.uniform(-0.7, 0.7, (count, 2))
    normals = np.stack(
        [
            np.tile([0.0, 1.0], (count, 1)),
            np.tile([0.0, -1.0], (count, 1)),
            np.stack([np.cos(slant[:, 0]), np.sin(slant[:, 0])], axis=1),
            np.stack([-np.cos(slant[:, 1]), -np.sin(slant[:, 1])], axis=1),
        ],
        axis=1,
    )
    outlines = _points(_radii(normals, rng.uniform(0.8, 1.0, (count, 4))))
    outlines[..., 0] *= log_uniform(rng, 4.0, 14.0, count)[:, np.newaxis]
    return _scaled(outlines)


def blebs(rng: np.random.Generator, count: int, roughness: float = 0.35) -> NDArray[np.float64]:
    """Smooth irregular outlines: a circle with a few random harmonics, stretched a little."""
    orders = np.arange(2, 7)
    sizes = roughness * rng.standard_normal((count, len(orders))) / orders
    phases = rng.uniform(0, 2 * np.pi, (count, len(orders)))
    waves = np.cos(orders[:, np.newaxis] * _ANGLES + phases[..., np.newaxis])
    outlines = _points(np.clip(1 + np.einsum("no,noa->na", sizes, waves), 0.25, 2.2))
    stretch = log_uniform(rng, 1.0, 2.5, count)[:, np.newaxis]
    outlines[..., 0] *= np.sqrt(stretch)
    outlines[..., 1] /= np.sqrt(stretch)
    return outlines


def rounded(outlines: NDArray[np.float64], rng: np.random.Generator, amount: float) -> NDArray[np.float64]:
    """Corrode crystals: round their corners and dent their faces; `amount` 0 leaves them, 1 makes blobs."""
    spectrum = np.fft.fft(outlines[..., 0] + 1j * outlines[..., 1], axis=1)
    orders = np.abs(np.fft.fftfreq(outlines.shape[1], 1 / outlines.shape[1]))
    smooth = np.fft.ifft(spectrum * np.exp(-0.5 * (orders * amount / 4) ** 2), axis=1)
    dents = blebs(rng, len(outlines), 0.3 * amount)
    grown = smooth * np.hypot(dents[..., 0], dents[..., 1])
    return np.stack([grown.real, grown.imag], axis=-1)


def scattered(
    outlines: NDArray[np.float64],
    rng: np.random.Generator,
    shape: tuple[int, int],
    size_px: float,
    spread: float = np.pi,
) -> NDArray[np.uint16]:
    """Draw outlines at random places, later ones over earlier ones.

    Parameters
    ----------
    outlines
        Shape (n, points, 2), radius about 1.
    rng
        Source of randomness.
    shape
        Height and width of the layer.
    size_px
        Typical diameter; the grains scatter about it.
    spread
        Directions vary by plus or minus this angle, in radians; small for subparallel laths.
    """
    layer = np.zeros(shape, dtype=np.uint16)
    count = len(outlines)
    radius = size_px / 2 * np.exp(rng.normal(0, 0.4, count))
    centres = rng.uniform(-0.05, 1.05, (count, 2)) * (shape[1], shape[0])
    turns = rng.uniform(0, np.pi) + rng.uniform(-spread, spread, count)
    cosine, sine = np.cos(turns), np.sin(turns)
    turn = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    places = np.einsum("nij,nkj->nki", turn, outlines) * radius[:, np.newaxis, np.newaxis]
    places = np.rint(places + centres[:, np.newaxis]).astype(np.int32)
    for number, place in enumerate(places, start=1):
        cv2.fillPoly(layer, [place], number)
    return layer


def count_for(share: float, shape: tuple[int, int], size_px: float) -> int:
    """How many grains of `size_px`, scattered by chance, cover about `share` of a picture."""
    laid = -np.log1p(-min(share, 0.97))
    return int(np.clip(round(laid * shape[0] * shape[1] / (0.7 * size_px**2)), 1, _MOST_GRAINS))


def mosaic(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, stretch: float = 1.0
) -> NDArray[np.uint16]:
    """Fill the picture with grains that touch: Voronoi cells, `stretch` times as long as wide, all numbered."""
    side = int(np.hypot(*shape)) + 2
    height = max(int(side / stretch), 8)
    small = min(1.0, 700 / side)  # cells are drawn small and enlarged
    seeds = np.full((max(int(height * small), 8), max(int(side * small), 8)), 255, dtype=np.uint8)
    width_px = size_px / np.sqrt(stretch)
    cell = max(width_px * small, 2.5)
    count = int(np.clip(seeds.size / cell**2, 2, 20000))
    seeds[rng.integers(seeds.shape[0], size=count), rng.integers(seeds.shape[1], size=count)] = 0
    _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turn = np.diag([small, small * height / side]) @ turn
    shift = np.array(cells.shape[::-1]) / 2 - turn @ (np.array(shape[::-1]) / 2)
    grains: NDArray[np.uint16] = cv2.warpAffine(
        cells.astype(np.uint16),
        np.column_stack([turn, shift]),
        (shape[1], shape[0]),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return bent(grains, rng, 0.1 * size_px / stretch, 0.5 * size_px, 0.4)


def aggregate(
    rng: np.random.Generator, shape: tuple[int, int], size_px: float, share: float, ragged: float
) -> NDArray[np.bool_]:
    """Cover a share of the picture with patches without a form of their own; `ragged` 0 smooth to 0.7 broken."""
    if ragged <= 0:
        return upper_part(smooth_noise(rng, shape, size_px), share)
    return upper_part(fractal_noise(rng, shape, size_px, octaves=7, gain=ragged), share)
