"""Areas by the pixels of a grain map, of a picture or of its regions: one rule for dock, exports and command line.

What was not processed is no part of them, as it is none of the areas by evidence.  A pixel belongs to a region
as far as the place of the class maps does in which it lies, so that both fractions are of the same part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.maps.measuring import TOGETHER
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.maps.measuring import Measurement
    from napari_ore_minerals.maps.mineral_map import MineralMap

BY_GRAINS = "fraction_by_grains"  # the column that `with_grains` adds
ROWS_AT_ONCE = 256


def grain_areas_px(
    grains: GrainMap, mineral_map: MineralMap, coverage: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Pixels of the picture of each mineral, then of what is unclassified.

    Parameters
    ----------
    grains
        Of the same picture as the map.
    mineral_map
        With the labels that are shown: cells that were neither processed nor given a label hold nothing, but
        for pixels of grains that were painted there.
    coverage : (rows * m, columns * m) float array, optional
        How far each place of the map belongs to a region, see `maps.regions`; None for the whole picture.

    Returns
    -------
    (minerals + 1,) float64 array
        In the order of the grain map's minerals.
    """
    grid, count = mineral_map.grid, mineral_map.places_per_cell
    open_cells = mineral_map.processed | (mineral_map.labels != UNCLASSIFIED)
    starts = [np.arange(length) * grains.factor for length in grains.codes.shape]
    lengths = grains.sides_px()
    middles = [begin + length / 2 for begin, length in zip(starts, lengths, strict=True)]
    cells = [(middle / grid.stride_px).astype(np.intp) for middle in middles]
    places = [(middle * count / grid.stride_px).astype(np.intp) for middle in middles]
    found = np.zeros(256)
    for row in range(0, len(starts[0]), ROWS_AT_ONCE):  # memory stays small
        rows = slice(row, row + ROWS_AT_ONCE)
        codes = grains.codes[rows]
        weights = np.outer(lengths[0][rows], lengths[1]).astype(np.float64)
        weights *= open_cells[np.ix_(cells[0][rows], cells[1])] | (codes != UNCLASSIFIED)
        if coverage is not None:
            weights *= coverage[np.ix_(places[0][rows], places[1])]
        found += np.bincount(codes.ravel(), weights.ravel(), minlength=256)
    known = found[list(grains.minerals.codes)]
    return np.append(known, found.sum() - known.sum())


def shares_of(areas_px: NDArray[np.float64], whole: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fractions of what counts as the whole, (minerals + 1,); missing for what does not."""
    total = float(areas_px[whole].sum())
    if total <= 0:
        return np.full(len(areas_px), np.nan)
    return np.where(whole, areas_px / total, np.nan)


def with_grains(
    measured: Sequence[Measurement],
    grains: GrainMap,
    mineral_map: MineralMap,
    regions: Mapping[str, NDArray[np.floating]] | None = None,
) -> tuple[Measurement, ...]:
    """Put ``fraction_by_grains`` beside what was measured, of the same parts and of the same whole.

    Parameters
    ----------
    measured
        Of `maps.measuring.measure`, or of `measure_regions`.
    grains, mineral_map
        As for `grain_areas_px`.
    regions
        Those that were measured; None for the whole picture.
    """
    covered = dict(regions or {})
    if len(covered) > 1:
        covered[TOGETHER] = np.maximum.reduce(list(covered.values()))
    found = []
    for one in measured:
        shares = shares_of(grain_areas_px(grains, mineral_map, covered.get(one.name)), one.whole)
        by_code = dict(zip((*grains.minerals.codes, UNCLASSIFIED), shares.tolist(), strict=True))
        column = [by_code.get(int(code), np.nan) for code in one.table["code"]]
        found.append(replace(one, table=one.table.assign(**{BY_GRAINS: column})))
    return tuple(found)
