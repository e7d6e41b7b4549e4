"""Micrometres per pixel given after a picture was classified: its layers take their true size together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from napari.utils.transforms import Affine

from napari_ore_minerals.widgets.layers import GRAINS_KEY, MAP_KEY, SCALE_KEY, is_ours
from napari_ore_minerals.widgets.measure_source import lies_over, same_picture
from napari_ore_minerals.widgets.pictures import resized

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def um_per_px_shown(layer: Labels, stride_px: int) -> float | None:
    """Micrometres per pixel of the picture as a minerals layer lies in the world; None if it is not in lengths."""
    unit = layer.units[-1]
    if not unit.is_compatible_with("micrometer"):
        return None
    return float((1 * unit).to("micrometer").magnitude) * _step(layer) / stride_px


def give_scale(viewer: ViewerModel, layer: Labels, um_per_px: float) -> None:
    """Give the picture of a minerals layer, and all that lies on it, a scale; the scale bar tells it.

    Layers that are no picture or result of another one, such as shapes, grow with it, so that they stay
    where they were drawn.
    """
    mineral_map = layer.metadata[MAP_KEY]
    known = um_per_px_shown(layer, mineral_map.grid.stride_px)
    now = _step(layer) / mineral_map.grid.stride_px if known is None else known
    factor, units = um_per_px / now, "um" if known is None else None
    results = same_picture(viewer, layer)
    same = [one for one in viewer.layers if tuple(one.units)[-2:] == tuple(layer.units)[-2:]]
    for one in [one for one in same if _belongs(one, results)]:
        transform = resized(
            {"scale": one.scale, "translate": one.translate, "affine": one.affine.affine_matrix, "units": one.units},
            factor,
            units,
        )  # fmt: skip
        for key, value in transform.items():
            setattr(one, key, value)
    for one in results:
        one.metadata[SCALE_KEY] = um_per_px
    viewer.canvas.overlays.scale_bar.visible = True


def _belongs(other: Layer, results: list[Labels]) -> bool:
    """Whether a layer is the picture of some results, shows one of them, or was drawn by hand."""
    maps = [layer.metadata[MAP_KEY] for layer in results]
    if is_ours(other):
        return any(other.metadata[MAP_KEY] is one for one in maps)
    if GRAINS_KEY in other.metadata:
        return other.metadata[GRAINS_KEY].fingerprint in {one.picture.fingerprint for one in maps}
    if isinstance(other, Image):
        return any(lies_over(layer, other) for layer in results)
    return not isinstance(other, Labels)


def _step(layer: Layer) -> float:
    own = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear)
    linear = layer.affine.affine_matrix[:-1, :-1] @ own.linear_matrix
    return float(np.linalg.norm(linear[:, -1]))
