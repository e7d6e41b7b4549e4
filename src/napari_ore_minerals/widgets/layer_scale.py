"""What a napari layer's scale, transforms and units say of the size of its pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.transforms import Affine

if TYPE_CHECKING:
    from napari.layers import Layer

SQUARE = 0.01  # by how much, relatively, the sides of a pixel may differ


def um_per_px_of(layer: Layer) -> float | None:
    """Micrometres per pixel of a layer whose units are lengths and whose pixels are square; else None."""
    lengths = _sides_um(layer)
    square = lengths is not None and math.isclose(*lengths, rel_tol=SQUARE)
    return lengths[1] if lengths and square and 0.001 <= lengths[1] <= 1000 else None


def why_no_scale(layer: Layer) -> str:
    """Say in two words, which have room in the narrowest dock, why a layer without um/px has none."""
    lengths = _sides_um(layer)
    oblong = lengths and not math.isclose(*lengths, rel_tol=SQUARE)
    return "oblong pixels" if oblong else "not told"


def _sides_um(layer: Layer) -> tuple[float, float] | None:
    own = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear)
    linear = layer.affine.affine_matrix[:-1, :-1] @ own.linear_matrix
    units = layer.units[-2:]
    if not all(unit.is_compatible_with("micrometer") for unit in units):
        return None
    rows, columns = (
        float((1 * unit).to("micrometer").magnitude) * float(np.linalg.norm(linear[:, axis]))
        for axis, unit in zip((-2, -1), units, strict=True)
    )
    return rows, columns
