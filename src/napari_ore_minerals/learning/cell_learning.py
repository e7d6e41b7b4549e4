"""Cells of the photographs of a dataset: learnt from, and measured tile by tile."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from napari_ore_minerals.errors import DatasetError, OptionError, OreMineralsError
from napari_ore_minerals.images.anchoring import CellColours
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.progress import Progress, Steps

from .anchored import LabelledCells, means_of_tiles, train_anchored
from .anchored_options import AnchoredOptions
from .cell_files import CELLS_PER_TILE, CellCard, load_cells, save_cells
from .cell_labels import MaskedLabels, shares_of_tiles
from .evaluate_options import WANTED_PRECISION
from .evaluation import confident_from
from .evaluation_report import (
    EvaluationReport,
    class_indices,
    few_photographs,
    stopped_after,
    table_of_predictions,
)
from .tile_cache import picture_path, picture_sha256
from .tile_table import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .anchored import AnchoredClassifier
    from .collection import TileDataset

MOST_PX = 100_000_000
SOFTWARE = ("napari-ore-minerals", "torch", "numpy", "opencv-python-headless")


class PictureCells(NamedTuple):
    """The cells of one picture of a dataset, and the rows of its tiles in the table."""

    path: Path
    tiles: pd.DataFrame
    colours: CellColours
    size: tuple[int, int]  # height and width in pixels


def train_cells_steps(
    dataset: TileDataset,
    out: Path,
    options: AnchoredOptions | None = None,
    *,
    masks: Path | None = None,
    codes: Sequence[str] = (),
) -> Steps[CellCard | None]:
    """Train a classifier of cells, a quarter of a tile wide, on the training part of a dataset.

    Where masks are known every cell of one mineral is learnt from, also of tiles that hold several; where they
    are not, the cells of tiles with a label.

    Parameters
    ----------
    dataset
        With tiles in its training part; its tiles are a multiple of 32 px, at least 64.
    out
        Folder to be made, see `cell_files`.
    options
        How to train; None for the defaults.
    masks, codes
        As the dataset was made with: the folder of the masks (None for masks beside their pictures), and what
        their codes stand for.

    Yields
    ------
    Progress
        In pictures.

    Returns
    -------
    CellCard or None
        None when sent True; nothing is written then.

    Raises
    ------
    DatasetError
        If pictures or masks are not what they were, or there is too little to learn from.
    ResultError
        If `out` exists, or the disk refuses.
    """
    options = options or AnchoredOptions()
    cell_px = cells_of_tiles(dataset.tile_px)
    if out.exists():
        raise OptionError(f"{out} exists: name another folder, a classifier of cells is never overwritten")
    _check_part(dataset, "training")
    labels = MaskedLabels.of(dataset, masks, codes)
    learnt: dict[str, list[LabelledCells]] = {"training": [], "validation": []}
    wanted = [part for part in learnt if not dataset.tiles(part).empty]
    pictures = {part: dataset.table[dataset.table["part"] == part]["picture"].nunique() for part in wanted}
    done = 0
    for part in wanted:
        for picture in pictures_of(dataset, part, cell_px):
            learnt[part].append(_labelled(dataset, picture, cell_px, labels))
            done += 1
            if (yield Progress(done, sum(pictures.values()), "pictures", "reading")):
                return None
    if (yield Progress(done, done, "pictures", "learning", notice=labels.notice())):
        return None
    classifier = train_anchored(learnt["training"], options)
    card = CellCard(
        name=out.name or "cells",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        minerals=dataset.minerals.minerals,
        cell_px=cell_px,
        options=options,
        min_confidence=_least_confidence(classifier, learnt["validation"], options),
        photographs=len(dataset.photographs("training")),
        dataset={"name": dataset.name, "sha256": dataset.sha256()},
        software={name: version(name) for name in SOFTWARE},
        command=_command(dataset, options, masks, codes),
        provenance=f"Trained on the training part of the dataset {dataset.name}, {labels.in_words()}.",
    )
    return save_cells(out, card, classifier)


def evaluate_cells_steps(dataset: TileDataset, part: str, model: Path) -> Steps[EvaluationReport]:
    """Measure a classifier of cells on the tiles of a part; the answer for a tile is the mean of its cells.

    Yields
    ------
    Progress
        In pictures.

    Returns
    -------
    EvaluationReport
        When sent True, of the pictures done so far.

    Raises
    ------
    DatasetError
        If the part has no tiles, or minerals that the classifier does not know.
    ModelError
        If the classifier must not be used.
    """
    card, classifier = load_cells(model)
    tiles, minerals = _check_part(dataset, part), card.mineral_table
    class_indices(tiles["mineral"], minerals)  # says which minerals are strange, before anything is computed
    per_tile, rest = divmod(dataset.tile_px, card.cell_px)
    if rest or not per_tile:
        raise DatasetError(
            f"tiles of {dataset.tile_px} px are not cut into cells of {card.cell_px} px, which {card.name} has "
            f"learnt from: make the dataset with --tile-px {CELLS_PER_TILE * card.cell_px}"
        )
    rows, answers, total = [], [], tiles["picture"].nunique()
    for picture in pictures_of(dataset, part, card.cell_px, only=tiles):
        means = means_of_tiles(classifier.probabilities(picture.colours), per_tile)
        places = picture.tiles[["row_px", "column_px"]].to_numpy() // dataset.tile_px
        rows.append(picture.tiles)
        answers.append(means[places[:, 0], places[:, 1]])
        if (yield Progress(len(rows), total, "pictures", f"{part} pictures")):
            break
    found = table_of_predictions(pd.concat(rows), np.concatenate(answers), minerals)
    notices = (*stopped_after(len(rows), total, "pictures"), *few_photographs(found))
    return EvaluationReport(card.name, dataset.name, part, minerals, found, notices=notices)


def cells_of_tiles(tile_px: int) -> int:
    """Side of the cells of tiles; `DatasetError` if such tiles are not cut into cells."""
    cell_px, rest = divmod(tile_px, CELLS_PER_TILE)
    if rest or cell_px % 8 or cell_px < 16:
        raise DatasetError(
            f"tiles of {tile_px} px are not cut into {CELLS_PER_TILE} x {CELLS_PER_TILE} cells of a multiple of 8 px, "
            "at least 16: make the dataset with --tile-px 256, or another multiple of 32 from 64 on"
        )
    return cell_px


def cell_colours(micrograph: Micrograph, cell_px: int, *, padded: bool = False) -> CellColours:
    """Measure the whole cells of a picture; `padded` fills those that reach over its edge by reflection.

    Raises
    ------
    OptionError
        If the picture is smaller than a cell, or too large to be read as a whole.
    """
    pixels = micrograph.height_px * micrograph.width_px
    if pixels > MOST_PX:
        raise OptionError(
            f"{micrograph.name} has {pixels / 1e6:.0f} million pixels; cells are compared with their whole picture, "
            f"which may have {MOST_PX / 1e6:.0f} million: cut it into parts"
        )
    rgb, _ = micrograph.read()
    if padded:
        short = [-length % cell_px for length in rgb.shape[:2]]
        rgb = np.pad(rgb, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric")
    return CellColours.of(np.ascontiguousarray(rgb), cell_px)


def pictures_of(
    dataset: TileDataset, part: str, cell_px: int, *, only: pd.DataFrame | None = None
) -> Iterator[PictureCells]:
    """Read the pictures of a part, each as a whole, since a cell is seen beside all of it.

    Parameters
    ----------
    dataset
    part
        "training", "validation" or "test".
    cell_px
        Side of a cell.
    only
        Rows of the tiles that are asked for; all of the part for None.

    Raises
    ------
    DatasetError
        If pictures are not there or not what they were, or tiles begin elsewhere than side by side.
    """
    table = dataset.table[dataset.table["part"] == part] if only is None else only
    if len(odd := table[(table[["row_px", "column_px"]] % dataset.tile_px != 0).any(axis=1)]):
        raise DatasetError(f"{len(odd)} tiles do not lie side by side from the corner: {listed(odd['tile'])}")
    for picture, tiles in table.groupby("picture", sort=False):
        path = picture_path(dataset.folder, str(picture))
        try:
            if picture_sha256(path) != tiles["picture_sha256"].iloc[0]:
                raise DatasetError(
                    f"{path} has changed since the dataset was made: put it back, or make the dataset anew"
                )
            micrograph = Micrograph.open(path)
            size = (micrograph.height_px, micrograph.width_px)
            yield PictureCells(path, tiles, cell_colours(micrograph, cell_px), size)
        except DatasetError:
            raise
        except (OreMineralsError, OSError) as error:
            raise DatasetError(f"{path} cannot be read as a picture of the dataset: {error}") from error


def _check_part(dataset: TileDataset, part: str) -> pd.DataFrame:
    tiles = dataset.tiles(part)
    if tiles.empty:
        raise DatasetError(
            f"dataset {dataset.name} has no labelled and sure tile in its part {part!r}: label tiles, then split "
            "it with ore-minerals dataset split"
        )
    return tiles


def _labelled(
    dataset: TileDataset, picture: PictureCells, cell_px: int, labels: MaskedLabels
) -> LabelledCells:
    shares = labels.shares(picture.path, picture.size, picture.tiles, cell_px)
    if shares is None:
        shares = shares_of_tiles(picture.tiles, picture.colours.shape, cell_px, dataset.minerals)
    return LabelledCells(picture.colours, shares)


def _least_confidence(
    classifier: AnchoredClassifier, photographs: Sequence[LabelledCells], options: AnchoredOptions
) -> float:
    """Least confidence from the pure cells of the validation photographs; 0 if none is good enough."""
    truth: list[NDArray[np.int64]] = []
    answers: list[NDArray[np.float32]] = []
    for one in photographs:
        pure = one.shares.max(axis=2) >= options.pure
        truth.append(one.shares.argmax(axis=2)[pure])
        answers.append(classifier.probabilities(one.colours)[pure])
    if not sum(map(len, truth)):
        return 0.0
    least = confident_from(np.concatenate(truth), np.concatenate(answers), WANTED_PRECISION)
    return round(least, 4) if least < 1.0 else 0.0


def _command(dataset: TileDataset, options: AnchoredOptions, masks: Path | None, codes: Sequence[str]) -> str:
    words = ["ore-minerals cells train", dataset.folder.name, "--out CELLS"]
    words += [] if masks is None else ["--masks", masks.name]
    words += ["--codes", *codes] if codes else []
    changed = options.model_dump(exclude_defaults=True).items()
    return " ".join([*words, *(f"--{name} {value}" for name, value in changed)])
