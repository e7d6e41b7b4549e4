"""LumenStone as tiles of one mineral and as labelled cells, in folds by photograph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lumenstone import photographs
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from napari_ore_minerals.images.anchoring import CellColours
from napari_ore_minerals.learning.anchored import LabelledCells
from napari_ore_minerals.learning.assigning import assign
from napari_ore_minerals.learning.tile_options import DOMINANT
from napari_ore_minerals.minerals import CHALCOPYRITE, GANGUE, PYRITE, Mineral, MineralTable

TILE_PX = 128  # of the half-size photographs: 256 of the camera's own
CELL_PX = 32
CELLS = TILE_PX // CELL_PX
LEAST_PHOTOGRAPHS = 3  # a mineral of fewer photographs cannot be learnt on some and tested on others
MINERALS = {  # by LumenStone's code
    0: GANGUE,
    1: CHALCOPYRITE,
    2: Mineral(code=22, name="galena", symbol="Gn", colour="#56b4e9"),
    3: Mineral(code=23, name="magnetite", symbol="Mag", colour="#000000"),
    4: Mineral(code=24, name="bornite", symbol="Bn", colour="#a6611a"),
    5: Mineral(code=25, name="pyrrhotite", symbol="Pyh", colour="#e69f00"),
    6: PYRITE,
    7: Mineral(code=27, name="pentlandite", symbol="Pn", colour="#f5c2a5"),
    8: Mineral(code=28, name="sphalerite", symbol="Sp", colour="#7570b3"),
    11: Mineral(code=31, name="tennantite-tetrahedrite", symbol="Ttr", colour="#66a61e"),
}


class Collection(NamedTuple):
    """The tiles that are scored, and every cell of every photograph."""

    pixels: NDArray[np.uint8]  # (n, 128, 128, 3)
    truth: NDArray[np.int64]  # (n,) index in `minerals`
    fractions: NDArray[np.float64]  # (n,) share of that mineral
    photographs: NDArray[np.int64]  # (n,)
    places: NDArray[np.int64]  # (n, 2) row and column of the tile
    minerals: MineralTable
    cells: list[LabelledCells]  # one a photograph
    counts: dict[str, tuple[int, int]]  # tiles and photographs of each mineral, also of those not scored


class Part(NamedTuple):
    """Indices of the tiles of one fold, and the photographs that are held out."""

    learnt: NDArray[np.int64]
    tested: NDArray[np.int64]
    held_out: NDArray[np.bool_]  # (photographs,)


def collection(folder: Path) -> Collection:
    """Read the photographs once."""
    codes = list(MINERALS)
    found, cells = [], []
    for number, (path, mask_path) in enumerate(photographs(folder)):
        rgb, mask = np.asarray(Image.open(path).convert("RGB")), np.asarray(Image.open(mask_path))
        rows, columns = (length // TILE_PX * TILE_PX for length in mask.shape)
        shares = class_shares(mask[:rows, :columns], codes)
        cells.append(LabelledCells(CellColours.of(rgb[:rows, :columns], CELL_PX), shares))
        tiles = shares.reshape(rows // TILE_PX, CELLS, columns // TILE_PX, CELLS, -1).mean(axis=(1, 3))
        for row, column in np.argwhere(tiles.max(axis=2) >= DOMINANT - 1e-6):
            part = rgb[row * TILE_PX :, column * TILE_PX :][:TILE_PX, :TILE_PX]
            place = tiles[row, column]
            found.append((part, place.max(), place.argmax(), number, row, column))
    pixels = np.stack([tile[0] for tile in found])
    fractions = np.array([tile[1] for tile in found])
    table = np.array([tile[2:] for tile in found], dtype=np.int64)
    seen = {c: np.unique(table[table[:, 0] == c, 1]) for c in range(len(codes))}
    counts = {MINERALS[codes[c]].name: (int((table[:, 0] == c).sum()), len(seen[c])) for c in seen}
    scored = [c for c in seen if len(seen[c]) >= LEAST_PHOTOGRAPHS]
    kept = np.isin(table[:, 0], scored)
    return Collection(
        pixels[kept],
        np.searchsorted(scored, table[kept, 0]),
        fractions[kept],
        table[kept, 1],
        table[kept, 2:],
        MineralTable.of([MINERALS[codes[c]] for c in scored]),
        [LabelledCells(part.colours, part.shares[..., scored]) for part in cells],
        counts,
    )


def of_labelled_tiles(data: Collection) -> list[LabelledCells]:
    """Take the cells as if only the labels of clear tiles were known: each has the share of its tile."""
    found = [LabelledCells(part.colours, np.zeros_like(part.shares)) for part in data.cells]
    for label, share, number, (row, column) in zip(
        data.truth, data.fractions, data.photographs, data.places, strict=True
    ):
        tile = (slice(start * CELLS, (start + 1) * CELLS) for start in (row, column))
        found[number].shares[(*tile, label)] = share
    return found


def class_shares(mask: NDArray[np.uint8], codes: list[int]) -> NDArray[np.float32]:
    """Share of each code in each cell: (rows, columns, codes)."""
    rows, columns = (length // CELL_PX for length in mask.shape)
    blocks = mask.reshape(rows, CELL_PX, columns, CELL_PX)
    return np.stack([(blocks == code).mean(axis=(1, 3)) for code in codes], axis=-1).astype(np.float32)


def folds_by_photograph(data: Collection, folds: int) -> NDArray[np.int64]:
    """Fold of each photograph, minerals spread as evenly as photographs allow; always the same."""
    cut = StratifiedGroupKFold(folds)  # a seed would only change the order of photographs that are alike
    found = np.zeros(len(data.cells), np.int64)
    for fold, (_, held_out) in enumerate(cut.split(data.truth, data.truth, data.photographs)):
        found[data.photographs[held_out]] = fold
    return found


def folds_by_lot(data: Collection, folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each photograph, minerals spread about as evenly, in another way for each seed."""
    counts = np.zeros((len(data.cells), len(data.minerals)))
    np.add.at(counts, (data.photographs, data.truth), 1.0)
    return assign(counts, np.full(folds, 1.0 / folds), np.random.default_rng(seed))


def folds_by_neighbourhood(data: Collection, folds: int) -> NDArray[np.int64]:
    """Fold of each photograph, runs of four numbers together: neighbours in number look alike."""
    return np.arange(len(data.cells)) // 4 % folds


def parts(data: Collection, folds: NDArray[np.int64], scored: NDArray[np.bool_]) -> Iterator[Part]:
    """One part a fold; of the photographs held out, the `scored` tiles are tested."""
    for fold in np.unique(folds):
        held_out = folds == fold
        outside = held_out[data.photographs]
        yield Part(np.flatnonzero(~outside), np.flatnonzero(outside & scored), held_out)


def spread_out(data: Collection, most: int, seed: int) -> NDArray[np.bool_]:
    """Choose at most `most` tiles of each mineral of each photograph; 0 for all."""
    chosen = np.zeros(len(data.truth), bool)
    random = np.random.default_rng(seed)
    pairs = data.photographs * len(data.minerals) + data.truth
    for pair in np.unique(pairs):
        tiles = random.permutation(np.flatnonzero(pairs == pair))
        chosen[tiles[:most] if most else tiles] = True
    return chosen
