"""Opens result folders (``*.oremap``): the map's layers, and the picture if it lies beside the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ore_minerals.errors import OreMineralsError
from napari_ore_minerals.maps.files import PICTURE_NAME, RUN_NAME, SUFFIX, read_result
from napari_ore_minerals.widgets.layers import layer_data
from napari_ore_minerals.widgets.picture_files import of_file
from napari_ore_minerals.widgets.pictures import Placement

if TYPE_CHECKING:
    from napari_ore_minerals.maps.mineral_map import MineralMap

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return a function that reads `path`, or None if it is no result folder."""
    paths = [path] if isinstance(path, str) else path
    if not paths or any(not one.rstrip("/\\").endswith(SUFFIX) for one in paths):
        return None
    if any(not (Path(one) / RUN_NAME).is_file() for one in paths):
        return None
    return read_layers


def read_layers(path: str | list[str]) -> list[LayerData]:
    """Read result folders as layer data, the lowest layer first."""
    found: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        folder = Path(one)
        mineral_map = read_result(folder)
        placement = placement_of(mineral_map)
        found += _picture(folder, mineral_map, placement)
        found += layer_data(mineral_map, mineral_map.picture.name, placement)
    return found


def placement_of(mineral_map: MineralMap) -> Placement:
    """Where a map lies that was read from a folder: its first corner at the origin, in micrometres if known."""
    scale = mineral_map.um_per_px or 1.0
    unit = "pixel" if mineral_map.um_per_px is None else "um"
    return Placement(
        {
            "scale": np.full(2, scale),
            "translate": np.zeros(2),
            "rotate": np.eye(2),
            "shear": np.zeros(1),
            "affine": np.eye(3),
            "units": (unit, unit),
        }
    )


def _picture(folder: Path, mineral_map: MineralMap, placement: Placement) -> list[LayerData]:
    """Read the picture if one of its name lies beside the folder and has its pixels; a large one as it is looked at."""
    from napari_ore_minerals.images.levels import is_large, levels_of
    from napari_ore_minerals.images.micrograph import Micrograph

    path = _picture_path(folder, mineral_map)
    arguments = {"name": mineral_map.picture.name, **placement.transform}
    if path is None:
        return []
    try:
        micrograph = Micrograph.open(path, options=mineral_map.picture.answers.salvaging())
        if micrograph.fingerprint() != mineral_map.picture.fingerprint:
            return []
        if not is_large(micrograph.height_px, micrograph.width_px):
            return [of_file(micrograph, micrograph.read().rgb, arguments)]
        return [of_file(micrograph, levels_of(micrograph, folder / PICTURE_NAME), arguments)]
    except OreMineralsError:
        return []  # the map can be looked at without its picture


def _picture_path(folder: Path, mineral_map: MineralMap) -> Path | None:
    """The picture beside the folder, or where it was when it was classified."""
    beside = folder.parent / folder.name.removesuffix(SUFFIX)
    was = mineral_map.picture.path
    return next(
        (path for path in (beside, Path(was) if was else None) if path is not None and path.exists()), None
    )
