"""From raw pictures to a dataset of tiles (the paper's step 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.progress import Progress, Steps

from .collection import TileDataset
from .cutting import Cutter
from .dataset_record import RECORD_NAME
from .picture_files import PictureFile, find_pictures, from_folders, from_table, named_by_pattern
from .sorting_journal import put_aside
from .tile_labels import choose_kind, parse_codes
from .tile_options import TileOptions

__all__ = ["TileOptions", "tile_steps"]

_DEFAULTS = TileOptions()


def tile_steps(
    pictures: Path | Sequence[Path],
    out: Path,
    options: TileOptions = _DEFAULTS,
    *,
    overwrite: bool = False,
) -> Steps[TileDataset]:
    """Cut pictures into tiles side by side, label them, and write a dataset that refers to the pictures.

    Parameters
    ----------
    pictures
        Pictures, or folders of them, with folders for minerals and deposits below.
    out
        Folder of the dataset.
    options
        Of tiles and labels.
    overwrite
        Replace an older dataset in `out`; what was sorted there by hand is put aside.

    Yields
    ------
    Progress
        One a picture; its notice says what is wrong with a picture that is left out.

    Returns
    -------
    TileDataset
        When sent True, that of the pictures seen so far, which is not written.

    Raises
    ------
    DatasetError
        If there is no picture or no tile, masks do not fit their pictures, or the older dataset is being
        sorted; nothing is written.
    ResultError
        If `out` holds a dataset already, or the disk refuses.
    """
    named = [pictures] if isinstance(pictures, Path) else list(pictures)
    if (out / RECORD_NAME).exists() and not overwrite:
        raise ResultError(f"{out} holds a dataset: choose another place, or ask to overwrite it")
    files, notices = _files(named, options)
    kind = choose_kind(files, options.labels, options.masks, options.results)
    cutter = Cutter(out, options, kind, parse_codes(options.codes))
    for number, file in enumerate(files):
        notices += cutter.add(file)
        stop = yield Progress(number + 1, len(files), "pictures", "cutting", notice="\n".join(notices))
        notices = []
        if stop:
            return cutter.dataset(_command(named, options))
    cutter.check(len(files))
    dataset = cutter.dataset(_command(named, options))
    if notice := put_aside(out):
        yield Progress(len(files), len(files), "pictures", "cutting", notice)
    dataset.write(overwrite=overwrite)
    return dataset


def _files(named: Sequence[Path], options: TileOptions) -> tuple[list[PictureFile], list[str]]:
    without = [folder for folder in (options.masks, options.results) if folder is not None]
    files, notices = find_pictures(named, without=without), []
    if options.photograph_pattern:
        files = named_by_pattern(files, options.photograph_pattern)
    if options.deposit_from == "folder":
        files = from_folders(files)
    if options.deposits is not None:
        files, notice = from_table(files, options.deposits)
        notices += [notice] if notice else []
    return files, notices


def _command(named: Sequence[Path], options: TileOptions) -> str:
    flags = []
    for name, value in options.model_dump(exclude_defaults=True).items():
        values = value if isinstance(value, tuple) else (value,)
        flags += [f"--{name.replace('_', '-')}", *map(str, values)]
    return " ".join(["ore-minerals dataset tile", *map(str, named), *flags])
