"""Pictures cut into labelled tiles, with account of what is left out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from napari_ore_minerals.errors import DatasetError, PictureError, ResultError
from napari_ore_minerals.images.micrograph import Micrograph, Window
from napari_ore_minerals.minerals import DEFAULT_MINERALS, UNCLASSIFIED

from .collection import TileDataset
from .dataset_record import Making
from .naming import mineral_name, minerals_named
from .picture_files import PictureFile
from .tile_cache import picture_reference, picture_sha256, tile_sha256
from .tile_labels import (
    CodedCells,
    LabelKind,
    Labels,
    find_mask,
    find_result,
    folder_label,
    labels_of_result,
    read_mask,
)
from .tile_options import TileOptions
from .tile_table import COLUMNS, listed

ORIGIN_OF: Mapping[LabelKind, str] = {"folders": "folder", "masks": "mask", "results": "oremap", "none": ""}
UNREADABLE = "pictures that cannot be read"
TOO_SMALL = "pictures smaller than a tile"
NO_LABELS = "pictures without a mask or result"
MIXED = "tiles of more than one mineral"
MOSTLY_UNKNOWN = "tiles mostly without a label"
NO_DATA = "tiles with pixels without data"
COPIES = "tiles of the same pixels as another"
CONTRADICTIONS = "tiles of the same pixels with different minerals"


@dataclass
class Cutter:
    """Gathers the rows of tiles, and what was left out."""

    out: Path
    options: TileOptions
    kind: LabelKind
    codes: Mapping[int, str]
    rows: list[tuple[object, ...]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    other_sizes: list[str] = field(default_factory=list)
    unreadable_labels: list[str] = field(default_factory=list)
    unknown_codes: dict[int, list[str]] = field(default_factory=dict)

    def add(self, file: PictureFile) -> list[str]:
        """Cut one picture; returns what the user should be told."""
        try:
            micrograph = Micrograph.open(file.path)
            self._cut(file, micrograph)
        except PictureError as error:
            self.dropped[UNREADABLE] += 1
            return [f"left out: {error}"]
        return [f"{file.path.name}: assumed {guess}" for guess in micrograph.guesses]

    def _cut(self, file: PictureFile, micrograph: Micrograph) -> None:
        if min(micrograph.height_px, micrograph.width_px) < self.options.tile_px:
            self.dropped[TOO_SMALL] += 1
            return
        try:
            labels = self._labels(file, micrograph)
        except (DatasetError, ResultError) as error:
            self.unreadable_labels.append(str(error))
            return
        if self.other_sizes or self.unreadable_labels or self.unknown_codes:
            return  # there will be no dataset; only the other labels are still looked at
        if labels is None and self.kind != "none":
            self.dropped[NO_LABELS] += 1
            return
        self.rows += self._tiles(file, micrograph, labels)

    def _labels(self, file: PictureFile, micrograph: Micrograph) -> Labels | None:
        if self.kind == "folders":
            return folder_label(file)
        if self.kind == "results":
            result = find_result(file, self.options.results)
            return None if result is None else labels_of_result(result, micrograph)
        path = find_mask(file, self.options.masks) if self.kind == "masks" else None
        if path is None:
            return None
        codes, size = read_mask(path), (micrograph.height_px, micrograph.width_px)
        if codes.shape != size:
            sizes = f"mask {codes.shape[1]} x {codes.shape[0]}, picture {size[1]} x {size[0]}"
            self.other_sizes.append(f"{path.name} ({sizes})")
            return None
        for code in sorted(set(np.unique(codes).tolist()) - set(self.codes)):
            self.unknown_codes.setdefault(code, []).append(path.name)
        return CodedCells(codes, 1, self.codes)

    def _tiles(
        self, file: PictureFile, micrograph: Micrograph, labels: Labels | None
    ) -> list[tuple[object, ...]]:
        side, dropped = self.options.tile_px, Counter[str]()
        rows: list[tuple[object, ...]] = []
        whole = picture_sha256(file.path)
        reference = picture_reference(self.out, file.path)
        for row in range(micrograph.height_px // side):
            for column in range(micrograph.width_px // side):
                window = Window(row * side, column * side, side, side)
                label = self._label(labels, window, dropped)
                if label is None:
                    continue
                rgb, finite = micrograph.read(window)
                if finite is not None and not finite.all():
                    dropped[NO_DATA] += 1
                    continue
                place = (f"{file.key}-r{row}-c{column}", file.photograph, reference, whole)
                origin = ORIGIN_OF[self.kind] if label[0] else ""
                corner = (window.row, window.column, side)
                rows.append((*place, *corner, file.deposit, *label, origin, True, "", tile_sha256(rgb)))
        self.dropped += dropped
        return rows

    def _label(
        self, labels: Labels | None, window: Window, dropped: Counter[str]
    ) -> tuple[str, float] | None:
        """Mineral of a tile and its share; None if the tile is not clear."""
        if labels is None:
            return "", 0.0
        shares = labels.shares(window)
        best = max(shares, key=shares.__getitem__, default="")
        if shares.get(best, 0.0) >= self.options.dominant - 1e-9:
            return best, min(shares[best], 1.0)
        known = sum(shares.values()) >= self.options.dominant - 1e-9
        dropped[MIXED if known else MOSTLY_UNKNOWN] += 1
        return None

    def check(self, pictures: int) -> None:
        """Refuse labels that do not fit, and pictures that give no tile or none that is left of its copies."""
        if self.other_sizes:
            raise DatasetError(
                f"{len(self.other_sizes)} of {pictures} masks are of another size than their pictures: "
                f"{listed(self.other_sizes)}"
            )
        if self.unreadable_labels:
            raise DatasetError(
                f"the labels of {len(self.unreadable_labels)} of {pictures} pictures cannot be used: "
                f"{listed(self.unreadable_labels)}"
            )
        if self.unknown_codes:
            found = [f"{code} in {len(names)} masks" for code, names in sorted(self.unknown_codes.items())]
            known = [
                f"{code}={name}" for code, name in self.codes.items() if (code, name) != (UNCLASSIFIED, "")
            ]
            missing = [f"{code}=NAME" for code in sorted(self.unknown_codes)]
            raise DatasetError(
                f"{len(self.unknown_codes)} codes of the masks stand for no mineral ({', '.join(found)}): "
                f"name all of them, --codes {shlex.join(known + missing)}, with nothing after the = to leave one out"
            )
        table, copies = without_copies(pd.DataFrame(self.rows, columns=list(COLUMNS)))
        if table.empty:
            found = [f"{count} {what}" for what, count in (self.dropped + copies).items()]
            raise DatasetError(
                f"{pictures} pictures gave no tile of {self.options.tile_px} px ({', '.join(found)}): "
                "check the size of tiles and the labels"
            )

    def dataset(self, command: str) -> TileDataset:
        """Make the dataset of the rows so far, each tile once."""
        table = pd.DataFrame(self.rows, columns=list(COLUMNS))
        table, copies = without_copies(table)
        named = [mineral_name(name) for name in self.options.minerals]
        names = [*dict.fromkeys([*table.loc[table["mineral"] != "", "mineral"], *named])]
        return TileDataset(
            self.out,
            self.options.name or self.out.absolute().name,
            minerals_named(names) if names else DEFAULT_MINERALS,
            self.options.tile_px,
            table,
            dict(self.dropped + copies),
            making=Making.now(command, dominant=self.options.dominant),
        )


def without_copies(table: pd.DataFrame) -> tuple[pd.DataFrame, Counter[str]]:
    """Keep one of several tiles of the same pixels, a labelled one first; none if their minerals differ.

    Returns
    -------
    table
        The tiles that are kept, in their order.
    dropped
        How many are not, and why.
    """
    table = table.reset_index(drop=True)
    labelled = table[table["mineral"] != ""].groupby("sha256")["mineral"].nunique()
    contradicted = table["sha256"].isin(labelled.index[labelled > 1])
    rest = table[~contradicted]
    first = rest.assign(unlabelled=rest["mineral"] == "").sort_values("unlabelled", kind="stable")
    kept = first[~first["sha256"].duplicated()].index.sort_values()
    counts = {CONTRADICTIONS: int(contradicted.sum()), COPIES: len(rest) - len(kept)}
    dropped = Counter({what: count for what, count in counts.items() if count})
    return table.loc[kept].reset_index(drop=True), dropped
