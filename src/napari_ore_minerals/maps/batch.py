"""Many pictures with one model: a result folder for each, what is done already skipped, one table at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_ore_minerals.errors import OptionError, OreMineralsError, ResultError
from napari_ore_minerals.images.micrograph import Micrograph, PictureAnswers
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.files import read_result, result_folder, write_result
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord
from napari_ore_minerals.maps.resumable import part_folder, resumable_steps
from napari_ore_minerals.progress import Progress, Steps, mapped

if TYPE_CHECKING:
    import pandas as pd

    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.models.classifier import Classifier

HOW_FAST = {"device": "auto", "precision": "auto", "batch_size": None}  # options that change no answer


class Reading(NamedTuple):
    """How the pictures of a batch are opened.

    Attributes
    ----------
    um_per_px : float or None
        For pictures that do not tell.
    answers : PictureAnswers
        To what they leave open.
    """

    um_per_px: float | None = None
    answers: PictureAnswers = PictureAnswers()

    def open(self, path: Path) -> Micrograph:
        """Open one of them; what is damaged in it is left out."""
        return Micrograph.open(path.absolute(), um_per_px=self.um_per_px, options=self.answers.salvaging())


AS_TOLD = Reading()


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: a map and its folder, or in one sentence why there is none.

    Attributes
    ----------
    picture, folder : Path
    map : MineralMap or None
        Not kept in what `batch_steps` returns, since memory must not grow with the number of pictures.
    areas : pandas.DataFrame or None
        Its areas.
    done_before : bool
        The folder held this very result already, so that nothing was computed.
    problem : str
        Empty where there is a map.
    guesses : tuple of str
        What was assumed in reading the picture.
    """

    picture: Path
    folder: Path
    map: MineralMap | None = None
    areas: pd.DataFrame | None = None
    done_before: bool = False
    problem: str = ""
    guesses: tuple[str, ...] = ()


def batch_steps(
    pictures: Sequence[Path],
    classifier: Classifier,
    options: ClassifyOptions,
    *,
    out: Path | None = None,
    reading: Reading = AS_TOLD,
    overwrite: bool = False,
) -> Steps[list[Outcome]]:
    """Classify pictures one after another; one that cannot be read or written does not stop the others.

    Parameters
    ----------
    pictures
        Files; no two of the same name where `out` is one folder for all.
    classifier, options
        For all of them.
    out
        Where the result folders go; None for beside each picture.
    reading
        How to open them.
    overwrite
        Classify anew, and replace results of another model or other options.

    Yields
    ------
    Progress
        In tiles of the picture at hand, whose name is the stage; ``update`` is an `Outcome` at its end.

    Returns
    -------
    list of Outcome
        In the order of the pictures; when sent True, of those that are finished.

    Raises
    ------
    OptionError
        If two pictures would have the same result folder.
    """
    folders = result_folders(pictures, out)
    outcomes: list[Outcome] = []
    for path, folder in zip(pictures, folders, strict=True):
        try:
            micrograph = reading.open(path)
            outcome = yield from _one(path, folder, micrograph, classifier, options, overwrite=overwrite)
        except (OreMineralsError, OSError, MemoryError) as error:
            outcome = Outcome(path, folder, problem=str(error) or type(error).__name__)
        if outcome is None:
            break
        outcomes.append(replace(outcome, map=None))
        if (yield Progress(1, 1, "pictures", path.name, update=outcome)):
            break
    return outcomes


def result_folders(pictures: Sequence[Path], out: Path | None = None) -> list[Path]:
    """Name the result folder of each picture; `OptionError` if two pictures would have the same."""
    owners: dict[Path, Path] = {}
    for path in pictures:
        folder = result_folder(path, out)
        if folder in owners:
            raise OptionError(
                f"{owners[folder]} and {path} would both be written to {folder}: "
                "classify them in two runs, or without one folder for all"
            )
        owners[folder] = path
    return list(owners)


def area_table(
    outcomes: Iterable[Outcome], facts: Mapping[Path, Mapping[str, str]] | None = None
) -> pd.DataFrame:
    """Areas of all pictures below each other, with the picture in the first column and what went wrong in the last.

    Parameters
    ----------
    outcomes
        What became of the pictures.
    facts
        Where each picture's areas come from, in words; columns before the last.
    """
    import pandas as pd

    tables = []
    for outcome in outcomes:
        table = pd.DataFrame({"mineral": [""]}) if outcome.areas is None else outcome.areas.copy()
        table.insert(0, "picture", str(outcome.picture))
        told = (facts or {}).get(outcome.picture, {})
        tables.append(table.assign(**{name: text for name, text in told.items() if name not in table}))
        tables[-1]["problem"] = outcome.problem
    found = pd.concat(tables, ignore_index=True)
    found["problem"] = found.pop("problem")
    return found


def _one(
    path: Path,
    folder: Path,
    micrograph: Micrograph,
    classifier: Classifier,
    options: ClassifyOptions,
    *,
    overwrite: bool,
) -> Steps[Outcome | None]:
    """Classify one picture, unless its result is there; None if a stop was asked for in the middle."""
    guesses = tuple(map(str, micrograph.guesses))
    if folder.exists() and not overwrite:
        older = _same_result(folder, micrograph, classifier, options)
        return Outcome(path, folder, older, areas(older), done_before=True, guesses=guesses)
    parts = part_folder(folder, micrograph, classifier, options)
    with nullcontext() if parts is None else parts.held():
        mineral_map = yield from mapped(
            resumable_steps(micrograph, classifier, options, parts),
            lambda at: Progress(at.done, at.total, "tiles", path.name, at.notice),
        )
        if not mineral_map.run.complete:
            return None
        write_result(mineral_map, folder, micrograph=micrograph, overwrite=overwrite)
    if parts is not None:
        parts.remove()
    return Outcome(path, folder, mineral_map, areas(mineral_map), guesses=guesses)


def _same_result(
    folder: Path, micrograph: Micrograph, classifier: Classifier, options: ClassifyOptions
) -> MineralMap:
    """Read the result that is there; `ResultError` if it is of another picture, model or other options."""
    found, card = read_result(folder), classifier.card
    given = found.run.options.min_confidence
    least = card.min_confidence if given is None else given
    differences = [
        what
        for what, same in (
            ("picture", found.picture.fingerprint == micrograph.fingerprint()),
            ("model", found.model == ModelRecord.of(card) and found.minerals == card.mineral_table),
            ("calibration", found.run.temperature == card.temperature and least == found.run.min_confidence),
            ("scale", found.um_per_px == micrograph.um_per_px),
            ("options", _answering(found.run.options) == _answering(options)),
        )
        if not same
    ]
    if not found.run.complete:
        differences.append("being part of a run that was cancelled")
    if differences:
        raise ResultError(
            f"{folder} exists and differs in {' and '.join(differences)}: choose another place with --out, "
            "or ask to overwrite it"
        )
    return found


def _answering(options: ClassifyOptions) -> ClassifyOptions:
    return options.model_copy(update=HOW_FAST)
