"""What is in the cells of a picture: from its mask, else from the labels of its tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError

from .picture_files import PictureFile
from .tile_labels import find_mask, parse_codes, read_mask

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import MineralTable

    from .collection import TileDataset

_DEEPEST = 4  # folders below that of the masks
_TOLERATED = 0.01  # of a share, which the table rounds


@dataclass
class MaskedLabels:
    """The masks that a dataset was made with, and how many of them were found.

    Attributes
    ----------
    minerals : MineralTable
    masks : Path or None
        Their folder; None for masks beside their pictures.
    names : mapping
        Mineral of each code.
    wanted : bool
        Whether the labels of the dataset are from masks, or a folder of masks was named.
    """

    minerals: MineralTable
    masks: Path | None
    names: Mapping[int, str]
    wanted: bool
    found: int = field(default=0)
    missing: int = field(default=0)

    @classmethod
    def of(cls, dataset: TileDataset, masks: Path | None, codes: Sequence[str]) -> MaskedLabels:
        """Look where masks may be; `DatasetError` if the folder is not there or codes make no sense."""
        if masks is not None and not masks.is_dir():
            raise DatasetError(f"{masks} is no folder of masks: name the one that the dataset was made with")
        wanted = masks is not None or bool((dataset.table["origin"] == "mask").any())
        return cls(dataset.minerals, masks, parse_codes(codes), wanted)

    def shares(
        self, picture: Path, size: tuple[int, int], tiles: pd.DataFrame, cell_px: int
    ) -> NDArray[np.float32] | None:
        """Share of each mineral in each cell of a picture, (rows, columns, minerals); None if there is no mask.

        Parameters
        ----------
        picture
            Its file.
        size
            Height and width in pixels.
        tiles
            Its rows in the table, with which the mask must agree.
        cell_px
            Side of a cell.

        Raises
        ------
        DatasetError
            If the mask is damaged, of another size, or says something else than the table.
        """
        path = self._mask(picture) if self.wanted else None
        if path is None:
            self.missing += 1
            return None
        self.found += 1
        codes = read_mask(path)
        if codes.shape != size:
            raise DatasetError(
                f"{path.name} is {codes.shape[1]} x {codes.shape[0]} px, its picture {size[1]} x {size[0]}: "
                "give masks of the size of their pictures"
            )
        self._check(path, codes, tiles)
        return self._cells(codes, cell_px)

    def notice(self) -> str:
        """What the user should be told of masks that were not found."""
        if not self.missing:
            return ""
        return (
            f"{self.missing} of {self.missing + self.found} pictures have no mask: of them the cells of labelled "
            "tiles are learnt from"
            + (", and --masks names the folder of masks" if self.masks is None and self.wanted else "")
        )

    def in_words(self) -> str:
        """Where the labels are from, for a card."""
        total = self.found + self.missing
        return f"cells labelled by the masks of {self.found} of its {total} pictures, else by their tiles"

    def _mask(self, picture: Path) -> Path | None:
        for depth in range(1, _DEEPEST):
            relative = Path(*picture.parts[-depth:])
            if path := find_mask(PictureFile(picture, relative, picture.stem, picture.stem), self.masks):
                return path
        return None

    def _check(self, path: Path, codes: NDArray[np.integer], tiles: pd.DataFrame) -> None:
        """Refuse a mask, or a meaning of its codes, that the dataset was not made with."""
        masked = tiles[tiles["origin"] == "mask"]
        columns = (
            masked[name].tolist() for name in ("row_px", "column_px", "tile_px", "mineral", "fraction")
        )
        for row, column, side, mineral, fraction in zip(*columns, strict=True):
            wanted = [code for code, name in self.names.items() if name == mineral]
            share = float(np.isin(codes[row : row + side, column : column + side], wanted).mean())
            if abs(share - fraction) > _TOLERATED:
                raise DatasetError(
                    f"{path.name} shows {share:.0%} {mineral} where the dataset has {fraction:.0%}: give the --masks "
                    "and --codes that the dataset was made with"
                )

    def _cells(self, codes: NDArray[np.integer], cell_px: int) -> NDArray[np.float32]:
        rows, columns = (length // cell_px for length in codes.shape)
        blocks = codes[: rows * cell_px, : columns * cell_px].reshape(rows, cell_px, columns, cell_px)
        index = {mineral.name: number for number, mineral in enumerate(self.minerals)}
        shares = np.zeros((rows, columns, len(self.minerals)), np.float32)
        for code in np.unique(blocks).tolist():
            number = index.get(self.names.get(code, ""))  # what stands for nothing here is unknown
            if number is not None:
                shares[..., number] += (blocks == code).mean(axis=(1, 3))
        return shares


def shares_of_tiles(
    tiles: pd.DataFrame, shape: tuple[int, int], cell_px: int, minerals: MineralTable
) -> NDArray[np.float32]:
    """Share of each mineral in each cell where only tiles are known: that of the tile, in all of its cells.

    Parameters
    ----------
    tiles
        Rows of the table; those that are labelled and sure count.
    shape
        Rows and columns of cells.
    cell_px
        Side of a cell.
    minerals
        The classes.

    Returns
    -------
    (rows, columns, minerals) float32 array
    """
    index = {mineral.name: number for number, mineral in enumerate(minerals)}
    shares = np.zeros((*shape, len(minerals)), np.float32)
    known = tiles[(tiles["mineral"] != "") & tiles["sure"]]
    columns = (known[name].tolist() for name in ("row_px", "column_px", "tile_px", "mineral", "fraction"))
    for row, column, side, mineral, fraction in zip(*columns, strict=True):
        down, right = (slice(start // cell_px, (start + side) // cell_px) for start in (row, column))
        shares[down, right, index[mineral]] = fraction
    return shares
