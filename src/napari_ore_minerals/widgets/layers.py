"""The only translator from a MineralMap to layers: minerals, heatmap and confidence over a picture.

The labels layer carries its map in ``layer.metadata["ore_minerals"]``; so do the two others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Labels
from napari.utils import DirectLabelColormap

from napari_ore_minerals.minerals import UNCLASSIFIED, MineralTable
from napari_ore_minerals.widgets.pictures import BY_USER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.widgets.pictures import Placement

MAP_KEY, ROLE_KEY = "ore_minerals", "ore_minerals_role"
OWN_KEY = "ore_minerals_own"  # the map as the model gave it, on layers that follow what was taught
SCALE_KEY, GRAINS_KEY = "ore_minerals_um_per_px", "ore_minerals_grains"
GRAINS_OF_KEY = "ore_minerals_grains_of"  # the map that grains were found from, on their layer
MINERALS, HEATMAP, CONFIDENCE, CORRECTIONS = "minerals", "heatmap", "confidence", "corrections"
BLUE_TO_RED = "turbo"


def labels_arguments(minerals: MineralTable) -> dict[str, Any]:
    """Colours, names and the like of a minerals layer."""
    colours: dict[int | None, str] = {None: "transparent", UNCLASSIFIED: "transparent"}
    colours |= {mineral.code: mineral.colour for mineral in minerals}
    names = {UNCLASSIFIED: "unclassified"} | {mineral.code: mineral.name for mineral in minerals}
    features = pd.DataFrame({"index": list(names), "mineral": list(names.values())})
    return {
        "colormap": DirectLabelColormap(color_dict=colours),
        "features": features,
        "opacity": 0.45,
        "blending": "translucent",
    }


def warm_up(minerals: MineralTable) -> str:
    """Make a minerals layer that nobody sees: napari compiles its colours for a second the first time.

    The patterns of dashed lines, which vispy computes for the first labels layer and keeps, take
    another fifth of a second. To be called from another thread than the viewer's; it touches no viewer.
    """
    from vispy.visuals.line.dash_atlas import DashAtlas  # type: ignore[import-untyped]

    DashAtlas()
    Labels(np.zeros((2, 2), np.uint8), **labels_arguments(minerals))
    return ""


def heatmap_arguments() -> dict[str, Any]:
    """How a heatmap is shown: blue for no evidence, red for the strongest in the picture."""
    return {
        "colormap": BLUE_TO_RED,
        "contrast_limits": (0.0, 1.0),
        "opacity": 0.5,
        "blending": "translucent",
        "interpolation2d": "linear",
    }


def confidence_arguments() -> dict[str, Any]:
    """How confidence is shown."""
    return {
        "colormap": "viridis",
        "contrast_limits": (0.0, 1.0),
        "opacity": 0.6,
        "blending": "translucent",
        "visible": False,
    }


def corrections_arguments() -> dict[str, Any]:
    """How corrected cells are outlined: a white frame around each."""
    return {
        "symbol": "square",
        "size": 0.86,
        "face_color": "transparent",
        "border_color": "white",
        "border_width": 0.07,
        "border_width_is_relative": True,
        "opacity": 0.9,
    }


def layer_data(
    mineral_map: MineralMap, name: str, placement: Placement
) -> list[tuple[Any, dict[str, Any], str]]:
    """Return the three layers of a map as napari's layer data tuples, the lowest first."""
    stride = mineral_map.grid.stride_px
    place = placement.of_cells(stride / mineral_map.places_per_cell)
    shared = {MAP_KEY: mineral_map}
    cells = placement.of_cells(stride)
    return [
        (
            placement.shaped(mineral_map.confidence),
            {
                **confidence_arguments(),
                **cells,
                "name": f"{name} {CONFIDENCE}",
                "metadata": shared | {ROLE_KEY: CONFIDENCE},
            },
            "image",
        ),
        (
            placement.shaped(mineral_map.heatmap()),
            {
                **heatmap_arguments(),
                **place,
                "name": f"{name} {HEATMAP}",
                "visible": False,
                "metadata": shared | {ROLE_KEY: HEATMAP},
            },
            "image",
        ),
        (
            placement.shaped(mineral_map.labels.copy()),
            {
                **labels_arguments(mineral_map.minerals),
                **cells,
                "name": f"{name} {MINERALS}",
                "metadata": shared | {ROLE_KEY: MINERALS},
            },
            "labels",
        ),
    ]


def scaled(mineral_map: MineralMap, metadata: Mapping[str, Any]) -> MineralMap:
    """Return the map of a layer with the scale that the user gave it since it was made."""
    given = metadata.get(SCALE_KEY)
    if given is None:
        return mineral_map
    return replace(mineral_map, um_per_px=float(given), um_per_px_source=BY_USER)


def is_ours(layer: object) -> bool:
    """Whether a layer shows a result of this program and is no picture to classify."""
    return MAP_KEY in getattr(layer, "metadata", {})
