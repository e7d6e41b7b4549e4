"""Plots of the Measure dock, in napari's colours: what all have in common, and areas with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_ore_minerals.maps.grain_areas import BY_GRAINS
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.widgets.measure_figures import Group

ROW_PX, FRAME_PX, LINE_PX = 26, 46, 17
FONT_PX = 11
MOST_GROUPS = 6
GREY = "#9a9a9a"
HATCHES = ("//", "..", "xx", "--", "\\\\")  # of groups, from above; the last group has none
NAME_LETTERS = 24


class Colours(NamedTuple):
    """Of a theme of napari."""

    background: str
    text: str
    line: str

    @classmethod
    def of(cls, theme: str) -> Colours:
        """Colours of a theme by its name."""
        from napari.utils.theme import get_theme

        found = get_theme(theme)
        return cls(found.background.as_hex(), found.text.as_hex(), found.secondary.as_hex())


class Chart(QWidget):  # type: ignore[misc]
    """A figure of matplotlib that takes the colours of the viewer; made when it is first drawn."""

    lines = True  # across, to read figures off

    def __init__(self, theme: str, tooltip: str) -> None:
        super().__init__()
        self._theme = theme
        self._drawn: tuple[Any, ...] | None = None
        self._canvas: Any = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.setToolTip(tooltip)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def axes(self) -> Axes | None:
        """What was drawn last."""
        axes = [] if self._canvas is None else self._canvas.figure.axes
        return axes[0] if axes else None

    def take_theme(self, theme: str) -> None:
        """Draw again in other colours."""
        self._theme = theme
        if self._drawn is not None:
            self.draw(*self._drawn)

    def draw(self, *what: Any) -> None:
        """Draw figures; see `paint` of each chart."""
        from napari_ore_minerals.plots import any_script

        self._drawn = what
        if self._canvas is None:
            from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
            from matplotlib.figure import Figure

            self._canvas = FigureCanvasQTAgg(Figure(layout="constrained"))
            self._canvas.draw = any_script()(self._canvas.draw)
            self._canvas.wheelEvent = lambda event: event.ignore()  # the dock scrolls
            self.layout().addWidget(self._canvas)
        from matplotlib import rc_context

        colours, figure = Colours.of(self._theme), self._canvas.figure
        size = FONT_PX * 72 / figure.dpi
        with any_script(), rc_context({"font.size": size, "axes.linewidth": 0.8}):
            figure.clear()
            figure.set_facecolor(colours.background)
            axes = figure.add_subplot()
            self.setFixedHeight(self.paint(axes, colours, *what))
        _dress(axes, colours, lines=self.lines)
        self._canvas.draw_idle()

    def paint(self, axes: Axes, colours: Colours, *what: Any) -> int:
        """Draw on empty axes; return the height that is wanted, in pixels."""
        raise NotImplementedError


class AreaChart(Chart):
    """Bars of the areas with their 95 % intervals, of one group or of several side by side."""

    def paint(self, axes: Axes, colours: Colours, *what: Any) -> int:
        """Draw groups of figures, ``groups: sequence of Group, minerals: MineralTable``."""
        groups: Sequence[Group] = what[0][-MOST_GROUPS:]
        minerals: MineralTable = what[1]
        known = {mineral.code: mineral for mineral in minerals}
        table = groups[-1].table
        there = table["fraction"].notna() & ((table["code"] != UNCLASSIFIED) | (table["fraction"] > 0))
        codes = [int(code) for code in table.loc[there, "code"]]
        thick = 0.8 / len(groups)
        for number, group in enumerate(groups):
            rows = group.table.set_index("code").reindex(codes)
            places = np.arange(len(codes)) + (number - (len(groups) - 1) / 2) * thick
            shares, low, high = (100 * rows[name].to_numpy(float) for name in ("fraction", "low", "high"))
            faces = [known[code].colour if code in known else GREY for code in codes]
            last = number == len(groups) - 1
            axes.barh(
                places, shares, 0.9 * thick, color=faces, edgecolor=colours.text, linewidth=0.6,
                hatch="" if last else HATCHES[number],
            )  # fmt: skip
            errors = np.clip([shares - low, high - shares], 0, None)
            axes.errorbar(shares, places, xerr=errors, fmt="none", ecolor=colours.text, capsize=2.5, lw=1)
            if BY_GRAINS in rows:
                grains = 100 * rows[BY_GRAINS].to_numpy(float)
                axes.plot(grains, places, "D", ms=4, mfc="white", mec="black", ls="none")
        axes.set_yticks(range(len(codes)), [_name(known, code) for code in codes])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("area, % (95 % interval)")
        lines = _legend_above(axes, colours, groups, BY_GRAINS in table)
        return int(FRAME_PX + LINE_PX * lines + ROW_PX * len(codes) * max(1.0, 0.5 * len(groups)))


def _name(known: dict[int, Any], code: int) -> str:
    return "unclassified" if code == UNCLASSIFIED else str(known[code].name)


def _legend_above(axes: Axes, colours: Colours, groups: Sequence[Group], by_grains: bool) -> int:
    """Say above the bars which is which; returns how many lines that takes."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Any] = []
    if len(groups) > 1:
        hatches = [*HATCHES[: len(groups) - 1], ""]
        entries = [
            Patch(facecolor=GREY, edgecolor=colours.text, hatch=hatch, label=shorten(group.name))
            for group, hatch in zip(groups, hatches, strict=True)
        ]
    if by_grains:
        entries.append(
            Line2D([], [], marker="D", ms=4, mfc="white", mec="black", ls="none", label="by grains")
        )
    if not entries:
        return 0
    legend = axes.figure.legend(
        handles=entries, loc="outside upper left", ncols=2, frameon=False, fontsize="small", handlelength=2
    )
    for text in legend.get_texts():
        text.set(color=colours.text, parse_math=False)
    return (len(entries) + 1) // 2


def shorten(name: str) -> str:
    """Name of a group as it fits beside another."""
    return name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 1] + "…"


def _dress(axes: Axes, colours: Colours, *, lines: bool) -> None:
    axes.set_facecolor(colours.background)
    axes.tick_params(colors=colours.text, which="both", length=3)
    if lines:
        axes.grid(axis="x", color=colours.line, lw=0.6)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(colours.text)
    for side, spine in axes.spines.items():
        spine.set_color(colours.line)
        spine.set_visible(side in ("left", "bottom"))
