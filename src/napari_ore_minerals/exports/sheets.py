"""Pictures to look at and to hand round: PNG with legend and scale bar, and a page of PDF."""

from __future__ import annotations

import math
import textwrap
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL.PngImagePlugin import PngInfo

from napari_ore_minerals.exports.figures import draw_areas, ground_of, percent, sheet_of
from napari_ore_minerals.exports.grain_plots import draw_sizes
from napari_ore_minerals.exports.method import citations, method
from napari_ore_minerals.exports.shown import PROGRAM, facts, notes
from napari_ore_minerals.plots import FAINT, INK, heading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from napari_ore_minerals.exports.shown import Shown

_A4 = (8.27, 11.69)  # inches
_LEFT, _WIDE = 0.07, 0.86
_COLUMN = 0.52  # width of the left column
_LETTERS, _WIDE_LETTERS = 92, 150  # in a line of the small print beside the plots, and below them
_TOP, _BOTTOM, _STEP = 0.965, 0.03, 0.0102  # of the small print and its lines


def write_png(shown: Shown, path: Path) -> None:
    """Write the map over its picture as PNG; its facts stand in text chunks of the file."""
    about = PngInfo()
    for name, text in (facts(shown) | {"notes": "; ".join(notes(shown))}).items():
        about.add_itxt(name, text)
    with path.open("xb") as file:
        sheet_of(shown, ground_of(shown)).save(file, "PNG", pnginfo=about)


def write_pdf(shown: Shown, path: Path) -> None:
    """Write a page of A4: map, table, bars, method, notes and facts; what has no room goes on further pages."""
    figure = Figure(figsize=_A4, facecolor="white")
    top = _title(figure, shown)
    sheet = np.asarray(sheet_of(shown, ground_of(shown)))
    tall = min(0.36, _WIDE * _A4[0] / _A4[1] * sheet.shape[0] / sheet.shape[1])
    axes = figure.add_axes((_LEFT, top - tall, _WIDE, tall), anchor="NW")
    axes.imshow(sheet, interpolation="none")
    axes.set_axis_off()
    below = top - tall - 0.02
    high = min(0.3, 0.0155 * (len(shown.seen.table) + 2))
    _table(figure.add_axes((_LEFT, below - high, _COLUMN, high)), shown)
    end = _plots(figure, shown, below)
    further = _small_print(figure, shown, below - high - 0.015, end)
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


def _plots(figure: Figure, shown: Shown, top: float) -> float:
    """Bars of areas, and below them sizes of grains, in the right column; returns where they end."""
    left, wide, high = 0.69, 0.24, 0.15
    bars = figure.add_axes((left, top - high, wide, high - 0.01))
    draw_areas(bars, shown.seen.table, shown.seen.minerals)
    found, lines = [bars], 0
    if shown.grain_tables is not None:
        found.append(figure.add_axes((left, top - 2 * high - 0.075, wide, high)))
        lines = draw_sizes(found[-1], shown, 44)
        heading(found[-1], "sizes of grains, by area")
    for axes in found:
        axes.tick_params(labelsize=6)
        axes.xaxis.label.set_fontsize(7)
        axes.yaxis.label.set_fontsize(7)
    return (
        top - len(found) * high - (len(found) - 1) * 0.075 - 0.04 - 0.011 * lines
    )  # with the labels below the axis


def _title(figure: Figure, shown: Shown) -> float:
    """Write the head of the page; returns where it ends."""
    told = facts(shown)
    figure.text(
        _LEFT, 0.965, f"Minerals of {shown.name}", fontsize=14, fontweight="bold", va="top", **_WRITTEN
    )
    line = f"{told['model']}   ·   {told['scale']}   ·   {told['corrections']}"
    figure.text(_LEFT, 0.938, line, fontsize=7.5, va="top", **(_WRITTEN | {"color": "#666666"}))
    return 0.92


def _table(axes: Axes, shown: Shown) -> None:
    """Areas as lines of text in columns; matplotlib's own tables cannot be read at this size."""
    seen = shown.seen
    axes.set(xlim=(0, 1), ylim=(len(seen.table) + 1.6, -0.6))
    axes.set_axis_off()
    scale = seen.um_per_px is not None
    heads = ("mineral", "area, 95 % interval", "mm²" if scale else "px", "cells")
    places, sides = (0.05, 0.66, 0.84, 1.0), ("left", "right", "right", "right")
    colours = {mineral.code: mineral.colour for mineral in seen.minerals}
    rows: list[tuple[str, ...]] = [heads]
    for number, row in enumerate(seen.table.to_dict("records"), 1):
        area = f"{row['area_mm2']:.4g}" if scale else f"{row['area_px']:,.0f}"
        rows.append((str(row["mineral"]), percent(row), area, f"{row['cells']:,}"))
        colour = colours.get(int(row["code"]), "white")
        axes.scatter(0.02, number, marker="s", s=34, color=colour, edgecolors=FAINT, linewidths=0.5)
    for number, cells in enumerate(rows):
        for text, place, side in zip(cells, places, sides, strict=True):
            bold = "bold" if number == 0 else "normal"
            axes.text(place, number, text, ha=side, va="center", fontsize=7.5, fontweight=bold, **_WRITTEN)
    axes.axhline(0.5, color=INK, linewidth=0.8)
    if len(shown.measured) > 1:
        axes.text(0, len(rows), f"of {seen.name}", fontsize=7, va="center", **_WRITTEN)


def paragraphs(shown: Shown) -> tuple[str, ...]:
    """Method, notes, what to cite, and all facts."""
    return (
        *method(shown),
        *(f"Note: {note}." for note in notes(shown)),
        "Cite: " + " ".join(citations(shown)),
        "; ".join(f"{name}: {text}" for name, text in facts(shown).items()) + ".",
    )


def flowed(texts: Sequence[str], letters: Iterator[int]) -> list[str]:
    """Break paragraphs into lines, with an empty one after each; each line has as many letters as there is room for."""
    lines = []
    for text in texts:
        rest = " ".join(text.split())
        while rest:
            line = textwrap.wrap(rest, next(letters))[0]
            lines.append(line)
            rest = rest[len(line) :].strip()
        lines.append("")
        next(letters)
    return lines[:-1]


def _small_print(figure: Figure, shown: Shown, top: float, plots_end: float) -> list[Figure]:
    """Write paragraphs, beside and then below the plots, and on further pages as far as they need it; returns these."""
    room = int((top - _BOTTOM) / _STEP)
    beside = min(room, max(0, math.ceil((top - plots_end) / _STEP)))
    lines = flowed(paragraphs(shown), chain(repeat(_LETTERS, beside), repeat(_WIDE_LETTERS)))
    _write(figure, lines[:room], top)
    further, whole = [], int((_TOP - _BOTTOM) / _STEP)
    for start in range(room, len(lines), whole):
        further.append(Figure(figsize=_A4, facecolor="white"))
        _write(further[-1], lines[start : start + whole], _TOP)
    return further


def _write(figure: Figure, lines: Sequence[str], top: float) -> None:
    for number, line in enumerate(lines):
        figure.text(_LEFT, top - number * _STEP, line, fontsize=6, va="top", **_WRITTEN)


_WRITTEN: dict[str, Any] = {"color": INK, "parse_math": False}
