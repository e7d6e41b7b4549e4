"""Training, validation and test: nothing that belongs together is in two of them (the paper's step 2)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.minerals import MineralTable

from .assigning import assign, held_out
from .naming import mineral_name
from .tile_options import SplitBy, SplitOptions
from .tile_table import PARTS, check_split, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .collection import TileDataset

_DEFAULTS = SplitOptions()


def split(dataset: TileDataset, options: SplitOptions = _DEFAULTS) -> TileDataset:
    """Split a dataset so that no photograph, and no known deposit of the test, is in two parts.

    The tiles and the photographs of each mineral are as even among the parts as whole photographs and
    deposits allow.  Tiles without a label go where their photograph goes.  Photographs of unknown deposit
    never become test where others' are known.  Photographs of the same picture file are one.

    Returns
    -------
    TileDataset
        Not written.

    Raises
    ------
    DatasetError
        If a mineral has too few photographs or deposits for three parts, or there are not two minerals.
    """
    dataset = _without(dataset, options.leave_out)
    groups = _joined(dataset.table)
    joined = replace(dataset, table=dataset.table.assign(photograph=groups))
    counts = _counts(joined)
    _check_enough(counts, dataset.name)
    shares = np.array([options.training, options.validation, options.test], dtype=float)
    random = np.random.default_rng(options.seed)
    deposits = _deposits(joined, counts.index)
    by: SplitBy = options.by if (deposits != "").any() else "photograph"
    if by == "deposit":
        parts = _by_deposit(counts, deposits, shares, random)
    else:
        parts = assign(_tiles_and_photographs(counts), shares / shares.sum(), random)
    chosen = pd.Series([PARTS[part] for part in parts], index=counts.index)
    table = dataset.table.assign(part=groups.map(chosen).fillna(""))
    found = replace(dataset, table=table, making=dataset.making.model_copy(update={"split_by": options.by}))
    _check_present(found)
    check_split(table, by=options.by)
    return found


def _by_deposit(
    counts: pd.DataFrame, deposits: pd.Series[str], shares: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Test from whole deposits; training and validation from the photographs of the others."""
    known = deposits != ""
    per_deposit = counts[known].groupby(deposits[known]).sum()
    if len(per_deposit) < 2:
        raise DatasetError(
            f"all {int(known.sum())} photographs of known deposit are from {per_deposit.index[0]}, and test "
            "tiles must be from another: add a second deposit, or split --by photograph"
        )
    elsewhere = (per_deposit > 0).sum() + counts[~known].any()
    alone = [f"{name} from {per_deposit[name].idxmax()}" for name in counts if elsewhere[str(name)] < 2]
    if alone:
        raise DatasetError(
            f"{len(alone)} of {counts.shape[1]} minerals are from one deposit alone ({listed(alone)}), so that test "
            "tiles cannot be from another: split --by photograph, or --leave-out those minerals"
        )
    groups = deposits[known].reindex(counts.index).fillna("")
    rows = [*per_deposit.index, ""]
    tiles = counts.groupby(groups).sum().reindex(rows, fill_value=0)
    photographs = (counts > 0).groupby(groups).sum().reindex(rows, fill_value=0)
    test = held_out(tiles.to_numpy(float), photographs.to_numpy(), shares[2] / shares.sum(), random)
    is_test = deposits.isin([row for row, held in zip(rows, test, strict=True) if held]).to_numpy()
    parts = np.full(len(counts), PARTS.index("test"))
    learning = shares[:2] / shares[:2].sum()
    parts[~is_test] = assign(_tiles_and_photographs(counts[~is_test]), learning, random)
    return parts


def _joined(table: pd.DataFrame) -> pd.Series[str]:
    """Photograph of each tile, where those that share a picture, byte for byte, have the name of the first."""
    found = table["photograph"]
    while True:
        before = found
        for column in ("picture_sha256", "photograph"):
            found = found.groupby(table[column]).transform("min")
        if found.equals(before):
            return found


def _counts(dataset: TileDataset) -> pd.DataFrame:
    """Labelled and sure tiles of each photograph (rows) and mineral (columns)."""
    tiles = dataset.tiles(None)
    table = pd.crosstab(tiles["photograph"], tiles["mineral"])
    return table.reindex(columns=[mineral.name for mineral in dataset.minerals], fill_value=0)


def _tiles_and_photographs(counts: pd.DataFrame) -> NDArray[np.float64]:
    """Tiles, and photographs with such tiles, of each mineral; an interval over one photograph says nothing."""
    return np.hstack([counts.to_numpy(float), (counts > 0).to_numpy(float)])


def _deposits(dataset: TileDataset, photographs: pd.Index[str]) -> pd.Series[str]:
    found = dataset.table.groupby("photograph")["deposit"]
    several = found.nunique()
    if (several > 1).any():
        raise DatasetError(
            f"{int((several > 1).sum())} of {len(several)} photographs are, themselves or as copies, from more than "
            f"one deposit: {listed(several.index[several > 1])}"
        )
    return found.first().reindex(photographs)


def _without(dataset: TileDataset, names: tuple[str, ...]) -> TileDataset:
    """Take the tiles of some minerals out of a dataset, and the minerals themselves."""
    left_out = {mineral_name(name) for name in names}
    strange = left_out - {mineral.name for mineral in dataset.minerals}
    if strange:
        known = ", ".join(mineral.name for mineral in dataset.minerals)
        raise DatasetError(f"{listed(sorted(strange))} cannot be left out: the dataset has {known}")
    minerals = [mineral for mineral in dataset.minerals if mineral.name not in left_out]
    if names and len(minerals) < 2:
        raise DatasetError(
            f"{len(minerals)} of {len(dataset.minerals)} minerals would be left; a classifier needs two"
        )
    gone = dataset.table["mineral"].isin(left_out)
    dropped = Counter(dataset.dropped)
    for unwanted, count in dataset.table.loc[gone, "mineral"].value_counts().items():
        dropped[f"tiles of {unwanted}, which was not wanted"] += int(count)
    table = dataset.table[~gone].reset_index(drop=True)
    return replace(dataset, minerals=MineralTable.of(minerals), table=table, dropped=dict(dropped))


def _check_enough(counts: pd.DataFrame, name: str) -> None:
    photographs = (counts > 0).sum()
    found = photographs.index[photographs > 0]
    if len(found) < 2:
        raise DatasetError(
            f"dataset {name} has tiles of 1 mineral, {found[0]}; a classifier needs two"
            if len(found)
            else f"dataset {name} has no labelled and sure tile: label tiles before they are split"
        )
    few = photographs[photographs < len(PARTS)]
    if len(few):
        in_words = ", ".join(f"{mineral}: {count}" for mineral, count in few.items())
        raise DatasetError(
            f"{len(few)} of {len(photographs)} minerals have labelled tiles in fewer than {len(PARTS)} photographs "
            f"({in_words}): add photographs, or take minerals out with --leave-out {' '.join(map(str, few.index))}"
        )


def _check_present(dataset: TileDataset) -> None:
    tiles = dataset.tiles(None)
    found = pd.crosstab(tiles["part"], tiles["mineral"]).reindex(list(PARTS), fill_value=0)
    counts = {part: found.loc[part] for part in PARTS}
    absent = [f"{name} in {part}" for part in PARTS for name in found if not counts[part][str(name)]]
    if absent:
        raise DatasetError(
            f"no split gives every part a tile of every mineral (missing: {listed(absent)}): add photographs, "
            "split --by photograph, or --leave-out minerals"
        )
