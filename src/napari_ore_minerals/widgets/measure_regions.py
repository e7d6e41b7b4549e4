"""Which part of a picture is measured: the visible one, or shapes that were drawn on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.maps.region_files import MOST_REGIONS
from napari_ore_minerals.widgets.layers import MINERALS
from napari_ore_minerals.widgets.measure_form import VISIBLE, WHOLE
from napari_ore_minerals.widgets.measure_source import lead_of, pixels_of, placement_of_cells
from napari_ore_minerals.widgets.parts import outline_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

AREAS = ("polygon", "rectangle", "ellipse")
FEWEST_CORNERS = 3
REGIONS, FILL = "regions", "#ffffff20"
NAME_COLUMNS = ("name", "region", "label", "class")


def shapes_layers(viewer: ViewerModel) -> list[Shapes]:
    """Layers of shapes, the lowest first."""
    return [layer for layer in viewer.layers if isinstance(layer, Shapes)]


def draw_regions(viewer: ViewerModel, layer: Labels, stride_px: int) -> Shapes:
    """Add a layer of polygons in pixels of the picture under a minerals layer, ready to be drawn on."""
    shapes = Shapes(
        ndim=layer.ndim,
        name=f"{layer.name.removesuffix(f' {MINERALS}')} {REGIONS}",
        edge_color="white",
        face_color=FILL,
        edge_width=max(1.0, stride_px / 32),
        **placement_of_cells(layer, stride_px).of_cells(1.0),
    )
    viewer.add_layer(shapes)
    viewer.layers.selection = {shapes}
    shapes.mode = "add_polygon"
    return shapes


def regions_of(
    viewer: ViewerModel, layer: Labels, part: str, stride_px: int
) -> dict[str, NDArray[np.float64]]:
    """Corners of each region by name, in pixels of the picture; none for the whole picture.

    Parameters
    ----------
    viewer
    layer
        Of the minerals that are measured.
    part
        `WHOLE`, `VISIBLE` or the name of a layer of shapes.
    stride_px
        Side of a cell.

    Raises
    ------
    OptionError
        If the layer of shapes holds no area.
    """
    if part == WHOLE:
        return {}
    if part == VISIBLE:
        return {VISIBLE: pixels_of(layer, stride_px, _window(viewer))}
    shapes = next((one for one in shapes_layers(viewer) if one.name == part), None)
    if shapes is None:
        return {}
    found = _areas(shapes, layer, stride_px)
    if not found:
        raise OptionError(f"{part} has no area on this picture yet: draw polygons, rectangles or ellipses")
    if len(found) > MOST_REGIONS:
        raise OptionError(
            f"{part} has {len(found):,} areas: select some of them, {MOST_REGIONS:,} at most are measured"
        )
    return found


def _areas(shapes: Shapes, layer: Labels, stride_px: int) -> dict[str, NDArray[np.float64]]:
    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    lead = lead_of(layer)
    found: dict[str, NDArray[np.float64]] = {}
    for number in chosen:
        kind = str(shapes.shape_type[number])
        if kind not in AREAS or len(np.unique(shapes.data[number], axis=0)) < FEWEST_CORNERS:
            continue  # lines have no area, nor has what is being drawn
        world = np.array(
            [shapes.data_to_world(point) for point in outline_of(shapes.data[number], kind)], float
        )
        if shapes.ndim == layer.ndim and len(lead):
            away = np.abs(world[:, :-2] - lead).max(axis=0)
            if (away > np.abs(np.asarray(layer.scale[:-2])) / 2).any():
                continue  # drawn on another plane
        name = _name(shapes, number)
        while name in found:
            name = f"{name} ({number + 1})"
        found[name] = pixels_of(layer, stride_px, world[:, -2:])
    return found


def _name(shapes: Shapes, number: int) -> str:
    """What the layer's features call a shape, or its number."""
    for column in NAME_COLUMNS:
        if column in shapes.features and str(shapes.features[column].iloc[number]).strip() not in ("", "nan"):
            return str(shapes.features[column].iloc[number]).strip()
    return f"region {number + 1}"


def _window(viewer: ViewerModel) -> NDArray[np.float64]:
    """Corners of what the canvas shows."""
    height, width = np.array(viewer.canvas.size, float) / viewer.scene.camera.zoom / 2
    row, column = viewer.scene.camera.center[-2:]
    corners = ((-1, -1), (-1, 1), (1, 1), (1, -1))
    return np.array([(row + down * height, column + right * width) for down, right in corners])
