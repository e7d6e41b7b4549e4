"""Reports of many results: files for each, and one summary with a row for each picture and pooled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_ore_minerals.errors import OptionError, OreMineralsError, PictureError, ResultError
from napari_ore_minerals.exports import made_of
from napari_ore_minerals.exports.formats import WITHOUT_PHOTOGRAPH, export_readable, format_of
from napari_ore_minerals.exports.names import names_of, titles_of
from napari_ore_minerals.exports.shown import Shown, facts, notes
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.files import read_result
from napari_ore_minerals.maps.grain_areas import with_grains
from napari_ore_minerals.maps.grains import grain_map_steps
from napari_ore_minerals.maps.measuring import Asked, Measurement, measure, measure_regions
from napari_ore_minerals.maps.region_files import read_regions
from napari_ore_minerals.progress import Progress, Steps, mapped

if TYPE_CHECKING:
    from napari_ore_minerals.maps.adjusting import Reference
    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.maps.mineral_map import MineralMap

STALE = (
    "{} kept, but made of another result or with other options: ore-minerals report --overwrite makes it anew"
)
WITHOUT_GRAINS = "grains were asked for and could not be found without the photograph"


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
    regions : Path or None
        File of shapes or mask, see `maps.region_files`: each region is measured, and all together; for one result.
    existing : "refuse", "keep" or "replace"
        What to do with exports that are there; to keep those that were made of something else is a problem.
    """

    suffixes: tuple[str, ...] = (".html", ".xlsx")
    grains: bool = False
    out: Path | None = None
    pictures: Path | None = None
    regions: Path | None = None
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
        Of the picture, or of all its regions together.
    facts : dict of str
    notes : tuple of str
        What speaks against trusting the figures.
    notices : tuple of str
        What was done without.
    problem : str
        Why something could not be written; empty where all was.
    """

    folder: Path
    files: tuple[Path, ...] = ()
    measured: Measurement | None = None
    facts: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
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

    Raises
    ------
    OptionError
        If regions are to be measured in more than one result.
    """
    if options.regions is not None and len(folders) != 1:
        raise OptionError(f"regions are of one picture, {len(folders)} results were named: name one")
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


def _one(
    folder: Path, named: tuple[str, str], options: ReportOptions, choose: Choice
) -> Steps[Reported | None]:
    """Write the exports of one result under a name and a title; None if a stop was asked for in the middle."""
    name, title = named
    out = folder.parent if options.out is None else options.out
    there = [path for path in (out / (name + suffix) for suffix in options.suffixes) if path.exists()]
    if there and options.existing == "refuse":
        raise ResultError(f"{there[0]} exists: choose another place, or ask to overwrite it")
    mineral_map, sha256 = read_result(folder), made_of.result_sha256(folder)
    micrograph, notices = find_picture(mineral_map, options.pictures)
    asked, reference = choose(mineral_map)
    asked = replace(asked, name=asked.name or title)
    regions = {} if options.regions is None else read_regions(mineral_map, options.regions)
    if regions:
        measured = measure_regions(mineral_map, regions, asked, reference)
    else:
        measured = (measure(mineral_map, asked, reference),)
    grains, problem = None, ""
    if options.grains:
        try:
            grains = yield from _grains(mineral_map, micrograph, name)
        except PictureError as error:
            problem = f"{notices[0] if notices else error}; grains cannot be found without it"
            notices = ()
        if grains is not None:
            if not grains.complete:
                return None
            measured = with_grains(measured, grains, mineral_map, regions)
    doubts = () if micrograph is not None else (WITHOUT_PHOTOGRAPH,)
    shown = replace(
        Shown.of(mineral_map, measured, grains=grains, micrograph=micrograph),
        doubts=(*doubts, WITHOUT_GRAINS) if problem else doubts,
        erring="" if reference is None else reference.what,
        made_of=_mark(sha256, made_of.asked_in_words(asked, reference, options.regions), grains, micrograph),
        result_sha256=sha256,
    )
    wanted = [
        out / (name + suffix)
        for suffix in options.suffixes
        if grains is not None or not format_of(Path(suffix)).needs_grains
    ]
    exported = yield from _export_all(shown, wanted, options, name)
    if exported is None:
        return None
    written, stale = exported
    if written is not shown:
        notices = (*notices, f"the photograph {shown.name} cannot be read: it is left out")
    if stale:
        problem = "; ".join(filter(None, (problem, STALE.format(", ".join(stale)))))
    return Reported(folder, tuple(wanted), measured[-1], facts(written), notes(written), notices, problem)


def _export_all(
    shown: Shown, wanted: Sequence[Path], options: ReportOptions, name: str
) -> Steps[tuple[Shown, list[str]] | None]:
    """Write or keep all files; returns what was written, and which kept ones were made of something else."""
    stale = []
    for number, path in enumerate(wanted):
        if not (path.exists() and options.existing == "keep"):
            shown = export_readable(shown, path, overwrite=options.existing == "replace")
        elif not made_of.holds(path, shown.made_of):
            stale.append(path.name)
        if (yield Progress(number + 1, len(wanted), "files", name)) and number + 1 < len(wanted):
            return None
    return shown, stale


def _mark(result: str, asked: str, grains: GrainMap | None, micrograph: Micrograph | None) -> str:
    """Mark of a report by all that it is made of."""
    what = "cells" if grains is None else f"grains of {grains.factor} px"
    picture = "no photograph" if micrograph is None else "photograph"
    return made_of.mark(made_of.REPORT, (result, asked, what, picture))


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
            found = Micrograph.open(path, um_per_px=mineral_map.um_per_px, options=record.answers.salvaging())
            if found.fingerprint() == record.fingerprint:
                return found, ()
            why = f"{path} is not the photograph that was classified, or was changed since"
        except OreMineralsError as error:
            why = str(error)
    return None, (why,)
