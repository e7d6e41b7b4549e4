"""One summary of many reports: a row for each picture, pooled rows, and what is to be minded of any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.exports import made_of
from napari_ore_minerals.exports.names import ENDING, SUMMARY
from napari_ore_minerals.exports.summary import Summary, write_summary
from napari_ore_minerals.exports.tables import long_table
from napari_ore_minerals.exports.together import facts_together
from napari_ore_minerals.maps.pooling import FEW_PICTURES, pool

if TYPE_CHECKING:
    from napari_ore_minerals.exports.reporting import Reported, ReportOptions

SUMMARY_OF = "summary made of"
MOST_NAMES, MOST_NOTES = 5, 50
FEW = (
    "{} pictures say little of how pictures differ: "
    f"with {FEW_PICTURES} or more the intervals of all pooled become shorter"
)


def write_summaries(reported: Sequence[Reported], folder: Path, options: ReportOptions) -> tuple[Path, ...]:
    """Write what was found in all results as one table, pooled rows last, in the forms that tables have.

    Where exports are kept, a summary that this program wrote of something else is replaced, and one of another
    origin is kept: the new one then has another name.

    Raises
    ------
    ResultError
        If a file exists and is not to be replaced, or the disk refuses.
    """
    summary = summary_of(reported)
    paths = summary_paths(folder, options)
    if options.existing == "keep":
        paths = tuple(_free(path) for path in paths)
    for path in paths:
        ours = options.existing == "replace" or made_of.holds(path, made_of.SUMMARY)
        if not (options.existing == "keep" and made_of.holds(path, summary.facts[SUMMARY_OF])):
            write_summary(summary, path, overwrite=options.existing != "refuse" and ours)
    return paths


def summary_paths(folder: Path, options: ReportOptions) -> tuple[Path, ...]:
    """Files that `write_summaries` writes."""
    wanted = [suffix for suffix in options.suffixes if suffix in (".csv", ".xlsx", ".html")] or [".csv"]
    return tuple(folder / f"{SUMMARY}{ENDING}{suffix}" for suffix in wanted)


def _free(path: Path) -> Path:
    """A name that nothing has, or a summary of this program."""
    found, number = path, 1
    while found.exists() and not made_of.holds(found, made_of.SUMMARY):
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def summary_of(reported: Sequence[Reported]) -> Summary:
    """Rows of each picture with its facts, pooled rows last with those of all together."""
    done = [one for one in reported if one.measured is not None]
    measured = [one.measured for one in done if one.measured is not None]
    notes = [*(f"{one.folder.name}: {one.problem}" for one in reported if one.problem), *_notes(done)]
    parts = [long_table([found]).assign(**one.facts) for one, found in zip(done, measured, strict=True)]
    pooled = None
    try:
        pooled = pool(measured)
    except OptionError as error:
        notes.append(f"the pictures were not pooled: {error}")
    together = facts_together([one.facts for one in done], measured, pooled=pooled is not None)
    if pooled is not None:
        few = [FEW.format(len(done))] if 1 < len(done) < FEW_PICTURES else []
        parts.append(long_table([], pooled).assign(notes="; ".join(few), **together))
        notes += few
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"measured": []})
    links = {found.name: one.files for one, found in zip(done, measured, strict=True)}
    parts_of = [f"{found.name} {one.facts.get('made of')}" for one, found in zip(done, measured, strict=True)]
    told = {SUMMARY_OF: made_of.mark(made_of.SUMMARY, [*parts_of, *notes])}
    return Summary(table.assign(**told), together | told, tuple(notes), links)


def _notes(done: Sequence[Reported]) -> Iterator[str]:
    """Notes of the pictures, each once with the names of its pictures."""
    pictures: dict[str, list[str]] = {}
    for one in done:
        for note in one.notes:
            pictures.setdefault(note, []).append(
                one.folder.name if one.measured is None else one.measured.name
            )
    for note, names in islice(pictures.items(), MOST_NOTES):
        more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
        yield f"{note} ({', '.join(names[:MOST_NAMES])}{more})"
    if len(pictures) > MOST_NOTES:
        yield f"{len(pictures) - MOST_NOTES:,} more notes stand in the reports of the pictures"
