"""GeoJSON that QuPath opens: an annotation for each area of cells, or a detection for each grain.

The form is that of QuPath 0.4 and later (its documentation of "Exporting annotations", and what its reader
of GeoJSON asks for): a FeatureCollection of Polygons in pixels of the full picture from its upper left corner.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely.geometry.polygon import orient
from skimage.measure import label

from napari_ore_minerals.exports.outlines import outlines
from napari_ore_minerals.exports.pixels import PixelMap
from napari_ore_minerals.exports.shown import facts, notes
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from pathlib import Path

    from napari_ore_minerals.exports.shown import Shown

_IDS = uuid.UUID(
    "6f2a1a0e-6a55-4c0e-9a0e-0d6c1f6b7c11"
)  # of features: the same export gives the same numbers


def write_geojson(shown: Shown, path: Path) -> None:
    """Write the outlines of all areas of one mineral, in pixels of the picture; what is unclassified is left out."""
    about = facts(shown) | {"notes": "; ".join(notes(shown))}
    with path.open("x", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection",\n"metadata": ' + json.dumps(about, ensure_ascii=False))
        file.write(',\n"features": [')
        for number, feature in enumerate(features(shown)):
            file.write(
                ("," if number else "") + "\n" + json.dumps(feature, ensure_ascii=False, allow_nan=False)
            )
        file.write("\n]}\n")


def features(shown: Shown) -> Iterator[dict[str, Any]]:
    """Features of all areas, row by row of the first pixel of each."""
    pixels, scale = PixelMap.of(shown), shown.mineral_map.um_per_px
    numbered = label(pixels.codes, background=UNCLASSIFIED, connectivity=1)
    if not numbered.any():
        return
    first = np.unique(numbered, return_index=True)[1]
    codes = pixels.codes.ravel()[first] if numbered.min() == 0 else np.append(0, pixels.codes.ravel()[first])
    polygons, numbers = outlines(numbered)
    for index in np.argsort(numbers, kind="stable"):
        number = int(numbers[index])
        if number == UNCLASSIFIED:
            continue
        corners = shapely.get_coordinates(polygons[index]) * pixels.factor
        corners = np.minimum(corners, (pixels.width_px, pixels.height_px))
        polygon = orient(shapely.set_coordinates(polygons[index], corners))
        yield {
            "type": "Feature",
            "id": str(uuid.uuid5(_IDS, f"{shown.mineral_map.picture.fingerprint} {number}")),
            "geometry": shapely.geometry.mapping(polygon),
            "properties": _properties(shown, pixels, int(codes[number]), polygon, scale),
        }


def _properties(
    shown: Shown, pixels: PixelMap, code: int, polygon: shapely.Polygon, scale: float | None
) -> dict[str, Any]:
    mineral = shown.mineral_map.minerals.by_code(code)
    measurements = {"Area px": polygon.area, "Diameter px": float(np.sqrt(4 * polygon.area / np.pi))}
    if scale is not None:
        measurements |= {
            "Area um2": measurements["Area px"] * scale**2, "Diameter um": measurements["Diameter px"] * scale,
        }  # fmt: skip
    found: dict[str, Any] = {
        "objectType": "detection" if pixels.of_grains else "annotation",
        "classification": {"name": mineral.name, "color": list(mineral.rgb)},
        "measurements": measurements,
    }
    if not pixels.of_grains:  # QuPath shows names of annotations, and would let them be moved by accident
        found |= {"name": f"{mineral.name} ({mineral.symbol})", "isLocked": True}
    return found
