"""Commands of ``ore-minerals``: data and weights that others published."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from napari_ore_minerals.cli.console import fail, tell, with_bar
from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.models.importing import ImportOptions

if TYPE_CHECKING:
    from napari_ore_minerals.learning.record import Record
    from napari_ore_minerals.minerals import MineralTable

MIRROR_VARIABLE = "ORE_MINERALS_ZENODO"

fetch_app = App(name="fetch", help="Data that others published.")


@fetch_app.command
def paper_dataset(
    *,
    out: Path,
    yes: Annotated[bool, Parameter(negative="")] = False,
    downloaded: Path | None = None,
    photograph: str | None = None,
) -> int:
    """Fetch the photographs of the paper (doi 10.5281/zenodo.10441351) and make a dataset of them.

    Example: ore-minerals fetch paper-dataset --out paper

    The size is shown before anything is downloaded.  What breaks off goes on when the same command is
    given again.

    Parameters
    ----------
    out
        Folder for the downloads, the pictures and the dataset.
    yes
        Do not ask before the download.
    downloaded
        Folder with the files of the record, fetched with a browser; nothing is downloaded then.
    photograph
        Regular expression for names of tiles whose first group tells the photograph, such as "^(.*)_[0-9]+$";
        by default every picture is taken for a photograph of its own.
    """
    from napari_ore_minerals.learning.paper_dataset import DOI, fetch_steps, has_pictures
    from napari_ore_minerals.learning.record import ZENODO, read_record

    record = None
    if has_pictures(out):
        tell(f"the pictures are in {out} already: nothing is downloaded")
    elif downloaded is None:
        record = read_record(DOI, base_url=os.environ.get(MIRROR_VARIABLE, ZENODO).rstrip("/"))
        if not _agreed(record, out, yes=yes):
            return fail("nothing was downloaded; give --yes where nobody can be asked")
    dataset = with_bar(fetch_steps(out, record, downloaded=downloaded, photograph=photograph), "fetch")
    if dataset is None:
        return fail("stopped; the same command goes on where it was")
    print(dataset.table2().to_string())
    for what, count in dataset.dropped.items():
        print(f"left out: {count} {what}")
    print(f"\n{dataset.folder}")
    return 0


def import_model(
    file: Path,
    /,
    *,
    minerals: str,
    out: Path,
    options: Annotated[ImportOptions, Parameter(name="*")],
    i_trust_this_file: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Convert weights that another program saved into a model folder.

    Example: ore-minerals models import swin.pth --architecture swin_tiny_patch4_window7_224
    --minerals arsenopyrite,chalcopyrite,gold,pyrite,stibnite --out models/paper --i-trust-this-file

    Parameters
    ----------
    file
        Checkpoint that torch.save wrote (.pth, .pt), or .safetensors.
    minerals
        What the outputs of the network stand for, in their order, with commas between them; code that reads
        folders of pictures takes the alphabetical order of their names.
    out
        Model folder to be made; its name is that of the model.
    i_trust_this_file
        A checkpoint can run a program when it is opened: say that you know who made it and trust them.
    """
    from napari_ore_minerals.models.importing import import_checkpoint

    table = minerals_in_order(minerals)
    card, notices = import_checkpoint(file, out, table, options, trusted=i_trust_this_file)
    for notice in notices:
        tell(f"Note: {notice}")
    print(f"{card.name}: {card.architecture}, {', '.join(mineral.name for mineral in card.minerals)}\n{out}")
    return 0


def minerals_in_order(text: str) -> MineralTable:
    """Read a list of minerals and keep its order; `OptionError` if one stands twice."""
    from napari_ore_minerals.learning.naming import mineral_name, minerals_named
    from napari_ore_minerals.learning.published_layout import mineral_of
    from napari_ore_minerals.minerals import MineralTable

    given = [name for name in re.split(r"[,;]\s*", text.strip()) if name.strip()]
    known = [
        mineral_of(name) if len(name.split()) == 1 else None for name in given
    ]  # "gold telluride" is no gold
    names = [
        mineral.name if mineral else mineral_name(name) for name, mineral in zip(given, known, strict=True)
    ]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise OptionError(f"the minerals name {twice[0]} twice: give one name for each output of the network")
    if len(names) < 2:
        raise OptionError("the minerals are a list with commas, one for each output, such as pyrite,gold")
    table = minerals_named(names)
    return MineralTable.of([table.by_name(name) for name in names])


def register(app: App, models_app: App) -> None:
    """Add the commands."""
    app.command(fetch_app)
    models_app.command(import_model, name="import")


def _agreed(record: Record, out: Path, *, yes: bool) -> bool:
    """Show what would be downloaded and ask."""
    print(f"{record.title}\nhttps://doi.org/{record.doi}")
    for file in record.files:
        print(f"{file.size / 1e6:10.1f} MB  {file.name}")
    print(f"{record.size / 1e6:10.1f} MB  to be downloaded into {out}, and about as much again to unpack it")
    if yes or not sys.stdin.isatty():
        return yes
    return input("Download? [y/N] ").strip().casefold() in ("y", "yes")
