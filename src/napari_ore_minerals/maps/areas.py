"""Area fractions: how much of each mineral a map shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_ore_minerals.maps.places import places_of
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.mineral_map import MineralMap

COLUMNS = (
    "code",
    "mineral",
    "symbol",
    "kind",
    "cells",
    "area_px",
    "area_um2",
    "fraction_of_picture",
    "fraction_of_ore",
    "fraction_by_class_maps",
)


def areas(mineral_map: MineralMap, labels: NDArray[np.integer] | None = None) -> pd.DataFrame:
    """Measure the area of each mineral from the labels of the cells.

    Parameters
    ----------
    mineral_map
        The map.
    labels : (rows, columns) int array, optional
        Labels to measure instead of the map's own, such as corrected ones; values that are
        no mineral of the map count as unclassified.

    Returns
    -------
    pandas.DataFrame
        A row per mineral, in the map's order, then ``unclassified`` (code 0, processed but unsure)
        and ``not processed`` (code -1; left out where every cell was processed), with

        cells : number of cells;
        area_px : pixels of the picture;
        area_um2 : square micrometres, missing where um/px is not known;
        fraction_of_picture : share of all pixels; the rows add up to 1;
        fraction_of_ore : share of the ore minerals, missing for gangue, unclassified and not
        processed; adds up to 1 where there is ore;
        fraction_by_class_maps : share of all pixels from the probabilities at the places of the class
        maps, finer than cells and without a choice, so that nothing is unclassified; cells that were
        painted count whole.
    """
    given = (mineral_map.labels if labels is None else labels).astype(np.int64)
    shown = np.where(np.isin(given, mineral_map.minerals.codes), given, UNCLASSIFIED)
    shown[(shown == UNCLASSIFIED) & ~mineral_map.processed] = -1  # but what was painted there counts
    area = mineral_map.grid.cell_area_px()
    kinds: list[tuple[int, str, str, str]] = [
        (m.code, m.name, m.symbol, m.kind) for m in mineral_map.minerals
    ]
    kinds += [(UNCLASSIFIED, "unclassified", "", ""), (-1, "not processed", "", "")]
    rows = []
    for code, name, symbol, kind in kinds:
        here = shown == code
        rows.append((code, name, symbol, kind, int(here.sum()), int(area[here].sum())))
    table = pd.DataFrame(rows, columns=COLUMNS[:6])
    scale = mineral_map.um_per_px
    table["area_um2"] = np.nan if scale is None else table["area_px"] * scale**2
    table["fraction_of_picture"] = table["area_px"] / int(area.sum())
    ore = table["kind"] == "ore"
    total = int(table.loc[ore, "area_px"].sum())
    table["fraction_of_ore"] = (table["area_px"] / total).where(ore) if total else np.nan
    table["fraction_by_class_maps"] = _finely(mineral_map, shown) / int(area.sum())
    return table[(table["code"] >= 0) | (table["cells"] > 0)].reset_index(drop=True)


def _finely(mineral_map: MineralMap, shown: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels of each mineral by the class maps, then of unclassified and not processed cells.

    Parameters
    ----------
    shown : (rows, columns) int array
        Labels; where they are not the map's own they were painted.
    """
    painted = (shown != mineral_map.labels) & (shown >= 0)
    finely = places_of(mineral_map, shown, painted).totals_px()
    not_processed = mineral_map.grid.cell_area_px()[shown < 0].sum()
    return np.append(finely, not_processed)
