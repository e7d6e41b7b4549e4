"""Command of ``ore-minerals``: classify, in this process or on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from napari_ore_minerals.cli import models, report
from napari_ore_minerals.cli.console import SOME_FAILED, fail, tell, with_bar
from napari_ore_minerals.cli.named import NO_PICTURES, pictures_named
from napari_ore_minerals.cli.told import Told
from napari_ore_minerals.images.pixels import PictureAnswers
from napari_ore_minerals.maps.records import ClassifyOptions

if TYPE_CHECKING:
    from cyclopts import App

    from napari_ore_minerals.maps.batch import Outcome
    from napari_ore_minerals.maps.cluster_batch import Batch
    from napari_ore_minerals.models.classifier import Classifier

MOST_WORKERS = 8
_DEFAULTS, _UNANSWERED = ClassifyOptions(), PictureAnswers()
_Scale = Annotated[float, Parameter(validator=validators.Number(gt=0))]
_Answers = Annotated[PictureAnswers, Parameter(name="*", negative="", group="What a picture leaves open")]
_Workers = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=256))]


def classify(  # noqa: PLR0913 - a command's flags
    pictures: list[Path],
    /,
    *,
    out: Path | None = None,
    model: str | None = None,
    um_per_px: _Scale | None = None,
    overwrite: bool = False,
    table: Path | None = None,
    reports: Annotated[bool, Parameter(name="--report", negative="")] = False,
    grains: Annotated[bool, Parameter(negative="")] = False,
    scheduler: str | None = None,
    workers: _Workers | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    options: Annotated[ClassifyOptions, Parameter(name="*")] = _DEFAULTS,
    answers: _Answers = _UNANSWERED,
) -> int:
    """Classify photographs of polished sections and write a result folder for each.

    A picture whose result is there already, of the same model and options, is not classified again; a large one
    that was interrupted goes on where it was.

    Example: ore-minerals classify PS-07.tif --um-per-px 0.5 --out results

    Example: ore-minerals classify photographs --out results --table areas.csv

    Example: ore-minerals classify stack.tif --plane 4 --bit-depth 12

    Example: ore-minerals classify photographs --out results --scheduler local --workers 4

    Parameters
    ----------
    pictures
        PNG, JPEG, BMP or TIFF files, Zarr folders, or folders of them.
    out
        Where the result folders go; by default beside each picture.
    model
        Model folder, number of a version of yours, or bundled; by default your current model.
    um_per_px
        Micrometres per pixel, for pictures that do not tell.
    overwrite
        Classify anew and replace older results.
    table
        CSV file to write with the areas of all pictures and where they come from; it must not exist.
    reports
        Write an HTML report and an Excel workbook beside each result, as `ore-minerals report` does.
    grains
        Find the grains for these reports.
    scheduler
        Share the pictures out with Dask: "local" for processes of this computer, tls://host:port or a scheduler
        file for a cluster that runs.
    workers
        Processes of "local"; by default one for each core, at most 8, and one where there is a GPU.
    json_output
        Print the results as JSON instead of tables.
    """
    paths = pictures_named(pictures)
    wrong = _wrong(paths, table=table, scheduler=scheduler, workers=workers)
    if wrong:
        return fail(wrong)
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.maps.batch import Reading, area_table
    from napari_ore_minerals.maps.cluster_batch import Batch
    from napari_ore_minerals.maps.files import write_areas

    batch = Batch(paths, models.model_named(model), options, out, Reading(um_per_px, answers), overwrite)
    told = Told(quiet=json_output)
    outcomes = _classified(batch, scheduler, workers, told.tell)
    if json_output:
        print(json.dumps(told.found, indent=2))
    if table is not None:
        write_areas(area_table(outcomes, told.facts), table)
    failures = told.failures(len(paths))
    if reports or grains:
        done = [outcome.folder for outcome in outcomes if not outcome.problem]
        failures += report.report_classified(done, grains=grains, overwrite=overwrite, quiet=json_output)
    if told.damaged:
        tell(f"damaged, and not processed where they are: {', '.join(told.damaged)}")
    return SOME_FAILED if failures or told.damaged else 0


def _wrong(paths: list[Path], *, table: Path | None, scheduler: str | None, workers: int | None) -> str:
    """Say what speaks against beginning; empty if nothing does."""
    if not paths:
        return NO_PICTURES
    if table is not None and table.exists():
        return f"{table} exists: name another file for the table"
    if workers is not None and scheduler != "local":
        return "--workers belongs to --scheduler local: another cluster has the workers it has"
    return ""


def _classified(
    batch: Batch, scheduler: str | None, workers: int | None, update: Callable[[Outcome], None]
) -> list[Outcome]:
    """Classify in this process, or on the cluster that was named."""
    if scheduler is None:
        from napari_ore_minerals.maps.batch import batch_steps

        steps = batch_steps(
            batch.pictures,
            loaded(batch.model, batch.options),
            batch.options,
            out=batch.out,
            reading=batch.reading,
            overwrite=batch.overwrite,
        )
        return with_bar(steps, update=update)
    from napari_ore_minerals.maps.cluster import connected
    from napari_ore_minerals.maps.cluster_batch import cluster_steps

    with connected(scheduler, workers=workers or _fitting_workers(batch.options)) as client:
        return with_bar(cluster_steps(batch, client), update=update)


def register(app: App, _models_app: App) -> None:
    """Add the command."""
    app.command(classify)


def loaded(model: Path | str | None, options: ClassifyOptions) -> Classifier:
    """Load the model that was named, on the device that was asked for."""
    from napari_ore_minerals.models.classifier import Classifier

    return Classifier.load(models.model_named(model), device=options.device, precision=options.precision)


def _fitting_workers(options: ClassifyOptions) -> int:
    """Return how many workers this computer feeds: each has one thread, and a GPU is not shared."""
    from napari_ore_minerals.models.devices import choose_device

    if choose_device(options.device).torch_device.type != "cpu":
        return 1
    import torch

    return min(MOST_WORKERS, torch.get_num_threads())
