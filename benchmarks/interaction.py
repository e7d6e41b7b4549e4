"""How long the user waits for the map after a stroke of the brush.

Run ``python benchmarks/interaction.py``.  The head is refitted to made-up corrections of maps of
19 x 15 and of 100 x 100 cells, six minerals and 7 x 7 class maps, with features as wide as the compact
Swin's (384) and Swin-T's and -S's (768); then the next cell of the review is chosen.  The exit code
is 1 if a target is missed: 0.3 s for the small map and 1.5 s for the large one, on two cores.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.learning.corrections import Cell, Correction, Found, as_corrections
from napari_ore_minerals.learning.head_change import HeadChange
from napari_ore_minerals.learning.refit import refitted_map
from napari_ore_minerals.learning.review import Review, next_cell
from napari_ore_minerals.maps.features import COLOURS, CellFeatures
from napari_ore_minerals.maps.mineral_map import MineralMap, label_cells
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.minerals import DEFAULT_MINERALS

TARGETS_S = {(15, 19): 0.3, (100, 100): 1.5}
WIDTHS = (384, 768)
CORRECTIONS = (1, 20, 200)
TILE_PX, PLACES = 256, 7


def a_map(shape: tuple[int, int], width: int, random: np.random.Generator) -> tuple[MineralMap, CellFeatures]:
    """Make up a map and the features of its cells: six kinds of cells with noise."""
    rows, columns = shape
    grid = TileGrid(rows * TILE_PX, columns * TILE_PX, TILE_PX, TILE_PX)
    features = CellFeatures(grid)
    kinds = random.integers(0, len(DEFAULT_MINERALS), shape)
    centres = random.normal(size=(len(DEFAULT_MINERALS), width))
    for row, column in np.ndindex(shape):
        seen = centres[kinds[row, column]] + random.normal(size=(1, 1, width))
        pixels = random.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        features.add(row, column, seen.astype(np.float32), pixels)
    maps = random.normal(size=(len(DEFAULT_MINERALS), rows * PLACES, columns * PLACES)).astype(np.float16)
    shares = random.dirichlet(np.ones(len(DEFAULT_MINERALS)), shape).astype(np.float32)
    processed = np.ones(shape, dtype=bool)
    mineral_map = MineralMap(
        grid=grid,
        labels=label_cells(shares, processed, DEFAULT_MINERALS, min_confidence=0.5),
        probabilities=shares,
        class_maps=maps,
        processed=processed,
        minerals=DEFAULT_MINERALS,
        um_per_px=None,
        um_per_px_source="",
        picture=PictureRecord(
            name="made up", height_px=grid.height_px, width_px=grid.width_px, fingerprint="0" * 64
        ),
        model=ModelRecord(name="none", version=1, architecture="none", weights_sha256="0" * 64),
        run=RunRecord(
            options=ClassifyOptions(),
            min_confidence=0.5,
            temperature=1.0,
            device="none",
            precision="fp32",
            batch_size=1,
            tiles=rows * columns,
            seconds=0.0,
            created="",
            complete=True,
        ),
    )
    return mineral_map, features


def some_corrections(mineral_map: MineralMap, count: int, random: np.random.Generator) -> list[Correction]:
    """Make up corrections of different cells."""
    cells = np.argwhere(mineral_map.processed)
    chosen = cells[random.permutation(len(cells))[:count]]
    codes = random.integers(1, len(DEFAULT_MINERALS) + 1, len(chosen)).astype(np.uint8)
    found = Found(chosen, codes, np.ones(len(chosen), dtype=bool), {}, 0)
    return as_corrections(found, mineral_map, now="")


def learnt(width: int, random: np.random.Generator) -> HeadChange:
    """Make up what was learnt from other pictures."""
    minerals = len(DEFAULT_MINERALS)
    return HeadChange(random.normal(size=(width, minerals)), random.normal(size=minerals))


def seconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and largest duration."""
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return statistics.median(took), max(took)


def main() -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    missed = False
    print(
        f"{'cells':>10}{'width':>7}{'said':>6}{'others':>8}{'refit':>16}{'next cell':>16}   median (worst) in s"
    )
    for (shape, target), width in ((item, width) for item in TARGETS_S.items() for width in WIDTHS):
        random = np.random.default_rng(0)
        mineral_map, features = a_map(shape, width, random)
        values = features.standardised(np.zeros((1, 2), np.intp))
        for count, others in ((count, others) for count in CORRECTIONS for others in ("no", "yes")):
            earlier = learnt(values.shape[1] + COLOURS, random) if others == "yes" else None
            corrections = some_corrections(mineral_map, count, random)
            review = Review()
            for one in corrections:
                review = review.asking(Cell(one.row, one.column)).skip()
            refit = seconds(
                lambda: refitted_map(mineral_map, features, corrections, earlier=earlier),  # noqa: B023
                rounds,
            )
            choice = seconds(lambda: next_cell(mineral_map, features, review), rounds)  # noqa: B023
            late = refit[0] + choice[0] > target
            missed |= late
            print(
                f"{shape[1]:>4} x {shape[0]:<3}{width:>7}{count:>6}{others:>8}"
                f"{refit[0]:>8.3f} ({refit[1]:.3f}){choice[0]:>8.3f} ({choice[1]:.3f})"
                f"   target {target} {'MISSED' if late else 'reached'}"
            )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
