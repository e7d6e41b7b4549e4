"""The layers of a result as napari has them: made, put into a viewer, placed and dressed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_ore_minerals.minerals import UNCLASSIFIED
from napari_ore_minerals.widgets.layers import (
    CONFIDENCE,
    HEATMAP,
    MAP_KEY,
    MINERALS,
    ROLE_KEY,
    confidence_arguments,
    heatmap_arguments,
    labels_arguments,
)
from napari_ore_minerals.widgets.pictures import resized, transform_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.widgets.pictures import Placement

SAME = 1e-6  # relative difference of scales that is rounding


def minerals_layer(
    name: str, labels: NDArray[np.uint8], grid: TileGrid, minerals: MineralTable, placement: Placement
) -> Labels:
    """Layer of a copy of the labels, to be corrected with a brush of one cell."""
    layer = Labels(
        placement.shaped(labels.copy()),
        name=f"{name} {MINERALS}",
        metadata={ROLE_KEY: MINERALS, MAP_KEY: None},
        **labels_arguments(minerals),
        **placement.of_cells(grid.stride_px),
    )
    layer.brush_size = 1
    return layer


def confidence_layer(
    name: str, confidence: NDArray[np.float32], grid: TileGrid, placement: Placement
) -> Image:
    """Layer of a copy of the confidences, hidden."""
    return Image(
        placement.shaped(confidence.copy()),
        name=f"{name} {CONFIDENCE}",
        metadata={ROLE_KEY: CONFIDENCE, MAP_KEY: None},
        **confidence_arguments(),
        **placement.of_cells(grid.stride_px),
    )


def heatmap_layer(name: str, mineral_map: MineralMap, code: int | None, placement: Placement) -> Image:
    """Layer of the heatmap of a mineral (None: of each cell's likeliest), hidden."""
    return Image(
        placement.shaped(mineral_map.heatmap(code)),
        name=f"{name} {HEATMAP}",
        visible=False,
        metadata={ROLE_KEY: HEATMAP, MAP_KEY: mineral_map},
        **heatmap_arguments(),
        **placement.of_cells(mineral_map.grid.stride_px / mineral_map.places_per_cell),
    )


def layers_of(viewer: ViewerModel, mineral_map: MineralMap) -> dict[str, Any]:
    """Layers that show a map, by their role."""
    shown = [layer for layer in viewer.layers if layer.metadata.get(MAP_KEY) is mineral_map]
    return {str(layer.metadata.get(ROLE_KEY)): layer for layer in shown}


def add_quietly(viewer: ViewerModel, layer: Layer, *, below: Layer | None = None) -> None:
    """Put a layer into the viewer, on top or below another, without changing what is selected."""
    layers = viewer.layers
    chosen = set(layers.selection)
    with layers.selection.events.blocker_all():  # else the layer controls are laid out three times
        layers.insert(layers.index(below) if below in layers else len(layers), layer)
        layers.selection = chosen


def place(layer: Layer, transform: dict[str, Any]) -> None:
    """Lay a layer elsewhere; what is the same is left alone, since each change draws it anew."""
    before = transform_of(layer)
    for key in ("scale", "rotate", "shear", "affine", "units", "translate"):
        if not np.array_equal(before[key], transform[key]):
            setattr(layer, key, transform[key])


def rescaled(placement: Placement, labels: Labels, stride_px: int) -> Placement:
    """Where a picture lies by its minerals layer, which may have been given another scale since it was made."""
    factor = float(labels.scale[-1] / placement.of_cells(stride_px)["scale"][-1])
    if abs(factor - 1) < SAME:
        return placement
    transform = resized(placement.transform, factor) | {"units": tuple(labels.units)}
    return replace(placement, transform=transform)


def overwrite(layer: Image, values: NDArray[np.float32]) -> None:
    """Write other values of its cells into the array that a layer shows."""
    data = np.asarray(layer.data)
    data.reshape(values.shape)[:] = values
    layer.refresh()


def with_colour_bar(heatmap: Image) -> None:
    """Give a heatmap its colour bar when it is shown; making one takes napari a tenth of a second."""
    heatmap.colorbar.visible = heatmap.colorbar.visible or heatmap.visible
    heatmap.events.visible.connect(_show_colorbar)


def forget_undo(labels: Labels) -> None:
    """Empty the undo history, which would write old values into a new result; keeps mode and lock."""
    mode, editable = labels.mode, labels.editable
    for state in (True, False, editable):  # napari empties it when a layer is made uneditable
        labels.editable = state
    labels.mode = mode


def _show_colorbar(event: Any) -> None:
    if event.source.visible and not event.source.colorbar.visible:
        event.source.colorbar.visible = True


def corrected(mineral_map: MineralMap, values: NDArray[np.uint8]) -> MineralMap:
    """Return a map with the (rows, columns) labels as they were painted; what is no mineral's code is unclassified."""
    known = np.isin(values, mineral_map.minerals.codes)
    labels = np.where(known, values, UNCLASSIFIED).astype(np.uint8)
    painted = int((labels != mineral_map.labels).sum())
    if not painted:
        return mineral_map
    note = f"{painted} cells were corrected by hand"
    return replace(mineral_map, labels=labels, warnings=(*mineral_map.warnings, note))
