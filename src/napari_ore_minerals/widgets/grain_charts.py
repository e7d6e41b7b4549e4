"""Plots of grains in the Measure dock: their sizes, which mineral touches which, and liberation."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from napari_ore_minerals.widgets.measure_chart import FRAME_PX, LINE_PX, ROW_PX, Chart

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.widgets.measure_chart import Colours

SIZES_PX, LINE_LETTERS, LEGEND_PX, FONT = 220, 62, 62, 8.0


class SizeChart(Chart):
    """Which share of the area of whole grains is in grains smaller than a diameter."""

    def paint(self, axes: Axes, colours: Colours, *what: Any) -> int:
        """Draw a table of grains, ``grains: DataFrame of maps.grain_tables.grain_table, minerals: MineralTable``."""
        from matplotlib.patheffects import Normal, Stroke
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        from napari_ore_minerals.maps.grain_tables import FEWEST_GRAINS, size_curves

        grains: pd.DataFrame = what[0]
        minerals: MineralTable = what[1]
        curves, few, unit = size_curves(grains, minerals)
        for curve in curves:
            axes.step(
                curve.diameters, 100 * curve.shares, where="post", color=curve.mineral.colour, lw=1.8,
                label=curve.mineral.name,
                path_effects=[Stroke(linewidth=2.8, foreground=colours.text, alpha=0.45), Normal()],
            )  # fmt: skip
        axes.set_ylim(0, 102)
        axes.set_xlabel("diameter of whole grains, " + ("µm" if unit == "um" else "px"))
        axes.set_ylabel("smaller, % of area")
        if not curves:
            axes.text(
                0.5, 0.5, f"fewer than {FEWEST_GRAINS} whole grains of each mineral", ha="center",
                transform=axes.transAxes, color=colours.text,
            )  # fmt: skip
            return SIZES_PX
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        for text in axes.legend(frameon=False, fontsize="small", handlelength=1.4).get_texts():
            text.set_color(colours.text)
        if not few:
            return SIZES_PX
        told = f"not drawn, fewer than {FEWEST_GRAINS} whole grains: {', '.join(few)}"
        lines = wrap(told, LINE_LETTERS)
        axes.set_title("\n".join(lines), fontsize="small", loc="left", color=colours.text)
        return SIZES_PX + LINE_PX * len(lines)


class TouchingChart(Chart):
    """Which share of a mineral's boundary is with each other mineral."""

    lines = False

    def paint(self, axes: Axes, colours: Colours, *what: Any) -> int:
        """Draw ``association: DataFrame of maps.grain_tables.association_table, minerals: MineralTable``."""
        from napari_ore_minerals.exports.grain_plots import draw_touching

        draw_touching(axes, what[0], what[1], ink=colours.text, font=FONT)
        return FRAME_PX + ROW_PX * max(1, len(axes.get_yticks()))


class LiberationChart(Chart):
    """How the area of each ore mineral is spread over classes of its share of a particle."""

    def paint(self, axes: Axes, colours: Colours, *what: Any) -> int:
        """Draw ``liberation: DataFrame of maps.grain_tables.liberation_table``."""
        from napari_ore_minerals.exports.grain_plots import draw_liberation

        draw_liberation(axes, what[0], ink=colours.text, font=FONT)
        return FRAME_PX + LEGEND_PX + ROW_PX * max(1, len(axes.get_yticks()))
