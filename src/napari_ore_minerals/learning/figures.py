"""The paper's Figures 6, 7 and 9, and reliability diagrams: tables in, PNG files out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from napari_ore_minerals.plots import COLOURS, FAINT, INK, colour_of, heading, panels, plain, write_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from .evaluation_report import EvaluationReport

LONGEST_NAMES = 8  # more classes than this are written as symbols


def draw_confusions(reports: Sequence[EvaluationReport], path: Path) -> None:
    """Draw confusion matrices side by side (Figure 7): colour is the share of the row, numbers are tiles."""
    classes = max(len(report.minerals) for report in reports)
    side = min(max(3.0, 0.55 * classes + 1.2), 11.0)
    figure, axes = panels(len(reports), width=side + 0.7, height=side + 0.1)
    for one, report in zip(axes, reports, strict=True):
        _draw_confusion(one, report)
    write_figure(figure, path)


def _draw_confusion(axes: Axes, report: EvaluationReport) -> None:
    confusion, minerals = report.evaluation.confusion, list(report.minerals)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    symbols = [mineral.symbol for mineral in minerals]
    axes.set_xticks(range(len(minerals)), symbols)
    written = [m.name for m in minerals] if len(minerals) <= LONGEST_NAMES else symbols
    axes.set_yticks(range(len(minerals)), written)
    axes.set_xlabel("named", fontsize=9, color=INK)
    axes.set_ylabel("true", fontsize=9, color=INK)
    axes.tick_params(length=0, colors=INK, labelsize=8)
    axes.set_xticks(np.arange(len(minerals) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(minerals) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    heading(axes, f"{report.title}   accuracy {report.evaluation.accuracy:.2f}")
    size = 9 if len(minerals) <= LONGEST_NAMES else 6
    for row, column in np.argwhere(confusion > 0):
        axes.text(
            column,
            row,
            f"{confusion[row, column]:,}",
            ha="center",
            va="center",
            fontsize=size,
            color="white" if share[row, column] > 0.5 else INK,
        )


def draw_reliability(report: EvaluationReport, path: Path) -> None:
    """Draw accuracy over confidence, without scaling and as fitted; the area of a point is its tiles."""
    figure, (axes, below) = panels(2, width=3.8, height=3.4)
    plain(axes).plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":", label="perfectly calibrated")
    table, rows = report.reliability_table, report.calibration_table
    if table is None or rows is None:
        return
    shown = ["none", "fitted on validation"] if len(rows) > 2 else ["none"]
    for name, colour in zip(shown, (FAINT, COLOURS[0]), strict=False):
        row = rows.set_index("scaling").loc[name]
        bins = table[(table["scaling"] == name) & (table["tiles"] > 0)]
        title = f"temperature {row['temperature']:.2f}: error {row['calibration error']:.3f}"
        axes.plot(bins["confidence"], bins["accuracy"], color=colour, linewidth=1.2)
        area = 12 + 150 * bins["tiles"] / bins["tiles"].sum()
        axes.scatter(
            bins["confidence"], bins["accuracy"], s=area, color=colour, alpha=0.75, label=title, linewidths=0
        )
        plain(below).stairs(
            table.loc[table["scaling"] == name, "tiles"],
            [0.0, *table.loc[table["scaling"] == name, "to"]],
            color=colour,
            linewidth=1.5,
        )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    below.set(xlim=(0, 1.02))
    for one, title in ((axes, "Share that is right"), (below, "Tiles")):
        one.set_xlabel("confidence", fontsize=9)
        heading(one, title)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    write_figure(figure, path)


def draw_curves(epochs: pd.DataFrame, path: Path) -> None:
    """Draw loss and accuracy over the epochs (Figure 6): training dashed, validation solid.

    Parameters
    ----------
    epochs
        Columns ``model``, ``epoch``, ``loss``, ``accuracy``, ``validation_loss``, ``validation_accuracy``.
    path
        PNG file to write.
    """
    figure, axes = panels(2, width=4.6, height=3.6)
    for number, (name, table) in enumerate(epochs.groupby("model", sort=False)):
        for one, figure_name in zip(axes, ("accuracy", "loss"), strict=True):
            dot = "o" if len(table) < 8 else None
            style: dict[str, Any] = {"color": colour_of(number), "marker": dot, "markersize": 3.5}
            one.plot(table["epoch"], table[figure_name], linestyle="--", linewidth=1.0, alpha=0.7, **style)
            one.plot(table["epoch"], table[f"validation_{figure_name}"], linewidth=1.8, label=name, **style)
    for one, title in zip(axes, ("Accuracy", "Loss"), strict=True):
        plain(one).set_xlabel("epoch", fontsize=9)
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
        heading(one, title)
    axes[0].set_ylim(0, 1.02)
    axes[1].set_ylim(bottom=0)
    axes[0].plot([], [], color=FAINT, linestyle="--", label="on augmented training tiles")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 4), fontsize=8, frameon=False
    )
    write_figure(figure, path)


def draw_transfer(epochs: pd.DataFrame, path: Path) -> None:
    """Draw validation accuracy with and without ImageNet weights (Figure 9), a panel for each network.

    Parameters
    ----------
    epochs
        Columns ``network``, ``weights``, ``epoch`` and ``validation_accuracy``.
    path
        PNG file to write.
    """
    names = list(dict.fromkeys(epochs["network"]))
    figure, axes = panels(len(names), width=3.4, height=3.0)
    for number, (one, name) in enumerate(zip(axes, names, strict=True)):
        table = epochs[epochs["network"] == name]
        for weights, part in table.groupby("weights", sort=False):
            scratch = weights == "none"
            one.plot(
                part["epoch"],
                part["validation_accuracy"],
                color=FAINT if scratch else colour_of(number),
                linewidth=1.8,
                linestyle="--" if scratch else "-",
                marker="o" if len(part) < 8 else None,
                markersize=3.5,
                label="from scratch" if scratch else f"weights: {weights}",
            )
        plain(one).set_ylim(0, 1.02)
        one.set_xlabel("epoch", fontsize=9)
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
        one.legend(fontsize=7, frameon=False, loc="lower right")
        heading(one, str(name))
    axes[0].set_ylabel("validation accuracy", fontsize=9)
    write_figure(figure, path)
