"""What a comparison leaves on disk: tables, figures and the report made from them."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.maps.whole import whole_folder

from .comparison_tables import (
    Outcome,
    calibrations_table,
    confusions_table,
    epochs_table,
    headline_table,
    paper_table2,
    runs_table,
    table3,
    trained,
    transfer_table,
)
from .evaluation_files import draw_heatmaps_of, draw_mistakes_of
from .figures import draw_confusions, draw_curves, draw_reliability, draw_transfer
from .report import Comparison, report_page

if TYPE_CHECKING:
    import pandas as pd

    from .collection import TileDataset
    from .comparison import CompareOptions

RUNS_TABLE = "runs.csv"
SOFTWARE = ("napari-ore-minerals", "torch", "torchvision", "timm", "accelerate", "numpy", "scikit-learn")


def write_comparison(
    dataset: TileDataset, out: Path, options: CompareOptions, outcomes: Sequence[Outcome], forest: Outcome
) -> Path:
    """Write ``tables``, ``figures`` and ``report.html``, each whole or not at all; returns the report.

    Raises
    ------
    ResultError
        If the disk refuses.
    """
    tables = tables_of(dataset, outcomes, forest)
    with whole_folder(out / "tables", mark=RUNS_TABLE, overwrite=True) as staging:
        for name, table in tables.items():
            table.to_csv(staging / f"{name}.csv", index=False, lineterminator="\n")
    with whole_folder(out / "figures", mark="figure7-confusion.png", overwrite=True) as staging:
        _draw(dataset, options, outcomes, forest, staging)
    comparison = Comparison(
        dataset=dataset.name,
        part=options.part,
        tables=tables,
        figures={path.stem: path for path in sorted((out / "figures").glob("*.png"))},
        facts=_facts(dataset, options),
        notices=_notices([*outcomes, forest]),
    )
    path, staged = out / "report.html", out / ".report.html"
    try:
        staged.write_text(report_page(comparison), encoding="utf-8")
        os.replace(staged, path)
    except OSError as error:
        raise ResultError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)
    return path


def tables_of(dataset: TileDataset, outcomes: Sequence[Outcome], forest: Outcome) -> dict[str, pd.DataFrame]:
    """Every table behind the report, by the name of its file."""
    return {
        "headlines": headline_table(outcomes, forest),
        "table2": dataset.table2().reset_index(),
        "table2-paper": paper_table2(),
        "table3": table3([*outcomes, forest]),
        "figure6-curves": epochs_table(outcomes),
        "figure7-confusion": confusions_table([*outcomes, forest]),
        "figure9-transfer": transfer_table(outcomes),
        "calibration": calibrations_table(outcomes),
        "runs": runs_table(outcomes),
    }


def _draw(
    dataset: TileDataset,
    options: CompareOptions,
    outcomes: Sequence[Outcome],
    forest: Outcome,
    folder: Path,
) -> None:
    reports = [outcome.report for outcome in [*outcomes, forest] if outcome.report is not None]
    draw_confusions(reports, folder / "figure7-confusion.png")
    networks = trained(outcomes)
    if not networks:
        return
    epochs = epochs_table(outcomes)
    draw_curves(epochs, folder / "figure6-curves.png")
    if epochs["weights"].nunique() > 1:
        draw_transfer(epochs, folder / "figure9-transfer.png")
    models = {outcome.name: outcome.model for outcome in networks if outcome.model is not None}
    for outcome in networks:
        report = outcome.report
        if report is not None:
            draw_reliability(report, folder / f"calibration-{outcome.name}.png")
            draw_mistakes_of(
                dataset,
                report,
                models[outcome.name],
                folder / f"figure8-mistakes-{outcome.name}.png",
                options=options.evaluation,
            )
    draw_heatmaps_of(
        dataset,
        reports[0],
        list(models.values()),
        folder / "figure10-heatmaps.png",
        options=options.evaluation,
        titles=list(models),
    )


def _facts(dataset: TileDataset, options: CompareOptions) -> dict[str, str]:
    """What is needed to repeat the comparison, in words."""
    versions = {name: version(name) for name in SOFTWARE}
    return {
        "command": options.command,
        "dataset": f"{dataset.name}, tiles of {dataset.tile_px} px, table sha256 {dataset.sha256()}",
        "seed": str(options.training.seed),
        "options": options.training.flags(),
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        **versions,
    }


def _notices(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    found = [notice for outcome in outcomes if outcome.report for notice in outcome.report.notices]
    return tuple(dict.fromkeys(found))
