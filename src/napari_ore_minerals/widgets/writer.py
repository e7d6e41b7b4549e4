"""Writes the areas of a minerals layer as CSV: File > Save, and Layers > Measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.files import write_areas as write_table
from napari_ore_minerals.widgets.layers import MAP_KEY

if TYPE_CHECKING:
    import napari
    import pandas as pd

    from napari_ore_minerals.maps.mineral_map import MineralMap


def write_areas(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the areas of one labels layer that this program made.

    Raises
    ------
    ResultError
        If the layer is none of ours, or the file exists.
    """
    table = areas_of(data, meta.get("metadata", {}).get(MAP_KEY), str(meta.get("name", "this layer")))
    write_table(table, Path(path))
    return [path]


def export_areas(viewer: napari.viewer.Viewer) -> None:
    """Ask for a file and write the areas of the selected minerals layer to it."""
    from napari.layers import Labels
    from napari.utils.notifications import show_info
    from qtpy.QtWidgets import QFileDialog

    chosen = [layer for layer in viewer.layers.selection if isinstance(layer, Labels)]
    if len(chosen) != 1:
        raise ResultError("Select one minerals layer, then export its areas.")
    layer = chosen[0]
    table = areas_of(layer.data, layer.metadata.get(MAP_KEY), layer.name)
    named, _ = QFileDialog.getSaveFileName(
        None, "Export areas", f"{layer.name} areas.csv", "Comma-separated values (*.csv)",
        options=QFileDialog.Option.DontConfirmOverwrite,
    )  # fmt: skip
    if named:
        path = Path(named if named.endswith(".csv") else named + ".csv")
        write_table(table, path)
        show_info(f"Areas were written to {path}.")


def areas_of(data: Any, mineral_map: MineralMap | None, name: str) -> pd.DataFrame:
    """Measure a labels layer as it is shown, corrections included."""
    if mineral_map is None:
        raise ResultError(f"{name} is no minerals layer of this program: classify a picture first.")
    return areas(mineral_map, np.asarray(data).reshape(mineral_map.grid.shape))
