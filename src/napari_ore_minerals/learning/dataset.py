"""Tile samples: what a classifier learns from and is measured on.

A sample is a tile with the shares of each class in it and, where a mask is known, a
coarse map of classes inside the tile, from which the class maps learn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.tile_reader import resize_tile

from .tile_options import DOMINANT

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_ore_minerals.minerals import MineralTable

UNKNOWN = 255
DENSE_CELLS = 28


@dataclass(frozen=True)
class TileSamples:
    """Tiles with what is in them.

    Attributes
    ----------
    tiles : (n, s, s, 3) uint8 array
        RGB at the size that the network takes; may be a memory map.
    fractions : (n, classes) float32 array
        Share of each class in the tile; rows add up to 1.
    groups : (n,) int array
        Which photograph (or deposit) a tile is from; never split across training and validation.
    minerals : MineralTable
        The classes, in the order of `fractions`.
    dense : (n, k, k) uint8 array or None
        Index of the class at each of k x k places of the tile, `UNKNOWN` where nobody knows.
    """

    tiles: NDArray[np.uint8]
    fractions: NDArray[np.float32]
    groups: NDArray[np.int64]
    minerals: MineralTable
    dense: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        count, classes = len(self.tiles), len(self.minerals)
        if self.tiles.ndim != 4 or self.tiles.shape[1] != self.tiles.shape[2] or self.tiles.shape[3] != 3:
            raise DatasetError(f"tiles must have shape (n, s, s, 3), not {self.tiles.shape}")
        if self.tiles.dtype != np.uint8:
            raise DatasetError(f"tiles must be uint8, not {self.tiles.dtype}")
        if self.fractions.shape != (count, classes):
            raise DatasetError(
                f"fractions must have shape ({count}, {classes}), one row a tile and one column a mineral, "
                f"not {self.fractions.shape}"
            )
        if self.groups.shape != (count,):
            raise DatasetError(f"groups must have shape ({count},), not {self.groups.shape}")
        if self.dense is not None and (self.dense.ndim != 3 or len(self.dense) != count):
            raise DatasetError(f"dense must have shape ({count}, k, k), not {self.dense.shape}")

    def __len__(self) -> int:
        return len(self.tiles)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) index of the class with the largest share."""
        found: NDArray[np.int64] = self.fractions.argmax(axis=1)
        return found

    def clear(self, dominant: float = DOMINANT) -> NDArray[np.bool_]:
        """Tell which tiles have one class that covers at least the share `dominant`: (n,) bool."""
        found: NDArray[np.bool_] = self.fractions.max(axis=1) >= dominant - 1e-6
        return found

    def select(self, wanted: NDArray[np.bool_] | NDArray[np.int64]) -> TileSamples:
        """Return the samples of an index or boolean array."""
        return replace(
            self,
            tiles=self.tiles[wanted],
            fractions=self.fractions[wanted],
            groups=self.groups[wanted],
            dense=None if self.dense is None else self.dense[wanted],
        )

    @classmethod
    def of_labels(
        cls, tiles: NDArray[np.uint8], labels: ArrayLike, groups: ArrayLike, minerals: MineralTable
    ) -> TileSamples:
        """Samples of whole tiles with one class each.

        Parameters
        ----------
        tiles : (n, s, s, 3) uint8 array
        labels : (n,) ints
            Mineral codes of `minerals`.
        groups : (n,) ints
        minerals : MineralTable
        """
        codes = np.asarray(labels)
        matches = codes[:, np.newaxis] == np.asarray(minerals.codes)
        if not matches.any(axis=1).all():
            unknown = sorted(set(codes.tolist()) - set(minerals.codes))
            raise DatasetError(f"labels must be codes of the minerals, {minerals.codes}; found {unknown}")
        return cls(tiles, matches.astype(np.float32), np.asarray(groups, dtype=np.int64), minerals)


def joined(parts: Sequence[TileSamples]) -> TileSamples:
    """Join samples of the same minerals; `dense` is kept if all have it."""
    if not parts:
        raise DatasetError("there are no samples to join")
    if any(part.minerals != parts[0].minerals for part in parts):
        raise DatasetError("samples of different mineral tables cannot be joined")
    dense = [part.dense for part in parts if part.dense is not None]
    return TileSamples(
        np.concatenate([part.tiles for part in parts]),
        np.concatenate([part.fractions for part in parts]),
        np.concatenate([part.groups for part in parts]),
        parts[0].minerals,
        np.concatenate(dense) if len(dense) == len(parts) else None,
    )


def masked_samples(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    minerals: MineralTable,
    *,
    tile_px: int,
    input_px: int,
    group: int = 0,
) -> TileSamples:
    """Cut a picture with a mask into whole tiles.

    Parameters
    ----------
    rgb : (height, width, 3) uint8 array
    mask : (height, width) uint8 array
        Mineral codes; other values, 0 among them, are unknown.
    minerals : MineralTable
    tile_px, input_px
        Side of a tile in the picture, and the side it is resized to.
    group
        Number of the photograph.

    Returns
    -------
    TileSamples
        Row by row; tiles without a known pixel are left out.

    Raises
    ------
    DatasetError
        If picture and mask differ in size or no tile fits.
    """
    if rgb.shape[:2] != mask.shape:
        raise DatasetError(f"the picture has {rgb.shape[:2]} pixels, its mask {mask.shape}")
    tiles, indices = [], []
    classes = _class_indices(mask, minerals)
    for rows, columns in _tile_slices(mask.shape, tile_px):
        if (classes[rows, columns] != UNKNOWN).any():
            tiles.append(resize_tile(rgb[rows, columns], input_px))
            indices.append(classes[rows, columns])
    if not tiles:
        raise DatasetError(
            f"no tile of {tile_px} px with a known class fits into a picture of {mask.shape} px"
        )
    fractions = np.stack([class_fractions(index, len(minerals)) for index in indices])
    return TileSamples(
        np.stack(tiles),
        fractions,
        np.full(len(tiles), group, dtype=np.int64),
        minerals,
        np.stack([majority_cells(index, min(DENSE_CELLS, tile_px)) for index in indices]),
    )


def class_fractions(indices: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Share of each class among the known entries of `indices`: (classes,) float32."""
    counts = np.bincount(indices.ravel(), minlength=256)[:classes]
    shares: NDArray[np.float32] = (counts / max(counts.sum(), 1)).astype(np.float32)
    return shares


def majority_cells(indices: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    """Reduce a square map of class indices to (cells, cells) by the most frequent value of each cell."""
    side = indices.shape[0]
    edges = np.linspace(0, side, cells + 1).astype(int)
    present = np.unique(indices)
    counts = np.stack(
        [
            np.add.reduceat(
                np.add.reduceat(indices == value, edges[:-1], axis=0, dtype=np.int32), edges[:-1], axis=1
            )
            for value in present
        ]
    )
    reduced: NDArray[np.uint8] = present[counts.argmax(axis=0)]
    return reduced


def grouped_split(
    groups: NDArray[np.int64], share: float, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split samples so that no photograph is on both sides.

    Parameters
    ----------
    groups : (n,) int array
    share
        Part of the groups that is held out, 0 to 1; at least one group is.
    random
        Chooses the groups.

    Returns
    -------
    kept, held_out : int arrays
        Indices of samples.
    """
    found = np.unique(groups)
    if len(found) < 2:
        raise DatasetError("a split needs samples of at least two photographs")
    count = min(max(1, round(share * len(found))), len(found) - 1)
    chosen = np.isin(groups, random.choice(found, count, replace=False))
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def balancing_weights(samples: TileSamples) -> NDArray[np.float64]:
    """Weights with which drawing samples gives each class the same expected area; they add up to 1."""
    areas = samples.fractions.sum(axis=0, dtype=np.float64)
    present = areas > 0
    per_class = np.divide(1.0, areas, out=np.zeros_like(areas), where=present) / present.sum()
    weights: NDArray[np.float64] = samples.fractions @ per_class
    weights /= weights.sum()
    return weights


def _class_indices(mask: NDArray[np.uint8], minerals: MineralTable) -> NDArray[np.uint8]:
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    table[list(minerals.codes)] = np.arange(len(minerals), dtype=np.uint8)
    indices: NDArray[np.uint8] = table[mask]
    return indices


def _tile_slices(shape: tuple[int, ...], tile_px: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0] - tile_px + 1, tile_px):
        for column in range(0, shape[1] - tile_px + 1, tile_px):
            yield slice(row, row + tile_px), slice(column, column + tile_px)
