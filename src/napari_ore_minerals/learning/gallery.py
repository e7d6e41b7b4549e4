"""What the networks looked at: the worst mistakes (Figure 8), and several models side by side (Figure 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from napari_ore_minerals.plots import DOTS_PER_INCH, INK, write_figure

from .evaluation import losses

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import Mineral
    from napari_ore_minerals.models.classifier import Classifier

    from .evaluation_report import EvaluationReport

MISTAKES = 12
MOST_PER_PHOTOGRAPH = 2
TILES_PER_MINERAL = 1
RIGHT, WRONG = "#009e73", "#d55e00"
HEAT = "turbo"  # blue where nothing speaks for the mineral, red where most does
OPACITY = 0.5  # the picture stays visible below the colours
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma, ITU-R BT.601


@dataclass(frozen=True)
class Look:
    """What one model makes of one tile.

    Attributes
    ----------
    true, predicted : str
        Symbols of the minerals.
    confidence : float
    heat : (s, s) float32 array
        Where the tile speaks for the predicted mineral, 0 to 1.
    true_heat : (s, s) float32 array or None
        Where it speaks for the true one; None if the model has no such mineral.
    """

    true: str
    predicted: str
    confidence: float
    heat: NDArray[np.float32]
    true_heat: NDArray[np.float32] | None

    @property
    def right(self) -> bool:
        """Whether the tile is named rightly."""
        return self.true == self.predicted


def worst_mistakes(
    report: EvaluationReport, count: int = MISTAKES, most_per_photograph: int = MOST_PER_PHOTOGRAPH
) -> NDArray[np.int64]:
    """Rows of the wrongly named tiles whose true mineral was held least likely, the worst first.

    A photograph gives at most `most_per_photograph` of them: its tiles are alike.
    """
    loss = losses(report.truth, report.probabilities)
    wrong = np.flatnonzero(~report.predictions["right"].to_numpy(bool))
    chosen: list[int] = []
    seen: dict[int, int] = {}
    for row in wrong[np.argsort(-loss[wrong], kind="stable")].tolist():
        photograph = int(report.groups[row])
        if seen.get(photograph, 0) < most_per_photograph:
            seen[photograph] = seen.get(photograph, 0) + 1
            chosen.append(row)
    return np.array(chosen[:count], dtype=np.int64)


def drawn_tiles(
    report: EvaluationReport, random: np.random.Generator, per_mineral: int = TILES_PER_MINERAL
) -> NDArray[np.int64]:
    """Rows of tiles drawn by lot, `per_mineral` of each mineral that has some: none is chosen for its looks."""
    rows = [np.flatnonzero(report.truth == index) for index in range(len(report.minerals))]
    drawn = [random.permutation(found)[:per_mineral] for found in rows]
    return np.concatenate(drawn).astype(np.int64)


def look(classifier: Classifier, tile: NDArray[np.uint8], true: Mineral) -> Look:
    """Let a model look at a tile.

    Parameters
    ----------
    classifier
    tile : (s, s, 3) uint8 array
        At the size that the network takes.
    true
        The mineral that it shows, which the model need not have.
    """
    table = classifier.card.mineral_table
    probabilities = classifier.probabilities(classifier.predict(tile[np.newaxis]).logits)[0]
    best, known = table[int(probabilities.argmax())], true.name in {mineral.name for mineral in table}
    return Look(
        true.symbol,
        best.symbol,
        float(probabilities.max()),
        classifier.explain(tile, mineral=best.name, method="cam"),
        classifier.explain(tile, mineral=true.name, method="cam") if known else None,
    )


def blended(tile: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay a heatmap of any size over a tile in grey, since ore is as yellow as heat: (s, s, 3) float32, 0 to 1."""
    if heat.shape != tile.shape[:2]:
        heat = np.clip(cv2.resize(heat, tile.shape[1::-1], interpolation=cv2.INTER_LINEAR), 0.0, 1.0)
    grey = (tile @ GREY / 255.0)[..., np.newaxis]
    colours = colormaps[HEAT](0.1 + 0.8 * heat)[..., :3]  # both ends of it are dark
    mixed: NDArray[np.float32] = (grey * (1.0 - OPACITY) + colours * OPACITY).astype(np.float32)
    return mixed


def draw_mistakes(
    tiles: Sequence[NDArray[np.uint8]],
    looks: Sequence[Look],
    titles: Sequence[str],
    path: Path,
    *,
    heading: str,
) -> None:
    """Draw wrongly named tiles (Figure 8): the tile, what spoke for the answer, what spoke for the truth.

    Parameters
    ----------
    tiles, looks, titles
        Of each mistake; a title says where it is from.
    path
        PNG file to write.
    heading
        Over the whole figure.
    """
    rows = max(1, -(-len(looks) // 2))
    figure = _sheet(11.6, rows * 2.25 + 0.45 if looks else 1.2, heading)
    if not looks:
        figure.text(0.5, 0.35, "Every tile is named rightly.", ha="center", fontsize=11, color=INK)
    grid: Any = figure.subplots(rows, 7, squeeze=False, width_ratios=[1, 1, 1, 0.1, 1, 1, 1]) if looks else []
    for axes in np.ravel(grid):
        axes.set_axis_off()
    blocks = [block for row in grid for block in (row[:3], row[4:])]
    for block, tile, seen, title in zip(blocks, tiles, looks, titles, strict=False):
        pictures: list[NDArray[Any]] = [
            tile / 255.0,
            *(np.ones(tile.shape) if h is None else blended(tile, h) for h in (seen.heat, seen.true_heat)),
        ]
        captions = (title, f"for {seen.predicted}", _truth(seen))
        for axes, picture, caption in zip(block, pictures, captions, strict=True):
            _show(axes, picture)
            axes.set_xlabel(caption, fontsize=8, color=INK, parse_math=False)
        text = f"{seen.true} named {seen.predicted}, {seen.confidence:.0%} sure"
        block[0].set_title(text, loc="left", fontsize=9, fontweight="bold", color=INK, parse_math=False)
    write_figure(figure, path)


def draw_heatmaps(
    tiles: Sequence[NDArray[np.uint8]], looks: Sequence[Sequence[Look]], models: Sequence[str], path: Path
) -> None:
    """Draw what several models saw in the same tiles (Figure 10).

    Parameters
    ----------
    tiles
        A row each.
    looks
        For each tile, one per model.
    models
        Titles of the columns after the first, which shows the tiles.
    path
        PNG file to write.
    """
    side = 1.75
    figure = _sheet((len(models) + 1) * side + 0.6, len(tiles) * (side + 0.2) + 0.3, "")
    grid = figure.subplots(len(tiles), len(models) + 1, squeeze=False)
    for row, tile, seen in zip(grid, tiles, looks, strict=True):
        _show(row[0], tile / 255.0)
        row[0].set_ylabel(seen[0].true, fontsize=11, fontweight="bold", rotation=0, labelpad=16, va="center")
        for axes, one in zip(row[1:], seen, strict=True):
            _show(axes, blended(tile, one.heat), frame=RIGHT if one.right else WRONG)
            sign, strange = "✓" if one.right else "✗", one.true_heat is None
            axes.set_xlabel(
                f"{sign} {one.predicted} {one.confidence:.0%}" + (f" ({_truth(one)})" if strange else ""),
                fontsize=8,
                color=RIGHT if one.right else WRONG,
            )
    for axes, title in zip(grid[0], ("tile", *models), strict=True):
        axes.set_title(title, fontsize=9, fontweight="bold", color=INK, parse_math=False)
    write_figure(figure, path)


def _truth(seen: Look) -> str:
    return f"for {seen.true}" if seen.true_heat is not None else f"{seen.true} not known"


def _sheet(width: float, height: float, heading: str) -> Figure:
    figure = Figure((width, height), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    if heading:
        figure.suptitle(heading, fontsize=11, fontweight="bold", color=INK, parse_math=False)
    return figure


def _show(axes: Axes, picture: NDArray[np.floating], frame: str | None = None) -> None:
    axes.set_axis_on()
    axes.imshow(np.clip(picture, 0.0, 1.0), interpolation="bilinear")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(frame is not None)
    if frame is not None:
        axes.spines[:].set(color=frame, linewidth=2.5)
