"""One fraction with its errors, and other ways to the same figure beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_ore_minerals.maps.adjusting import adjusted
from napari_ore_minerals.maps.intervals import Blocks, Ratio, ends, freedom_of, half_width, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.adjusting import Reference

MATTERS = 0.01  # a percentage point


class Estimate(NamedTuple):
    """A fraction; `maps.measuring.measure` says what each figure is."""

    fraction: float = math.nan
    low: float = math.nan
    high: float = math.nan
    picture_low: float = math.nan
    picture_high: float = math.nan
    sampling_error: float = math.nan
    classifier_error: float = math.nan
    classifier_freedom: float = math.nan
    effective_n: float = math.nan
    fraction_adjusted: float = math.nan
    fraction_by_cells: float = math.nan
    point_count_error: float = math.nan
    relative_accuracy: float = math.nan


@dataclass(frozen=True)
class Sample:
    """What fractions are estimated from; minerals in the order of the map, then unclassified.

    Attributes
    ----------
    blocks : Blocks
        Soft evidence.
    counted_px : (blocks, minerals + 1) float64 array
        Pixels of whole cells by their labels.
    answered_px : (minerals,) float64 array
        Pixels of soft evidence that the classifier answered for, without what a user said.
    cells : float
        Number of cells.
    whole : (minerals + 1,) bool array
        What fractions are of.
    reference : Reference or None
    """

    blocks: Blocks
    counted_px: NDArray[np.float64]
    answered_px: NDArray[np.float64]
    cells: float
    whole: NDArray[np.bool_]
    reference: Reference | None

    @property
    def totals_px(self) -> NDArray[np.float64]:
        """Pixels of each mineral, then of unclassified."""
        found: NDArray[np.float64] = self.blocks.areas_px.sum(axis=0)
        return found

    @property
    def named(self) -> NDArray[np.bool_]:
        """What plain counts are of: never of unclassified cells."""
        return self.whole & (np.arange(len(self.whole)) < len(self.whole) - 1)

    def estimate(self, index: int) -> Estimate:
        """Fraction of one mineral; all missing where it is left out of what fractions are of."""
        if not self.whole[index]:
            return Estimate()
        if index == len(self.answered_px) and not self.totals_px[index]:
            return Estimate(0.0)  # soft evidence leaves nothing unclassified
        part = np.arange(len(self.whole)) == index
        sampled = self.blocks.fraction(part, self.whole)
        parts, freedoms = self._classifier(index, sampled.value)
        variances, free = np.r_[sampled.error**2, parts], np.r_[sampled.freedom, freedoms]
        low, high = ends(sampled.value, math.sqrt(variances.sum()), freedom_of(variances, free))
        classifier = math.sqrt(parts.sum()) if self.reference is not None else math.nan
        freedom = freedom_of(parts, freedoms)
        half = half_width(sampled.error, sampled.freedom) if sampled.freedom else math.nan
        plain = ratio(self.counted_px[:, part].sum(axis=1), self.counted_px[:, self.named].sum(axis=1))
        points = self.cells * self.counted_px[:, self.named].sum() / max(self.counted_px.sum(), 1.0)
        return Estimate(
            sampled.value,
            low,
            high if sampled.value > 0 else max(high, self._not_seen()),
            *ends(sampled.value, classifier, freedom),
            sampled.error,
            classifier,
            freedom,
            self._as_sure_as(sampled),
            self._adjusted(index),
            plain.value if self.named[index] else math.nan,
            1.96 * math.sqrt(sampled.value * (1 - sampled.value) / points) if points else math.nan,
            100 * half / sampled.value if sampled.value > 0 else math.nan,
        )

    def disagrees(self, index: int) -> bool:
        """Whether the plain count of cells is off by a percentage point, and by more than the blocks explain."""
        if not self.whole[index]:
            return False
        left = _residuals(self.blocks.areas_px, index, self.whole)
        right = _residuals(self.counted_px, index, self.named)
        units = len(left[1])
        if units < 2 or not math.isfinite(left[0] - right[0]):
            return False
        error = math.sqrt(units / (units - 1) * float(((left[1] - right[1]) ** 2).sum()))
        return abs(left[0] - right[0]) > max(MATTERS, half_width(error, units - 1))

    def _classifier(self, index: int, value: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Variances by what the classifier confuses, a part for each true mineral, and their degrees of freedom."""
        if self.reference is None:
            return np.zeros(1), np.ones(1)
        classes, totals = len(self.answered_px), self.totals_px
        change = (np.arange(classes) == index) - value * self.whole[:classes]
        gradient = change * totals.sum() / totals[self.whole].sum()
        parts = self.reference.variances(self.answered_px / totals.sum(), gradient)
        return parts, np.maximum(self.reference.pictures - 1, 1.0)

    def _adjusted(self, index: int) -> float:
        if self.reference is None:
            return math.nan
        totals, classes = self.totals_px.copy(), len(self.answered_px)
        totals[:classes] += adjusted(self.answered_px, self.reference.answers) - self.answered_px
        return max(0.0, float(totals[index] / totals[self.whole].sum()))  # rounding may leave -1e-17

    def _as_sure_as(self, sampled: Ratio) -> float:
        """Points that would be as sure, never more than places were looked at; as it is where there is none or all."""
        return (
            min(sampled.effective_n, float(self.blocks.places))
            if 0 < sampled.value < 1
            else sampled.effective_n
        )

    def _not_seen(self) -> float:
        """Most that could be there unseen at 95 %: 3 over the number of grains that were looked at."""
        grains = self.totals_px[self.whole].sum() / (math.pi / 4 * self.blocks.grain_px**2)
        return min(1.0, float(3.0 / grains))


def _residuals(
    areas: NDArray[np.float64], index: int, whole: NDArray[np.bool_]
) -> tuple[float, NDArray[np.float64]]:
    of = areas[:, whole].sum(axis=1)
    if of.sum() <= 0:
        return math.nan, np.zeros(len(areas))
    value = float(areas[:, index].sum() / of.sum())
    return value, (areas[:, index] - value * of) / of.sum()
