"""Corrections of pictures as tiles to learn from: nothing but ordinary samples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.tile_reader import TileReader
from napari_ore_minerals.images.tiles import TileGrid

from .dataset import TileSamples, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.minerals import MineralTable

    from .corrections import Correction

REGION_TILES = 3  # side of the regions of one picture that are held back together
FEWEST_TO_HOLD_BACK, FEWEST_PICTURES = 8, 4
GROUPS_OF_A_PICTURE = 1_000_000


@dataclass(frozen=True)
class CorrectedPicture:
    """A picture and what was said of its cells.

    Attributes
    ----------
    micrograph : Micrograph
    corrections : tuple of Correction
    minerals : MineralTable
        What their codes mean.
    """

    micrograph: Micrograph
    corrections: tuple[Correction, ...]
    minerals: MineralTable


def corrected_tiles(
    pictures: Sequence[CorrectedPicture], minerals: MineralTable, input_px: int
) -> TileSamples:
    """Read the tiles of corrected cells; a cell that is smaller than a tile is taken with what surrounds it.

    Parameters
    ----------
    pictures
        Their minerals are matched with `minerals` by name; corrections to others are left out.
    input_px
        Side of the tiles.

    Returns
    -------
    TileSamples
        `groups` are regions of three by three tiles of each picture, whatever other pictures there are.

    Raises
    ------
    DatasetError
        If corrections are of another picture than theirs, or name codes that are no mineral.
    """
    parts = [_of_picture(one, minerals, input_px) for one in pictures]
    found = [part for part in parts if part is not None]
    if not found:
        return TileSamples.of_labels(np.zeros((0, input_px, input_px, 3), np.uint8), [], [], minerals)
    return joined(found)


def held_back(samples: TileSamples, share: float, seed: int) -> NDArray[np.bool_]:
    """Choose what only measures: whole pictures where there are enough, else regions of a picture.

    No mineral is held back whole, and nothing is where there are fewer than eight corrections.  What was
    held back tends to be so again where corrections have been added since.
    """
    nothing = np.zeros(len(samples), bool)
    if len(samples) < FEWEST_TO_HOLD_BACK or not share:
        return nothing
    pictures = samples.groups // GROUPS_OF_A_PICTURE
    if len(np.unique(pictures)) >= FEWEST_PICTURES:
        chosen = _held_back_groups(pictures, samples.labels, share, seed)
        if chosen.any():
            return chosen
    return _held_back_groups(samples.groups, samples.labels, share, seed)


def refuse_too_little(samples: TileSamples, pictures: int) -> None:
    """Refuse corrections of pictures that are none, or one; `DatasetError`."""
    if not len(samples):
        raise DatasetError(
            f"there are no corrections to learn from on {pictures} pictures: paint cells, or confirm some"
        )
    if len(samples) < 2:
        raise DatasetError(
            f"one correction ({_counted(samples)}) is too little to fine-tune on: correct some more cells"
        )


def refuse_one_mineral(samples: TileSamples, earlier: int) -> None:
    """Refuse corrections of one mineral where there are no earlier tiles beside them; `DatasetError`."""
    if len(np.unique(samples.labels)) < 2 and not earlier:
        raise DatasetError(
            f"all corrections are of one mineral ({_counted(samples)}), and what this model learnt from is not had "
            "again: correct cells of other minerals, or confirm some"
        )


def _counted(samples: TileSamples) -> str:
    counts = {
        mineral.name: int((samples.labels == index).sum()) for index, mineral in enumerate(samples.minerals)
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _held_back_groups(
    groups: NDArray[np.int64], labels: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    def order(group: int) -> str:
        return hashlib.sha256(f"{seed} {group}".encode()).hexdigest()

    chosen = np.zeros(len(groups), bool)
    for group in sorted(np.unique(groups).tolist(), key=order):
        more = chosen | (groups == group)
        if more.sum() > max(1.0, share * len(groups)) + 0.5:
            continue
        if set(labels[~more]) == set(labels):
            chosen = more
    return chosen


def _of_picture(picture: CorrectedPicture, minerals: MineralTable, input_px: int) -> TileSamples | None:
    """Tiles of one picture, grid by grid."""
    fingerprint = picture.micrograph.fingerprint()
    strange = [one for one in picture.corrections if one.picture != fingerprint]
    if strange:
        raise DatasetError(
            f"{len(strange)} of {len(picture.corrections)} corrections are of another picture than "
            f"{picture.micrograph.name}: name the picture that they were made on, unchanged"
        )
    unknown = [one.code for one in picture.corrections if one.code not in picture.minerals.codes]
    if unknown:
        raise DatasetError(
            f"{len(unknown)} of {len(picture.corrections)} corrections of {picture.micrograph.name} name codes "
            f"{sorted(set(unknown))} that are no mineral: take them back, or add these minerals"
        )
    named = {mineral.name.casefold(): mineral.code for mineral in minerals}
    codes = {
        mineral.code: named[mineral.name.casefold()]
        for mineral in picture.minerals
        if mineral.name.casefold() in named
    }
    grids: dict[TileGrid, list[Correction]] = {}
    for one in sorted(picture.corrections, key=lambda one: (one.tile_px, one.stride_px, one.cell)):
        grid = TileGrid(one.height_px, one.width_px, one.tile_px, one.stride_px)
        if one.code in codes:
            grids.setdefault(grid, []).append(one)
    parts = []
    for grid, said in grids.items():
        tiles, groups = _of_grid(picture, grid, said, input_px)
        parts.append(TileSamples.of_labels(tiles, [codes[one.code] for one in said], groups, minerals))
    return joined(parts) if parts else None


def _of_grid(
    picture: CorrectedPicture, grid: TileGrid, said: list[Correction], input_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Tiles and groups of corrections of one grid."""
    cells = np.array([one.cell for one in said])
    last = (grid.tile_rows - 1, grid.tile_columns - 1)
    positions = np.clip(cells - grid.overlap // 2, 0, last)
    tiles = []
    with TileReader(picture.micrograph, grid, positions, input_px=input_px) as reader:
        while (batch := reader.take(64)) is not None:
            tiles.append(batch.pixels)
    regions = cells // (REGION_TILES * grid.overlap)
    number = int(picture.micrograph.fingerprint()[:10], 16)
    groups = number * GROUPS_OF_A_PICTURE + regions[:, 0] % 1000 * 1000 + regions[:, 1] % 1000
    return np.concatenate(tiles), groups
