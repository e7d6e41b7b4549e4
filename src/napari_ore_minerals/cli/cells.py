"""Commands of ``ore-minerals``: cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter, validators

from napari_ore_minerals.cli.console import SOME_FAILED, fail, with_bar
from napari_ore_minerals.learning.anchored_options import AnchoredOptions

if TYPE_CHECKING:
    pass

_DEFAULTS = AnchoredOptions()
_Scale = Annotated[float, Parameter(validator=validators.Number(gt=0))]
_Share = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1))]

cells_app = App(
    name="cells",
    help="A small classifier that sees each cell, a quarter of a tile wide, beside the rest of its photograph.",
)


@cells_app.command
def train(
    dataset: Path,
    /,
    *,
    out: Path,
    masks: Path | None = None,
    codes: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    options: Annotated[AnchoredOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """Train a classifier of cells on the training part of a dataset, in seconds and without a GPU.

    Example: ore-minerals cells train ores --out cells

    Where photographs differ in lamp and camera it names more of them rightly than a network of whole tiles that
    has seen as few; it needs whole photographs, and not tiles that were cut from them.

    Parameters
    ----------
    dataset
        Dataset folder, made by `ore-minerals dataset tile` and divided by `ore-minerals dataset split`.
    out
        Folder of the classifier, to be made.
    masks
        Folder of masks that the dataset was made with; masks beside their pictures are found by themselves.
    codes
        What the codes of the masks stand for, as given to `ore-minerals dataset tile`.
    """
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.learning.cell_learning import train_cells_steps
    from napari_ore_minerals.learning.collection import TileDataset

    steps = train_cells_steps(TileDataset.open(dataset), out, options, masks=masks, codes=codes)
    card = with_bar(steps, "cells")
    if card is None:
        return fail("stopped; nothing was written")
    names = ", ".join(mineral.name for mineral in card.minerals)
    print(f"{card.provenance}\ncells of {card.cell_px} px of {card.photographs} photographs: {names}\n{out}")
    return 0


@cells_app.command
def evaluate(
    model: Path,
    dataset: Path,
    /,
    *,
    out: Path,
    part: Literal["training", "validation", "test"] = "test",
    overwrite: bool = False,
) -> int:
    """Measure a classifier of cells on the tiles of a dataset; a tile is named by the mean of its cells.

    Example: ore-minerals cells evaluate cells ores --out evaluation

    Parameters
    ----------
    model
        Folder of the classifier.
    dataset
        Dataset folder.
    out
        Folder for figures.csv, predictions.csv, confusion.csv and the confusion matrix.
    part
        training, validation or test.
    overwrite
        Replace an older evaluation.
    """
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.cli.evaluate import print_report
    from napari_ore_minerals.learning.cell_learning import evaluate_cells_steps
    from napari_ore_minerals.learning.collection import TileDataset
    from napari_ore_minerals.learning.evaluation_files import RECORD, write_evaluation
    from napari_ore_minerals.maps.whole import whole_folder

    if out.exists() and not overwrite:
        return fail(f"{out} exists: choose another place, or add --overwrite")
    report = with_bar(evaluate_cells_steps(TileDataset.open(dataset), part, model), "evaluate")
    with whole_folder(out, mark=RECORD, overwrite=overwrite) as staging:
        write_evaluation(report, staging)
    print_report(report)
    print(f"\npredictions and tables: {out}")
    return 0


@cells_app.command
def classify(
    model: Path,
    pictures: list[Path],
    /,
    *,
    out: Path | None = None,
    um_per_px: _Scale | None = None,
    min_confidence: _Share | None = None,
    overwrite: bool = False,
) -> int:
    """Classify photographs cell by cell and write the result folders that `ore-minerals classify` writes.

    Example: ore-minerals cells classify cells PS-07.tif --out results

    Parameters
    ----------
    model
        Folder of the classifier.
    pictures
        Whole photographs at the pixel size that was learnt from, or folders of them.
    out
        Where the result folders go; by default beside each picture.
    um_per_px
        Micrometres per pixel, for pictures that do not tell.
    min_confidence
        Cells whose best probability is below it are left unclassified; by default that of the classifier.
    overwrite
        Replace older results.
    """
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.cli.named import NO_PICTURES, pictures_named
    from napari_ore_minerals.cli.told import Told
    from napari_ore_minerals.learning.cell_maps import map_cells_steps

    paths = pictures_named(pictures)
    if not paths:
        return fail(NO_PICTURES)
    steps = map_cells_steps(
        paths, model, out=out, um_per_px=um_per_px, min_confidence=min_confidence, overwrite=overwrite
    )
    told = Told(quiet=False)
    with_bar(steps, update=told.tell)
    return SOME_FAILED if told.failures(len(paths)) else 0


def register(app: App, models_app: App) -> None:
    """Add the commands."""
    app.command(cells_app)
