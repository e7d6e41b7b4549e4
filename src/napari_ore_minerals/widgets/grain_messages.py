"""What the viewer and the process that finds grains say to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from napari_ore_minerals.maps.grain_tables import GrainTables
    from napari_ore_minerals.maps.grains import GrainMap, GrainOptions
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.widgets.messages import PictureFacts


class Find(NamedTuple):
    """Refine a map, with its corrections, to grains; pixels are asked for with `WindowWanted`."""

    job: int
    picture: PictureFacts
    mineral_map: MineralMap
    options: GrainOptions


class Count(NamedTuple):
    """Measure the grains of a map as it is painted."""

    job: int
    grain_map: GrainMap


class Finding(NamedTuple):
    """A job got on."""

    job: int
    done: int
    total: int
    stage: str


class Found(NamedTuple):
    """The grains of a map."""

    job: int
    grain_map: GrainMap
    tables: GrainTables


class Counted(NamedTuple):
    """The tables of a map that was painted."""

    job: int
    tables: GrainTables
