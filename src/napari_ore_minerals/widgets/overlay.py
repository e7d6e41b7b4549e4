"""Overlay: what one result shows over a picture, also while it is being computed, and what was painted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.minerals import UNCLASSIFIED
from napari_ore_minerals.widgets.hover import tell_mineral
from napari_ore_minerals.widgets.layers import (
    CONFIDENCE,
    CORRECTIONS,
    HEATMAP,
    MAP_KEY,
    MINERALS,
    OWN_KEY,
    ROLE_KEY,
    SCALE_KEY,
    labels_arguments,
    scaled,
)
from napari_ore_minerals.widgets.result_layers import (
    add_quietly,
    confidence_layer,
    corrected,
    forget_undo,
    heatmap_layer,
    layers_of,
    minerals_layer,
    overwrite,
    place,
    rescaled,
    with_colour_bar,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Points
    from numpy.typing import NDArray

    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.widgets.pictures import Placement


class Overlay:
    """The layers that show one result over a picture, also while it is being computed.

    Parameters
    ----------
    viewer
        Where the layers are.
    name
        Of the picture.
    grid, minerals, placement
        Of the result.
    """

    def __init__(
        self, viewer: ViewerModel, name: str, grid: TileGrid, minerals: MineralTable, placement: Placement
    ) -> None:
        self._viewer, self.name = viewer, name
        self.grid, self.minerals, self._placement = grid, minerals, placement
        self.map: MineralMap | None = None
        self.heatmap_code: int | None = None
        self.labels: Labels | None = None
        self.heatmap: Image | None = None
        self.confidence: Image | None = None
        self.outline: Points | None = None
        self._hidden: list[Layer] = []
        self._shown = np.zeros(grid.shape, np.uint8)
        self.processed = np.zeros(grid.shape, np.bool_)

    @classmethod
    def adopt(cls, viewer: ViewerModel, labels: Labels, placement: Placement) -> Overlay:
        """Overlay of layers that were opened from a result folder, or duplicated."""
        mineral_map: MineralMap = labels.metadata[MAP_KEY]
        name = labels.name.removesuffix(f" {MINERALS}")
        overlay = cls(viewer, name, mineral_map.grid, mineral_map.minerals, placement)
        overlay.map, overlay.labels = mineral_map, labels
        labels.brush_size = 1
        overlay._shown, overlay.processed = mineral_map.labels.copy(), mineral_map.processed
        known = layers_of(viewer, mineral_map)
        overlay.heatmap, overlay.confidence = known.get(HEATMAP), known.get(CONFIDENCE)
        overlay._dress()
        return overlay

    @property
    def placement(self) -> Placement:
        """Where the picture lies; the minerals layer may have been given a scale since the run."""
        if self.labels is None or self.labels not in self._viewer.layers:
            return self._placement
        return rescaled(self._placement, self.labels, self.grid.stride_px)

    def layers(self) -> list[Layer]:
        """Return the layers that are (still) in the viewer."""
        found = (self.confidence, self.heatmap, self.labels, self.outline)
        return [layer for layer in found if layer is not None and layer in self._viewer.layers]

    @property
    def values(self) -> NDArray[np.uint8]:
        """The labels as they are shown, (rows, columns), with what was painted on them."""
        if self.labels is None or not self.fits:
            return self._shown
        return np.asarray(self.labels.data).reshape(self.grid.shape)

    @property
    def fits(self) -> bool:
        """Whether the layer still has the cells of the map: users may give it other data."""
        return self.labels is None or np.asarray(self.labels.data).size == self._shown.size

    def _holds(self, layer: Layer | None) -> bool:
        """Whether a layer is in the viewer and its data are still the cells of the map, to be written to."""
        if layer is None or layer not in self._viewer.layers:
            return False
        values = np.asarray(layer.data)
        return values.size == self._shown.size and values.flags.writeable

    @property
    def painted(self) -> NDArray[np.bool_]:
        """Cells that the user painted, (rows, columns)."""
        return np.asarray(self.values != self._shown)

    @property
    def confidences(self) -> NDArray[np.float32]:
        """Confidence of each cell that is known so far, (rows, columns)."""
        if self.map is not None:
            return self.map.confidence
        if self.confidence is None or not self._holds(self.confidence):
            return np.zeros(self.grid.shape, np.float32)
        return np.asarray(self.confidence.data).reshape(self.grid.shape)

    def can_show(self, grid: TileGrid, minerals: MineralTable) -> bool:
        """Whether another result may take these layers: nothing was painted, and the layers fit."""
        same = grid == self.grid and minerals == self.minerals
        return same and self._holds(self.labels) and not self.painted.any()

    def restart(self, placement: Placement) -> None:
        """Empty the layers for another result of the same picture, on the same grid."""
        self.map, self._placement = None, placement
        self._shown = np.zeros(self.grid.shape, np.uint8)
        self.processed = np.zeros(self.grid.shape, np.bool_)
        if self.labels is not None:
            self.values[:] = UNCLASSIFIED
            place(self.labels, placement.of_cells(self.grid.stride_px))
            self.labels.refresh()
            forget_undo(self.labels)
        if self.confidence is not None:
            place(self.confidence, placement.of_cells(self.grid.stride_px))

    def show(
        self, labels: NDArray[np.uint8], confidence: NDArray[np.float32], processed: NDArray[np.bool_]
    ) -> None:
        """Show what is known so far, (rows, columns) each; cells that the user painted meanwhile stay as they are.

        Adding a layer takes napari a tenth of a second, so one call adds one layer at most.
        """
        self.processed = processed
        if self.labels is None:
            self.labels = minerals_layer(self.name, labels, self.grid, self.minerals, self.placement)
            self._shown = labels.copy()
            self.add(self.labels)
            self._dress()
            return
        if self._holds(self.labels):
            untouched = ~self.painted
            self.values[untouched] = labels[untouched]
            self._shown[untouched] = labels[untouched]
            self.labels.refresh()
        if self.confidence is None:
            self.confidence = confidence_layer(self.name, confidence, self.grid, self.placement)
            self.add(self.confidence, below=self.labels)
            self._dress()
        elif self._holds(self.confidence):
            overwrite(self.confidence, confidence)

    def completing(self, mineral_map: MineralMap) -> Iterator[None]:
        """Show a finished map in steps, between which the viewer can draw; deleted layers come back."""
        self.labels = self.labels if self._holds(self.labels) else None
        self.confidence = self.confidence if self._holds(self.confidence) else None
        while True:
            complete = self.labels is not None and self.confidence is not None
            self.show(mineral_map.labels, mineral_map.confidence, mineral_map.processed)
            if complete:
                break
            yield
        self.map = mineral_map
        self._show_heatmap_of(mineral_map)
        yield
        for layer in self.layers():
            layer.metadata[MAP_KEY] = mineral_map
            layer.metadata.pop(SCALE_KEY, None)
            layer.metadata.pop(OWN_KEY, None)
        if self.labels is not None:
            forget_undo(self.labels)

    def _show_heatmap_of(self, mineral_map: MineralMap) -> None:
        if self.heatmap is not None and self.heatmap in self._viewer.layers:
            self.heatmap.data = self.placement.shaped(mineral_map.heatmap(self.heatmap_code))
            place(self.heatmap, self.placement.of_cells(self.grid.stride_px / mineral_map.places_per_cell))
            return
        self.heatmap = heatmap_layer(self.name, mineral_map, self.heatmap_code, self.placement)
        self.add(self.heatmap, below=self.labels)
        self._dress()

    def show_heatmap(self, code: int | None) -> None:
        """Show the heatmap of another mineral (None: of each cell's likeliest); nothing is computed anew."""
        self.heatmap_code = code
        if self.map is not None and self.heatmap in self._viewer.layers and self.heatmap is not None:
            self.heatmap.data = self.placement.shaped(self.map.heatmap(code))

    def show_only(self, role: str) -> None:
        """Make one of the layers visible and hide the others; with another `role` all are hidden."""
        for layer in self.layers():
            layer.visible = layer.metadata.get(ROLE_KEY) in (role, CORRECTIONS if role == MINERALS else role)

    def follow(self, mineral_map: MineralMap, model: NDArray[np.uint8], seen: NDArray[np.uint8]) -> None:
        """Show a map that follows what the user said.

        Parameters
        ----------
        mineral_map
            Its labels are what is to stand on the layer.
        model : (rows, columns) uint8 array
            What the model itself says; cells that differ from it count as painted.
        seen : (rows, columns) uint8 array
            What stood on the layer when the map was asked for: cells that were painted since stay as they are.
        """
        if mineral_map.minerals != self.minerals:
            self._take_minerals(mineral_map.minerals)
        untouched = self.values == seen
        self.map, self._shown = mineral_map, model.copy()
        if self.labels is not None and self.labels in self._viewer.layers:
            self.values[untouched] = mineral_map.labels[untouched]
            self.labels.refresh()
            forget_undo(self.labels)
        if self.confidence is not None and self._holds(self.confidence):
            overwrite(self.confidence, mineral_map.confidence)
        self.show_heatmap(self.heatmap_code)
        for layer in self.layers():
            layer.metadata[MAP_KEY] = mineral_map

    def _take_minerals(self, minerals: MineralTable) -> None:
        self.minerals = minerals
        arguments = labels_arguments(minerals)
        if self.labels is not None:
            self.labels.colormap, self.labels.features = arguments["colormap"], arguments["features"]
        if self.heatmap_code not in (None, *minerals.codes):
            self.heatmap_code = None

    def corrected_map(self) -> MineralMap | None:
        """Return the map with what the user painted, as it is on the screen; None before there is one."""
        if self.map is None:
            return None
        shown = self.map if self.labels is None else scaled(self.map, self.labels.metadata)
        return corrected(shown, self.values)

    def discard(self) -> None:
        """Remove the layers, but not what the user painted on."""
        for layer in self.layers():
            if layer is not self.labels or (self.fits and not self.painted.any()):
                self._viewer.layers.remove(layer)

    def retire(self) -> None:
        """Make room for another result of the same picture: layers that were painted on are hidden, others go."""
        if not self.fits or self.painted.any():
            self.hide()
        else:
            self.discard()

    def hide(self) -> None:
        """Make all layers invisible; `unhide` shows again what was visible."""
        self._hidden = [layer for layer in self.layers() if layer.visible]
        for layer in self._hidden:
            layer.visible = False

    def unhide(self) -> None:
        """Make visible again what `hide` hid, as far as it is still there."""
        for layer in self._hidden:
            if layer in self.layers():
                layer.visible = True
        self._hidden = []

    def add(self, layer: Layer, *, below: Layer | None = None) -> None:
        """Put a layer into the viewer, on top or below another, without changing what is selected."""
        add_quietly(self._viewer, layer, below=below)

    def _dress(self) -> None:
        if self.heatmap is not None:
            with_colour_bar(self.heatmap)
        for layer in self.layers():
            if "get_status" not in vars(layer):
                tell_mineral(layer, self)
