"""Evidence below the cells: the share of each mineral at every place of the class maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy.special import softmax

from napari_ore_minerals.maps.mineral_map import label_cells
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.maps.mineral_map import MineralMap

FOLLOWS = "the map follows"  # begins the notice of a run whose map follows corrections
OTHERS_TOO = "and what was taught on other pictures"  # ends it where these count as well
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class Places:
    """Shares of the minerals at the places of the class maps of a picture.

    Attributes
    ----------
    shares : (minerals + 1, rows * m, columns * m) float32 array
        They add up to 1 at every place; the last is unclassified. Where a user said what a cell is, it is
        that and nothing else.
    area_px : (rows * m, columns * m) float64 array
        Pixels of the picture at each place, 0 where nothing was processed; smaller at the picture's edge.
    said : (rows * m, columns * m) bool array
        Where a user said what it is.
    place_px : float
        Side of a place in pixels.
    """

    shares: NDArray[np.float32]
    area_px: NDArray[np.float64]
    said: NDArray[np.bool_]
    place_px: float

    def within(self, coverage: NDArray[np.floating]) -> Places:
        """These places, each counted as far as a region covers it, 0 to 1; see `maps.regions`."""
        return replace(self, area_px=self.area_px * coverage)

    def totals_px(self) -> NDArray[np.float64]:
        """Pixels of each mineral, then of unclassified."""
        return np.tensordot(self.shares, self.area_px, axes=2)


def places_of(
    mineral_map: MineralMap,
    labels: NDArray[np.integer] | None = None,
    said: NDArray[np.bool_] | None = None,
) -> Places:
    """Spread the evidence of a map over its places.

    Parameters
    ----------
    mineral_map
        The map.
    labels : (rows, columns) int array, optional
        Corrected labels; values that are no mineral of the map count as unclassified.
    said : (rows, columns) bool array, optional
        Cells whose label a user gave or confirmed; None for those that can be told from labels and map.
    """
    given = mineral_map.labels if labels is None else labels
    if said is None:
        said = said_by_user(mineral_map) | (given != mineral_map.labels)
    size, codes = mineral_map.places_per_cell, mineral_map.minerals.codes
    classes = len(codes)
    shares = np.zeros((classes + 1, *mineral_map.class_maps.shape[1:]), np.float32)
    for row in range(mineral_map.grid.rows):  # one row of cells at a time: memory stays small
        here = slice(row * size, (row + 1) * size)
        logits = mineral_map.class_maps[:, here].astype(np.float32)
        shares[:classes, here] = softmax(logits / mineral_map.run.temperature, axis=0)
    whole = enlarged(said, size)
    if said.any():
        painted = enlarged(np.where(np.isin(given, codes), given, UNCLASSIFIED), size)
        for index, code in enumerate((*codes, UNCLASSIFIED)):
            shares[index][whole] = painted[whole] == code
    area = place_areas(mineral_map.grid, size) * enlarged(mineral_map.processed | said, size)
    return Places(shares, area, whole, mineral_map.grid.stride_px / size)


def said_by_user(mineral_map: MineralMap) -> NDArray[np.bool_]:
    """Cells of a map, such as a saved one, whose label a user gave: the probabilities say something else.

    In a map that follows corrections, confirmed cells too: they alone have a probability of exactly 1.
    """
    shares, processed = mineral_map.probabilities, mineral_map.processed
    own = label_cells(shares, processed, mineral_map.minerals, min_confidence=mineral_map.run.min_confidence)
    said: NDArray[np.bool_] = mineral_map.labels != own
    return said | (processed & (shares.max(axis=-1) == 1.0)) if follows(mineral_map) else said


def follows(mineral_map: MineralMap) -> bool:
    """Whether the map was moved by what a user had painted on it."""
    return any(notice.startswith(FOLLOWS) for notice in mineral_map.run.notices)


def follows_other_pictures(mineral_map: MineralMap) -> bool:
    """Whether the map was moved by what a user had painted on other pictures."""
    notices = mineral_map.run.notices
    return any(notice.startswith(FOLLOWS) and notice.endswith(OTHERS_TOO) for notice in notices)


def enlarged(cells: NDArray[Kind], size: int) -> NDArray[Kind]:
    """Values of cells at each of their size x size places."""
    return cells.repeat(size, axis=-2).repeat(size, axis=-1)


def place_areas(grid: TileGrid, size: int) -> NDArray[np.float64]:
    """Pixels of the picture at each of the size x size places of each cell; they add up to the picture."""
    step = grid.stride_px / size
    heights = np.diff(np.minimum(np.arange(grid.rows * size + 1) * step, grid.height_px))
    widths = np.diff(np.minimum(np.arange(grid.columns * size + 1) * step, grid.width_px))
    return np.outer(heights, widths)
