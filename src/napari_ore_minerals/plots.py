"""Plain figures: colours, panels and axes that all reports share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS_PER_INCH = 150
INK, FAINT = "#222222", "#8a8a8a"
# After Okabe and Ito (2008), told apart with any common colour blindness.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# Letters that matplotlib's own font lacks are taken from the first of these that is installed.
OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei",
    "PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "Arial Unicode MS",
)  # fmt: skip
PAGE_WIDTH = 11.6  # inches; wider figures would be shrunk on the page of the report


@contextmanager
def any_script() -> Iterator[None]:
    """Draw names in any script and as they are; a letter that no installed font has is a box, without a warning."""
    settings = {"font.family": _families(), "text.parse_math": False}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


@cache
def _families() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in installed)]


def colour_of(number: int) -> str:
    """Colour of the model of this number, the same in every figure."""
    return COLOURS[number % len(COLOURS)]


def panels(count: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Make a figure with `count` panels of this size in inches, as many a row as fit on a page."""
    columns = min(count, max(1, int(PAGE_WIDTH / width)))
    rows = -(-count // columns)
    figure = Figure(
        (columns * width, rows * height), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained"
    )
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel().tolist()
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes[:count]


def write_figure(figure: Figure, path: Path | IO[bytes]) -> None:
    """Write a figure as PNG."""
    FigureCanvasAgg(figure).print_png(str(path) if isinstance(path, Path) else path)


def plain(axes: Axes) -> Axes:
    """Leave out what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def heading(axes: Axes, text: str) -> None:
    """Write a panel's title at its left."""
    axes.set_title(text, loc="left", fontsize=9, fontweight="bold", color=INK, parse_math=False)
