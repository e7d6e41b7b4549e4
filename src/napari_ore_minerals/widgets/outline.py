"""Frames around the cells that the user spoke about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_ore_minerals.widgets.layers import CORRECTIONS, MAP_KEY, ROLE_KEY, corrections_arguments

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari.components import ViewerModel

    from napari_ore_minerals.widgets.overlay import Overlay


def show_outline(viewer: ViewerModel, overlay: Overlay, cells: Collection[tuple[int, int]]) -> None:
    """Frame cells on the map of an overlay; who deleted the frames does not get them back."""
    if overlay.outline is not None and overlay.outline not in viewer.layers:
        return
    flat = np.array(list(cells), float).reshape(-1, 2)
    points = np.hstack([np.zeros((len(flat), len(overlay.placement.plane))), flat])
    if overlay.outline is not None:
        overlay.outline.data = points
    elif len(points):
        overlay.outline = Points(
            points,
            name=f"{overlay.name} {CORRECTIONS}",
            metadata={ROLE_KEY: CORRECTIONS, MAP_KEY: overlay.map},
            **corrections_arguments(),
            **overlay.placement.of_cells(overlay.grid.stride_px),
        )
        overlay.add(overlay.outline)
        overlay.outline.editable = False
