"""The list of pictures in the viewer; it follows the active image layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

from napari_ore_minerals.widgets.layers import is_ours

if TYPE_CHECKING:
    from napari.components import ViewerModel


class PictureChooser(QComboBox):  # type: ignore[misc]
    """Image layers but our own heatmaps.

    Signal: ``changed()`` when another picture is chosen, also by selecting its layer.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.setToolTip("The photograph to classify; it follows the selected image layer")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self._viewer = viewer
        self._layers: list[Image] = []
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._fill)
        viewer.layers.selection.events.active.connect(self._follow)
        self.currentIndexChanged.connect(lambda _: self.changed.emit())
        self._fill()
        self._follow()

    @property
    def layer(self) -> Image | None:
        """The chosen layer; None if there is no picture."""
        number = self.currentIndex()
        return self._layers[number] if 0 <= number < len(self._layers) else None

    def disconnect_viewer(self) -> None:
        """Listen to the viewer no more."""
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.disconnect(self._fill)
        self._viewer.layers.selection.events.active.disconnect(self._follow)

    def _fill(self, _: object = None) -> None:
        before = self.layer
        found = [layer for layer in self._viewer.layers if isinstance(layer, Image) and not is_ours(layer)]
        self.blockSignals(True)
        self._layers = found[::-1]
        self.clear()
        self.addItems([layer.name for layer in self._layers])
        if before in self._layers:
            self.setCurrentIndex(self._layers.index(before))
        self.blockSignals(False)
        if self.layer is not before:
            self.changed.emit()

    def _follow(self, _: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self._layers:
            self.setCurrentIndex(self._layers.index(active))
