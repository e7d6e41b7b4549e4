"""The map over the picture as a figure with legend and scale bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import imagecodecs
import numpy as np

from napari_ore_minerals.images.pixels import Window
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from PIL import Image

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable

LONGEST_PX = 1600
PNG_LEVEL = 4  # of a photograph in a quarter of the time of the usual 6, and 5 % more bytes
OPACITY = 0.45
DOTS_PER_INCH = 150
LETTER_INCHES = 0.066  # width of a letter of 8 points


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


@dataclass(frozen=True)
class Sheet:
    """What is drawn: codes over a picture, with a legend.

    Attributes
    ----------
    codes : (rows, columns) uint8 array
        Each answers for `px_per_code` x `px_per_code` pixels; 0 is left open.
    px_per_code, height_px, width_px : int
        Size of the picture.
    um_per_px : float or None
    title : str
    legend : tuple of (str, str)
        Colour and text of each entry.
    legend_title : str
    minerals : MineralTable
        For the colours of the codes.
    ground : (h, w, 3) uint8 array or None
        The picture made smaller; None for black.
    """

    codes: NDArray[np.uint8]
    px_per_code: int
    height_px: int
    width_px: int
    um_per_px: float | None
    title: str
    legend: tuple[tuple[str, str], ...]
    legend_title: str
    minerals: MineralTable
    ground: NDArray[np.uint8] | None = None


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
    grid = mineral_map.grid
    sheet = Sheet(
        codes=mineral_map.labels,
        px_per_code=grid.stride_px,
        height_px=grid.height_px,
        width_px=grid.width_px,
        um_per_px=mineral_map.um_per_px,
        title=mineral_map.picture.name,
        legend=_shares(mineral_map),
        legend_title="share of the picture",
        minerals=mineral_map.minerals,
        ground=None if micrograph is None else thumbnail(micrograph),
    )
    path.write_bytes(imagecodecs.png_encode(np.asarray(drawn(sheet)), level=PNG_LEVEL))


def drawn(sheet: Sheet) -> Image.Image:
    """Draw codes over their picture, with legend and scale bar."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    from napari_ore_minerals.plots import any_script

    ground = _black(sheet) if sheet.ground is None else sheet.ground
    width = max(4.0, ground.shape[1] / DOTS_PER_INCH)
    height = max(2.6, width * ground.shape[0] / ground.shape[1])
    beside = 0.6 + LETTER_INCHES * max(len(text) for _, text in (*sheet.legend, ("", sheet.legend_title)))
    figure = Figure(figsize=(width + beside, height + 0.5), dpi=DOTS_PER_INCH, facecolor="none")
    axes = figure.add_axes((0.0, 0.0, width / (width + beside), height / (height + 0.5)))
    axes.set(xlim=(0, sheet.width_px), ylim=(sheet.height_px, 0))
    axes.set_axis_off()
    canvas = FigureCanvasAgg(figure)
    with any_script():
        _draw_scale_bar(axes, sheet)
        _draw_legend(axes, sheet)
        figure.text(0.01, 0.985, sheet.title, va="top", fontsize=10, fontweight="bold", parse_math=False)
        canvas.draw()
    letters = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    page = Image.new("RGBA", letters.size, "white")
    # matplotlib would take 300 MB to draw the picture itself
    page.paste(
        _pasted(sheet, ground, axes.bbox.width, axes.bbox.height),
        (0, letters.height - round(axes.bbox.height)),
    )
    page.alpha_composite(letters)
    return page.convert("RGB")


def _black(sheet: Sheet) -> NDArray[np.uint8]:
    scale = min(1.0, LONGEST_PX / max(sheet.height_px, sheet.width_px))
    return np.zeros(
        (max(1, round(sheet.height_px * scale)), max(1, round(sheet.width_px * scale)), 3), np.uint8
    )


def _pasted(sheet: Sheet, ground: NDArray[np.uint8], width: float, height: float) -> Image.Image:
    """Blend the codes with their picture, at the size of the axes in pixels."""
    from PIL import Image

    colours = np.zeros((256, 3), np.uint8)
    for mineral in sheet.minerals:
        colours[mineral.code] = mineral.rgb
    rows, columns = (
        ((np.arange(shown) + 0.5) * whole / shown / sheet.px_per_code).astype(int)
        for shown, whole in zip(ground.shape[:2], (sheet.height_px, sheet.width_px), strict=True)
    )
    over = sheet.codes[rows][:, columns]
    coloured = colours[sheet.codes][rows].take(columns, axis=1)
    mixed = cv2.addWeighted(ground, 1.0 - OPACITY, coloured, OPACITY, 0.0)
    mixed = cv2.copyTo(ground, (over == 0).view(np.uint8), mixed)
    return Image.fromarray(cv2.resize(mixed, (round(width), round(height)), interpolation=cv2.INTER_LINEAR))


def _shares(mineral_map: MineralMap) -> tuple[tuple[str, str], ...]:
    """Colour and text of each mineral, with its share of the picture; unclassified cells are counted alone."""
    table = areas(mineral_map)
    known = {
        mineral.code: (mineral.colour, f"{mineral.name} ({mineral.symbol})")
        for mineral in mineral_map.minerals
    }
    entries = []
    for row in table.to_dict("records"):
        colour, title = known.get(row["code"], ("#ffffff", row["mineral"]))
        soft = row["code"] == UNCLASSIFIED and not row["area_px"]  # cells without an area of their own
        entries.append(
            (
                colour,
                f"{title}  " + (f"{row['cells']:,} cells" if soft else f"{row['fraction_of_picture']:.1%}"),
            )
        )
    return tuple(entries)


def _draw_legend(axes: Axes, sheet: Sheet) -> None:
    from matplotlib.patches import Patch

    entries = [Patch(facecolor=colour, edgecolor="#888888", label=text) for colour, text in sheet.legend]
    legend = axes.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=8,
        borderaxespad=0.0,
    )
    legend.set_title(sheet.legend_title)
    legend.get_title().set_fontsize(8)
    legend.get_title().set_parse_math(False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_scale_bar(axes: Axes, sheet: Sheet) -> None:
    """Draw a bar of a round length, about a fifth of the picture; or say that the scale is not known."""
    from matplotlib.patches import Rectangle

    um_per_px, text = sheet.um_per_px, "scale not known"
    right, bottom = sheet.width_px * 0.98, sheet.height_px * 0.97
    thick = sheet.height_px * 0.012
    if um_per_px is not None:
        length_um = round_length(sheet.width_px * um_per_px / 5)
        text, length_px = _length_text(length_um), length_um / um_per_px
        corner = (right - length_px, bottom - thick)
        axes.add_patch(
            Rectangle(corner, length_px, thick, facecolor="white", edgecolor="black", linewidth=0.5)
        )
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
