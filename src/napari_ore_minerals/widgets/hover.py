"""What the status bar says of the cell under the cursor: its mineral and its confidence."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_ore_minerals.widgets.overlay import Overlay


def tell_mineral(layer: Layer, overlay: Overlay) -> None:
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
        if not _on_plane(layer, position):  # where napari reads an empty slice as label 0
            return {**status, "coordinates": f"{status['coords']}: ", "value": ""}
        said = told(overlay, layer, position)
        if said:
            for key in ("coordinates", "value"):
                status[key] = f"{status[key]}; {said}" if status.get(key) else said
        return status

    layer.get_status = get_status


def _on_plane(layer: Layer, position: Any) -> bool:
    """Whether a position of the world is on the plane of a stack that a layer lies over."""
    lead = np.round(np.asarray(layer.world_to_data(position))[:-2])
    return bool(((lead >= 0) & (lead < np.asarray(layer.data).shape[:-2])).all())


def told(overlay: Overlay, layer: Layer, position: Any) -> str:
    """Say what is known of the cell of `layer` at a position of the world; nothing outside the map."""
    grid = overlay.grid
    data = np.asarray(layer.world_to_data(position))[-2:]
    row, column = np.floor((data + 0.5) * grid.shape / np.asarray(layer.data).shape[-2:]).astype(int)
    if not (0 <= row < grid.rows and 0 <= column < grid.columns):
        return ""
    if overlay.painted[row, column]:
        return "painted by you"
    if not overlay.processed[row, column]:
        return "not classified"
    share = f"confidence {overlay.confidences[row, column]:.0%}"
    code = int(overlay.values[row, column])
    if layer is overlay.labels or code == UNCLASSIFIED:
        return share
    return f"{overlay.minerals.by_code(code).name}, {share}"
