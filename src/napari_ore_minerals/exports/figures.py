"""Figures of an export: the map over its picture, areas with their errors, sizes of grains, heatmaps."""

from __future__ import annotations

import io
import math
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from napari_ore_minerals.exports.grain_areas import areas_by_grains
from napari_ore_minerals.exports.grain_plots import draw_liberation, draw_sizes, draw_touching
from napari_ore_minerals.exports.pixels import PixelMap
from napari_ore_minerals.maps.overlay import Sheet, drawn, thumbnail
from napari_ore_minerals.plots import DOTS_PER_INCH, FAINT, INK, heading, panels, plain, write_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from PIL import Image

    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.minerals import MineralTable

HEAT = "turbo"  # blue where nothing speaks for the mineral, red where most does
HEAT_PX = 480
MOST_HEATMAPS = 12
OPEN = "#dddddd"  # unclassified
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma, ITU-R BT.601
_JPEG_QUALITY = 88


def sheet_of(shown: Shown, ground: NDArray[np.uint8] | None) -> Image.Image:
    """The map over its picture with scale bar, and the fractions of what it shows as legend.

    Fractions of grains where grains are shown, else those that were measured, with their intervals.
    """
    pixels, seen = PixelMap.of(shown), shown.seen
    table = areas_by_grains(shown) if pixels.of_grains else seen.table
    by_code = {mineral.code: mineral for mineral in shown.mineral_map.minerals}
    entries = []
    for row in table.to_dict("records"):
        mineral = by_code.get(int(row["code"]))
        name = "unclassified" if mineral is None else f"{mineral.name} ({mineral.symbol})"
        entries.append(("#ffffff" if mineral is None else mineral.colour, f"{name}  {percent(row)}"))
    sheet = Sheet(
        codes=pixels.codes,
        px_per_code=pixels.factor,
        height_px=pixels.height_px,
        width_px=pixels.width_px,
        um_per_px=shown.mineral_map.um_per_px,
        title=shown.name,
        legend=tuple(entries),
        legend_title=_legend_title(shown),
        minerals=shown.mineral_map.minerals,
        ground=ground,
    )
    return drawn(sheet)


def _legend_title(shown: Shown) -> str:
    if shown.grains is not None:
        return "area by grains" + (", of the whole picture" if shown.of_regions else "")
    return "area, 95 % interval" + ("" if len(shown.measured) == 1 else f": {shown.seen.name}")


def percent(row: Mapping[Hashable, Any]) -> str:
    """A fraction and its interval, where it has one; a dash for what was left out."""
    value, low, high = (float(row.get(name, math.nan)) for name in ("fraction", "low", "high"))
    if math.isnan(value):
        return "–"
    return f"{value:.1%}" + ("" if math.isnan(low) else f" ({100 * low:.1f} to {100 * high:.1f})")


def draw_areas(axes: Axes, table: pd.DataFrame, minerals: MineralTable) -> None:
    """Draw fractions as bars with their intervals, the first mineral on top."""
    shown = table[table["fraction"].notna()]
    places = np.arange(len(shown))[::-1]
    values = 100 * shown["fraction"].to_numpy(float)
    ends = 100 * np.nan_to_num(
        np.stack([shown["fraction"] - shown["low"], shown["high"] - shown["fraction"]]).astype(float)
    )
    known = {mineral.code: mineral.colour for mineral in minerals}
    colours = [known.get(int(code), OPEN) for code in shown["code"]]
    plain(axes).barh(places, values, color=colours, edgecolor=FAINT, linewidth=0.5, height=0.7)
    axes.errorbar(values, places, xerr=np.maximum(ends, 0), fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
    axes.set_yticks(places, list(shown["mineral"]))
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel("area, %", fontsize=8, color=INK)


def areas_figure(shown: Shown) -> Figure:
    """Bars of the areas, of planes pooled, and sizes of grains beside them where there are grains."""
    table = shown.together
    rows = int(table["fraction"].notna().sum())
    figure, axes = panels(1 + (shown.grain_tables is not None), width=5.6, height=max(2.4, 0.36 * rows + 1.0))
    draw_areas(axes[0], table, shown.seen.minerals)
    heading(axes[0], "area with 95 % interval" + ("" if shown.pooled is None else ", all planes together"))
    if shown.grain_tables is not None:
        draw_sizes(axes[1], shown)
        heading(axes[1], "sizes of grains, by area")
    return figure


def neighbours_figure(shown: Shown) -> Figure | None:
    """Who touches whom and how free each ore mineral is, side by side; None where nothing is to be drawn."""
    tables = shown.grain_tables
    if tables is None or not tables.association.to_numpy().any():
        return None
    figure, axes = panels(2, width=5.6, height=3.6)
    draw_touching(axes[0], tables.association, shown.mineral_map.minerals)
    heading(axes[0], "per cent of a mineral's boundary that is with each other one")
    draw_liberation(axes[1], tables.liberation)
    heading(axes[1], "liberation: area by the mineral's share of its particle")
    return figure


def heatmaps_figure(shown: Shown, ground: NDArray[np.uint8] | None) -> Figure:
    """Class activation maps over the picture in grey, of the minerals with most area, on one scale."""
    mineral_map = shown.mineral_map
    table = shown.seen.table
    areas = dict(zip(table["code"].astype(int), table["area_px"].astype(float), strict=True))
    order = sorted(mineral_map.minerals, key=lambda mineral: -areas.get(mineral.code, 0.0))
    chosen = order[:MOST_HEATMAPS]
    grid = mineral_map.grid
    scale = min(1.0, HEAT_PX / max(grid.height_px, grid.width_px))
    size = max(1, round(grid.width_px * scale)), max(1, round(grid.height_px * scale))
    grey = np.full((size[1], size[0]), 128, np.float32)
    if ground is not None:
        grey = cv2.resize(ground, size, interpolation=cv2.INTER_AREA).astype(np.float32) @ _GREY
    width = 3.7
    figure, axes = panels(len(chosen), width=width, height=width * size[1] / size[0] + 0.35)
    covered = (grid.width_px / (grid.columns * grid.stride_px), grid.height_px / (grid.rows * grid.stride_px))
    for one, mineral in zip(axes, chosen, strict=True):
        heat = mineral_map.heatmap(mineral.code)
        whole = (max(size[0], round(size[0] / covered[0])), max(size[1], round(size[1] / covered[1])))
        spread = cv2.resize(heat, whole, interpolation=cv2.INTER_LINEAR)[: size[1], : size[0]]
        colours = np.asarray(colormaps[HEAT](spread))[..., :3] * 255
        one.imshow((0.5 * grey[..., np.newaxis] + 0.5 * colours).astype(np.uint8), interpolation="nearest")
        one.set_axis_off()
        heading(one, f"{mineral.name} ({mineral.symbol})")
    return figure


def png_of(drawing: Figure | Image.Image) -> bytes:
    """A figure or picture as the content of a PNG file."""
    buffer = io.BytesIO()
    if isinstance(drawing, Figure):
        write_figure(drawing, buffer)
    else:
        drawing.save(buffer, "PNG", dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    return buffer.getvalue()


def jpeg_of(drawing: Image.Image) -> bytes:
    """A picture as the content of a JPEG file, for pages."""
    buffer = io.BytesIO()
    drawing.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def ground_of(shown: Shown, longest_px: int = 1600) -> NDArray[np.uint8] | None:
    """The picture made smaller, where it is here."""
    return None if shown.micrograph is None else thumbnail(shown.micrograph, longest_px)
