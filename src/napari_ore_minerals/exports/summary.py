"""The summary of many pictures: one table as CSV or Excel, or a page that leads to their reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from napari_ore_minerals.exports.shown import PROGRAM
from napari_ore_minerals.exports.workbook import write_sheets
from napari_ore_minerals.maps.files import write_areas
from napari_ore_minerals.maps.whole import whole_file
from napari_ore_minerals.markup import Markup, page, paragraph, safe, section_markup, table_markup

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@dataclass(frozen=True)
class Summary:
    """What was found in several pictures.

    Attributes
    ----------
    table : pandas.DataFrame
        Rows of each picture, told by the column ``measured``, pooled rows last.
    facts : dict of str
        Of all pictures together, see `exports.together`.
    notes : tuple of str
        What the reader should mind.
    links : mapping of str to sequence of Path
        Exports of each picture, by what is in ``measured``.
    """

    table: pd.DataFrame
    facts: Mapping[str, str]
    notes: tuple[str, ...]
    links: Mapping[str, Sequence[Path]]


def write_summary(summary: Summary, path: Path, *, overwrite: bool = False) -> Path:
    """Write a summary as CSV, Excel or HTML, by the end of the file's name.

    Raises
    ------
    ResultError
        If the file exists and is not to be replaced, or the disk refuses; nothing half-written remains.
    """
    with whole_file(path, overwrite=overwrite) as staging:
        if path.suffix == ".csv":
            write_areas(summary.table, staging)
        elif path.suffix == ".xlsx":
            write_sheets(staging, {"areas": summary.table}, summary.facts, summary.notes)
        else:
            with staging.open("x", encoding="utf-8") as file:
                file.write(summary_page(summary, path.parent))
    return path


def summary_page(summary: Summary, folder: Path) -> str:
    """Return the page: a row for each picture and a column for each mineral, pooled last, with links to reports.

    Parameters
    ----------
    summary
        What was found.
    folder
        Where the page will be; exports elsewhere get no link.
    """
    table = summary.table
    minerals = list(dict.fromkeys(table["mineral"])) if "mineral" in table else []
    rows: list[list[object]] = []
    for name, part in table.groupby("measured", sort=False):
        by_mineral = {str(row["mineral"]): row for row in part.to_dict("records")}
        cells = [_cell(by_mineral.get(mineral)) for mineral in minerals]
        rows.append([_linked(str(name), summary.links.get(str(name), ()), folder), *cells])
    caption = (
        "Area in per cent, with 95 % intervals below: those of pictures are for the sections that they are parts of, "
        "that of all pooled holds what differs between pictures. A dash: left out, or not there."
    )
    facts = [
        [name, Markup(f'<span class="long">{safe(text)}</span>')] for name, text in summary.facts.items()
    ]
    body = [
        paragraph(summary.facts.get("program", PROGRAM), "faint"),
        *(paragraph(f"Mind: {note}.", "note") for note in summary.notes),
        section_markup("How much of each mineral", table_markup(["picture", *minerals], rows, caption)),
        section_markup("Where this comes from", table_markup(["", ""], facts, "", texts=2)),
    ]
    return page(f"Minerals of {len(summary.links)} pictures", body)


def _cell(row: Mapping[object, float] | Mapping[str, float] | None) -> object:
    values = dict(row or {})
    fraction, low, high = (float(values.get(name, math.nan)) for name in ("fraction", "low", "high"))
    if math.isnan(fraction):
        return "–"
    ends = "" if math.isnan(low) else f'<span class="range">{100 * low:.1f} to {100 * high:.1f}</span>'
    return Markup(f"{100 * fraction:.1f}{ends}")


def _linked(name: str, files: Sequence[Path], folder: Path) -> Markup:
    """Name of a picture, and its exports that lie beside or below the page."""
    near = [file for file in files if file.is_relative_to(folder)]
    links = " ".join(
        f'<a href="{quote(file.relative_to(folder).as_posix())}">{safe(file.name.rpartition("-minerals.")[2])}</a>'
        for file in near
    )
    return Markup(f'{safe(name)} <span class="range">{links}</span>')
