"""Pictures to look at and to hand round: PNG with legend and scale bar, and a page of PDF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL.PngImagePlugin import PngInfo

from napari_ore_minerals.exports.figures import draw_areas, ground_of, percent, sheet_of
from napari_ore_minerals.exports.grain_plots import draw_liberation, draw_sizes, draw_touching
from napari_ore_minerals.exports.method import citations, method
from napari_ore_minerals.exports.shown import PROGRAM, facts, notes
from napari_ore_minerals.exports.small_print import A4, LEFT, WIDE, WRITTEN, write_small_print
from napari_ore_minerals.plots import FAINT, INK, any_script, heading

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from napari_ore_minerals.exports.shown import Shown

_COLUMN = 0.52  # width of the left column
_MAP, _MAP_WITH_PLOTS = 0.33, 0.27  # height at most
_GRAINS = ((0.115, 0.195), (0.405, 0.2), (0.735, 0.195))  # where plots of grains begin, and their width
_GRAINS_HIGH, _GRAINS_BELOW, _LINE = (
    0.105,
    0.055,
    0.009,
)  # height of plots, of what stands below, and of its lines


def write_png(shown: Shown, path: Path) -> None:
    """Write the map over its picture as PNG; its facts stand in text chunks of the file."""
    about = PngInfo()
    for name, text in (facts(shown) | {"notes": "; ".join(notes(shown))}).items():
        about.add_itxt(name, text)
    with path.open("xb") as file:
        sheet_of(shown, ground_of(shown)).save(file, "PNG", pnginfo=about)


@any_script()
def write_pdf(shown: Shown, path: Path) -> None:
    """Write a page of A4: map, table, bars, grains, method, notes and facts.

    Its small print is as small as it must be to fit; where that would be too small, it goes on on further pages.
    """
    figure = Figure(figsize=A4, facecolor="white")
    top = _title(figure, shown)
    sheet = np.asarray(sheet_of(shown, ground_of(shown)))
    most = _MAP if shown.grain_tables is None else _MAP_WITH_PLOTS
    tall = min(most, WIDE * A4[0] / A4[1] * sheet.shape[0] / sheet.shape[1])
    axes = figure.add_axes((LEFT, top - tall, WIDE, tall), anchor="NW")
    axes.imshow(sheet, interpolation="none")
    axes.set_axis_off()
    below = top - tall - 0.02
    high = min(0.3, 0.0145 * (len(shown.seen.table) + 2))
    _table(figure.add_axes((LEFT, below - high, _COLUMN, high)), shown)
    _bars(figure, shown, below, high)
    end = _grains(figure, shown, below - high - 0.035)
    further = write_small_print(figure, paragraphs(shown), end)
    about = {
        "Title": f"Minerals of {shown.name}",
        "Creator": PROGRAM,
        "Producer": PROGRAM,
        "CreationDate": None,
    }
    about["Subject"] = "; ".join(f"{name}: {text}" for name, text in facts(shown).items())
    with (
        mpl.rc_context({"pdf.fonttype": 42}),
        path.open("xb") as file,
        PdfPages(file, metadata=about) as pages,
    ):
        for one in (figure, *further):
            pages.savefig(one)


def _bars(figure: Figure, shown: Shown, top: float, high: float) -> None:
    """Bars of areas, in the right column beside the table."""
    axes = figure.add_axes((0.69, top - high + 0.005, 0.24, high - 0.01))
    draw_areas(axes, shown.seen.table, shown.seen.minerals)
    _small(axes)


def _grains(figure: Figure, shown: Shown, top: float) -> float:
    """Sizes of grains, who touches whom and liberation, side by side; returns where they end."""
    tables = shown.grain_tables
    if tables is None:
        return top
    bottom = top - 0.012 - _GRAINS_HIGH
    places = [(left, bottom, wide, _GRAINS_HIGH) for left, wide in _GRAINS]
    sizes = figure.add_axes(places[0])
    lines = draw_sizes(sizes, shown, 44)
    heading(sizes, "sizes of grains, by area")
    found = [sizes]
    if tables.association.to_numpy().any():
        found += [figure.add_axes(place) for place in places[1:]]
        draw_touching(found[1], tables.association, shown.mineral_map.minerals, font=6)
        heading(found[1], "who touches whom, %")
        draw_liberation(found[2], tables.liberation, font=6)
        heading(found[2], "liberation, by area")
    for axes in found:
        _small(axes)
    return bottom - _GRAINS_BELOW - _LINE * max(0, lines - 1)


def _small(axes: Axes) -> None:
    """Letters as small as those of the page."""
    axes.tick_params(labelsize=6)
    axes.xaxis.label.set_fontsize(6.5)
    axes.yaxis.label.set_fontsize(6.5)
    for place in ("left", "center"):
        axes.set_title(axes.get_title(loc=place), loc=place, fontsize=7, fontweight="bold", parse_math=False)
    legend = axes.get_legend()
    for text in [] if legend is None else legend.get_texts():
        text.set_fontsize(5.5)


def _title(figure: Figure, shown: Shown) -> float:
    """Write the head of the page; returns where it ends."""
    told = facts(shown)
    figure.text(LEFT, 0.965, f"Minerals of {shown.name}", fontsize=14, fontweight="bold", va="top", **WRITTEN)
    line = f"{told['model']}   ·   {told['scale']}   ·   {told['corrections']}"
    figure.text(LEFT, 0.938, line, fontsize=7.5, va="top", **(WRITTEN | {"color": "#666666"}))
    return 0.925


def _table(axes: Axes, shown: Shown) -> None:
    """Areas as lines of text in columns; matplotlib's own tables cannot be read at this size."""
    seen = shown.seen
    axes.set(xlim=(0, 1), ylim=(len(seen.table) + 1.6, -0.6))
    axes.set_axis_off()
    scale = seen.um_per_px is not None
    heads = ("mineral", "area, 95 % interval", "adjusted", "mm²" if scale else "px", "cells")
    places, sides = (0.05, 0.6, 0.74, 0.89, 1.0), ("left", *["right"] * 4)
    colours = {mineral.code: mineral.colour for mineral in seen.minerals}
    rows: list[tuple[str, ...]] = [heads]
    for number, row in enumerate(seen.table.to_dict("records"), 1):
        area = f"{row['area_mm2']:.4g}" if scale else f"{row['area_px']:,.0f}"
        adjusted = percent({"fraction": row["fraction_adjusted"]})
        rows.append((str(row["mineral"]), percent(row), adjusted, area, f"{row['cells']:,}"))
        colour = colours.get(int(row["code"]), "white")
        axes.scatter(0.02, number, marker="s", s=34, color=colour, edgecolors=FAINT, linewidths=0.5)
    for number, cells in enumerate(rows):
        for text, place, side in zip(cells, places, sides, strict=True):
            bold = "bold" if number == 0 else "normal"
            axes.text(place, number, text, ha=side, va="center", fontsize=7.5, fontweight=bold, **WRITTEN)
    axes.axhline(0.5, color=INK, linewidth=0.8)
    if len(shown.measured) > 1:
        axes.text(0, len(rows), f"of {seen.name}", fontsize=7, va="center", **WRITTEN)


def paragraphs(shown: Shown) -> tuple[str, ...]:
    """Method, notes, what to cite, and all facts."""
    return (
        *method(shown),
        *(f"Note: {note}." for note in notes(shown)),
        "Cite: " + " ".join(citations(shown)),
        "; ".join(f"{name}: {text}" for name, text in facts(shown).items()) + ".",
    )
