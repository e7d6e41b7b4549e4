"""Several classifiers trained and measured alike, and one report that stands beside the paper.

Everything is in one folder: ``runs`` (a run folder per model), ``models`` (with
temperature and least confidence from the validation tiles), ``evaluations``,
``tables``, ``figures`` and ``report.html``.  What is finished is not done again.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from napari_ore_minerals.errors import DatasetError, OptionError, OreMineralsError, ResultError
from napari_ore_minerals.maps.whole import whole_folder
from napari_ore_minerals.models.architectures import ARCHITECTURES, Architecture
from napari_ore_minerals.models.card import CARD_NAME
from napari_ore_minerals.progress import Progress, Steps, mapped

from .baseline import ColourForest
from .calibration import save_calibrated
from .comparison_files import write_comparison
from .comparison_tables import Outcome
from .evaluate_options import EvaluateOptions
from .evaluation_files import RECORD, read_evaluation, write_evaluation
from .evaluation_report import EvaluationReport, table_of_predictions
from .model_evaluation import calibration_steps, evaluate_model_steps, tiles_of
from .options import TrainOptions
from .runs import train_dataset_steps
from .weights import Weights, architecture_named

if TYPE_CHECKING:
    from .collection import TileDataset

COMPARISON = "compare.json"
FOREST = "colour-forest"
FROM_SCRATCH = "-from-scratch"
MAY_DIFFER = {"device", "checkpoint_minutes"}  # when a comparison is gone on with


class CompareOptions(BaseModel):
    """What to compare, and how."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    models: tuple[str, ...] = Field(
        ("swin_base", "resnet50", "mobilenetv2"), min_length=1, title="Models", description="Architectures"
    )
    also_from_scratch: bool = Field(
        False, title="Also from scratch", description="Train each model a second time, with random weights"
    )
    weights: tuple[str, ...] = Field(
        ("imagenet",),
        title="Weights",
        description="imagenet, none, or MODEL=FILE for one of the models",
    )
    training: TrainOptions = TrainOptions.preset("paper")
    evaluation: EvaluateOptions = EvaluateOptions()
    part: Literal["test", "validation"] = Field(
        "test", title="Part", description="Tiles that the models are measured on"
    )
    command: str = Field(
        "", title="Command", description="What to write in the report as the way to repeat it"
    )


@dataclass(frozen=True)
class PlannedRun:
    """One model to train."""

    name: str
    architecture: Architecture
    weights: Weights

    @property
    def shown_weights(self) -> str:
        """What it begins with, without the folders of this computer."""
        return self.weights.name if isinstance(self.weights, Path) else self.weights


def planned_runs(options: CompareOptions) -> tuple[PlannedRun, ...]:
    """List the models to train, in their order.

    Raises
    ------
    OptionError
        If a model or weights are not known, or a model is named twice.
    """
    common, own = _weights(options.weights)
    if strangers := sorted(set(own) - set(options.models)):
        raise OptionError(f"weights are given for {', '.join(strangers)}, which is not among the models")
    plan: list[PlannedRun] = []
    for name in options.models:
        architecture, weights = architecture_named(name), own.get(name, common)
        plan.append(PlannedRun(name, architecture, weights))
        if options.also_from_scratch and weights != "none":
            plan.append(PlannedRun(name + FROM_SCRATCH, architecture, "none"))
    if len({run.name for run in plan}) < len(plan):
        raise OptionError(f"a model is named twice: {', '.join(options.models)}")
    return tuple(plan)


def compare_steps(dataset: TileDataset, out: Path, options: CompareOptions) -> Steps[Path]:
    """Train, calibrate and measure several models on the same tiles, and write the report.

    The same call goes on where an earlier one was stopped, and tries again what could not be trained.

    Parameters
    ----------
    dataset
        With training, validation and (unless `options.part` is validation) test tiles.
    out
        Folder of the comparison.
    options
        What to compare.

    Yields
    ------
    Progress
        Of each model's training in ``"batches"`` and measuring in ``"tiles"``; a model that cannot be
        trained is told as a `notice`.

    Returns
    -------
    Path
        ``report.html``.  When sent True, of what is finished so far.

    Raises
    ------
    DatasetError
        If a part of the dataset has no tiles.
    OptionError
        If the folder holds a comparison with other settings, or a model is not known.
    ResultError
        If the folder is of something else, or the disk refuses.
    """
    plan = planned_runs(options)
    _check_parts(dataset, options)
    _begin(dataset, Path(out), options)
    smallest = min(ARCHITECTURES[run.architecture].input_px for run in plan)
    yield Progress(0, len(plan), "models", "colour forest")
    forest = _forest(dataset, Path(out), options, input_px=smallest)
    outcomes: list[Outcome] = []
    for number, run in enumerate(plan, 1):
        stage = f"{run.name} ({number} of {len(plan)})"
        with closing(mapped(_outcome_steps(dataset, out, options, run), partial(_at, stage))) as steps:
            outcomes.append((yield from steps))
        if outcomes[-1].failure:
            yield Progress(number, len(plan), "models", notice=f"{run.name}: {outcomes[-1].failure}")
        if outcomes[-1].facts.get("state") == "stopped":
            outcomes += [_not_begun(later) for later in plan[number:]]
            break
    yield Progress(len(plan), len(plan), "models", "drawing and writing")
    return write_comparison(dataset, Path(out), options, outcomes, forest)


def not_trained(out: Path) -> dict[str, str]:
    """Names of the models of a comparison that were not trained, and why."""
    table = pd.read_csv(Path(out) / "tables" / "runs.csv", keep_default_na=False)
    return {row["model"]: row["not trained"] for _, row in table.iterrows() if row["not trained"]}


def _outcome_steps(
    dataset: TileDataset, out: Path, options: CompareOptions, run: PlannedRun
) -> Steps[Outcome]:
    folder = Path(out) / "runs" / run.name
    outcome = Outcome(run.name, run.architecture, run.shown_weights)
    try:
        yield from train_dataset_steps(
            dataset, folder, options.training, architecture=run.architecture, weights=run.weights
        )
    except OreMineralsError as error:
        return replace(outcome, failure=str(error))
    outcome = replace(outcome, facts=_facts(folder))
    if outcome.facts["state"] != "finished":
        return replace(outcome, failure="stopped before its end; the same command goes on with it")
    outcome = replace(outcome, epochs=pd.read_csv(folder / "epochs.csv"))
    report = yield from _measured_steps(dataset, out, options, run.name)
    return replace(outcome, report=report, model=Path(out) / "models" / run.name)


def _measured_steps(
    dataset: TileDataset, out: Path, options: CompareOptions, name: str
) -> Steps[EvaluationReport]:
    """Calibrate and measure a trained model, or read what was found earlier."""
    trained, model = (Path(out) / place / name for place in ("runs", "models"))
    folder = Path(out) / "evaluations" / name
    if (folder / RECORD).is_file() and (model / CARD_NAME).is_file():
        return read_evaluation(folder)
    fitted = yield from calibration_steps(dataset, trained / "model", options.evaluation)
    if not (model / CARD_NAME).is_file():
        save_calibrated(model, trained / "model", fitted)
    measuring = evaluate_model_steps(dataset, options.part, model, options.evaluation, fitted=fitted)
    report = replace((yield from measuring), title=name)
    with whole_folder(folder, mark=RECORD, overwrite=True) as staging:
        write_evaluation(report, staging)
    return report


def _forest(dataset: TileDataset, out: Path, options: CompareOptions, *, input_px: int) -> Outcome:
    """Train and measure the colour forest, or read what was found earlier."""
    folder = out / "evaluations" / FOREST
    if (folder / RECORD).is_file():
        return Outcome(FOREST, report=read_evaluation(folder))
    _, training = tiles_of(dataset, "training", input_px=input_px)
    tiles, samples = tiles_of(dataset, options.part, input_px=input_px)
    forest = ColourForest(seed=options.training.seed).fit(training)
    predictions = table_of_predictions(tiles, forest.probabilities(samples.tiles), samples.minerals)
    report = EvaluationReport(FOREST, dataset.name, options.part, samples.minerals, predictions)
    with whole_folder(folder, mark=RECORD, overwrite=True) as staging:
        write_evaluation(report, staging)
    return Outcome(FOREST, report=report)


def _check_parts(dataset: TileDataset, options: CompareOptions) -> None:
    for part in ("training", "validation", options.part):
        if dataset.tiles(part).empty:
            raise DatasetError(
                f"dataset {dataset.name} has no labelled tile in its part {part!r}: label tiles, then split it "
                "with ore-minerals dataset split"
            )


def _begin(dataset: TileDataset, out: Path, options: CompareOptions) -> None:
    """Note what is compared, or check that it is what was begun in this folder."""
    settings = {
        "dataset": {"name": dataset.name, "sha256": dataset.sha256()},
        "part": options.part,
        "options": options.training.model_dump() | {"wanted_precision": options.evaluation.wanted_precision},
    }
    path = out / COMPARISON
    try:
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            if differing := _differing(_flat(found), _flat(settings)):
                raise OptionError(
                    f"{out} holds a comparison with other settings ({'; '.join(differing)}): "
                    "name another folder, or give the same settings to go on with it"
                )
            return
        if out.exists() and any(out.iterdir()):
            raise ResultError(f"{out} is not empty and holds no comparison: name another folder")
        out.mkdir(parents=True, exist_ok=True)
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        path.write_text(json.dumps({"created": created} | settings, indent=2) + "\n", encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, OreMineralsError):
            raise
        raise ResultError(f"the comparison in {out} cannot be read or written: {error}") from error


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    options = {name: value for name, value in settings["options"].items() if name not in MAY_DIFFER}
    return {"dataset": settings["dataset"]["sha256"][:12], "part": settings["part"]} | options


def _differing(older: dict[str, Any], newer: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {older.get(name)}, now {value}" for name, value in newer.items() if older.get(name) != value
    ]


def _weights(given: Sequence[str]) -> tuple[Weights, dict[str, Weights]]:
    """Weights for all models, and those of single ones."""
    common: Weights = "imagenet"
    own: dict[str, Weights] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals:
            own[name] = value if value in ("imagenet", "none") else Path(value)  # type: ignore[assignment]
        elif text in ("imagenet", "none"):
            common = text  # type: ignore[assignment]
        else:
            raise OptionError(f"weights must be imagenet, none or MODEL=FILE, not {text!r}")
    return common, own


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return facts


def _at(stage: str, progress: Progress) -> Progress:
    return replace(progress, stage=f"{stage}: {progress.stage}")


def _not_begun(run: PlannedRun) -> Outcome:
    failure = "not begun; the same command goes on with it"
    return Outcome(run.name, run.architecture, run.shown_weights, failure=failure)
