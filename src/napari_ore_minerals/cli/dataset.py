"""Commands of ``ore-minerals``: dataset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter, validators

from napari_ore_minerals.cli.console import SOME_FAILED, tell, with_bar
from napari_ore_minerals.learning.tile_options import SplitOptions, TileOptions

if TYPE_CHECKING:
    from napari_ore_minerals.learning.collection import TileDataset

_TILE_DEFAULTS, _SPLIT_DEFAULTS = TileOptions(), SplitOptions()
_Few = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))]
_Fields = Parameter(name="*", consume_multiple=True)  # several values after one flag

dataset_app = App(name="dataset", help="Tiles to learn from: cut, sorted, split, enlarged and looked at.")


@dataset_app.command
def tile(
    pictures: list[Path],
    /,
    *,
    out: Path,
    overwrite: bool = False,
    options: Annotated[TileOptions, _Fields] = _TILE_DEFAULTS,
) -> int:
    """Cut photographs into tiles and label them by folders, masks or results.

    Example: ore-minerals dataset tile photographs --out ores --deposit-from folder

    A picture in a folder named after a mineral shows that mineral; a mask beside it (NAME-mask.png) or in
    --masks tells it for each pixel; a result (NAME.oremap) as it was corrected. Without any of these, tiles
    are to be sorted by hand.

    Parameters
    ----------
    pictures
        Folders of pictures, searched to the end, or pictures.
    out
        Folder of the dataset; pictures are not copied.
    overwrite
        Replace an older dataset, with its labels and split; what was sorted there by hand is put aside.
    """
    from napari_ore_minerals.learning.cutting import UNREADABLE
    from napari_ore_minerals.learning.tiling import tile_steps

    dataset = with_bar(tile_steps(pictures, out, options, overwrite=overwrite), "tile")
    _print_dataset(dataset)
    labelled = int((dataset.table["mineral"] != "").sum())
    if labelled == 0:
        tell(f"{len(dataset.table)} tiles have no label: sort them with ore-minerals dataset sort {out}")
    elif len(dataset.tiles(None)["mineral"].unique()) < 2:
        tell("there is one mineral only; a classifier needs two")
    return SOME_FAILED if dataset.dropped.get(UNREADABLE) else 0


@dataset_app.command
def split(dataset: Path, /, *, options: Annotated[SplitOptions, _Fields] = _SPLIT_DEFAULTS) -> int:
    """Split a dataset into training, validation and test; an older split is replaced.

    Example: ore-minerals dataset split ores --seed 1

    No photograph is in two parts, and test tiles are from deposits that training never saw, where deposits
    are known.

    Parameters
    ----------
    dataset
        Dataset folder.
    """
    from napari_ore_minerals.learning.collection import TileDataset
    from napari_ore_minerals.learning.sorting_journal import read_journal
    from napari_ore_minerals.learning.splitting import split as split_dataset

    found = split_dataset(TileDataset.open(dataset, checked=False), options)
    found.write(overwrite=True)
    _print_dataset(found)
    if waiting := len(read_journal(dataset).labels):
        tell(
            f"{waiting} tiles that were sorted by hand are not saved yet and were not counted: save them in "
            f"ore-minerals dataset sort {dataset}, then split again"
        )
    return 0


@dataset_app.command
def augment(dataset: Path, /, *, out: Path, copies: _Few = 1, seed: int = 0) -> int:
    """Write a dataset whose training part is enlarged by the paper's six augmentations, one picture for each.

    Example: ore-minerals dataset augment ores --out ores-enlarged

    Parameters
    ----------
    dataset
        Dataset folder, split.
    out
        Folder of the enlarged dataset.
    copies
        Pictures for each augmentation; 1 makes seven tiles of one, as in the paper.
    seed
        Of all randomness.
    """
    from napari_ore_minerals.learning.collection import TileDataset
    from napari_ore_minerals.learning.enlarging import augmented_steps

    before = TileDataset.open(dataset)
    after = with_bar(augmented_steps(before, out, copies, seed=seed), "augment")
    _print_dataset(after)
    counts = [len(one.tiles("training")) for one in (before, after)]
    print(f"training: {counts[0]:,} tiles became {counts[1]:,}")
    return 0


@dataset_app.command
def preview(
    dataset: Path,
    /,
    *,
    out: Path,
    rows: _Few = 8,
    augmentation: Literal["paper", "laboratory"] = "paper",
    seed: int = 0,
    overwrite: bool = False,
) -> int:
    """Write a contact sheet: tiles as they are and after each augmentation.

    Example: ore-minerals dataset preview ores --out ores.png

    Parameters
    ----------
    dataset
        Dataset folder.
    out
        PNG file.
    rows
        How many tiles, of each mineral in turn.
    augmentation
        Set of augmentations: the paper's six, or those of other laboratories.
    seed
        Of all randomness.
    overwrite
        Replace an older file.
    """
    from napari_ore_minerals.learning.collection import TileDataset
    from napari_ore_minerals.learning.contact_sheet import write_contact_sheet

    write_contact_sheet(
        TileDataset.open(dataset), out, rows=rows, kind=augmentation, seed=seed, overwrite=overwrite
    )
    print(out)
    return 0


@dataset_app.command
def sort(dataset: Path, /) -> int:
    """Open napari to sort the tiles of a dataset into minerals by hand, one key each.

    Example: ore-minerals dataset sort ores

    Every decision is kept at once; the next time it goes on at the first tile without a label.

    Parameters
    ----------
    dataset
        Dataset folder.
    """
    from napari_ore_minerals.learning.collection import TileDataset

    TileDataset.open(dataset, checked=False)  # what is wrong is said here and not in a window
    return subprocess.call(  # noqa: S603
        [sys.executable, "-m", "napari_ore_minerals.widgets.sorting_view", str(dataset)]
    )


def register(app: App, models_app: App) -> None:
    """Add the commands."""
    app.command(dataset_app)


def _print_dataset(dataset: TileDataset) -> None:
    """Print Table 2 and what was left out."""
    if (dataset.table["mineral"] != "").any():
        print(dataset.table2().to_string())
    photographs, table = len(dataset.photographs(None)), dataset.table
    deposits = table.loc[table["deposit"] != "", "deposit"].nunique()
    print(
        f"\n{len(table):,} tiles of {dataset.tile_px} px from {photographs} photographs"
        + (f" and {deposits} deposits" if deposits else "")
        + f" in {dataset.folder}"
    )
    for what, count in dataset.dropped.items():
        print(f"left out: {count:,} {what}")
