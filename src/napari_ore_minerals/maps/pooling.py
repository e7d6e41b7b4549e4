"""Several pictures of one section or deposit as one sample, with what differs between the pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.maps.intervals import Ratio, ends, freedom_of, half_width, ratio
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.measuring import Measurement

COLUMNS = (
    "code",
    "mineral",
    "symbol",
    "kind",
    "pictures",
    "area_px",
    "area_um2",
    "area_mm2",
    "fraction",
    "low",
    "high",
    "sampling_error",
    "classifier_error",
    "between_pictures",
    "within_pictures",
)
FEW_PICTURES = 5


def pool(measurements: Sequence[Measurement]) -> pd.DataFrame:
    """Pool pictures; each counts by its area.

    Parameters
    ----------
    measurements
        Of pictures of one section or deposit, all with the same minerals and asked the same; all with
        um/px, or none.

    Returns
    -------
    pandas.DataFrame
        A row for each mineral:

        pictures : number of pictures;
        area_px, area_um2, area_mm2 : sums;
        fraction : sum of its area over the sum of what fractions are of;
        low, high : 95 % interval for what the pictures are a sample of, sampling and classifier;
        sampling_error : from how the pictures differ (of one picture: its own);
        classifier_error : mean over the pictures by area, as if all pictures of one laboratory erred alike;
        between_pictures : standard deviation of the true fraction from picture to picture, beyond what
        sampling within each explains;
        within_pictures : typical sampling error of one picture.

    Raises
    ------
    OptionError
        If there are none, or they do not fit together.
    """
    _check(measurements)
    scales = [1.0 if one.um_per_px is None else one.um_per_px**2 for one in measurements]
    areas = np.stack([one.totals_px * scale for one, scale in zip(measurements, scales, strict=True)])
    whole, known = measurements[0].whole, measurements[0].um_per_px is not None
    of = areas[:, whole].sum(axis=1)
    pixels = np.sum([one.totals_px for one in measurements], axis=0)
    minerals = measurements[0].minerals
    names = [(m.code, m.name, m.symbol, m.kind) for m in minerals] + [(UNCLASSIFIED, "unclassified", "", "")]
    rows: list[tuple[object, ...]] = []
    for index, name in enumerate(names):
        if name[0] == UNCLASSIFIED and pixels[index] == 0:
            continue
        um2 = float(areas[:, index].sum()) if known else math.nan
        row = (*name, len(measurements), float(pixels[index]), um2, um2 / 1e6)
        figures: tuple[float, ...] = (math.nan,) * 7
        if whole[index]:
            own = [_of(one, name[0]) for one in measurements]
            figures = _figures(areas[:, index], of, np.array(own))
        rows.append((*row, *figures))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _figures(
    part: NDArray[np.float64], of: NDArray[np.float64], own: NDArray[np.float64]
) -> tuple[float, ...]:
    """Fraction, interval, errors and spreads of one mineral; `own` holds each picture's errors and freedom."""
    weights = of / of.sum()
    within = math.sqrt(float(weights @ np.nan_to_num(own[:, 0]) ** 2))
    pooled = ratio(part, of)
    classifier = float(weights @ own[:, 1])
    if len(part) == 1:
        error, between = float(own[0, 0]), math.nan
        variances = np.array([error**2, 0.0 if math.isnan(classifier) else classifier**2])
        free = freedom_of(variances, own[0, 2:4])
        low, high = ends(pooled.value, math.sqrt(variances.sum()), free)
    else:
        error = pooled.error
        low, high = _ends(pooled, classifier, float(np.min(own[:, 3])))
        apart = float((weights * (part / np.maximum(of, 1e-12) - pooled.value) ** 2).sum())
        apart /= max(1.0 - float((weights**2).sum()), 1e-12)
        between = math.sqrt(max(0.0, apart - within**2))
    return pooled.value, low, high, error, classifier, between, within


def _ends(pooled: Ratio, classifier: float, freedom: float) -> tuple[float, float]:
    """95 % interval of several pictures, whose fractions have a long tail above, as ore does.

    Few pictures miss the tail, and t of their mean is then too low an end above. So each end is the farther of that
    of t and that of t on the scale of the logit (delta method). Sampling and classifier are put together by
    their distances (MOVER; Zou and Donner 2008, Statistics in Medicine 27, 1693-1702).
    """
    value, half = pooled.value, half_width(pooled.error, pooled.freedom)
    if not math.isfinite(half):
        return math.nan, math.nan
    low, high = value - half, value + half
    if 0 < value < 1 and half > 0:
        at, away = logit(value), half / (value * (1 - value))
        low, high = min(low, float(expit(at - away))), max(high, float(expit(at + away)))
    erring = 0.0 if math.isnan(classifier) else half_width(classifier, freedom)
    return max(0.0, value - math.hypot(value - low, erring)), min(
        1.0, value + math.hypot(high - value, erring)
    )


def _of(measurement: Measurement, code: int) -> tuple[float, float, float, float]:
    table = measurement.table
    found = table[table["code"] == code]
    if not len(found):
        return 0.0, math.nan, math.inf, math.inf
    row = found.iloc[0]
    return (
        float(row["sampling_error"]),
        float(row["classifier_error"]),
        max(measurement.blocks - 1.0, 1.0),
        float(row["classifier_freedom"]),
    )


def _check(measurements: Sequence[Measurement]) -> None:
    if not measurements:
        raise OptionError("there is nothing to pool: give at least one measured picture")
    first = measurements[0]
    for other in measurements[1:]:
        if other.minerals != first.minerals or (other.whole != first.whole).any():
            raise OptionError(
                f"{first.name} and {other.name} were measured for other minerals or as fractions of something "
                "else: measure them alike before they are pooled"
            )
        if (other.um_per_px is None) != (first.um_per_px is None):
            with_scale, without = (other, first) if first.um_per_px is None else (first, other)
            raise OptionError(
                f"um/px of {without.name} is not known, that of {with_scale.name} is: pictures are weighed by their "
                "area, so give um/px for all"
            )
