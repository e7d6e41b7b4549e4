"""Tells when what is measured may have changed: layers, what is painted on them, shapes, and the view."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Shapes

from napari_ore_minerals.widgets.layers import GRAINS_KEY
from napari_ore_minerals.widgets.measure_regions import shapes_layers
from napari_ore_minerals.widgets.measure_source import minerals_layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

OF_SHAPES = ("data", "highlight", "name", "features", "scale", "translate")  # highlight: what is selected
OF_LABELS = ("paint", "set_data", "editable", "visible", "name")  # editable: a run has ended


class Watch:
    """Listens to a viewer.

    Parameters
    ----------
    viewer
    changed
        Called when what is measured may have changed.
    moved
        Called when the view was moved.
    repainted
        Called when something may have been painted on grains.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        changed: Callable[[], None],
        moved: Callable[[], None],
        repainted: Callable[[], None],
    ) -> None:
        self._viewer, self._tell, self._tell_moved = viewer, changed, moved
        self._tell_repainted = repainted
        self._layers: list[Layer] = []
        self._always = (
            (viewer.layers.selection.events.active, self._changed),
            (viewer.layers.events.inserted, self._changed),
            (viewer.layers.events.removed, self._changed),
            (viewer.dims.events.current_step, self._changed),
            (viewer.scene.camera.events, self._moved),
            (viewer.canvas.overlays.scale_bar.events.visible, self._changed),
        )
        for event, slot in self._always:
            event.connect(slot)

    def renew(self) -> None:
        """Listen to the layers that are there now."""
        grains = [layer for layer in self._viewer.layers if GRAINS_KEY in layer.metadata]
        wanted = [*minerals_layers(self._viewer), *shapes_layers(self._viewer), *grains]
        for layer in [one for one in self._layers if one not in wanted]:
            self._turn(layer, "disconnect")
        for layer in [one for one in wanted if one not in self._layers]:
            self._turn(layer, "connect")
        self._layers = wanted

    def close(self) -> None:
        """Listen no more."""
        for layer in self._layers:
            self._turn(layer, "disconnect")
        self._layers = []
        for event, slot in self._always:
            event.disconnect(slot)

    def _turn(self, layer: Layer, how: str) -> None:
        for name in OF_SHAPES if isinstance(layer, Shapes) else OF_LABELS:
            getattr(layer.events[name], how)(self._changed)
        if GRAINS_KEY in layer.metadata:
            for name in ("paint", "set_data"):  # undo tells the second alone
                getattr(layer.events[name], how)(self._repainted)

    def _changed(self, _: Any = None) -> None:
        self._tell()

    def _repainted(self, _: Any = None) -> None:
        self._tell_repainted()

    def _moved(self, _: Any = None) -> None:
        self._tell_moved()
