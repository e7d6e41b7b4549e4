"""Areas with errors: how much of each mineral, of what, and how sure.

A fraction comes from the evidence below the cells (the shares at the places of the class maps), since
the labels of whole tiles are biased where grains are small.  It has two errors: the picture shows only
part of the section (blocks, `maps.intervals`), and the classifier errs (`maps.adjusting`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.maps.estimating import Estimate, Sample
from napari_ore_minerals.maps.intervals import block_sums, cut
from napari_ore_minerals.maps.places import Places, enlarged, follows, place_areas, places_of
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_ore_minerals.maps.adjusting import Reference
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable

FEW_GRAINS = 5.0
TAUGHT = "the map follows corrections: the classifier's error is that of the model before it was taught"
TOGETHER = "all regions"
UNSURE = (
    "leaving unclassified cells out changes no figure: what speaks for each mineral there counts as its share"
)
COUNTS_DIFFER = "counting whole cells gives other figures than the evidence below them"
PRESENT = 0.005  # least share of the picture that warnings are about


@dataclass(frozen=True)
class Asked:
    """What is measured.

    Attributes
    ----------
    labels : (rows, columns) int array or None
        Corrected labels, None for the map's own.
    said : (rows, columns) bool array or None
        Cells whose label a user gave or confirmed; None for those that can be told from labels and map.
    without : tuple of int
        Codes that are left out of what fractions are of; 0 is unclassified.
    coverage : (rows * m, columns * m) float array or None
        How far each place belongs to the region, see `maps.regions`; None for the whole picture.
    name : str
        Of the region.
    """

    labels: NDArray[np.integer] | None = None
    said: NDArray[np.bool_] | None = None
    without: tuple[int, ...] = ()
    coverage: NDArray[np.floating] | None = None
    name: str = ""


@dataclass(frozen=True)
class Measurement:
    """Areas of one picture or region.

    Attributes
    ----------
    table : pandas.DataFrame
        See `measure`.
    minerals : MineralTable
    name : str
        Of the picture or region.
    totals_px : (minerals + 1,) float64 array
        Pixels of each mineral by soft evidence, then of unclassified.
    whole : (minerals + 1,) bool array
        What fractions are of.
    grain_px, block_px : float
        Grain diameter from the map, and side of the blocks.
    blocks : int
        Number of blocks.
    um_per_px : float or None
    warnings : tuple of str
        What to think of before these figures are published.
    """

    table: pd.DataFrame
    minerals: MineralTable
    name: str
    totals_px: NDArray[np.float64]
    whole: NDArray[np.bool_]
    grain_px: float
    block_px: float
    blocks: int
    um_per_px: float | None
    warnings: tuple[str, ...]


def ore_only(minerals: MineralTable) -> tuple[int, ...]:
    """Codes to leave out so that fractions are of the ore: gangue and unclassified."""
    return (UNCLASSIFIED, *(mineral.code for mineral in minerals if mineral.kind != "ore"))


def measure(
    mineral_map: MineralMap, asked: Asked | None = None, reference: Reference | None = None
) -> Measurement:
    """Measure how much of each mineral a picture or a region of it shows, and how sure that is.

    Parameters
    ----------
    mineral_map
        The map.
    asked
        Corrections, region, and what fractions are of; None for the whole picture.
    reference
        How the model answers where the truth is known, `Reference.from_card`; None leaves the classifier's
        error out, which is then said.

    Returns
    -------
    Measurement
        With a row for each mineral and, where there is some, ``unclassified``:

        cells, corrected_cells, mean_confidence : of the cells with this label, whose middle is in the region;
        area_px, area_um2, area_mm2 : by soft evidence;
        fraction_of_picture, fraction_of_ore : likewise, of all that was measured, and of its ore;
        fraction : of what was asked for; missing for what is left out of it;
        low, high : 95 % interval for the section that the picture is a part of, sampling and classifier;
        picture_low, picture_high : 95 % interval for what this picture shows, classifier alone;
        sampling_error, classifier_error, classifier_freedom : the standard errors of both, and the degrees of
        freedom of the classifier's;
        effective_n : points counted at random that would be as sure, at most the places that were measured;
        fraction_adjusted : with the classifier's mean errors taken out;
        fraction_by_cells : plain count of labels, without unclassified cells;
        point_count_error : half a 95 % interval, were every cell an independent point;
        relative_accuracy : half the 95 % interval of sampling over the fraction, per cent (ASTM E562).

    Raises
    ------
    OptionError
        If nothing was processed, or nothing is left that fractions could be of.
    """
    asked = asked or Asked()
    found = places_of(mineral_map, asked.labels, asked.said)
    places = found if asked.coverage is None else found.within(asked.coverage)
    cells = _Cells.of(mineral_map, asked, places)
    blocks = cut(places)
    whole = ~np.isin((*mineral_map.minerals.codes, UNCLASSIFIED), asked.without)
    answered = np.tensordot(places.shares[:-1], places.area_px * ~places.said, axes=2)
    one_hot = enlarged(cells.shares, mineral_map.places_per_cell)
    counted = block_sums(blocks.index, one_hot, places.area_px)
    sample = Sample(blocks, counted, answered, float(cells.here.sum()), whole, reference)
    if not len(blocks.areas_px) or sample.totals_px[whole].sum() <= 0:
        raise OptionError(
            "nothing was measured: no processed part of the picture shows what the fractions are to be of; "
            "choose another region or leave fewer minerals out"
        )
    estimates = [sample.estimate(index) for index in range(len(whole))]
    table = pd.concat(
        [_counts(mineral_map, cells, sample.totals_px), pd.DataFrame(estimates, columns=Estimate._fields)],
        axis=1,
    )
    shown = (table["code"] != UNCLASSIFIED) | (table["cells"] > 0) | (table["area_px"] > 0)
    return Measurement(
        table[shown].reset_index(drop=True),
        mineral_map.minerals,
        asked.name or mineral_map.picture.name,
        sample.totals_px,
        whole,
        blocks.grain_px,
        blocks.side_px,
        len(blocks.areas_px),
        mineral_map.um_per_px,
        (
            *_warnings(sample, mineral_map.minerals, _not_processed(mineral_map, asked, places)),
            *_unsure(cells),
            *((TAUGHT,) if reference is not None and follows(mineral_map) else ()),
        ),
    )


def measure_regions(
    mineral_map: MineralMap,
    regions: Mapping[str, NDArray[np.floating]],
    asked: Asked | None = None,
    reference: Reference | None = None,
) -> tuple[Measurement, ...]:
    """Measure regions by name, and last all of them together, where there are several; see `measure`.

    What lies in two regions counts once in all together.
    """
    asked, parts = asked or Asked(), dict(regions)
    if len(parts) > 1:
        parts[TOGETHER] = np.maximum.reduce(list(parts.values()))
    return tuple(
        measure(mineral_map, replace(asked, coverage=coverage, name=name), reference)
        for name, coverage in parts.items()
    )


def doubts_of_cells(mineral_map: MineralMap) -> tuple[str, ...]:
    """What to think of before cells of a map are counted: where that misleads, and what is unclassified."""
    if not mineral_map.processed.any():
        return ()
    told = measure(mineral_map).warnings
    return tuple(doubt for doubt in told if COUNTS_DIFFER in doubt or UNSURE in doubt)


@dataclass(frozen=True)
class _Cells:
    """Labels of whole cells: which are in the region, what they are, which a user gave.

    ``shares`` is (minerals + 1, rows, columns), 1 where a cell is the mineral.
    """

    here: NDArray[np.bool_]
    said: NDArray[np.bool_]
    shares: NDArray[np.float32]

    @classmethod
    def of(cls, mineral_map: MineralMap, asked: Asked, places: Places) -> _Cells:
        size, (rows, columns) = mineral_map.places_per_cell, mineral_map.grid.shape
        labels = mineral_map.labels if asked.labels is None else asked.labels
        codes = mineral_map.minerals.codes
        shown = np.where(np.isin(labels, codes), labels, UNCLASSIFIED)
        counted = places.area_px.reshape(rows, size, columns, size).sum(axis=(1, 3))
        shares = np.stack([shown == code for code in (*codes, UNCLASSIFIED)]).astype(np.float32)
        here = counted >= mineral_map.grid.cell_area_px() / 2
        return cls(here, places.said[::size, ::size], shares)


def _counts(mineral_map: MineralMap, cells: _Cells, totals: NDArray[np.float64]) -> pd.DataFrame:
    """Cells, areas and the fractions that need no choice."""
    minerals, scale, confidence = mineral_map.minerals, mineral_map.um_per_px, mineral_map.confidence
    rows: list[tuple[object, ...]] = [(m.code, m.name, m.symbol, m.kind) for m in minerals]
    rows.append((UNCLASSIFIED, "unclassified", "", ""))
    for index, row in enumerate(rows):
        found = cells.here & (cells.shares[index] > 0)
        sure = float(confidence[found].mean()) if found.any() else math.nan
        rows[index] = (*row, int(found.sum()), int((found & cells.said).sum()), sure, float(totals[index]))
    names = ["code", "mineral", "symbol", "kind", "cells", "corrected_cells", "mean_confidence", "area_px"]
    table = pd.DataFrame(rows, columns=names)
    table["area_um2"] = math.nan if scale is None else table["area_px"] * scale**2
    table["area_mm2"] = table["area_um2"] / 1e6
    table["fraction_of_picture"] = table["area_px"] / totals.sum()
    ore = table["kind"] == "ore"
    of_ore = float(table.loc[ore, "area_px"].sum())
    table["fraction_of_ore"] = (table["area_px"] / of_ore).where(ore) if of_ore > 0 else math.nan
    return table


def _unsure(cells: _Cells) -> Iterator[str]:
    """Say what unclassified cells are, where a reader would look for their area; painted ones have an area."""
    unsure = int((cells.here & (cells.shares[-1] > 0) & ~cells.said).sum())
    if unsure:
        yield f"{unsure:,} of {int(cells.here.sum()):,} cells are unclassified; {UNSURE}"


def _not_processed(mineral_map: MineralMap, asked: Asked, places: Places) -> float:
    area = place_areas(mineral_map.grid, mineral_map.places_per_cell)
    wanted = area if asked.coverage is None else area * asked.coverage
    return 1.0 - float(places.area_px.sum() / wanted.sum())


def _warnings(sample: Sample, minerals: MineralTable, not_processed: float) -> Iterator[str]:
    blocks, totals, reference = sample.blocks, sample.totals_px, sample.reference
    present = totals[:-1] / totals.sum() > PRESENT
    if not_processed > PRESENT:
        yield f"{not_processed:.1%} of what was asked for was not processed and is left out"
    if blocks.too_small:
        yield (
            f"grains of about {blocks.grain_px:.0f} px are large beside what was measured ({len(blocks.areas_px)} "
            f"blocks of {blocks.side_px:.0f} px): the intervals are too short; photograph more fields and pool them"
        )
    grains = totals[:-1] / (math.pi / 4 * blocks.grain_px**2)
    few = [m.name for m, n, there in zip(minerals, grains, present, strict=True) if there and n < FEW_GRAINS]
    if few:
        yield f"fewer than {FEW_GRAINS:.0f} grains' worth of area: {', '.join(few)}; do not rely on these intervals"
    off = [mineral.name for index, mineral in enumerate(minerals) if sample.disagrees(index)]
    if off:
        yield (
            f"{COUNTS_DIFFER}: {', '.join(off)}; "
            "grains are small beside the tiles, so do not use the count of cells"
        )
    if reference is None:
        yield (
            "the model's card does not say how it errs on these minerals: the intervals hold the error of "
            "sampling alone"
        )
        return
    unknown = [
        m.name for m, n, there in zip(minerals, reference.pictures, present, strict=True) if there and not n
    ]
    if unknown:
        yield f"the model's card has no picture with {', '.join(unknown)}: their confusion is not in the intervals"
