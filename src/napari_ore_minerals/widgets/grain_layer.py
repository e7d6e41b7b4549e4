"""The layer of grains: which mineral each pixel is, to be painted on; what was painted stays and counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_ore_minerals.minerals import UNCLASSIFIED
from napari_ore_minerals.widgets.layers import GRAINS_KEY, GRAINS_OF_KEY, MAP_KEY, MINERALS, labels_arguments
from napari_ore_minerals.widgets.measure_source import placement_of_cells, result_of
from napari_ore_minerals.widgets.result_layers import forget_undo

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.grains import GrainMap

GRAINS = "grains"


def grains_layer(viewer: ViewerModel, layer: Labels) -> Labels | None:
    """Layer of the grains of a minerals layer, if there is one with its pixels."""
    result = result_of(layer)
    if result is None:
        return None
    for other in reversed(viewer.layers):
        found = other.metadata.get(GRAINS_KEY)
        if found is None or not isinstance(other, Labels):
            continue
        its, mine = (found.fingerprint, found.height_px, found.width_px), result.mineral_map
        if its == (mine.picture.fingerprint, mine.grid.height_px, mine.grid.width_px):
            return other if np.asarray(other.data).size == found.codes.size else None
    return None


def painted_map(grains: Labels, layer: Labels) -> GrainMap:
    """Grain map as it is on the screen, at the scale of its minerals layer; other values are unclassified."""
    result = result_of(layer)
    found = as_painted(grains.metadata[GRAINS_KEY], np.asarray(grains.data))
    return found if result is None else replace(found, um_per_px=result.mineral_map.um_per_px)


def as_painted(grain_map: GrainMap, values: NDArray[np.integer]) -> GrainMap:
    """Grain map with the values of its layer; those that are no mineral of it are unclassified."""
    known = np.isin(values, grain_map.minerals.codes)
    codes = np.where(known, values, UNCLASSIFIED).reshape(grain_map.codes.shape)
    return replace(grain_map, codes=codes.astype(np.uint8))


def painted_places(grains: Labels) -> int:
    """Values that the user painted."""
    return int((_values(grains) != grains.metadata[GRAINS_KEY].codes).sum())


def show_grains(viewer: ViewerModel, layer: Labels, grain_map: GrainMap) -> Labels:
    """Show grains over the minerals, which are hidden; what was painted on grains before stays."""
    place = placement_of_cells(layer, layer.metadata[MAP_KEY].grid.stride_px).of_cells(grain_map.factor)
    result = result_of(layer)
    of = None if result is None else replace(result.mineral_map, labels=result.labels)
    known = grains_layer(viewer, layer)
    if known is not None and known.metadata[GRAINS_KEY].codes.shape == grain_map.codes.shape:
        values, before = _values(known), known.metadata[GRAINS_KEY].codes
        painted = values != before
        after = np.where(painted, values, grain_map.codes).astype(np.uint8)
        known.metadata = {**known.metadata, GRAINS_KEY: grain_map, GRAINS_OF_KEY: of}
        known.data = after.reshape(np.asarray(known.data).shape)
        forget_undo(known)
        return known
    if known is not None:
        viewer.layers.remove(known)
    grains = Labels(
        grain_map.codes.reshape((1,) * (layer.ndim - 2) + grain_map.codes.shape).copy(),
        name=f"{layer.name.removesuffix(f' {MINERALS}')} {GRAINS}",
        metadata={GRAINS_KEY: grain_map, GRAINS_OF_KEY: of},
        **labels_arguments(grain_map.minerals),
        **place,
    )
    viewer.layers.insert(viewer.layers.index(layer) + 1, grains)
    layer.visible = False
    viewer.layers.selection.active = grains
    return grains


def _values(grains: Labels) -> NDArray[np.uint8]:
    return np.asarray(grains.data).reshape(grains.metadata[GRAINS_KEY].codes.shape)
