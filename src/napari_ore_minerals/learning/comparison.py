"""Several classifiers trained and measured alike, and one report that stands beside the paper.

Everything is in one folder: ``runs`` (a run folder per model), ``models`` (with
temperature and least confidence from the validation tiles), ``evaluations``,
``tables``, ``figures`` and ``report.html``.  What is finished is not done again.
"""

from __future__ import annotations

import datetime
import json
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from napari_ore_minerals.errors import DatasetError, OptionError, OreMineralsError, ResultError
from napari_ore_minerals.maps.whole import whole_folder
from napari_ore_minerals.models.architectures import ARCHITECTURES
from napari_ore_minerals.models.card import CARD_NAME
from napari_ore_minerals.progress import Progress, Steps, mapped

from .baseline import ColourForest
from .calibration import save_calibrated
from .checkpoints import replace_file
from .comparison_files import write_comparison
from .comparison_plan import CompareOptions, PlannedRun, planned_runs
from .comparison_tables import Outcome
from .evaluation_files import RECORD, read_evaluation, write_evaluation
from .evaluation_report import EvaluationReport, table_of_predictions
from .model_evaluation import calibration_steps, evaluate_model_steps, tiles_of
from .runs import train_dataset_steps

if TYPE_CHECKING:
    from .collection import TileDataset

__all__ = ["CompareOptions", "compare_steps", "not_trained", "planned_runs"]

COMPARISON = "compare.json"
FOREST = "colour-forest"
MAY_DIFFER = {"device", "checkpoint_minutes"}  # when a comparison is gone on with
Result = TypeVar("Result")


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
    stopped = yield Progress(0, len(plan), "models", "colour forest")
    forest = _forest(dataset, Path(out), options, input_px=smallest)
    outcomes: list[Outcome] = []
    for number, run in enumerate(plan, 1):
        if stopped:
            outcomes += [_not_begun(later) for later in plan[number - 1 :]]
            break
        stage = f"{run.name} ({number} of {len(plan)})"
        with closing(mapped(_outcome_steps(dataset, out, options, run), partial(_at, stage))) as steps:
            outcomes.append((yield from steps))
        stopped = outcomes[-1].stopped
        if failure := outcomes[-1].failure:
            asked = yield Progress(number, len(plan), "models", notice=f"{run.name}: {failure}")
            stopped = stopped or bool(asked)
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
        failure = "stopped before its end; the same command goes on with it"
        return replace(outcome, failure=failure, stopped=True)
    report = yield from _measured_steps(dataset, out, options, run.name)
    if report is None:
        failure = "trained, and stopped while it was measured; the same command goes on with it"
        return replace(outcome, failure=failure, stopped=True)
    epochs = pd.read_csv(folder / "epochs.csv")
    return replace(outcome, epochs=epochs, report=report, model=Path(out) / "models" / run.name)


def _measured_steps(
    dataset: TileDataset, out: Path, options: CompareOptions, name: str
) -> Steps[EvaluationReport | None]:
    """Calibrate and measure a trained model, or read what was found earlier; None where a stop was asked for."""
    trained, model = (Path(out) / place / name for place in ("runs", "models"))
    folder = Path(out) / "evaluations" / name
    if (folder / RECORD).is_file() and (model / CARD_NAME).is_file():
        return read_evaluation(folder)
    fitted = yield from _whole(calibration_steps(dataset, trained / "model", options.evaluation))
    if fitted is None:
        return None
    if not (model / CARD_NAME).is_file():
        save_calibrated(model, trained / "model", fitted)
    measuring = evaluate_model_steps(dataset, options.part, model, options.evaluation, fitted=fitted)
    found = yield from _whole(measuring)
    if found is None:
        return None
    report = replace(found, title=name)
    with whole_folder(folder, mark=RECORD, overwrite=True) as staging:
        write_evaluation(report, staging)
    return report


def _whole(steps: Steps[Result]) -> Steps[Result | None]:
    """Pass steps on; what was asked to stop gives None, since a part of a result must not pass for all of it."""
    asked: bool | None = None
    with closing(steps):
        while not asked:
            try:
                progress = steps.send(asked)
            except StopIteration as end:
                result: Result = end.value
                return result
            asked = yield progress
    return None


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
        replace_file(path, (json.dumps({"created": created} | settings, indent=2) + "\n").encode())
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


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return facts


def _at(stage: str, progress: Progress) -> Progress:
    return replace(progress, stage=f"{stage}: {progress.stage}")


def _not_begun(run: PlannedRun) -> Outcome:
    failure = "not begun; the same command goes on with it"
    return Outcome(run.name, run.architecture, run.shown_weights, failure=failure)
