"""The map over the picture as a figure with legend and scale bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from napari_ore_minerals.images.pixels import Window
from napari_ore_minerals.maps.areas import areas

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from PIL import Image

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.maps.mineral_map import MineralMap

LONGEST_PX = 1600
OPACITY = 0.45
DOTS_PER_INCH = 150


def thumbnail(micrograph: Micrograph, longest_px: int = LONGEST_PX) -> NDArray[np.uint8]:
    """Shrink a picture to at most `longest_px` a side by area mean, reading it block by block."""
    height, width = micrograph.height_px, micrograph.width_px
    factor = -(-max(height, width) // longest_px)
    small = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    block = max(1, 1024 // factor)
    for row in range(0, small.shape[0], block):
        for column in range(0, small.shape[1], block):
            part = small[row : row + block, column : column + block]
            top, left = row * factor, column * factor
            size = (min(part.shape[0] * factor, height - top), min(part.shape[1] * factor, width - left))
            rgb = micrograph.read(Window(top, left, *size)).rgb
            part[:] = cv2.resize(rgb, part.shape[1::-1], interpolation=cv2.INTER_AREA)
    return small


def write_overlay(mineral_map: MineralMap, path: Path, *, micrograph: Micrograph | None = None) -> None:
    """Write the map over its picture as a PNG with legend, area fractions and scale bar.

    Parameters
    ----------
    mineral_map
        The map.
    path
        File to write.
    micrograph
        The picture; without it the map lies on black.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    grid = mineral_map.grid
    if micrograph is None:
        scale = min(1.0, LONGEST_PX / max(grid.height_px, grid.width_px))
        ground = np.zeros(
            (max(1, round(grid.height_px * scale)), max(1, round(grid.width_px * scale)), 3), np.uint8
        )
    else:
        ground = thumbnail(micrograph)
    width = max(4.0, ground.shape[1] / DOTS_PER_INCH)
    height = max(2.6, width * ground.shape[0] / ground.shape[1])
    figure = Figure(figsize=(width + 2.6, height + 0.5), dpi=DOTS_PER_INCH, facecolor="none")
    axes = figure.add_axes((0.0, 0.0, width / (width + 2.6), height / (height + 0.5)))
    axes.set(xlim=(0, grid.width_px), ylim=(grid.height_px, 0))
    axes.set_axis_off()
    _draw_scale_bar(axes, mineral_map)
    _draw_legend(axes, mineral_map)
    figure.text(
        0.01, 0.985, mineral_map.picture.name, va="top", fontsize=10, fontweight="bold", parse_math=False
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    page = Image.new("RGBA", drawn.size, "white")
    # matplotlib would take 300 MB to draw the picture itself
    page.paste(
        _pasted(mineral_map, ground, axes.bbox.width, axes.bbox.height),
        (0, drawn.height - round(axes.bbox.height)),
    )
    page.alpha_composite(drawn)
    page.convert("RGB").save(path, "PNG")


def _pasted(mineral_map: MineralMap, ground: NDArray[np.uint8], width: float, height: float) -> Image.Image:
    """Blend the map with its picture, at the size of the axes in pixels."""
    from PIL import Image

    grid, labels = mineral_map.grid, mineral_map.labels
    colours = np.zeros((256, 3), np.uint8)
    for mineral in mineral_map.minerals:
        colours[mineral.code] = mineral.rgb
    rows, columns = (
        ((np.arange(shown) + 0.5) * whole / shown / grid.stride_px).astype(int)
        for shown, whole in zip(ground.shape[:2], (grid.height_px, grid.width_px), strict=True)
    )
    over = labels[rows][:, columns]
    mixed = cv2.addWeighted(ground, 1.0 - OPACITY, colours[over], OPACITY, 0.0)
    mixed[over == 0] = ground[over == 0]
    return Image.fromarray(cv2.resize(mixed, (round(width), round(height)), interpolation=cv2.INTER_LINEAR))


def _draw_legend(axes: Axes, mineral_map: MineralMap) -> None:
    from matplotlib.patches import Patch

    table = areas(mineral_map)
    known = {
        mineral.code: (mineral.colour, f"{mineral.name} ({mineral.symbol})")
        for mineral in mineral_map.minerals
    }
    entries = []
    for code, name, share in zip(table["code"], table["mineral"], table["fraction_of_picture"], strict=True):
        colour, title = known.get(code, ("#ffffff", name))
        entries.append(Patch(facecolor=colour, edgecolor="#888888", label=f"{title}  {share:.1%}"))
    legend = axes.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=8,
        borderaxespad=0.0,
    )
    legend.set_title("share of the picture, by tiles")
    legend.get_title().set_fontsize(8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_scale_bar(axes: Axes, mineral_map: MineralMap) -> None:
    """Draw a bar of a round length, about a fifth of the picture; or say that the scale is not known."""
    from matplotlib.patches import Rectangle

    grid, um_per_px = mineral_map.grid, mineral_map.um_per_px
    length_px, text = grid.width_px * 0.0, "scale not known"
    if um_per_px is not None:
        length_um = round_length(grid.width_px * um_per_px / 5)
        length_px, text = length_um / um_per_px, _length_text(length_um)
    right, bottom = grid.width_px * 0.98, grid.height_px * 0.97
    thick = grid.height_px * 0.012
    axes.add_patch(Rectangle((right - length_px, bottom - thick), length_px, thick, color="white"))
    axes.text(
        right,
        bottom - 1.6 * thick,
        text,
        color="white",
        ha="right",
        va="bottom",
        fontsize=9,
        bbox={"facecolor": "black", "alpha": 0.45, "edgecolor": "none", "pad": 2},
    )


def round_length(wanted: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is not above `wanted`."""
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(max(step * power for step in (1, 2, 5) if step * power <= wanted * (1 + 1e-9)))


def _length_text(length_um: float) -> str:
    return f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
