"""Intervals of area fractions from blocks of the picture that are several grains wide.

Neighbouring cells are of the same grain and no independent witnesses. So the picture is cut into
blocks of several grain diameters, and a fraction is a ratio of sums over blocks, whose error follows
from how the blocks differ (Cochran 1977, Sampling Techniques, 3rd edition, sections 6.3 and 9A.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.places import Places

CONFIDENCE = 0.95
WIDE, LEAST_WIDE = 4.0, 2.0  # grain diameters across a block: wanted, and where blocks would be too few
FEW_BLOCKS = 4  # along one side of the picture
DISC = 1.924  # diameter of a disc over the distance where its correlation is 1/e


@dataclass(frozen=True)
class Blocks:
    """How a picture was cut into blocks.

    Attributes
    ----------
    grain_px : float
        Grain diameter, from the map itself.
    side_px : float
        Mean side of a block.
    areas_px : (blocks, minerals + 1) float64 array
        Pixels of each mineral, then of unclassified, in each block; blocks without any are left out.
    index : (rows, columns) int array
        Block of each place.
    places : int
        Places that were measured.
    """

    grain_px: float
    side_px: float
    areas_px: NDArray[np.float64]
    index: NDArray[np.intp]
    places: int

    @property
    def too_small(self) -> bool:
        """Whether blocks are so narrow that grains reach over them and intervals come out too short."""
        return self.side_px < LEAST_WIDE * self.grain_px * (1 - 1e-9)

    @property
    def inflation(self) -> float:
        """What a variance between blocks is multiplied with, since grains on their edges make neighbours alike."""
        count = len(self.areas_px)
        if count < 2:
            return 1.0
        gain = _kept(self.side_px * math.sqrt(count) / self.grain_px) / _kept(self.side_px / self.grain_px)
        return gain / (1 - (gain - 1) / (count - 1))

    def fraction(self, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Ratio:
        """Fraction that some minerals are of others, with its error.

        Parameters
        ----------
        part, whole : (minerals + 1,) bool arrays
            Which minerals are counted, and what they are a fraction of.
        """
        found = ratio(self.areas_px[:, part].sum(axis=1), self.areas_px[:, whole].sum(axis=1))
        return replace(found, error=found.error * math.sqrt(self.inflation))


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums over independent units with its standard error and degrees of freedom."""

    value: float
    error: float
    freedom: int

    @property
    def effective_n(self) -> float:
        """Points counted at random that would give the same error; infinite where there is none."""
        return self.value * (1.0 - self.value) / self.error**2 if self.error > 0 else math.inf


def correlation(places: Places) -> list[float]:
    """Correlation of the mineral at two places, by their distance in places along rows and columns.

    It begins with 1 at distance 0 and ends at the first value under 1/e, or at half the picture.
    Of all minerals together: the two-point probability of the same mineral, less what chance gives
    (Torquato 2002, Random Heterogeneous Materials, section 2.2).
    """
    weights = (places.area_px > 0).astype(np.float32)
    count = max(float(weights.sum()), 1.0)
    means = np.tensordot(places.shares, weights, axes=2) / count
    deviations = (places.shares - means[:, None, None].astype(np.float32)) * weights
    variance = float((deviations**2).sum()) / count
    found = [1.0]
    if variance < 1e-9:
        return [1.0, 0.0]
    for lag in range(1, max(weights.shape) // 2 + 1):
        products = pairs = 0.0
        for first, second in (
            (np.s_[..., :-lag], np.s_[..., lag:]),
            (np.s_[..., :-lag, :], np.s_[..., lag:, :]),
        ):
            products += float((deviations[first] * deviations[second]).sum())
            pairs += float((weights[first] * weights[second]).sum())
        found.append(products / pairs / variance if pairs else 0.0)
        if found[-1] < 1 / math.e:
            break
    return found


def grain_diameter(places: Places) -> float:
    """Grain diameter in places: that of discs whose correlation falls to 1/e at the same distance; at least 1."""
    values = correlation(places)
    last, level = len(values) - 1, 1 / math.e
    if values[-1] >= level:
        return DISC * last
    step = (values[-2] - level) / (values[-2] - values[-1])
    return max(1.0, DISC * (last - 1 + step))


def cut(places: Places, grain: float | None = None) -> Blocks:
    """Cut a picture into blocks of four grain diameters; of two, where fewer than 4 x 4 would fit.

    Parameters
    ----------
    places
        Shares and areas.
    grain
        Grain diameter in places, if it is known already.
    """
    grain = grain_diameter(places) if grain is None else grain
    rows, columns = np.nonzero(places.area_px.any(axis=1))[0], np.nonzero(places.area_px.any(axis=0))[0]
    if not len(rows):
        empty = np.zeros((0, len(places.shares)))
        return Blocks(grain * places.place_px, math.nan, empty, np.zeros(places.area_px.shape, np.intp), 0)
    across, sides = [], []
    for found, size in ((rows, places.area_px.shape[0]), (columns, places.area_px.shape[1])):
        length = int(found[-1] - found[0]) + 1
        number = min(length, _number(length / grain))
        across.append(np.clip((np.arange(size) - found[0]) * number // length, 0, number - 1))
        sides.append(length / number)
    index = across[0][:, None] * (across[1][-1] + 1) + across[1][None, :]
    sums = block_sums(index, places.shares, places.area_px)
    side = math.sqrt(sides[0] * sides[1])
    measured = int((places.area_px > 0).sum())
    return Blocks(grain * places.place_px, side * places.place_px, sums, index, measured)


def block_sums(
    index: NDArray[np.intp], shares: NDArray[np.floating], area_px: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Pixels of each mineral in each block that was measured.

    Parameters
    ----------
    index : (rows, columns) int array
        Block of each place.
    shares : (minerals, rows, columns) float array
    area_px : (rows, columns) float array

    Returns
    -------
    (blocks, minerals) float64 array
    """
    measured = np.bincount(index.ravel(), area_px.ravel()) > 0
    sums = [np.bincount(index.ravel(), (share * area_px).ravel()) for share in shares]
    found: NDArray[np.float64] = np.stack(sums, axis=1)[measured].astype(float)
    return found


def ratio(part: NDArray[np.floating], whole: NDArray[np.floating]) -> Ratio:
    """Ratio of two sums over independent units.

    Parameters
    ----------
    part, whole : (n,) float arrays
        Of blocks of a picture, or of pictures.

    Returns
    -------
    Ratio
        Its error is NaN with fewer than two units that hold any of `whole`.
    """
    units = int((whole > 0).sum())
    total = float(whole.sum())
    if not units:
        return Ratio(math.nan, math.nan, 0)
    value = float(part.sum()) / total
    if units < 2:
        return Ratio(value, math.nan, 0)
    residuals = part - value * whole
    error = math.sqrt(units / (units - 1) * float((residuals**2).sum())) / total
    return Ratio(value, error, units - 1)


def ends(value: float, error: float, freedom: float) -> tuple[float, float]:
    """95 % interval of a fraction from its standard error: Student's t, kept within 0 and 1."""
    if not (math.isfinite(value) and math.isfinite(error)) or freedom <= 0:
        return math.nan, math.nan
    half = half_width(error, freedom)
    return max(0.0, value - half), min(1.0, value + half)


def half_width(error: float, freedom: float) -> float:
    """Half the width of a 95 % interval."""
    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * error


def freedom_of(variances: NDArray[np.floating], freedoms: NDArray[np.floating]) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite 1946, Biometrics Bulletin 2, 110-114)."""
    parts = float((variances**2 / np.maximum(freedoms, 1e-9)).sum())
    return float(variances.sum()) ** 2 / parts if parts > 0 else math.inf


def _kept(grains: float) -> float:
    """Variance of the mean of a square so many grain diameters wide, over what it is without edges.

    For the correlation of a disc: 1 - 2 E|x| / L + E|x y| / L^2 with the mean offsets E|x| = 0.288 and
    E|x y| = 0.0796 diameters between two points in it.
    """
    across = max(grains, 1.0)
    return 1.0 - 0.576 / across + 0.0796 / across**2


def _number(grains: float) -> int:
    return max(int(grains / WIDE), min(FEW_BLOCKS, int(grains / LEAST_WIDE)), 2)
