"""An evaluation on disk: tables, figures and a record, from which the report can be read again.

``predictions.csv``, ``figures.csv``, ``confusion.csv``, ``calibration.csv``, ``reliability.csv``,
``confusion.png``, ``reliability.png``, ``mistakes.png``, ``heatmaps.png`` and ``evaluation.json``.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.maps.whole import whole_folder
from napari_ore_minerals.minerals import Mineral, MineralTable
from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.devices import choose_device

from .calibration import Calibration
from .evaluate_options import EvaluateOptions
from .evaluation_report import EvaluationReport
from .faults import device_faults
from .figures import draw_confusions, draw_reliability
from .gallery import Look, draw_heatmaps, draw_mistakes, drawn_tiles, look, worst_mistakes
from .model_evaluation import tiles_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .collection import TileDataset

RECORD = "evaluation.json"
PREDICTIONS, CALIBRATION, RELIABILITY = "predictions.csv", "calibration.csv", "reliability.csv"
_TABLES = {CALIBRATION: "calibration_table", RELIABILITY: "reliability_table"}


class EvaluationRecord(BaseModel):
    """What ``evaluation.json`` holds: all of a report but its tables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["napari-ore-minerals evaluation 1"] = "napari-ore-minerals evaluation 1"
    created: str
    title: str
    dataset: str
    part: str
    minerals: tuple[Mineral, ...]
    card: ModelCard | None
    calibration: dict[str, float | int | None] | None
    notices: tuple[str, ...]


def write_evaluation(report: EvaluationReport, folder: Path) -> None:
    """Write the tables, the record and the figures that need no pictures into an existing folder."""
    report.predictions.to_csv(folder / PREDICTIONS, index=False, lineterminator="\n")
    report.figures.to_csv(folder / "figures.csv", index=False, lineterminator="\n")
    confusion_table(report).to_csv(folder / "confusion.csv", lineterminator="\n")
    for name, attribute in _TABLES.items():
        table: pd.DataFrame | None = getattr(report, attribute)
        if table is not None:
            table.to_csv(folder / name, index=False, lineterminator="\n")
    draw_confusions([report], folder / "confusion.png")
    if report.reliability_table is not None:
        draw_reliability(report, folder / "reliability.png")
    record = EvaluationRecord(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        title=report.title,
        dataset=report.dataset,
        part=report.part,
        minerals=report.minerals.minerals,
        card=report.card,
        calibration=None if report.calibration is None else asdict(report.calibration),
        notices=report.notices,
    )
    (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_evaluation(folder: Path) -> EvaluationReport:
    """Read what `write_evaluation` wrote; the same report, number by number.

    Raises
    ------
    ResultError
        If it is no evaluation of this program.
    """
    folder = Path(folder)
    try:
        record = EvaluationRecord.model_validate_json((folder / RECORD).read_bytes())
        tables = {
            attribute: pd.read_csv(folder / name) if (folder / name).is_file() else None
            for name, attribute in _TABLES.items()
        }
        text = {"tile": str, "photograph": str, "deposit": str, "mineral": str, "predicted": str}
        predictions = pd.read_csv(folder / PREDICTIONS, dtype=text, keep_default_na=False)
    except (OSError, ValueError) as error:  # pydantic's are ValueErrors
        raise ResultError(f"{folder} is no evaluation of this program: {str(error)[:200]}") from error
    calibration: Any = record.calibration
    return EvaluationReport(
        title=record.title,
        dataset=record.dataset,
        part=record.part,
        minerals=MineralTable.of(record.minerals),
        predictions=predictions,
        card=record.card,
        calibration=None if calibration is None else Calibration(**calibration),
        notices=record.notices,
        **tables,
    )


def confusion_table(report: EvaluationReport) -> pd.DataFrame:
    """Confusion matrix as a table: true mineral by row, named mineral by column."""
    names = [mineral.name for mineral in report.minerals]
    index = pd.Index(names, name="true, by row")
    return pd.DataFrame(report.evaluation.confusion, index=index, columns=names)


def write_evaluation_folder(
    dataset: TileDataset,
    report: EvaluationReport,
    models: Sequence[Path],
    folder: Path,
    *,
    options: EvaluateOptions | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an evaluation with its galleries, whole or not at all.

    Parameters
    ----------
    dataset
        That the report is of.
    report
        Of the first model.
    models
        Model folders; the first one's mistakes are shown (Figure 8), and what all of them saw in the same
        tiles, which are drawn by lot (Figure 10).
    folder
        To be written.
    options
        Where to compute.
    overwrite
        Replace an older evaluation.

    Raises
    ------
    ResultError
        If the folder exists, or the disk refuses.
    """
    with whole_folder(folder, mark=RECORD, overwrite=overwrite) as staging:
        write_evaluation(report, staging)
        draw_mistakes_of(dataset, report, models[0], staging / "mistakes.png", options=options)
        draw_heatmaps_of(dataset, report, models, staging / "heatmaps.png", options=options)
    return folder


def draw_mistakes_of(
    dataset: TileDataset,
    report: EvaluationReport,
    model: Path,
    path: Path,
    *,
    options: EvaluateOptions | None = None,
) -> None:
    """Draw the worst mistakes of a model (Figure 8)."""
    rows = worst_mistakes(report)
    seen = looks_at(dataset, report, model, rows, options=options)
    draw_mistakes(
        [tile for tile, _ in seen],
        [one for _, one in seen],
        report.predictions["tile"].iloc[rows].tolist(),
        path,
        heading=f"{report.title}: mistakes on {report.part} tiles, the worst first",
    )


def draw_heatmaps_of(
    dataset: TileDataset,
    report: EvaluationReport,
    models: Sequence[Path],
    path: Path,
    *,
    options: EvaluateOptions | None = None,
    titles: Sequence[str] = (),
) -> None:
    """Draw what several models saw in the same tiles of the report's part (Figure 10)."""
    rows = drawn_tiles(report, np.random.default_rng(0))
    seen = [looks_at(dataset, report, model, rows, options=options) for model in models]
    sharpest = max(seen, key=lambda of_model: of_model[0][0].shape[0])  # networks take tiles of other sizes
    tiles = [tile for tile, _ in sharpest]
    looks = [[of_model[number][1] for of_model in seen] for number in range(len(rows))]
    draw_heatmaps(tiles, looks, list(titles) or [Path(model).name for model in models], path)


def looks_at(
    dataset: TileDataset,
    report: EvaluationReport,
    model: Path,
    rows: NDArray[np.int64],
    *,
    options: EvaluateOptions | None = None,
) -> list[tuple[NDArray[np.uint8], Look]]:
    """Tiles of some rows of a report's predictions, and what a model saw in them.

    Raises
    ------
    DeviceError
        If the device has too little memory or is lost.
    """
    options = options or EvaluateOptions()
    with device_faults(choose_device(options.device).title, 1):
        classifier = Classifier.load(model, device=options.device, precision=options.precision)
        tiles, samples = tiles_of(dataset, report.part, input_px=classifier.card.input_px)
        pictures = [np.array(samples.tiles[row]) for row in rows]
        names = tiles["mineral"].iloc[rows]
        return [
            (tile, look(classifier, tile, report.minerals.by_name(name)))
            for tile, name in zip(pictures, names, strict=True)
        ]
