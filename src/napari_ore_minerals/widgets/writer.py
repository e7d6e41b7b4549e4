"""Writes layers of minerals and of grains in the forms of `exports`: File > Save, and Layers > Measure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ore_minerals.errors import PictureError, ResultError
from napari_ore_minerals.widgets.layers import GRAINS_KEY, GRAINS_OF_KEY, MAP_KEY, scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import napari
    from napari.layers import Labels

    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.maps.measuring import Measurement
    from napari_ore_minerals.maps.mineral_map import MineralMap

SHARED_WITH_NAPARI = (".ome.tif",)  # of any labels layer


def write_minerals(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one labels layer that this program made, in the form that the end of the file's name asks for.

    Raises
    ------
    ResultError
        If the layer is none of ours, or the file exists.
    OptionError
        If no form has this ending, or there is nothing to measure.
    """
    from napari_ore_minerals.exports.formats import WITHOUT_PHOTOGRAPH, export_readable

    metadata = meta.get("metadata", {})
    if not {MAP_KEY, GRAINS_KEY} & set(metadata) and path.lower().endswith(SHARED_WITH_NAPARI):
        from napari_builtins.io import napari_write_labels  # type: ignore[import-untyped]

        return list(filter(None, [napari_write_labels(path, data, meta)]))
    shown = shown_layer(data, metadata, str(meta.get("name", "this layer")))
    if shown.micrograph is None:
        shown = replace(shown, doubts=(*shown.doubts, WITHOUT_PHOTOGRAPH))
    export_readable(shown, Path(path))
    return [path]


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
    """Measure a layer of minerals or of grains as it is shown, corrections included."""
    if metadata.get(GRAINS_KEY) is not None:
        return _shown_grains(np.asarray(data), metadata)
    found: MineralMap | None = metadata.get(MAP_KEY)
    if found is None:
        raise ResultError(f"{name} is no minerals layer of this program: classify a picture first.")
    mineral_map = scaled(found, metadata)
    if np.asarray(data).size != mineral_map.labels.size:
        raise ResultError(f"{name} was given other data than its map: classify the picture again.")
    labels = np.asarray(data).reshape(mineral_map.grid.shape)
    return _shown(mineral_map, labels, _layer_of(mineral_map.picture.fingerprint, found))


def _shown_grains(values: np.ndarray, metadata: Mapping[str, Any]) -> Shown:
    """Grains as they are painted, with the map that is shown beside them, or else the one that they are of."""
    from napari_ore_minerals.widgets.grain_layer import as_painted
    from napari_ore_minerals.widgets.measure_exports import OUT_OF_DATE
    from napari_ore_minerals.widgets.measure_source import result_of

    grains: GrainMap = metadata[GRAINS_KEY]
    of: MineralMap | None = metadata.get(GRAINS_OF_KEY)
    layer = _layer_of(grains.fingerprint)
    result = result_of(layer)
    if result is None and of is None:
        raise ResultError("the map that these grains were found from is gone: open it, and find its grains.")
    if result is not None:
        mineral_map, labels = result.mineral_map, result.labels
    elif of is not None:
        mineral_map, labels = of, of.labels
    painted = replace(as_painted(grains, values), um_per_px=mineral_map.um_per_px)
    shown = _shown(mineral_map, labels, layer, painted)
    older = of is not None and not np.array_equal(of.labels, labels)
    return replace(
        shown,
        painted=int((values.reshape(grains.codes.shape) != grains.codes).sum()),
        doubts=(OUT_OF_DATE,) if older else (),
    )


def _shown(
    mineral_map: MineralMap,
    labels: np.ndarray,
    layer: Labels | None,
    grains: GrainMap | None = None,
) -> Shown:
    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.maps.grain_areas import with_grains
    from napari_ore_minerals.maps.measuring import Asked, measure
    from napari_ore_minerals.widgets.measure_figures import Cards

    reference = Cards().reference(mineral_map)
    measured: tuple[Measurement, ...] = (measure(mineral_map, Asked(labels), reference),)
    if grains is not None:
        measured = with_grains(measured, grains, replace(mineral_map, labels=labels))
    micrograph = _micrograph(mineral_map, layer)
    shown = Shown.of(mineral_map, measured, labels=labels, grains=grains, micrograph=micrograph)
    return replace(shown, erring="" if reference is None else reference.what)


def _micrograph(mineral_map: MineralMap, layer: Labels | None) -> Any:
    """The picture that was classified, under its layer or as a file; None where it is not here any more."""
    from napari import current_viewer

    from napari_ore_minerals.widgets.measure_source import open_classified, picture_under

    viewer, path = current_viewer(), mineral_map.picture.path
    under = None if viewer is None or layer is None else picture_under(viewer, layer)
    try:
        return open_classified(under, mineral_map, Path(path) if path else None)
    except PictureError:
        return None


def _layer_of(fingerprint: str, mineral_map: MineralMap | None = None) -> Labels | None:
    """The minerals layer of a picture in the viewer, of a certain map if one is named; the highest of several."""
    from napari import current_viewer

    from napari_ore_minerals.widgets.measure_source import minerals_layers

    viewer = current_viewer()
    for layer in [] if viewer is None else reversed(minerals_layers(viewer)):
        found = layer.metadata.get(MAP_KEY)
        if found is None or found.picture.fingerprint != fingerprint:
            continue
        if mineral_map is None or mineral_map is found:
            return layer
    return None
