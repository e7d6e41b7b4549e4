"""Areas and boundaries on LumenStone: tiles, cells, grains and two baselines, with and without corrections.

What is asked for is measured at the points of `lumenstone_points`, of each photograph with what was learnt
from others: the mean absolute error of the area fraction of the minerals that are there (gangue among them),
in percentage points, and the intersection over union of each mineral over all photographs together.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from lumenstone import photographs
from lumenstone_points import (
    STEP,
    UNKNOWN,
    Points,
    cluster_map,
    corrected,
    drawn,
    forest_map,
    points_of,
)
from lumenstone_tiles import CELL_PX, CELLS, MINERALS, Collection, collection, folds_by_photograph
from numpy.typing import NDArray
from PIL import Image

from napari_ore_minerals.images.anchoring import CellColours
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.learning.anchored import train_anchored
from napari_ore_minerals.maps.grains import grain_map
from napari_ore_minerals.maps.mineral_map import MineralMap, label_cells
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.minerals import MineralTable

FOLDS = 5
ROUNDS = (5, 5)  # corrections that are made before the map is made anew
WHOLE_PX = 128  # pictures are filled up by reflection to whole tiles
METHODS = ("tiles", "cells", "grains", "Otsu + colour clustering", "forest on colours and textures")
Drawn = list[tuple[NDArray[np.float32], NDArray[np.int64]]]


class Study:
    """The photographs, what is learnt in each fold, and what is kept on disk between runs."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.files = list(photographs(folder))
        data = collection(folder)
        self.folds = folds_by_photograph(data, FOLDS)
        self.minerals: MineralTable = data.minerals
        self.codes = [code for code, mineral in MINERALS.items() if mineral in tuple(data.minerals)]
        self.cache = cache
        cache.mkdir(parents=True, exist_ok=True)
        self._answer(data)
        random = np.random.default_rng(0)
        self.points = [self._points(number) for number in range(len(self.files))]
        self.drawn: Drawn = [drawn(points, random) for points in self.points]

    def picture(self, number: int) -> NDArray[np.uint8]:
        """Return the photograph."""
        return np.asarray(Image.open(self.files[number][0]).convert("RGB"))

    def learnt(self, number: int) -> Drawn:
        """Labelled points of the photographs of other folds."""
        return [part for part, fold in zip(self.drawn, self.folds, strict=True) if fold != self.folds[number]]

    def answers(self, number: int, side: int) -> NDArray[np.float32]:
        """What the anchored cells say of cells of `side`, learnt on the photographs of other folds."""
        found: NDArray[np.float32] = np.load(self.cache / f"cells-{number}-{side}.npy")
        return found

    def _points(self, number: int) -> Points:
        return points_of(self.picture(number), np.asarray(Image.open(self.files[number][1])), self.codes)

    def _answer(self, data: Collection) -> None:
        for fold in range(FOLDS):
            missing = [
                number
                for number in np.flatnonzero(self.folds == fold)
                if not (self.cache / f"cells-{number}-{CELL_PX // 2}.npy").exists()
            ]
            if not missing:
                continue
            others = [cells for cells, other in zip(data.cells, self.folds, strict=True) if other != fold]
            classifier = train_anchored(others)
            for number in missing:
                rgb = self.picture(number)
                fill = [(0, -length % WHOLE_PX) for length in rgb.shape[:2]]
                whole = np.pad(rgb, (*fill, (0, 0)), mode="reflect")
                for side in (CELL_PX, CELL_PX // 2):
                    shares = classifier.probabilities(CellColours.of(whole, side))
                    np.save(self.cache / f"cells-{number}-{side}.npy", shares)


def mineral_map(micrograph: Micrograph, cells: NDArray[np.float32], halves: NDArray[np.float32],
                minerals: MineralTable) -> MineralMap:  # fmt: skip
    """Put answers for cells, and for cells of half the side, together as a map of 2 x 2 places a cell."""
    grid = TileGrid(micrograph.height_px, micrograph.width_px, CELL_PX, CELL_PX)
    rows, columns = grid.shape
    coarse, fine = (np.log(np.maximum(shares, 1e-6)) for shares in (cells, halves))
    coarse = coarse[:rows, :columns].repeat(2, axis=0).repeat(2, axis=1)
    places = (coarse + fine[: 2 * rows, : 2 * columns]) / 2
    shares = np.exp(places.reshape(rows, 2, columns, 2, -1).mean(axis=(1, 3)))
    shares = (shares / shares.sum(axis=2, keepdims=True)).astype(np.float32)
    processed = np.ones(grid.shape, bool)
    return MineralMap(
        grid=grid,
        labels=label_cells(shares, processed, minerals, min_confidence=0.0),
        probabilities=shares,
        class_maps=np.moveaxis(places, -1, 0).astype(np.float16),
        processed=processed,
        minerals=minerals,
        um_per_px=None,
        um_per_px_source="",
        picture=PictureRecord.of(micrograph),
        model=ModelRecord(name="anchored cells", version=1, architecture="", weights_sha256="0" * 64),
        run=RunRecord(options=ClassifyOptions(), min_confidence=0.0, temperature=1.0, device="", precision="fp32",
                      batch_size=1, tiles=grid.tile_count, seconds=0.0, created="", complete=True),
    )  # fmt: skip


def grains_at_points(shown: MineralMap, micrograph: Micrograph, points: Points) -> NDArray[np.intp]:
    """Index of the mineral at each point."""
    found = grain_map(shown, micrograph)
    indices = np.zeros(256, np.intp)
    indices[list(shown.minerals.codes)] = np.arange(len(shown.minerals))
    rows, columns = ((np.arange(count) * STEP + STEP // 2) // found.factor for count in points.truth.shape)
    return indices[found.codes[np.ix_(rows, columns)]]


def confusion(points: Points, shown: NDArray[np.intp]) -> NDArray[np.int64]:
    """Points by true and shown mineral."""
    known = points.truth != UNKNOWN
    count = points.shares.shape[1]
    pairs = points.truth[known].astype(np.intp) * count + shown[known]
    return np.bincount(pairs, minlength=count**2).reshape(count, count)


def studied(study: Study, number: int) -> NDArray[np.int64]:
    """Confusions of one photograph: (methods, without and with corrections, minerals, minerals)."""
    path = study.cache / f"areas-{number}.npy"
    if path.exists():
        kept: NDArray[np.int64] = np.load(path)
        return kept
    micrograph, points = Micrograph.from_array(study.picture(number)), study.points[number]
    cells, halves = (study.answers(number, side) for side in (CELL_PX, CELL_PX // 2))
    base = mineral_map(micrograph, cells, halves, study.minerals)
    labels, codes = base.labels.copy(), study.minerals.codes
    said: list[tuple[int, int]] = []
    shown = before = grains_at_points(base, micrograph, points)
    for count in ROUNDS:
        said += corrected(points, shown, said, count)
        for cell, index in said:
            base.labels[cell // labels.shape[1], cell % labels.shape[1]] = codes[index]
        shown = grains_at_points(base, micrograph, points)
    tiles = cells.reshape(len(cells) // CELLS, CELLS, -1, CELLS, len(codes)).mean(axis=(1, 3)).argmax(axis=2)
    tiles = tiles.repeat(CELLS, axis=0).repeat(CELLS, axis=1)[: labels.shape[0], : labels.shape[1]]
    plain = cells[: labels.shape[0], : labels.shape[1]].argmax(axis=2)
    maps = []
    for blocks in (tiles, plain):
        painted = blocks.copy()
        for cell, index in said:
            painted[cell // labels.shape[1], cell % labels.shape[1]] = index
        maps.append([blocks.ravel()[points.cells], painted.ravel()[points.cells]])
    learnt = study.learnt(number)
    maps.append([before, shown])
    maps += [
        [method(points, learnt, []), method(points, learnt, said)] for method in (cluster_map, forest_map)
    ]
    found = np.stack([[confusion(points, one) for one in pair] for pair in maps])
    np.save(path, found)
    return found


def areas(chosen: argparse.Namespace, folder: Path) -> int:
    """Measure, and print settings' photographs and the others apart."""
    begun = time.perf_counter()
    study = Study(folder, chosen.cache)
    print(f"{len(study.files)} photographs, points every {STEP} px, folds by photograph; cells of {CELL_PX} px of "
          f"the half-size photographs learnt on other photographs ({_minutes(begun)})", flush=True)  # fmt: skip
    shuffled = np.random.default_rng(0).permutation(len(study.files)).tolist()
    for title, half in (("others", 1), ("settings", 0)):
        chosen_ones = [number for number in shuffled if number % 2 == half][: chosen.most]
        _print(title, np.stack([studied(study, number) for number in chosen_ones]), study.minerals)
    print(f"all of it took {_minutes(begun)}")
    return 0


def _print(title: str, found: NDArray[np.int64], minerals: MineralTable) -> None:
    symbols = "".join(f"{mineral.symbol:>6}" for mineral in minerals)
    for corrections, what in enumerate(("no correction", "ten corrected cells")):
        print(f"{title} ({len(found)} photographs), {what}")
        print(f"{'':32}area error (95 %)       mean IoU (95 %)          a photograph{symbols}")
        for index, method in enumerate(METHODS):
            print(f"{method:32}{_line(found[:, index, corrections])}")


def _line(found: NDArray[np.int64]) -> str:
    errors = np.array([_area_error(one) for one in found])
    unions = np.array([np.nanmean(_unions(one, present=True)) for one in found])
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(found), len(found)) for _ in range(1000)]
    low, high = np.percentile([errors[draw].mean() for draw in draws], [2.5, 97.5])
    worst, best = np.percentile([_mean_union(found[draw].sum(axis=0)) for draw in draws], [2.5, 97.5])
    whole = found.sum(axis=0)
    each = "".join(f"{value:6.2f}" for value in _unions(whole))
    area = f"{errors.mean():.2f} ({low:.2f} to {high:.2f})"
    return f"{area:24}{_mean_union(whole):.3f} ({worst:.3f} to {best:.3f})   {unions.mean():12.3f}{each}"


def _area_error(found: NDArray[np.int64]) -> float:
    """Mean over the minerals that are there, in percentage points."""
    true, shown = found.sum(axis=1) / found.sum(), found.sum(axis=0) / found.sum()
    return float(100 * np.abs(true - shown)[true > 0].mean())


def _unions(found: NDArray[np.int64], *, present: bool = False) -> NDArray[np.float64]:
    """Intersection over union of each mineral; not a number where it is nowhere (or not there)."""
    right = np.diag(found)
    union = found.sum(axis=0) + found.sum(axis=1) - right
    counted = found.sum(axis=1) > 0 if present else union > 0
    return np.where(counted, right / np.maximum(union, 1), np.nan)


def _mean_union(found: NDArray[np.int64]) -> float:
    return float(np.nanmean(_unions(found)))


def _minutes(begun: float) -> str:
    return f"{(time.perf_counter() - begun) / 60.0:.1f} min"
