"""What the Measure dock measures: minerals layers as they are on the screen, and places on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.minerals import UNCLASSIFIED
from napari_ore_minerals.widgets.layers import GRAINS_KEY, MAP_KEY, MINERALS, ROLE_KEY, is_ours, scaled
from napari_ore_minerals.widgets.pictures import LayerPicture, Placement, picture_of, transform_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import PictureAnswers
    from napari_ore_minerals.maps.mineral_map import MineralMap

NEAR = 0.05  # of a cell: how far corners may be apart that are to be the same


@dataclass(frozen=True)
class Result:
    """A result as it is on the screen.

    Attributes
    ----------
    mineral_map : MineralMap
        With the scale that the user gave.
    labels : (rows, columns) uint8 array
        With what was painted; values that are no mineral are unclassified.
    name : str
        Of the layer.
    """

    mineral_map: MineralMap
    labels: NDArray[np.uint8]
    name: str


def minerals_layers(viewer: ViewerModel) -> list[Labels]:
    """Layers of minerals, the lowest first; a run may still be under way on some."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels) and layer.metadata.get(ROLE_KEY) == MINERALS
    ]


def layer_in_view(viewer: ViewerModel) -> Labels | None:
    """The minerals layer that belongs to the active layer, or else the highest one that can be seen."""
    layers = minerals_layers(viewer)
    active = viewer.layers.selection.active
    if active in layers:
        return active
    shown = None if active is None else active.metadata.get(MAP_KEY)
    of_grains = None if active is None else active.metadata.get(GRAINS_KEY)
    for layer in reversed(layers):
        mineral_map = layer.metadata.get(MAP_KEY)
        if mineral_map is None:
            continue
        if shown is mineral_map or (
            of_grains is not None and of_grains.fingerprint == mineral_map.picture.fingerprint
        ):
            return layer
    in_plane = [layer for layer in layers if _in_plane(viewer, layer)] or layers
    over_active = [layer for layer in in_plane if isinstance(active, Image) and lies_over(layer, active)]
    found = over_active or [layer for layer in in_plane if layer.visible] or in_plane
    return found[-1] if found else None


def result_of(layer: Labels | None) -> Result | None:
    """The result of a minerals layer as it is shown; None while there is none, or if it was given other data."""
    mineral_map = None if layer is None else layer.metadata.get(MAP_KEY)
    if layer is None or mineral_map is None:
        return None
    values = np.asarray(layer.data)
    if values.size != mineral_map.labels.size:
        return None
    values = values.reshape(mineral_map.grid.shape)
    labels = np.where(np.isin(values, mineral_map.minerals.codes), values, UNCLASSIFIED).astype(np.uint8)
    return Result(scaled(mineral_map, layer.metadata), labels, layer.name)


def same_picture(viewer: ViewerModel, layer: Labels) -> list[Labels]:
    """Minerals layers of the same picture, such as of several planes of a stack; `layer` is one of them."""
    mine = layer.metadata.get(MAP_KEY)
    found = [layer]
    for other in minerals_layers(viewer):
        its = other.metadata.get(MAP_KEY)
        if mine is None or its is None or other is layer:
            continue
        if _picture_of_map(its) == _picture_of_map(mine) and its.minerals == mine.minerals:
            found.append(other)
    return sorted(found, key=lambda one: tuple(lead_of(one)))


def _picture_of_map(mineral_map: MineralMap) -> tuple[str, int, int]:
    return mineral_map.picture.name, mineral_map.grid.height_px, mineral_map.grid.width_px


def lead_of(layer: Layer) -> NDArray[np.float64]:
    """Place of a layer's first plane on the axes in front of rows and columns, in the world."""
    return np.asarray(layer.data_to_world((0.0,) * layer.ndim), float)[:-2]


def pixels_of(layer: Labels, stride_px: int, world: NDArray[Any]) -> NDArray[np.float64]:
    """Rows and columns in pixels of the picture, from its first corner, of points of the world.

    Parameters
    ----------
    layer
        Of minerals.
    stride_px
        Side of its cells.
    world : (n, 2) array
        The last two axes of the world.
    """
    lead = lead_of(layer)
    cells = [np.asarray(layer.world_to_data((*lead, *point)), float)[-2:] for point in world]
    return np.asarray((np.array(cells) + 0.5) * stride_px, np.float64)


def placement_of_cells(layer: Labels, stride_px: int) -> Placement:
    """Placement of a picture, from a layer of its cells."""
    return Placement(transform_of(layer), (0,) * (layer.ndim - 2), (1 / stride_px, 1 / stride_px))


def picture_under(viewer: ViewerModel, layer: Labels) -> LayerPicture | None:
    """The picture that a minerals layer lies over, at the level and plane that were classified, if it is here."""
    result = result_of(layer)
    if result is None:
        return None
    mineral_map = result.mineral_map
    for image in viewer.layers:
        if not isinstance(image, Image) or is_ours(image) or image.ndim < 2 or not lies_over(layer, image):
            continue
        try:
            picture = picture_of(image, _plane(image, layer), answers=mineral_map.picture.answers)
        except PictureError:
            continue
        shapes = [tuple(shape) for shape in image.level_shapes] if image.multiscale else [image.data.shape]
        size, axes = (mineral_map.grid.height_px, mineral_map.grid.width_px), (image.ndim - 2, image.ndim - 1)
        for level, shape in enumerate(shapes):
            if (shape[axes[0]], shape[axes[1]]) == size:
                return replace(
                    picture,
                    options=picture.options.model_copy(update={"level": level}),
                    height_px=size[0],
                    width_px=size[1],
                    um_per_px=mineral_map.um_per_px,
                    um_per_px_source=mineral_map.um_per_px_source,
                )
    return None


def open_classified(
    picture: LayerPicture | None, mineral_map: MineralMap, path: Path | None = None
) -> Micrograph:
    """Open the picture of a map, in a layer or as a file; may be called from any thread.

    A layer of a damaged picture holds zeros where nothing can be read, so the file is looked at too.

    Raises
    ------
    PictureError
        If it is not here, or is another one.
    """
    known, other = mineral_map.picture.fingerprint, ""
    for found in _opened(picture, path, mineral_map.picture.answers):
        if not known or found.fingerprint() == known:
            scale = mineral_map.um_per_px
            return found if scale is None else found.with_scale(scale, mineral_map.um_per_px_source)
        other = other or found.name
    if other:
        raise PictureError(
            f"{other} is not the picture that was classified, or was changed since: classify it again"
        )
    raise PictureError(
        f"the picture of this map, {mineral_map.picture.name}, is not in the viewer: open it over the map"
    )


def _opened(picture: LayerPicture | None, path: Path | None, answers: PictureAnswers) -> Iterator[Micrograph]:
    """Pictures that may be that of a map, the layer first; of a damaged one what is whole."""
    from napari_ore_minerals.images.micrograph import Micrograph

    if picture is not None:
        yield picture.micrograph()
    if path is not None and path.exists():
        yield Micrograph.open(path, options=answers.salvaging())


def lies_over(layer: Labels, image: Layer) -> bool:
    """Whether the first corner of a minerals layer is that of a picture, and its last one not far outside."""
    mineral_map = layer.metadata.get(MAP_KEY)
    if mineral_map is None or image.ndim < 2 or image.ndim < layer.ndim:
        return False
    rows, columns = image.data.shape[image.ndim - 2 : image.ndim] if not image.multiscale else (
        image.level_shapes[0][image.ndim - 2 : image.ndim]
    )  # fmt: skip
    grid = mineral_map.grid
    cell = float(np.abs(layer.scale[-1]))
    for corner, own in (
        ((0.0, 0.0), (0.0, 0.0)),
        ((rows, columns), (grid.height_px / grid.stride_px, grid.width_px / grid.stride_px)),
    ):
        there = np.asarray(image.data_to_world((0.0,) * (image.ndim - 2) + tuple(np.array(corner) - 0.5)))
        here = np.asarray(layer.data_to_world((0.0,) * (layer.ndim - 2) + tuple(np.array(own) - 0.5)))
        if np.abs(there[-2:] - here[-2:]).max() > NEAR * cell:
            return False
    return True


def _plane(image: Layer, layer: Labels) -> tuple[int, ...]:
    """Plane of an image that a layer lies on, as steps of all axes of the image."""
    lead = lead_of(layer)
    missing = image.ndim - 2 - len(lead)
    at = image.world_to_data((*([0.0] * missing), *lead, 0.0, 0.0))[: image.ndim - 2]
    return (*(round(float(step)) for step in at), 0, 0)


def _in_plane(viewer: ViewerModel, layer: Labels) -> bool:
    """Whether the viewer's sliders show the plane of a layer."""
    lead = lead_of(layer)
    if not len(lead):
        return True
    shown = np.array(viewer.dims.point[-layer.ndim : -2], float)
    return bool((np.abs(shown - lead) <= np.abs(np.asarray(layer.scale[:-2])) / 2).all())
