"""What is exported in these tests: a map made by hand, its picture and its grains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from area_support import PER_CELL, map_of, patches

from napari_ore_minerals.exports.shown import Shown
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.grains import GrainMap
from napari_ore_minerals.maps.measuring import measure
from napari_ore_minerals.maps.pooling import pool
from napari_ore_minerals.minerals import DEFAULT_MINERALS, Mineral, MineralTable

STRIDE = 32
FORMULAS = MineralTable.of(
    [
        Mineral(code=1, name="=cmd|' /C calc'!A0", symbol="+1", colour="#0072b2"),
        Mineral(code=2, name="@pyrite", symbol="-Py", colour="#f0e442"),
        Mineral(code=7, name="<b>gangue</b>", symbol="Gng", colour="#555555", kind="gangue"),
    ]
)

SCRIPTS = MineralTable.of(
    [
        Mineral(code=1, name="黄铜矿", symbol="铜", colour="#0072b2"),
        Mineral(code=2, name="пирит", symbol="Пи", colour="#f0e442"),
        Mineral(code=7, name="$\\gangue$", symbol="Gng", colour="#555555", kind="gangue"),
    ]
)


def halves(rows: int = 6, columns: int = 8) -> np.ndarray:
    """Classes of places: the left half is the first mineral, the right the second, the last row of cells the third."""
    classes = np.zeros((rows * PER_CELL, columns * PER_CELL), int)
    classes[:, columns * PER_CELL // 2 :] = 1
    classes[-PER_CELL:] = 2
    return classes


def shown_of(
    *,
    minerals: MineralTable = DEFAULT_MINERALS,
    grains: bool = True,
    picture: bool = True,
    um_per_px: float | None = 0.5,
    name: str = "PS-07.tif",
) -> Shown:
    """A map of 6 x 8 cells of 32 px, its picture 190 x 250 px, two cells corrected to the third mineral."""
    mineral_map = map_of(
        halves(), size=(190, 250), stride_px=STRIDE, um_per_px=um_per_px, name=name, minerals=minerals
    )
    labels = mineral_map.labels.copy()
    labels[0, :2] = minerals.codes[2]
    height, width = 190, 250
    codes = np.full((95, 125), minerals.codes[0], np.uint8)
    codes[:, 60:] = minerals.codes[1]
    codes[20:40, 20:40] = minerals.codes[2]  # within a grain of the first mineral, which so has a hole
    codes[25:30, 25:30] = minerals.codes[1]
    codes[-4:] = 0
    found = GrainMap(codes, 2, height, width, minerals, um_per_px, "0" * 64) if grains else None
    pixels = np.random.default_rng(3).integers(0, 255, (height, width, 3)).astype(np.uint8)
    micrograph = Micrograph.from_array(pixels, name=name, um_per_px=um_per_px) if picture else None
    corrected = replace(mineral_map, labels=labels)
    return Shown.of(mineral_map, (measure(corrected),), labels=labels, grains=found, micrograph=micrograph)


def shown_of_planes() -> Shown:
    """Two planes of a stack with different minerals; the map is of the first."""
    maps = [map_of(patches(seed), name="stack.tif") for seed in (1, 2)]
    measured = tuple(replace(measure(one), name=f"plane {number}") for number, one in enumerate(maps, 1))
    return replace(Shown.of(maps[0], measured), pooled=pool(measured), view=0)
