"""Reports of many results: files for each, and one summary with a row for each picture and pooled rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from napari_ore_minerals.errors import OptionError, OreMineralsError, PictureError
from napari_ore_minerals.exports.formats import WITHOUT_PHOTOGRAPH, export_readable, format_of
from napari_ore_minerals.exports.shown import Shown, facts
from napari_ore_minerals.exports.summary import Summary, write_summary
from napari_ore_minerals.exports.tables import long_table
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import ReadOptions
from napari_ore_minerals.maps.files import SUFFIX, read_result
from napari_ore_minerals.maps.grains import grain_map_steps
from napari_ore_minerals.maps.measuring import Asked, Measurement, measure
from napari_ore_minerals.maps.pooling import pool
from napari_ore_minerals.progress import Progress, Steps, mapped

if TYPE_CHECKING:
    from napari_ore_minerals.maps.adjusting import Reference
    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.maps.mineral_map import MineralMap

ENDING = "-minerals"  # so that no export can have the name of a photograph
SUMMARY = "summary"
WITHOUT_GRAINS = "grains were asked for and could not be found without the photograph"
SALVAGED = ReadOptions(salvage=True)  # what is damaged is left out, as it was in classifying


@dataclass(frozen=True)
class ReportOptions:
    """What is written of each result.

    Attributes
    ----------
    suffixes : tuple of str
        Of `exports.formats.FORMATS`.
    grains : bool
        Find the grains of each picture; the photograph must be here.
    out : Path or None
        Folder; None for that of each result.
    pictures : Path or None
        Folder of the photographs, where they were moved.
    existing : "refuse", "keep" or "replace"
        What to do with exports that are there.
    """

    suffixes: tuple[str, ...] = (".html", ".xlsx")
    grains: bool = False
    out: Path | None = None
    pictures: Path | None = None
    existing: Literal["refuse", "keep", "replace"] = "refuse"

    def __post_init__(self) -> None:
        if not self.suffixes:
            raise OptionError("no form of report was named: name at least one, such as html")
        for suffix in self.suffixes:
            chosen = format_of(Path("a" + suffix))
            if chosen.suffix != suffix:
                raise OptionError(f"{suffix} is no form of report, {chosen.suffix} is")
            if chosen.needs_grains and not self.grains:
                raise OptionError(f"{suffix} holds grains, which are not to be found: ask for grains too")


@dataclass(frozen=True)
class Reported:
    """What became of one result.

    Attributes
    ----------
    folder : Path
        Of the result.
    files : tuple of Path
        That were written, or kept.
    measured : Measurement or None
    facts : dict of str
    notices : tuple of str
        What was done without.
    problem : str
        Why something could not be written; empty where all was.
    """

    folder: Path
    files: tuple[Path, ...] = ()
    measured: Measurement | None = None
    facts: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    problem: str = ""


Choice = Callable[["MineralMap"], "tuple[Asked, Reference | None]"]


def report_steps(folders: Sequence[Path], options: ReportOptions, choose: Choice) -> Steps[list[Reported]]:
    """Write reports of results, one after another; one that cannot be read or written does not stop the others.

    Parameters
    ----------
    folders
        Result folders.
    options
        What to write, and where.
    choose
        Tells for a map what is measured, and how its model errs.

    Yields
    ------
    Progress
        In blocks while grains are found; ``update`` is a `Reported` at the end of each result.

    Returns
    -------
    list of Reported
        In the order of the results; when sent True, of those that are finished.
    """
    names = names_of(folders, options.out)
    found: list[Reported] = []
    for folder, name, title in zip(folders, names, titles_of(folders), strict=True):
        try:
            one = yield from _one(folder, (name, title), options, choose)
        except (OreMineralsError, OSError, MemoryError) as error:
            one = Reported(folder, problem=str(error) or type(error).__name__)
        if one is None:
            break
        found.append(one)
        if (yield Progress(1, 1, "results", name, update=one)):
            break
    return found


def titles_of(folders: Sequence[Path]) -> list[str]:
    """Name of each picture, with as much of its folder as tells it from pictures of the same name elsewhere."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    parents: dict[str, set[Path]] = {}
    for path in paths:
        parents.setdefault(path.name, set()).add(path.parent)
    found = []
    for path in paths:
        places = parents[path.name]
        common = (
            path.parent if len({place.anchor for place in places}) > 1 else Path(os.path.commonpath(places))
        )
        found.append((path.parent.relative_to(common) / path.name).as_posix().removesuffix(SUFFIX))
    return found


def names_of(folders: Sequence[Path], out: Path | None = None) -> list[str]:
    """Begin of the exports' names, of which no two of one folder are the same.

    It is the name of the picture, with its suffix and its folder only where they are needed.
    """
    titles = [Path(title) for title in titles_of(folders)]
    places = [folder.parent if out is None else out for folder in folders]
    stems = Counter((place, title.stem) for place, title in zip(places, titles, strict=True))
    names = Counter((place, title.name) for place, title in zip(places, titles, strict=True))
    taken: dict[tuple[Path, str], int] = {}
    found = []
    for place, title in zip(places, titles, strict=True):
        name = title.stem
        if stems[place, title.stem] > 1 or title.stem == SUMMARY:
            name = title.name if names[place, title.name] == 1 else "-".join(title.parts)
        again = taken[place, name] = taken.get((place, name), 0) + 1
        found.append(name + (f"-{again}" if again > 1 else "") + ENDING)
    return found


def write_summaries(reported: Sequence[Reported], folder: Path, options: ReportOptions) -> tuple[Path, ...]:
    """Write what was found in all results as one table, pooled rows last, in the forms that tables have.

    Raises
    ------
    ResultError
        If a file exists and is not to be replaced, or the disk refuses.
    """
    summary = summary_of(reported)
    wanted = [suffix for suffix in options.suffixes if suffix in (".csv", ".xlsx", ".html")] or [".csv"]
    paths = [folder / f"{SUMMARY}{ENDING}{suffix}" for suffix in wanted]
    for path in paths:
        if not (path.exists() and options.existing == "keep"):
            write_summary(summary, path, overwrite=options.existing == "replace")
    return tuple(paths)


def summary_of(reported: Sequence[Reported]) -> Summary:
    """Rows of each picture with its facts, pooled rows last with what is the same for all."""
    done = [one for one in reported if one.measured is not None]
    measured = [one.measured for one in reported if one.measured is not None]
    notes = [f"{one.folder.name}: {one.problem}" for one in reported if one.problem]
    parts = [long_table([found]).assign(**one.facts) for one, found in zip(done, measured, strict=True)]
    first = done[0].facts if done else {}
    same = {name: text for name, text in first.items() if all(one.facts.get(name) == text for one in done)}
    try:
        parts.append(long_table([], pool(measured)).assign(**same))
    except OptionError as error:
        notes.append(f"the pictures were not pooled: {error}")
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"measured": []})
    links = {found.name: one.files for one, found in zip(done, measured, strict=True)}
    return Summary(table, same, tuple(notes), links)


def _one(
    folder: Path, named: tuple[str, str], options: ReportOptions, choose: Choice
) -> Steps[Reported | None]:
    """Write the exports of one result under a name and a title; None if a stop was asked for in the middle."""
    name, title = named
    mineral_map = read_result(folder)
    out = folder.parent if options.out is None else options.out
    micrograph, notices = find_picture(mineral_map, options.pictures)
    asked, reference = choose(mineral_map)
    measured = measure(mineral_map, replace(asked, name=asked.name or title), reference)
    grains, problem = None, ""
    if options.grains:
        try:
            grains = yield from _grains(mineral_map, micrograph, name)
        except PictureError as error:
            problem = f"{notices[0] if notices else error}; grains cannot be found without it"
            notices = ()
        if grains is not None and not grains.complete:
            return None
    doubts = () if micrograph is not None else (WITHOUT_PHOTOGRAPH,)
    doubts = (*doubts, WITHOUT_GRAINS) if problem else doubts
    shown = replace(Shown.of(mineral_map, (measured,), grains=grains, micrograph=micrograph), doubts=doubts)
    wanted = [
        out / (name + suffix)
        for suffix in options.suffixes
        if grains is not None or not format_of(Path(suffix)).needs_grains
    ]
    for number, path in enumerate(wanted):
        if not (path.exists() and options.existing == "keep"):
            written = export_readable(shown, path, overwrite=options.existing == "replace")
            if written is not shown:
                notices, shown = (
                    (*notices, f"the photograph {shown.name} cannot be read: it is left out"),
                    written,
                )
        if (yield Progress(number + 1, len(wanted), "files", name)) and number + 1 < len(wanted):
            return None
    return Reported(folder, tuple(wanted), measured, facts(shown), notices, problem)


def _grains(mineral_map: MineralMap, micrograph: Micrograph | None, name: str) -> Steps[GrainMap]:
    if micrograph is None:
        raise PictureError("there is no photograph")
    steps = grain_map_steps(mineral_map, micrograph)
    return (yield from mapped(steps, lambda at: replace(at, stage=f"{name}: {at.stage}", update=None)))


def find_picture(
    mineral_map: MineralMap, pictures: Path | None = None
) -> tuple[Micrograph | None, tuple[str, ...]]:
    """Open the picture of a map where it was, or in a folder of pictures; or say in one sentence why not."""
    record = mineral_map.picture
    places = [] if pictures is None else [pictures / record.name]
    places += [] if record.path is None else [Path(record.path)]
    why = (
        f"the photograph {record.name} is not where it was when it was classified: say where photographs are"
    )
    for path in places:
        if not path.exists():
            continue
        try:
            found = Micrograph.open(path, um_per_px=mineral_map.um_per_px, options=SALVAGED)
            if found.fingerprint() == record.fingerprint:
                return found, ()
            why = f"{path} is not the photograph that was classified, or was changed since"
        except OreMineralsError as error:
            why = str(error)
    return None, (why,)
