"""Writes a minerals layer in the forms of `exports`: File > Save, and Layers > Measure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.widgets.layers import MAP_KEY, scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import napari

    from napari_ore_minerals.exports.shown import Shown


def write_minerals(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one labels layer that this program made, in the form that the end of the file's name asks for.

    Raises
    ------
    ResultError
        If the layer is none of ours, or the file exists.
    OptionError
        If no form has this ending, or there is nothing to measure.
    """
    from napari_ore_minerals.exports.formats import export

    shown = shown_layer(data, meta.get("metadata", {}), str(meta.get("name", "this layer")))
    return [str(export(shown, Path(path)))]


def export_areas(viewer: napari.viewer.Viewer) -> None:
    """Ask for a file and write the areas of the selected minerals layer to it."""
    from napari.layers import Labels
    from napari.utils.notifications import show_info
    from qtpy.QtWidgets import QFileDialog

    from napari_ore_minerals.exports.formats import export

    chosen = [layer for layer in viewer.layers.selection if isinstance(layer, Labels)]
    if len(chosen) != 1:
        raise ResultError("Select one minerals layer, then export its areas.")
    layer = chosen[0]
    shown = shown_layer(layer.data, layer.metadata, layer.name)
    named, _ = QFileDialog.getSaveFileName(
        None, "Export areas", f"{layer.name} areas.csv", "Comma-separated values (*.csv)",
        options=QFileDialog.Option.DontConfirmOverwrite,
    )  # fmt: skip
    if named:
        path = export(shown, Path(named if named.endswith(".csv") else named + ".csv"))
        show_info(f"Areas were written to {path}.")


def shown_layer(data: Any, metadata: Mapping[str, Any], name: str) -> Shown:
    """Measure a labels layer as it is shown, corrections included."""
    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.maps.measuring import Asked, measure
    from napari_ore_minerals.widgets.measure_figures import Cards

    found = metadata.get(MAP_KEY)
    if found is None:
        raise ResultError(f"{name} is no minerals layer of this program: classify a picture first.")
    mineral_map = scaled(found, metadata)
    labels = np.asarray(data).reshape(mineral_map.grid.shape)
    reference = Cards().reference(mineral_map)
    measured = measure(mineral_map, Asked(labels), reference)
    erring = "" if reference is None else reference.what
    return replace(Shown.of(mineral_map, (measured,), labels=labels), erring=erring)
