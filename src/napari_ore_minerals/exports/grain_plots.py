"""Plots of grains, of reports and of the Measure dock: their sizes, who touches whom, and how free minerals are."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from napari_ore_minerals.maps.grain_tables import FEWEST_GRAINS, size_curves
from napari_ore_minerals.plots import INK, plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.minerals import MineralTable

TOUCHING, FREE = "Blues", "YlGn"  # from little to much
BELOW = 4.8  # of letters of a legend: room for what stands below an axis, however high the plot is
LEAST_WRITTEN = 0.06  # share of a bar in which a number has room
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def draw_sizes(axes: Axes, shown: Shown, letters: int = 80) -> int:
    """Draw the share of each mineral's area in grains up to a diameter; grains that are cut are left out.

    Parameters
    ----------
    axes
        Empty.
    shown
        With grains, else nothing is drawn.
    letters
        That a line below the plot holds.

    Returns
    -------
    int
        Lines below the plot that say which minerals have too few whole grains.
    """
    if shown.grain_tables is None:
        return 0
    curves, few, unit = size_curves(shown.grain_tables.grains, shown.mineral_map.minerals)
    for curve in curves:
        name = f"{curve.mineral.symbol}, n = {len(curve.diameters)}"
        colour = curve.mineral.colour
        axes.step(curve.diameters, 100 * curve.shares, where="post", color=colour, label=name, linewidth=1.5)
    plain(axes).set_ylim(0, 100)
    axes.set_ylabel("of the mineral's area, %", fontsize=8, color=INK)
    if curves:
        _diameters(axes)
    else:
        axes.text(
            0.5, 0.5, "too few grains that are not cut", ha="center", transform=axes.transAxes, fontsize=8
        )
    told = f"not drawn, fewer than {FEWEST_GRAINS} whole grains: {', '.join(few)}"
    below = textwrap.wrap(told, letters) if few else []
    label = "\n".join([f"diameter, {'µm' if unit == 'um' else 'px'}", *below])
    axes.set_xlabel(label, fontsize=8, color=INK, parse_math=False)
    return len(below)


def draw_touching(
    axes: Axes, association: pd.DataFrame, minerals: MineralTable, *, ink: str = INK, font: float = 8
) -> None:
    """Draw which share of a mineral's boundary (a row) is with each other mineral (a column), per cent.

    Parameters
    ----------
    axes
        Empty.
    association
        Of `maps.grain_tables.association_table`; minerals that touch nothing are left out.
    minerals
        Whose symbols stand at the sides.
    ink, font
        Colour and size of what is written.
    """
    seen = association.to_numpy(float).sum(axis=1) > 0
    lengths = association.loc[seen, seen].to_numpy(float)
    symbols = [minerals.by_name(str(name)).symbol for name in association.index[seen]]
    shares = 100 * lengths / np.maximum(lengths.sum(axis=1, keepdims=True), 1e-12)
    axes.imshow(shares, cmap=TOUCHING, vmin=0, vmax=100, aspect="auto")
    for row, column in zip(*np.nonzero(shares), strict=True):
        back = colormaps[TOUCHING](shares[row, column] / 100)
        text = f"{shares[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=font, color=_readable(back))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(len(symbols)), symbols, fontsize=font, color=ink, parse_math=False)
    axes.set_xlabel("touches", fontsize=font, color=ink)
    axes.tick_params(length=0, colors=ink)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def draw_liberation(axes: Axes, liberation: pd.DataFrame, *, ink: str = INK, font: float = 8) -> None:
    """Draw how the area of each ore mineral is spread over classes of its share of a particle.

    Parameters
    ----------
    axes
        Empty.
    liberation
        Of `maps.grain_tables.liberation_table`; minerals without area are left out.
    ink, font
        Colour and size of what is written.
    """
    table = liberation[liberation["area_px"] > 0] if len(liberation) else liberation
    classes = [str(name) for name in table.columns if " to " in str(name)]
    places, start = np.arange(len(table)), np.zeros(len(table))
    for number, name in enumerate(classes):
        shares = table[name].to_numpy(float)
        colour = colormaps[FREE]((number + 0.5) / len(classes))
        axes.barh(places, 100 * shares, left=100 * start, height=0.7, color=colour, label=name)
        for place in np.flatnonzero(shares >= LEAST_WRITTEN).tolist():
            axes.text(
                100 * (start[place] + shares[place] / 2), place, f"{100 * shares[place]:.0f}",
                ha="center", va="center", fontsize=font - 1, color=_readable(colour),
            )  # fmt: skip
        start += shares
    axes.set_yticks(places, list(table["mineral"]) if len(table) else [], fontsize=font, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("of the mineral's area, %", fontsize=font, color=ink)
    axes.tick_params(colors=ink, labelsize=font)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if len(table):
        legend = axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=BELOW, ncols=3, frameon=False,
            fontsize=font - 1,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_color(ink)


def _readable(back: tuple[float, ...]) -> str:
    return "white" if float(np.dot(to_rgb(back), _LUMA)) < 0.5 else "black"


def _diameters(axes: Axes) -> None:
    """Diameters on the scale of the logarithm, with so few labels that they have room, and a legend."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    for text in axes.legend(frameon=False, fontsize=7, loc="upper left").get_texts():
        text.set_parse_math(False)
