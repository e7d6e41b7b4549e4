"""MineralMap: which mineral is where, with everything that speaks for it.

Every layer, table and file is made from it and from nothing else, so that an
export always equals the screen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ore_minerals.minerals import UNCLASSIFIED, MineralTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.maps.records import ModelRecord, PictureRecord, RunRecord


Answers = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], NDArray[np.floating]]
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class MineralMap:
    """Which mineral is where, with everything that speaks for it.

    Attributes
    ----------
    grid : TileGrid
        Cells and their place over the picture.
    labels : (rows, columns) uint8 array
        Mineral codes; 0 is unclassified.
    probabilities : (rows, columns, minerals) float32 array
        0 where not processed.
    class_maps : (minerals, rows * m, columns * m) float16 array
        Evidence (logits, bias included) on m x m places of each cell; 7 x 7 without overlap.
    processed : (rows, columns) bool array
        False where no answer was asked for, none came before a cancel, or the picture has no data.
    minerals : MineralTable
        In the order of `probabilities` and `class_maps`.
    um_per_px : float or None
        Of the picture; ``um_per_px_source`` tells where it is from.
    picture, model, run
        Where it comes from.
    warnings : tuple of str
        What speaks against trusting it, in plain words; see `maps.checks`.
    """

    grid: TileGrid
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    class_maps: NDArray[np.float16]
    processed: NDArray[np.bool_]
    minerals: MineralTable
    um_per_px: float | None
    um_per_px_source: str
    picture: PictureRecord
    model: ModelRecord
    run: RunRecord
    warnings: tuple[str, ...] = field(default=())

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the likeliest mineral of each cell, (rows, columns); 0 where not processed."""
        best: NDArray[np.float32] = self.probabilities.max(axis=-1)
        return best

    @property
    def places_per_cell(self) -> int:
        """Side m of the m x m places of the class maps in each cell."""
        return int(self.class_maps.shape[1]) // self.grid.rows

    def heatmap(self, code: int | None = None) -> NDArray[np.float32]:
        """Class activation map over the picture.

        Parameters
        ----------
        code
            Of the mineral; None shows in each cell the map of its likeliest mineral.

        Returns
        -------
        (rows * m, columns * m) float32 array
            The positive part of the evidence, divided by the largest of any mineral in the
            picture, so that heatmaps of different minerals can be compared; 0 to 1.

        Raises
        ------
        KeyError
            If no mineral of the map has this code.
        """
        largest = float(self.class_maps.max(initial=0.0))
        if code is None:
            likeliest = np.kron(
                self.probabilities.argmax(axis=-1), np.ones((self.places_per_cell,) * 2, np.intp)
            )
            evidence = np.take_along_axis(self.class_maps, likeliest[np.newaxis], axis=0)[0]
        else:
            evidence = self.class_maps[self.minerals.codes.index(self.minerals.by_code(code).code)]
        heat: NDArray[np.float32] = np.maximum(evidence, 0).astype(np.float32)
        if largest > 0:
            heat /= np.float32(largest)
        return heat


def label_cells(
    probabilities: NDArray[np.float32],
    processed: NDArray[np.bool_],
    minerals: MineralTable,
    *,
    min_confidence: float,
) -> NDArray[np.uint8]:
    """Label of each cell: the code of its likeliest mineral, 0 below `min_confidence` or where not processed."""
    codes = np.array(minerals.codes, np.uint8)[probabilities.argmax(axis=-1)]
    sure = processed & (probabilities.max(axis=-1) >= min_confidence)
    return np.where(sure, codes, np.uint8(UNCLASSIFIED)).astype(np.uint8)


def joined_rows(answers: Callable[[slice], Answers], rows: int) -> Answers:
    """Answers of all cells, some rows at a time, since a large picture has many.

    Evidence becomes float16, and 0 where there is none.

    Parameters
    ----------
    answers
        Gives labels, probabilities, processed and class maps of some rows of cells.
    rows
        How many there are.
    """
    found = []
    for row in range(0, rows, ROWS_AT_ONCE):
        labels, probabilities, processed, maps = answers(slice(row, row + ROWS_AT_ONCE))
        side = maps.shape[1] // len(labels)
        maps = maps * np.kron(processed, np.ones((side, side), np.uint8))
        found.append((labels, probabilities, processed, maps.astype(np.float16)))
    labels, probabilities, processed = (np.concatenate([part[n] for part in found]) for n in range(3))
    return labels, probabilities, processed, np.concatenate([part[3] for part in found], axis=1)


class EvidenceSum:
    """Gathers the evidence of tiles, overlapping or not, into cells.

    A tile's class maps are averaged over the places of the cells that it covers; each
    place takes the mean over all tiles that cover it.  Without overlap a cell's
    evidence is the tile's, unchanged.

    Parameters
    ----------
    grid
        Of tiles and cells.
    classes
        Number of minerals.
    map_px
        Side of a tile's class maps, 7 for 224 px input.
    """

    def __init__(self, grid: TileGrid, *, classes: int, map_px: int) -> None:
        self.grid = grid
        self.places = -(-map_px // grid.overlap)
        rows, columns = grid.tile_rows + grid.overlap - 1, grid.tile_columns + grid.overlap - 1
        self._total = np.zeros((classes, rows * self.places, columns * self.places), np.float32)
        self._tiles = np.zeros((rows, columns), np.uint16)

    def add(self, tile_row: int, tile_column: int, class_maps: NDArray[np.float32]) -> None:
        """Add the (classes, h, w) class maps of one tile."""
        size, overlap = self.places * self.grid.overlap, self.grid.overlap
        if class_maps.shape[1:] != (size, size):
            class_maps = _area_resized(class_maps, size)
        top, left = tile_row * self.places, tile_column * self.places
        self._total[:, top : top + size, left : left + size] += class_maps
        self._tiles[tile_row : tile_row + overlap, tile_column : tile_column + overlap] += 1

    def cells(
        self, rows: slice = slice(None), columns: slice = slice(None)
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Evidence of a rectangle of cells.

        Returns
        -------
        logits : (r, c, classes) float32 array
        class_maps : (classes, r * m, c * m) float32 array
        answered : (r, c) bool array
            Where at least one tile was added.
        """
        rows, columns = slice(*rows.indices(self.grid.rows)), slice(*columns.indices(self.grid.columns))
        tiles, m = self._tiles[rows, columns], self.places
        total = self._total[:, rows.start * m : rows.stop * m, columns.start * m : columns.stop * m]
        covering: NDArray[np.float32] = np.kron(tiles, np.ones((m, m))).astype(np.float32)
        maps = (total / np.maximum(covering, 1.0)).astype(np.float32, copy=False)
        places = maps.reshape(len(maps), tiles.shape[0], m, tiles.shape[1], m)
        logits = places.mean(axis=(2, 4), dtype=np.float32)
        return np.moveaxis(logits, 0, -1), maps, tiles > 0


def _area_resized(class_maps: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resize (classes, h, w) maps to (classes, size, size) so that their means stay what they are."""
    weights = area_weights(class_maps.shape[1], size)
    resized = weights @ class_maps @ area_weights(class_maps.shape[2], size).T
    return resized.astype(np.float32, copy=False)


def area_weights(old: int, new: int) -> NDArray[np.float32]:
    """(new, old) matrix: the share of each old interval in each new one; rows add up to 1."""
    edges_old, edges_new = np.arange(old + 1) / old, np.arange(new + 1) / new
    begins = np.maximum(edges_new[:-1, None], edges_old[None, :-1])
    ends = np.minimum(edges_new[1:, None], edges_old[None, 1:])
    weights: NDArray[np.float32] = (np.maximum(ends - begins, 0.0) * new).astype(np.float32)
    return weights
