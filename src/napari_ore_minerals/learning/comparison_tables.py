"""The tables of a comparison: ours beside what the paper printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .intervals import FIGURES, HEADLINES, difference
from .paper import PRINTED, SWIN_FROM_SCRATCH, TILES

if TYPE_CHECKING:
    from .evaluation_report import EvaluationReport

SWIN = "swin_base_patch4_window7_224"
ENDS = ("", " low", " high")


@dataclass(frozen=True)
class Outcome:
    """What became of one model of a comparison.

    Attributes
    ----------
    name : str
        Such as ``"swin_base"`` or ``"swin_base-from-scratch"``.
    architecture : str
        "" for the colour forest.
    weights : str
        What it began with: ``"imagenet"``, ``"none"`` or the name of a file.
    report : EvaluationReport or None
        None if it was not trained.
    model : Path or None
        Model folder.
    epochs : DataFrame or None
        ``epochs.csv`` of its run.
    facts : dict
        ``run.json`` of its run.
    failure : str
        Why it was not trained.
    stopped : bool
        Whether that is because somebody asked to stop.
    """

    name: str
    architecture: str = ""
    weights: str = ""
    report: EvaluationReport | None = None
    model: Path | None = None
    epochs: pd.DataFrame | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    stopped: bool = False

    @property
    def printed(self) -> bool:
        """Whether the paper printed figures of such a model: the same network, begun with ImageNet weights."""
        return self.architecture in PRINTED and self.weights == "imagenet"


def trained(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return those with a run of their own that was trained and measured."""
    return [outcome for outcome in outcomes if outcome.report is not None and outcome.model is not None]


def headline_table(outcomes: Sequence[Outcome], forest: Outcome | None) -> pd.DataFrame:
    """One row a model: every headline figure with its interval, the paper's accuracy, and what it cost.

    ``gain`` is the balanced accuracy less that of the colour forest on the same tiles.
    """
    rows = []
    for outcome in [*outcomes, *([forest] if forest else [])]:
        row: dict[str, Any] = {
            "model": outcome.name,
            "network": outcome is not forest,
            "weights": outcome.weights,
            "paper accuracy": PRINTED[outcome.architecture].accuracy if outcome.printed else np.nan,  # type: ignore[index]
        }
        report = outcome.report
        for name in HEADLINES:
            row |= _with_ends(name, report.figure(name) if report else None)
        row |= dict(zip((f"gain{end}" for end in ENDS), _gain(outcome, forest), strict=True))
        row |= _cost(outcome) | {"not trained": outcome.failure}
        rows.append(row)
    return pd.DataFrame(rows)


def table3(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """The paper's Table 3, ours beside it: precision, recall and F1 of each mineral by each model."""
    rows = []
    for outcome in outcomes:
        report = outcome.report
        if report is None:
            continue
        printed = PRINTED[outcome.architecture].scores if outcome.printed else {}  # type: ignore[index]
        for mineral in report.minerals:
            found = {name: report.figure(name, mineral.name) for name in FIGURES}
            if not found["recall"]["tiles"]:
                continue
            row: dict[str, Any] = {"model": outcome.name, "mineral": mineral.name}
            row |= {name: int(found["recall"][name]) for name in ("tiles", "photographs")}
            papers = printed.get(mineral.name, (np.nan,) * len(FIGURES))
            for name, paper in zip(FIGURES, papers, strict=True):
                row |= _with_ends(name, found[name]) | {f"{name} paper": paper}
            rows.append(row)
    return pd.DataFrame(rows)


def paper_table2() -> pd.DataFrame:
    """Tiles of the paper per mineral and part, as its Table 2 has them."""
    from .paper import MINERALS

    table = pd.DataFrame(TILES, index=pd.Index(MINERALS, name="mineral"))
    table.loc["all"] = table.sum()
    return table.reset_index()


def epochs_table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Every epoch of every model, for Figures 6 and 9."""
    parts = []
    for outcome in outcomes:
        if outcome.epochs is not None and outcome.report is not None:
            network = outcome.name.removesuffix("-from-scratch")
            facts = {"model": outcome.name, "network": network, "weights": outcome.weights}
            parts.append(outcome.epochs.assign(**facts))
    if not parts:
        return pd.DataFrame(columns=["model", "network", "weights", "epoch"])
    table = pd.concat(parts, ignore_index=True)
    first = ["model", "network", "weights"]
    return table[[*first, *(column for column in table.columns if column not in first)]]


def transfer_table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Validation accuracy after the first epoch and at best, with and without transfer learning (Figure 9)."""
    rows = []
    for outcome in trained(outcomes):
        if outcome.epochs is None or outcome.epochs.empty:
            continue
        accuracy = outcome.epochs["validation_accuracy"]
        printed = (np.nan, np.nan)
        if outcome.printed:
            printed = (PRINTED[outcome.architecture].first_validation_accuracy, np.nan)  # type: ignore[index]
        elif outcome.architecture == SWIN and outcome.weights == "none":
            printed = SWIN_FROM_SCRATCH
        rows.append(
            {
                "model": outcome.name,
                "weights": outcome.weights,
                "first epoch": float(accuracy.iloc[0]),
                "first epoch paper": printed[0],
                "best epoch": float(accuracy.max()),
                "best epoch paper": printed[1],
            }
        )
    return pd.DataFrame(rows)


def confusions_table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Every cell of every confusion matrix (Figure 7): ``model``, ``true``, ``named``, ``tiles``."""
    rows = []
    for outcome in outcomes:
        if outcome.report is None:
            continue
        names = [mineral.name for mineral in outcome.report.minerals]
        for (true, named), tiles in np.ndenumerate(outcome.report.evaluation.confusion):
            rows.append((outcome.name, names[true], names[named], int(tiles)))
    return pd.DataFrame(rows, columns=["model", "true", "named", "tiles"])


def calibrations_table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Calibration of every network without scaling and as fitted on its validation tiles."""
    parts = [
        outcome.report.calibration_table.assign(model=outcome.name)
        for outcome in trained(outcomes)
        if outcome.report is not None and outcome.report.calibration_table is not None
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["model", "scaling"])
    return table[["model", *(column for column in table.columns if column != "model")]]


def runs_table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """What is needed to make each model again."""
    rows = []
    for outcome in outcomes:
        facts = outcome.facts
        card = outcome.report.card if outcome.report else None
        rows.append(
            {
                "model": outcome.name,
                "architecture": outcome.architecture,
                "began with": " ".join(str(value) for value in facts.get("weights", {}).values() if value),
                "seed": facts.get("seed", ""),
                "device": facts.get("device", ""),
                "command": facts.get("command", ""),
                "weights sha256": card.weights_sha256 if card else "",
                "not trained": outcome.failure,
            }
        )
    return pd.DataFrame(rows)


def _with_ends(name: str, row: pd.Series | None) -> dict[str, float]:
    values = (np.nan,) * 3 if row is None else (row["value"], row["low"], row["high"])
    return {f"{name}{end}": float(value) for end, value in zip(ENDS, values, strict=True)}


def _gain(outcome: Outcome, forest: Outcome | None) -> tuple[float, float, float]:
    if outcome.report is None or forest is None or forest.report is None or outcome is forest:
        return (np.nan,) * 3
    ours, theirs = outcome.report, forest.report
    if list(ours.predictions["tile"]) != list(theirs.predictions["tile"]) or ours.minerals != theirs.minerals:
        return (np.nan,) * 3
    return difference(ours.truth, ours.probabilities, theirs.probabilities, ours.groups)


def _cost(outcome: Outcome) -> dict[str, Any]:
    card = outcome.report.card if outcome.report else None
    record = card.training if card else None
    if record is None:
        return {"epochs": np.nan, "minutes": np.nan}
    return {"epochs": record.epochs, "minutes": record.minutes}
