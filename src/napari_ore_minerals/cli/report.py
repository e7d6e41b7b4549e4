"""Command of ``ore-minerals``: report, the exports of results that are there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_ore_minerals.cli.areas import asked_for, reference_for
from napari_ore_minerals.cli.console import SOME_FAILED, fail, tell, with_bar
from napari_ore_minerals.cli.named import results_named

if TYPE_CHECKING:
    from cyclopts import App

    from napari_ore_minerals.exports.reporting import Reported, ReportOptions

FORMATS = "html,xlsx"
Output = Literal["paths", "json", "nothing"]


def report(  # noqa: PLR0913 - a command's flags
    results: list[Path],
    /,
    *,
    out: Path | None = None,
    formats: str = FORMATS,
    grains: bool = False,
    of: Literal["picture", "ore"] = "picture",
    without: tuple[str, ...] = (),
    region: Path | None = None,
    model: str | None = None,
    pictures: Path | None = None,
    overwrite: bool = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Write reports of results of ``classify``, and for several results a summary with pooled rows.

    Example: ore-minerals report results --formats html,xlsx,geojson --grains --out reports

    Parameters
    ----------
    results
        Result folders (.oremap), or folders of them.
    out
        Folder for the reports; by default beside each result.
    formats
        Forms, with commas between: html, pdf, png, xlsx, csv, json, geojson, ome.tif, ome.zarr, grains.csv.
    grains
        Find the grains in each photograph, which must be where it was when it was classified, or in `pictures`.
    of
        What fractions are of: all that was measured, or the ore minerals alone.
    without
        Names of further minerals, or "unclassified", to leave out of what fractions are of; may be given several
        times.
    region
        Shapes saved by napari as CSV, or a mask picture of the same size; each shape or value is a region. For
        one result.
    model
        Whose card says how it errs: a model folder, the number of a version of yours, or "bundled"; by default
        the model that made the map, if it is here.
    pictures
        Folder of the photographs, if they were moved.
    overwrite
        Replace older reports.
    json_output
        Print what was written as JSON.
    """
    from napari_ore_minerals.exports.reporting import ReportOptions

    folders = list({os.path.abspath(folder): folder for folder in results_named(results)}.values())
    if not folders:
        return fail("no result folders (.oremap) were found in what was named")
    if region is not None and len(folders) > 1:
        return fail(f"--region is for one result, {len(folders)} were named")
    options = ReportOptions(
        suffixes=suffixes_of(formats),
        grains=grains,
        out=out,
        pictures=pictures,
        regions=region,
        existing="replace" if overwrite else "refuse",
    )
    output: Output = "json" if json_output else "paths"
    return write_reports(folders, options, of=of, without=without, model=model, output=output)


def report_classified(folders: list[Path], *, grains: bool, overwrite: bool, quiet: bool) -> int:
    """Write reports beside results that `classify` made; returns the exit code.

    Those that are there are kept, and it is told which of them were made of something else.
    """
    from napari_ore_minerals.exports.reporting import ReportOptions

    if not folders:
        return 0
    options = ReportOptions(
        suffixes=suffixes_of(FORMATS), grains=grains, existing="replace" if overwrite else "keep"
    )
    return write_reports(folders, options, output="nothing" if quiet else "paths")


def write_reports(
    folders: list[Path],
    options: ReportOptions,
    *,
    of: str = "picture",
    without: tuple[str, ...] = (),
    model: str | None = None,
    output: Output = "paths",
) -> int:
    """Write reports of results and, for several, a summary; returns the exit code."""
    from napari_ore_minerals.exports.reporting import report_steps
    from napari_ore_minerals.exports.summing_up import summary_paths, write_summaries

    reference = reference_for(model)
    place = options.out or folders[0].parent
    older = [path for path in summary_paths(place, options) if path.exists()]
    if older and len(folders) > 1 and options.existing == "refuse":
        return fail(f"{older[0]} exists: choose another place with --out, or ask to --overwrite it")

    def show(one: Reported) -> None:
        for notice in one.notices:
            tell(f"{one.folder.name}: {notice}")
        if one.problem:
            tell(f"{one.folder.name}: {one.problem}")
        if output == "paths":
            for file in one.files:
                print(file)

    steps = report_steps(
        folders, options, lambda found: (asked_for(found.minerals, of, without), reference(found))
    )
    reported = with_bar(steps, update=show)
    failures = sum(bool(one.problem) for one in reported)
    summaries: tuple[Path, ...] = ()
    if len(folders) > 1 and any(one.measured is not None for one in reported):
        summaries = write_summaries(reported, place, options)
    elif older:
        tell(f"{older[0].name} is of an earlier command and was not made anew")
    if output == "json":
        print(json.dumps(_as_json(reported, summaries), indent=2))
    elif output == "paths":
        for file in summaries:
            print(file)
    if failures:
        tell(f"{failures} of {len(folders)} reports failed or lack something")
    return SOME_FAILED if failures else 0


def suffixes_of(formats: str) -> tuple[str, ...]:
    """Suffixes of forms that are named with commas between, each once."""
    named = (name.strip().lower().removeprefix(".") for name in formats.split(","))
    return tuple(dict.fromkeys("." + name for name in named if name))


def register(app: App, _models_app: App) -> None:
    """Add the command."""
    app.command(report)


def _as_json(reported: list[Reported], summaries: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "reports": [
            {
                "result": str(one.folder),
                "files": [str(file) for file in one.files],
                "notices": list(one.notices),
                "error": one.problem,
            }
            for one in reported
        ],
        "summary": [str(file) for file in summaries],
    }
