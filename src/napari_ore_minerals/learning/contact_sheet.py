"""Contact sheets: tiles as they are, and after each augmentation."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_ore_minerals.errors import DatasetError, ResultError

from .augmentation import PAPER_SIX, TRANSFORMS, Augmentation, Transform, augment
from .enlarging import changed_tile
from .tile_cache import read_tiles

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .collection import TileDataset

_INCH = 1.25
_TOGETHER = "all together"


def contact_sheet(
    tiles: list[tuple[str, NDArray[np.uint8]]], *, kind: Augmentation = "paper", seed: int = 0
) -> Figure:
    """Draw tiles in rows: as they are, after each augmentation, and after all as a training applies them.

    Parameters
    ----------
    tiles
        Title and (s, s, 3) pixels of each row.
    kind
        Set of augmentations.
    seed
        Of all randomness.
    """
    transforms = _titled(kind)
    generator = torch.Generator().manual_seed(seed)
    columns, rows = len(transforms) + 1, len(tiles)
    margin = 0.2 + 0.055 * max(len(line) for title, _ in tiles for line in title.split("\n"))
    figure = Figure((_INCH * columns + margin, _INCH * rows + 0.3), dpi=150, facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=margin / figure.get_figwidth(),
        right=0.995,
        bottom=0.02 / figure.get_figheight(),
        top=1.0 - 0.28 / figure.get_figheight(),
        wspace=0.03,
        hspace=0.03,
    )
    for (title, rgb), axes in zip(tiles, grid, strict=True):
        shown = [rgb, *(changed_tile(rgb, transform, generator) for transform in transforms.values())]
        for picture, axis in zip(shown, axes, strict=True):
            axis.imshow(picture, interpolation="antialiased")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        axes[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=7)
    for title, axis in zip(["original", *transforms], grid[0], strict=True):
        axis.set_title(title, fontsize=9, pad=3)
    return figure


def write_contact_sheet(
    dataset: TileDataset,
    path: Path,
    *,
    rows: int = 8,
    kind: Augmentation = "paper",
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write a contact sheet of tiles drawn by lot, of each mineral in turn, as PNG.

    Raises
    ------
    DatasetError
        If the dataset has no tile, or a picture is not there.
    ResultError
        If the file exists, unless `overwrite`, or the disk refuses.
    """
    if path.exists() and not overwrite:
        raise ResultError(f"{path} exists: choose another place, or ask to overwrite it")
    table = _drawn(dataset, rows, np.random.default_rng(seed))
    pixels = dict(read_tiles(table, dataset.folder))
    titles = [
        f"{mineral or 'not labelled'}\n{_short(tile)}"
        for mineral, tile in zip(table["mineral"], table["tile"], strict=True)
    ]
    figure = contact_sheet([(title, pixels[row]) for row, title in enumerate(titles)], kind=kind, seed=seed)
    staged = path.with_name(f".{uuid.uuid4().hex}.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasAgg(figure).print_png(str(staged))
        os.replace(staged, path)
    except OSError as error:
        raise ResultError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)


def _titled(kind: Augmentation) -> dict[str, Transform]:
    if kind == "paper":
        titled = dict(PAPER_SIX)
    else:
        named = {getattr(one, "func", one).__name__: one for one in TRANSFORMS[kind]}
        titled = {name.removeprefix("random_").replace("_", " "): one for name, one in named.items()}
    return titled | {_TOGETHER: lambda batch, generator: augment(batch, kind, generator)}


def _drawn(dataset: TileDataset, rows: int, random: np.random.Generator) -> pd.DataFrame:
    """Draw tiles of each mineral in turn, of the training part if there is one."""
    tiles = dataset.tiles("training")
    if tiles.empty:
        tiles = dataset.tiles(None)
    if tiles.empty:
        tiles = dataset.table
    if tiles.empty:
        raise DatasetError(f"dataset {dataset.name} has no tile to show")
    shuffled = tiles.iloc[random.permutation(len(tiles))]
    turn = shuffled.groupby("mineral").cumcount()
    return shuffled.assign(turn=turn).sort_values(["turn", "mineral"]).head(rows).sort_values("mineral")


def _short(tile: str) -> str:
    return tile if len(tile) <= 22 else f"{tile[:9]}…{tile[-12:]}"
