"""Commands of ``ore-minerals``: evaluate and compare."""

from __future__ import annotations

import json
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, validators

from napari_ore_minerals.cli.console import SOME_FAILED, fail, tell, with_bar
from napari_ore_minerals.cli.train import Changes
from napari_ore_minerals.learning.evaluate_options import WANTED_PRECISION, EvaluateOptions
from napari_ore_minerals.learning.options import Preset, TrainOptions

if TYPE_CHECKING:
    from cyclopts import App

    from napari_ore_minerals.learning.evaluation_report import EvaluationReport

_NONE, _DEFAULTS = Changes(), EvaluateOptions()
_Share = Annotated[float, Parameter(validator=validators.Number(gt=0, lte=1))]


def evaluate(  # noqa: PLR0913 - a command's flags
    model: Path,
    dataset: Path,
    /,
    *,
    out: Path,
    part: Literal["training", "validation", "test"] = "test",
    beside: tuple[Path, ...] = (),
    calibrated: Path | None = None,
    overwrite: bool = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    options: Annotated[EvaluateOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """Measure a model on one part of a dataset: every figure with its 95 % interval over photographs.

    Example: ore-minerals evaluate runs/swin/model ores --part test --out evaluation

    Parameters
    ----------
    model
        Model folder.
    dataset
        Dataset folder.
    out
        Folder for figures.csv, predictions.csv, confusion.csv, calibration.csv and the pictures.
    part
        training, validation or test.
    beside
        Other model folders, whose heatmaps are shown beside this model's on the same tiles.
    calibrated
        Write a new version of the model here, with temperature and least confidence from the validation tiles.
    overwrite
        Replace an older evaluation.
    json_output
        Print the figures as JSON instead of tables.
    """
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.learning.calibration import save_calibrated
    from napari_ore_minerals.learning.collection import TileDataset
    from napari_ore_minerals.learning.evaluation_files import write_evaluation_folder
    from napari_ore_minerals.learning.model_evaluation import evaluate_model_steps
    from napari_ore_minerals.models.store import load_network

    if out.exists() and not overwrite:
        return fail(f"{out} exists: choose another place, or add --overwrite")
    if calibrated is not None and calibrated.exists():
        return fail(f"{calibrated} exists; a model is never overwritten: choose another name or remove it")
    tiles = TileDataset.open(dataset)
    for other in beside:
        load_network(other)  # what is wrong with it is said before anything is computed
    report = with_bar(evaluate_model_steps(tiles, part, model, options), "evaluate")
    write_evaluation_folder(tiles, report, [model, *beside], out, options=options, overwrite=overwrite)
    if json_output:
        print(json.dumps(_as_json(report, out), indent=2))
    else:
        print_report(report)
        print(f"\npredictions, tables and pictures: {out}")
    if calibrated is not None:
        if report.calibration is None:
            return fail("there are no validation tiles to calibrate with, so no new version was written")
        card = save_calibrated(calibrated, model, report.calibration)
        tell(f"version {card.version} with these settings: {calibrated}")
    return 0


def compare(  # noqa: PLR0913 - a command's flags
    dataset: Path,
    /,
    *,
    out: Path,
    models: str = "swin_base,resnet50,mobilenetv2",
    also_from_scratch: bool = False,
    weights: tuple[str, ...] = ("imagenet",),
    part: Literal["validation", "test"] = "test",
    wanted_precision: _Share = WANTED_PRECISION,
    preset: Preset = "paper",
    changes: Annotated[Changes, Parameter(name="*")] = _NONE,  # type: ignore[valid-type]
) -> int:
    """Train several models alike and write one report beside the paper's tables and figures.

    Example: ore-minerals compare ores --out comparison --models swin_base,resnet50 --also-from-scratch

    The same command goes on where an earlier one was stopped.

    Parameters
    ----------
    dataset
        Dataset folder with training, validation and test tiles.
    out
        Folder of the comparison: report.html, tables, figures, runs, models and evaluations.
    models
        Names parted by commas: swin_base, swin_small, swin_tiny, resnet50, mobilenetv2, efficientnet_lite0,
        swin_compact, micro.
    also_from_scratch
        Train each model a second time, beginning with random weights.
    weights
        imagenet or none for all models; MODEL=FILE for one of them, a model folder or bundled too; may be given
        several times.
    part
        The tiles that all models are measured on.
    wanted_precision
        Share of the named validation tiles to be right, from which the least confidence is chosen.
    preset
        Options of the paper, or quicker ones; the flags below change single ones.
    """
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.learning.collection import TileDataset
    from napari_ore_minerals.learning.comparison import CompareOptions, compare_steps, not_trained

    names = tuple(name.strip() for name in models.split(",") if name.strip())
    if not names:
        return fail(
            f"--models {models!r} names no model: name some, parted by commas, as in swin_base,resnet50"
        )
    given = {name: value for name, value in changes.model_dump().items() if value is not None}  # type: ignore[attr-defined]
    training = TrainOptions.preset(preset).changed(given)
    options = CompareOptions(
        models=names,
        also_from_scratch=also_from_scratch,
        weights=tuple(weights),
        training=training,
        evaluation=EvaluateOptions(
            wanted_precision=wanted_precision, device=training.device, precision=training.precision
        ),
        part=part,
        command=shlex.join(["ore-minerals", *sys.argv[1:]]),
    )
    report = with_bar(compare_steps(TileDataset.open(dataset), out, options), "compare", keeping="batches")
    _print_comparison(out)
    print(f"\nreport: {report}")
    failed = not_trained(out)
    for name, why in failed.items():
        tell(f"{name} was not trained: {why}")
    return SOME_FAILED if failed else 0


def register(app: App, models_app: App) -> None:
    """Add the commands."""
    app.command(evaluate)
    app.command(compare)


def print_report(report: EvaluationReport) -> None:
    """Print every figure with its interval, and what is to be minded."""
    from napari_ore_minerals.learning.intervals import FIGURES, HEADLINES

    photographs = report.predictions["photograph"].nunique()
    print(f"{report.title} on {len(report.predictions)} {report.part} tiles of {photographs} photographs\n")
    width = 2 + max(len(name) for name in (*HEADLINES, *(mineral.name for mineral in report.minerals)))
    for name in HEADLINES:
        print(f"{name:{width}}{_with_interval(report.figure(name))}")
    print(f"\n{'':{width}}" + "".join(f"{name:24}" for name in FIGURES) + "tiles")
    for mineral in report.minerals:
        found = [report.figure(name, mineral.name) for name in FIGURES]
        if found[0]["tiles"]:
            values = "".join(f"{_with_interval(row):24}" for row in found)
            print(f"{mineral.name:{width}}{values}{int(found[0]['tiles'])}")
    if report.calibration_table is not None:
        print()
        for row in report.calibration_table.to_dict("records"):
            rightly = f", {row['precision of the named']:.0%} of them rightly" if row["share named"] else ""
            print(
                f"temperature {row['temperature']:.2f} ({row['scaling']}): calibration error "
                f"{row['calibration error']:.3f}; from confidence {row['min_confidence']:.2f} on "
                f"{row['share named']:.0%} are named{rightly}"
            )
    for notice in report.notices:
        print(f"Note: {notice}")


def _with_interval(row: Any) -> str:
    if math.isnan(row["value"]):
        return "-"
    ends = "" if math.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
    return f"{row['value']:.2f}{ends}"


def _as_json(report: EvaluationReport, out: Path) -> dict[str, Any]:
    return {
        "model": report.title,
        "dataset": report.dataset,
        "part": report.part,
        "figures": json.loads(report.figures.to_json(orient="records")),
        "calibration": json.loads(report.calibration_table.to_json(orient="records"))
        if report.calibration_table is not None
        else None,
        "notes": list(report.notices),
        "folder": str(out),
    }


def _print_comparison(out: Path) -> None:
    import pandas as pd

    table = pd.read_csv(out / "tables" / "headlines.csv")
    print(f"{'':28}{'accuracy':24}{'paper':8}{'balanced accuracy':24}calibration error")
    for row in table.to_dict("records"):
        accuracy, balanced, error = (
            _with_interval({"value": row[name], "low": row[f"{name} low"], "high": row[f"{name} high"]})
            for name in ("accuracy", "balanced accuracy", "calibration error")
        )
        paper = "" if math.isnan(row["paper accuracy"]) else f"{row['paper accuracy']:.2f}"
        print(f"{row['model']:28}{accuracy:24}{paper:8}{balanced:24}{error}")
