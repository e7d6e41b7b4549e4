"""The image layer that shows a page of tiles, and the keys and clicks that it takes while it is selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_ore_minerals.widgets.tile_pages import draw_page, place_at

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_ore_minerals.widgets.sheet import Sheet
    from napari_ore_minerals.widgets.tile_pages import Drawn

NAME = "tiles to sort"


class SheetLayer:
    """Draws a sheet into a layer of its own; keys work on that layer only, so that napari keeps its own.

    Parameters
    ----------
    viewer
    keys
        What to do, by napari's name of a key.
    clicked
        Called with the place on the page.
    """

    def __init__(
        self, viewer: ViewerModel, keys: Mapping[str, Callable[[], None]], clicked: Callable[[int], None]
    ) -> None:
        self._viewer, self._keys, self._clicked = viewer, dict(keys), clicked
        self._layer: Image | None = None
        self._shape = (0, 0)

    @property
    def layer(self) -> Image | None:
        """The layer; None before anything was drawn and after it was removed."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def draw(self, sheet: Sheet, tiles: list[Drawn]) -> None:
        """Show the current page."""
        self._shape = (sheet.rows, sheet.columns)
        current = sheet.current % sheet.per_page if tiles else None
        page = draw_page(tiles, rows=sheet.rows, columns=sheet.columns, current=current)
        layer = self.layer
        if layer is None:
            self._layer = self._added(page)
        else:
            layer.data = page

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _added(self, page: Any) -> Image:
        layer = Image(page, name=NAME, rgb=True, interpolation2d="linear")
        for key, act in self._keys.items():
            layer.bind_key(key, _calling(act), overwrite=True)
        layer.mouse_drag_callbacks.append(self._press)
        self._viewer.add_layer(layer)
        self._viewer.layers.selection = {layer}
        self._viewer.reset_view()
        return layer

    def _press(self, layer: Image, event: Any) -> Any:
        """Choose a tile by a click that does not drag the page."""
        if event.button != 1:
            return
        yield
        dragged = False
        while event.type == "mouse_move":
            dragged = True
            yield
        if not dragged:
            row, column = layer.world_to_data(event.position)[-2:]
            place = place_at(row + 0.5, column + 0.5, rows=self._shape[0], columns=self._shape[1])
            if place is not None:
                self._clicked(place)


def _calling(act: Callable[[], None]) -> Callable[[Any], None]:
    def call(_: Any) -> None:
        act()

    return call
