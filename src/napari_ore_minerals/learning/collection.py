"""A dataset on disk: a table of tiles that refers to pictures, and what is known of the whole.

A dataset folder holds ``dataset.json`` and ``tiles.csv`` (`tile_table.COLUMNS`).  Pictures are
referred to and not copied, by a path that is relative to the folder if they lie in it or beside it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import ValidationError

from napari_ore_minerals.errors import DatasetError, ResultError
from napari_ore_minerals.minerals import MineralTable
from napari_ore_minerals.models.durable import hidden_beside

from .dataset import TileSamples
from .dataset_record import RECORD_NAME, DatasetRecord, Making, read_record
from .rewriting import finish_replacing, replace_together
from .tile_cache import resized_tiles
from .tile_table import PARTS, check_split, check_table, listed, read_table, table_text

TABLE_NAME = "tiles.csv"


class TileLabel(NamedTuple):
    """What somebody says of a tile: its mineral ("" for none), whether sure, whether there are several in it."""

    mineral: str
    sure: bool = True
    several: bool = False


@dataclass(frozen=True)
class TileDataset:
    """Tiles of photographs with what is in them.

    Attributes
    ----------
    folder : Path
        Where it is, or will be.
    name : str
    minerals : MineralTable
        The classes; every label is one of them.
    tile_px : int
        Side of a tile in pixels of its picture.
    table : DataFrame
        One row a tile, `tile_table.COLUMNS`; not to be changed in place.
    dropped : dict
        Why tiles and pictures were left out, and how many.
    making : Making
    """

    folder: Path
    name: str
    minerals: MineralTable
    tile_px: int
    table: pd.DataFrame
    dropped: dict[str, int]
    making: Making = field(default_factory=Making)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, checked: bool = True) -> TileDataset:
        """Read a dataset folder; `checked` False lets a split pass that leaks, in order to make another.

        Raises
        ------
        DatasetError
            If it is no dataset, its files make no sense, or its split leaks.
        """
        folder = Path(folder)
        try:
            finish_replacing(folder)
        except OSError as error:
            raise DatasetError(
                f"{folder} was being rewritten when a program was stopped, and this cannot be finished "
                f"({error.strerror or error}): make the folder writable"
            ) from error
        record = read_record(folder)
        table = read_table(folder / TABLE_NAME)
        try:
            minerals = MineralTable.of(record.minerals)
            check_table(table, minerals, record.tile_px)
            if checked:
                check_split(table, by=record.making.split_by)
        except ValidationError as error:
            raise DatasetError(f"{folder / RECORD_NAME}: {error.errors()[0]['msg']}") from error
        except DatasetError as error:
            raise DatasetError(f"{folder / TABLE_NAME}: {error}") from error
        return cls(
            folder, record.name, minerals, record.tile_px, table, dict(record.dropped), making=record.making
        )

    def write(self, *, overwrite: bool = False) -> None:
        """Write ``dataset.json`` and ``tiles.csv`` together; other files of the folder stay as they are.

        Raises
        ------
        DatasetError
            If the table makes no sense or its split leaks.
        ResultError
            If there is a dataset already, unless `overwrite`, or the disk refuses; nothing
            half-written remains.
        """
        if (self.folder / RECORD_NAME).exists() and not overwrite:
            raise ResultError(f"{self.folder} holds a dataset: choose another place, or ask to overwrite it")
        staging = hidden_beside(self.folder)
        try:
            staging.mkdir(parents=True)
            self.write_into(staging)
            if self.folder.exists():
                replace_together(staging, self.folder)
            else:
                os.rename(staging, self.folder)
        except OSError as error:
            raise ResultError(f"{self.folder} could not be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def write_into(self, folder: Path) -> None:
        """Write the two files into an existing folder that will be renamed to `self.folder`; errors as `write`."""
        check_table(self.table, self.minerals, self.tile_px)
        check_split(self.table, by=self.making.split_by)
        record = DatasetRecord(
            name=self.name,
            tile_px=self.tile_px,
            minerals=self.minerals.minerals,
            dropped=self.dropped,
            making=self.making,
        )
        texts = {TABLE_NAME: table_text(self.table), RECORD_NAME: record.model_dump_json(indent=2) + "\n"}
        for name, text in texts.items():
            with (folder / name).open("x", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())

    def tiles(self, part: str | None) -> pd.DataFrame:
        """Rows of the tiles of a part (None for all) that are labelled and sure: those that `samples` gives."""
        wanted = (self.table["mineral"] != "") & self.table["sure"]
        return self.table[wanted if part is None else wanted & (self.table["part"] == part)]

    def samples(self, part: str | None, *, input_px: int, cache: Path | None = None) -> TileSamples:
        """Labelled and sure tiles of a part, ready to learn from.

        Parameters
        ----------
        part
            "training", "validation" or "test"; None for all tiles.
        input_px
            Side to which tiles are resized.
        cache
            Where resized tiles are kept as memory maps; by default in the user's cache folder.

        Returns
        -------
        TileSamples
            In the order of the table; `groups` is the number of the photograph, the same for every part.

        Raises
        ------
        DatasetError
            If there is no such tile, or a picture is not there or not what it was.
        """
        chosen = self.tiles(part)
        if chosen.empty:
            counts = self.table["part"].replace("", "no part").value_counts()
            found = ", ".join(f"{count} in {name}" for name, count in counts.items()) or "none at all"
            raise DatasetError(
                f"dataset {self.name} has no labelled and sure tile {f'in its part {part!r}' if part else ''} "
                f"(tiles: {found}): label tiles, or split the dataset"
            )
        pixels = resized_tiles(chosen, self.folder, input_px=input_px, cache=cache)
        codes = {mineral.name: mineral.code for mineral in self.minerals}
        photographs = np.unique(self.table["photograph"].to_numpy(dtype=str))
        groups = np.searchsorted(photographs, chosen["photograph"].to_numpy(dtype=str))
        return TileSamples.of_labels(pixels, chosen["mineral"].map(codes).tolist(), groups, self.minerals)

    def table2(self) -> pd.DataFrame:
        """Tiles, photographs and deposits per mineral and part, as the paper's Table 2.

        Returns
        -------
        DataFrame
            A row for each mineral and "all"; a column for the tiles of each part, then for its
            photographs and, where any is known, its deposits.
        """
        chosen = self.tiles(None)
        parts = [part for part in PARTS if (chosen["part"] == part).any()]
        if (chosen["part"] == "").any():
            parts.append("")
        rows = {mineral.name: chosen[chosen["mineral"] == mineral.name] for mineral in self.minerals}
        rows["all"] = chosen
        counts: dict[str, list[int]] = {}
        no_part = "tiles" if parts == [""] else "no part"
        for what, column in (("", "tile"), (" photographs", "photograph"), (" deposits", "deposit")):
            if column == "deposit" and (chosen["deposit"] == "").all():
                continue
            for part in parts:
                tiles = [rows[name].loc[rows[name]["part"] == part, column] for name in rows]
                title = what.strip() if what and parts == [""] else (part or no_part) + what
                counts[title] = [values[values != ""].nunique() for values in tiles]
        return pd.DataFrame(counts, index=pd.Index(list(rows), name="mineral"))

    def photographs(self, part: str | None) -> list[str]:
        """Names of the photographs of a part; of all for None."""
        rows = self.table if part is None else self.table[self.table["part"] == part]
        return sorted(rows["photograph"].unique().tolist())

    def sha256(self) -> str:
        """Hash of the tiles, their labels and their parts, wherever the pictures are."""
        columns = ["tile", "sha256", "mineral", "sure", "part"]
        text: str = self.table[columns].sort_values("tile").to_csv(index=False, lineterminator="\n")
        return hashlib.sha256(text.encode()).hexdigest()


def several_minerals(table: pd.DataFrame) -> pd.Series[bool]:
    """Tell which tiles were sorted by hand as showing more than one mineral: they have no mineral."""
    return (table["origin"] == "hand") & (table["mineral"] == "")


def with_labels(
    dataset: TileDataset, labels: Mapping[str, TileLabel | tuple[str, bool, bool]]
) -> TileDataset:
    """Give tiles the labels that somebody chose by looking at them.

    Parameters
    ----------
    dataset
        Stays as it is.
    labels
        (mineral, sure, several) by name of the tile.  A tile with several minerals loses its mineral and
        is not learnt from; "" without several takes a label back.

    Returns
    -------
    TileDataset
        Not written.

    Raises
    ------
    DatasetError
        If there is no such tile or mineral.
    """
    given = {tile: TileLabel(*label) for tile, label in labels.items()}
    names = {mineral.name for mineral in dataset.minerals}
    strange = sorted({label.mineral for label in given.values()} - names - {""})
    if strange:
        raise DatasetError(
            f"{listed(strange)}: no mineral of dataset {dataset.name}, which has {', '.join(sorted(names))}"
        )
    table = dataset.table.set_index("tile", drop=False)
    absent = [tile for tile in given if tile not in table.index]
    if absent:
        raise DatasetError(f"dataset {dataset.name} has no tile {listed(absent)}")
    rows = list(given)
    clear = [label.mineral if not label.several else "" for label in given.values()]
    touched = [bool(label.mineral) or label.several for label in given.values()]
    table.loc[rows, "mineral"] = clear
    table.loc[rows, "fraction"] = [1.0 if mineral else 0.0 for mineral in clear]
    table.loc[rows, "sure"] = [label.sure for label in given.values()]
    table.loc[rows, "origin"] = ["hand" if by_hand else "" for by_hand in touched]
    return replace(dataset, table=table.reset_index(drop=True))
