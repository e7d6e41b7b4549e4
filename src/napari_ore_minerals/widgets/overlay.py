"""Overlay: the layers that show one result over a picture, also while it is being computed."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_ore_minerals.minerals import UNCLASSIFIED, MineralTable
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

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.maps.mineral_map import MineralMap
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
        self.grid, self.minerals, self.placement = grid, minerals, placement
        self.map: MineralMap | None = None
        self.heatmap_code: int | None = None
        self.labels: Labels | None = None
        self.heatmap: Image | None = None
        self.confidence: Image | None = None
        self._shown = np.zeros(grid.shape, np.uint8)
        self._processed = np.zeros(grid.shape, np.bool_)

    @classmethod
    def adopt(cls, viewer: ViewerModel, labels: Labels, placement: Placement) -> Overlay:
        """Overlay of layers that were opened from a result folder, or duplicated."""
        mineral_map: MineralMap = labels.metadata[MAP_KEY]
        name = labels.name.removesuffix(f" {MINERALS}")
        overlay = cls(viewer, name, mineral_map.grid, mineral_map.minerals, placement)
        overlay.map, overlay.labels = mineral_map, labels
        overlay._shown, overlay._processed = mineral_map.labels.copy(), mineral_map.processed
        for layer in viewer.layers:
            if layer.metadata.get(MAP_KEY) is mineral_map:
                role = layer.metadata.get(ROLE_KEY)
                overlay.heatmap = layer if role == HEATMAP else overlay.heatmap
                overlay.confidence = layer if role == CONFIDENCE else overlay.confidence
        overlay._dress()
        return overlay

    def layers(self) -> list[Layer]:
        """Return the layers that are (still) in the viewer."""
        found = (self.confidence, self.heatmap, self.labels)
        return [layer for layer in found if layer is not None and layer in self._viewer.layers]

    @property
    def values(self) -> NDArray[np.uint8]:
        """The labels as they are shown, (rows, columns), with what was painted on them."""
        if self.labels is None:
            return self._shown
        return np.asarray(self.labels.data).reshape(self.grid.shape)

    @property
    def painted(self) -> NDArray[np.bool_]:
        """Cells that the user painted, (rows, columns)."""
        return np.asarray(self.values != self._shown)

    def can_show(self, grid: TileGrid, minerals: MineralTable) -> bool:
        """Whether another result may take these layers: nothing was painted, and the layers fit."""
        same = grid == self.grid and minerals == self.minerals
        return same and self.labels in self._viewer.layers and not self.painted.any()

    def restart(self, placement: Placement) -> None:
        """Empty the layers for another result of the same picture, on the same grid."""
        self.map, self.placement = None, placement
        self._shown = np.zeros(self.grid.shape, np.uint8)
        self._processed = np.zeros(self.grid.shape, np.bool_)
        if self.labels is not None:
            self.values[:] = UNCLASSIFIED
            self._place(self.labels, placement.of_cells(self.grid.stride_px))
            self.labels.refresh()
            forget_undo(self.labels)
        for layer in (self.heatmap, self.confidence):
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.heatmap = self.confidence = None

    def show(
        self, labels: NDArray[np.uint8], confidence: NDArray[np.float32], processed: NDArray[np.bool_]
    ) -> None:
        """Show what is known so far; cells that the user painted meanwhile stay as they are.

        Parameters
        ----------
        labels, confidence, processed : (rows, columns) arrays
        """
        if self.labels is None:
            self.labels = Labels(
                self.placement.shaped(labels.copy()),
                name=f"{self.name} {MINERALS}",
                metadata={ROLE_KEY: MINERALS, MAP_KEY: None},
                **labels_arguments(self.minerals),
                **self.placement.of_cells(self.grid.stride_px),
            )
            self.labels.brush_size = 1
            self._shown = labels.copy()
            self._add(self.labels)
        elif self.labels in self._viewer.layers:
            self._write(labels)
        if self.confidence is None:
            self.confidence = Image(
                self.placement.shaped(confidence.copy()),
                name=f"{self.name} {CONFIDENCE}",
                metadata={ROLE_KEY: CONFIDENCE, MAP_KEY: None},
                **confidence_arguments(),
                **self.placement.of_cells(self.grid.stride_px),
            )
            self._add(self.confidence, below=self.labels)
            self._dress()
        elif self.confidence in self._viewer.layers:
            np.asarray(self.confidence.data).reshape(self.grid.shape)[:] = confidence
            self.confidence.refresh()
        self._processed = processed

    def complete(self, mineral_map: MineralMap) -> None:
        """Show a finished map; layers that the user deleted meanwhile come back."""
        if self.labels not in self._viewer.layers:
            self.labels = None
        if self.confidence not in self._viewer.layers:
            self.confidence = None
        self.show(mineral_map.labels, mineral_map.confidence, mineral_map.processed)
        self.map = mineral_map
        if self.heatmap in self._viewer.layers:
            self._viewer.layers.remove(self.heatmap)
        self.heatmap = Image(
            self.placement.shaped(mineral_map.heatmap(self.heatmap_code)),
            name=f"{self.name} {HEATMAP}",
            visible=False,
            metadata={ROLE_KEY: HEATMAP},
            **heatmap_arguments(),
            **self.placement.of_cells(self.grid.stride_px / mineral_map.places_per_cell),
        )
        self._add(self.heatmap, below=self.labels)
        for layer in self.layers():
            layer.metadata[MAP_KEY] = mineral_map
        self._dress()
        if self.labels is not None:
            forget_undo(self.labels)

    def show_heatmap(self, code: int | None) -> None:
        """Show the heatmap of another mineral (None: of each cell's likeliest); nothing is computed anew."""
        self.heatmap_code = code
        if self.map is not None and self.heatmap in self._viewer.layers and self.heatmap is not None:
            self.heatmap.data = self.placement.shaped(self.map.heatmap(code))

    def show_only(self, role: str) -> None:
        """Make one of the layers visible and hide the others; with another `role` all are hidden."""
        for layer in self.layers():
            layer.visible = layer.metadata.get(ROLE_KEY) == role

    def corrected_map(self) -> MineralMap | None:
        """Return the map with what the user painted, as it is on the screen; None before there is one."""
        if self.map is None:
            return None
        values = np.where(np.isin(self.values, self.minerals.codes), self.values, UNCLASSIFIED).astype(
            np.uint8
        )
        painted = int((values != self.map.labels).sum())
        if not painted:
            return self.map
        note = f"{painted} cells were corrected by hand"
        return replace(self.map, labels=values, warnings=(*self.map.warnings, note))

    def discard(self) -> None:
        """Remove the layers, but not what the user painted on."""
        for layer in self.layers():
            if layer is not self.labels or not self.painted.any():
                self._viewer.layers.remove(layer)

    def _write(self, labels: NDArray[np.uint8]) -> None:
        untouched = ~self.painted
        self.values[untouched] = labels[untouched]
        self._shown[untouched] = labels[untouched]
        if self.labels is not None:
            self.labels.refresh()

    def _add(self, layer: Layer, *, below: Layer | None = None) -> None:
        layers = self._viewer.layers
        chosen = set(layers.selection)
        layers.insert(layers.index(below) if below in layers else len(layers), layer)
        layers.selection = chosen

    @staticmethod
    def _place(layer: Layer, transform: dict[str, Any]) -> None:
        for key in ("scale", "rotate", "shear", "affine", "units", "translate"):
            setattr(layer, key, transform[key])

    def _dress(self) -> None:
        if self.heatmap is not None:
            self.heatmap.colorbar.visible = True
        for layer in self.layers():
            if "get_status" not in vars(layer):
                _tell_mineral(layer, self)

    def told(self, layer: Layer, position: Any) -> str:
        """What is known of the cell of `layer` at a position of the world."""
        data = np.asarray(layer.world_to_data(position))[-2:]
        shape = np.asarray(layer.data).shape[-2:]
        row, column = np.floor((data + 0.5) * self.grid.shape / shape).astype(int)
        if not (0 <= row < self.grid.rows and 0 <= column < self.grid.columns):
            return ""
        if self.painted[row, column]:
            return "painted by you"
        if not self._processed[row, column]:
            return "not classified"
        share = f"confidence {self._confidence_at(row, column):.0%}"
        code = int(self.values[row, column])
        if layer is self.labels or code == UNCLASSIFIED:
            return share
        return f"{self.minerals.by_code(code).name}, {share}"

    def _confidence_at(self, row: int, column: int) -> float:
        if self.map is not None:
            return float(self.map.confidence[row, column])
        if self.confidence is None:
            return 0.0
        return float(np.asarray(self.confidence.data).reshape(self.grid.shape)[row, column])


def forget_undo(labels: Labels) -> None:
    """Empty the undo history, which would write old values into a new result; keeps the mode."""
    mode = labels.mode
    labels.editable = False
    labels.editable = True
    labels.mode = mode


def _tell_mineral(layer: Layer, overlay: Overlay) -> None:
    """Add the cell's confidence to what the status bar says of a layer under the cursor.

    napari's own features know one row per label value, not per cell, so the layer's public
    ``get_status`` is wrapped; it is called from napari's status thread and only reads.
    """
    this, its_overlay, plain = weakref.ref(layer), weakref.ref(overlay), type(layer).get_status

    def get_status(position: Any = None, **options: Any) -> Any:
        layer, overlay = this(), its_overlay()
        status = plain(layer, position, **options)
        if layer is None or overlay is None or position is None or not options.get("world"):
            return status
        told = overlay.told(layer, position)
        if told:
            for key in ("coordinates", "value"):
                status[key] = f"{status[key]}; {told}" if status.get(key) else told
        return status

    layer.get_status = get_status
