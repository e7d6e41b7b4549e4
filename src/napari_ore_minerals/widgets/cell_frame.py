"""The frame around the cell that the review asks about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from napari_ore_minerals.widgets.layers import MAP_KEY, ROLE_KEY, corrections_arguments

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_ore_minerals.learning.corrections import Cell
    from napari_ore_minerals.widgets.overlay import Overlay

ASKED = "asked"
COLOUR = "#ffeb5a"


class CellFrame:
    """A layer with one frame, there only while a cell is asked about."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Points | None = None

    def show(self, overlay: Overlay, cell: Cell) -> None:
        """Put the frame around a cell; who deleted the layer gets it back with the next cell."""
        point = np.array([[*([0] * len(overlay.placement.plane)), *cell]], float)
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.data = point
            return
        look = corrections_arguments() | {"border_color": COLOUR, "size": 1.0, "border_width": 0.1}
        self._layer = Points(
            point,
            name=f"{overlay.name} {ASKED}",
            metadata={ROLE_KEY: ASKED, MAP_KEY: overlay.map},
            **look,
            **overlay.placement.of_cells(overlay.grid.stride_px),
        )
        overlay.add(self._layer)
        self._layer.editable = False

    def remove(self) -> None:
        """Take the frame away."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
