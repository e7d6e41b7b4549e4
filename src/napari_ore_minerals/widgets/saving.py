"""Writing a result as it is on the screen; nothing of Qt or napari, to be called in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.widgets.pictures import LayerPicture


def write_screen(mineral_map: MineralMap, folder: Path, picture: LayerPicture | None) -> str:
    """Write a result folder, with the picture under the overlay if its layer is still there; says where."""
    from napari_ore_minerals.maps.files import write_result

    opened = None if picture is None else picture.micrograph()
    size = (mineral_map.grid.height_px, mineral_map.grid.width_px)
    fits = opened is not None and (opened.height_px, opened.width_px) == size
    written = write_result(mineral_map, folder, micrograph=opened if fits else None)
    return f"Results were written to {written}."
