"""Area fractions: how much of each mineral a map shows.

`maps.measuring` tells the same areas with their errors; the columns of both mean the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_ore_minerals.maps.places import places_of, said_by_user
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
    "fraction_by_cells",
    "fraction_by_class_maps",
)


def areas(mineral_map: MineralMap, labels: NDArray[np.integer] | None = None) -> pd.DataFrame:
    """Measure the area of each mineral from the evidence below the cells, with the plain count of cells beside it.

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
        area_px : pixels of the picture by soft evidence: the probabilities at the places of the class maps,
        finer than cells and without a choice, so that cells that are unclassified count for the minerals
        that they may be; cells that were painted count whole;
        area_um2 : square micrometres, missing where um/px is not known;
        fraction_of_picture : share of all pixels likewise; the rows add up to 1;
        fraction_of_ore : share of the ore minerals likewise, missing for gangue, unclassified and not
        processed; adds up to 1 where there is ore;
        fraction_by_cells : plain count, for comparison: pixels of whole cells with this label, of those that
        are classified; biased where grains are small beside the cells;
        fraction_by_class_maps : the same as fraction_of_picture, which once was the plain count.
    """
    given = (mineral_map.labels if labels is None else labels).astype(np.int64)
    shown = np.where(np.isin(given, mineral_map.minerals.codes), given, UNCLASSIFIED)
    shown[(shown == UNCLASSIFIED) & ~mineral_map.processed] = -1  # but what was painted there counts
    area = mineral_map.grid.cell_area_px()
    kinds: list[tuple[int, str, str, str]] = [
        (m.code, m.name, m.symbol, m.kind) for m in mineral_map.minerals
    ]
    kinds += [(UNCLASSIFIED, "unclassified", "", ""), (-1, "not processed", "", "")]
    table = pd.DataFrame(kinds, columns=COLUMNS[:4])
    table["cells"] = [int((shown == code).sum()) for code in table["code"]]
    table["area_px"] = _finely(mineral_map, shown)
    scale = mineral_map.um_per_px
    table["area_um2"] = np.nan if scale is None else table["area_px"] * scale**2
    table["fraction_of_picture"] = table["area_px"] / int(area.sum())
    ore = table["kind"] == "ore"
    total = float(table.loc[ore, "area_px"].sum())
    table["fraction_of_ore"] = (table["area_px"] / total).where(ore) if total else np.nan
    counted = pd.Series([int(area[shown == code].sum()) for code in table["code"]])
    named = table["code"] > UNCLASSIFIED
    classified = int(counted[named].sum())
    table["fraction_by_cells"] = (counted / classified).where(named) if classified else np.nan
    table["fraction_by_class_maps"] = table["fraction_of_picture"]
    return table[(table["code"] >= 0) | (table["cells"] > 0)].reset_index(drop=True)


def _finely(mineral_map: MineralMap, shown: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels of each mineral by the class maps, then of unclassified and not processed cells.

    Parameters
    ----------
    shown : (rows, columns) int array
        Labels, -1 where nothing was processed.
    """
    said = (said_by_user(mineral_map) | (shown != mineral_map.labels)) & (shown >= 0)
    finely = places_of(mineral_map, shown, said).totals_px()
    not_processed = mineral_map.grid.cell_area_px()[shown < 0].sum()
    return np.append(finely, not_processed)
