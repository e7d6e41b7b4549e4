"""The photographs that the paper published, from their record to a dataset.

Cai, Y.-W., Qiu, K.-F., Petrelli, M., et al. 2024: American Mineralogist 109, 2060-2072.
The record could not be reached where this was written: nothing is taken for granted of
what its archives hold but that folders or files are named after minerals.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from zipfile import is_zipfile

import pandas as pd

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.maps.whole import whole_folder
from napari_ore_minerals.progress import Progress, Steps

from .archives import Allowance, unpack_steps
from .collection import TileDataset
from .dataset_record import RECORD_NAME
from .published_layout import Found, found_pictures
from .record import Record, download_steps
from .tile_cache import picture_path
from .tile_options import SplitBy, TileOptions
from .tile_table import check_split, listed
from .tiling import tile_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

DOI = "10.5281/zenodo.10441351"
LAYOUT_NAME = "published.csv"
UNNAMED = "pictures in no folder of a mineral"
MADE_UP = "changed copies of other pictures"
_WEIGHTS = {".pth", ".pt", ".safetensors"}
_PACKED = {".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"}
_NESTED = 2
_PAPER_TILE_PX = 256


class _Stopped(Exception):
    """A stop was asked for."""


def has_pictures(out: Path) -> bool:
    """Whether the pictures are in a folder already, so that `fetch_steps` needs no published files."""
    return (out / "dataset" / RECORD_NAME).exists() or (out / "pictures").exists()


def fetch_steps(
    out: Path, record: Record | None, *, downloaded: Path | None = None, photograph: str | None = None
) -> Steps[TileDataset | None]:
    """Download, unpack, sort and cut published pictures into a dataset.

    Parameters
    ----------
    out
        Gets ``downloads``, ``pictures`` (a folder per mineral), ``dataset`` and ``source.json``.  What is
        finished there is not done again.
    record
        See `record.read_record`; None for what is in `downloaded`, or where `has_pictures`.
    downloaded
        Folder of archives, pictures or folders of pictures that were fetched in another way.
    photograph
        Regular expression for the names of tiles whose first group is the photograph they were cut from.

    Yields
    ------
    Progress
        In ``"MB"``, ``"files"`` and ``"pictures"``, one after the other.

    Returns
    -------
    TileDataset or None
        None when sent True before it was done.

    Raises
    ------
    DatasetError, ResultError
        If files cannot be fetched, are not what the record says or hold no pictures of known minerals, or the
        disk is full.  What was downloaded is kept; nothing half-made is.
    """
    if (out / "dataset" / RECORD_NAME).exists():
        return TileDataset.open(out / "dataset")
    try:
        if not (out / "pictures").exists():
            files = yield from _files_steps(out, record, downloaded)
            yield from _pictures_steps(files, out / "pictures")
        return (yield from _dataset_steps(out, photograph))
    except _Stopped:
        return None


def _files_steps(out: Path, record: Record | None, downloaded: Path | None) -> Steps[list[Path]]:
    """Return the published files, downloaded or as they are in a folder, and note which those are."""
    if record is not None:
        files = yield from download_steps(record, out / "downloads")
        if len(files) < len(record.files):
            raise _Stopped
        _write_source(out, record, files)
        return files
    if downloaded is None or not downloaded.is_dir():
        raise DatasetError(f"{downloaded} is no folder with the files of the record")
    return sorted(path for path in downloaded.iterdir() if not path.name.startswith("."))


def _pictures_steps(files: Sequence[Path], folder: Path) -> Steps[None]:
    """Unpack and sort: every picture into a folder with the name of its mineral."""
    with whole_folder(folder, mark=LAYOUT_NAME) as staging:
        unpacked, allowance = staging / ".unpacked", Allowance()
        unpacked.mkdir()
        for file in files:
            if file.is_file() and is_zipfile(file):
                yield from _unpacked(file, unpacked / file.stem, allowance)
            elif file.suffix.casefold() in _PACKED or (file.is_file() and tarfile.is_tarfile(file)):
                notice = (
                    f"{file.name} is no zip archive: unpack it yourself and name its folder with --downloaded"
                )
                yield Progress(0, 0, "files", "unpacking", notice)
        for _ in range(_NESTED):
            for file in sorted(path for path in unpacked.rglob("*.zip") if is_zipfile(path)):
                yield from _unpacked(file, file.with_suffix(""), allowance)
                file.unlink()
        found = [*found_pictures(unpacked), *_loose(files)]
        _check_found(found, files)
        yield Progress(0, len(found), "pictures", "sorting")
        _sort(found, unpacked, staging)
        if kept := _keep_weights(unpacked, staging):
            notice = f"weights are in {folder / 'weights'} ({listed(kept)}): see ore-minerals models import"
            yield Progress(0, 0, "files", "sorting", notice)
        shutil.rmtree(unpacked)


def _unpacked(file: Path, folder: Path, allowance: Allowance) -> Steps[None]:
    if (yield from unpack_steps(file, folder, allowance)) is None:
        raise _Stopped


def _loose(files: Sequence[Path]) -> Iterator[Found]:
    """Yield pictures that are in no archive."""
    for path in files:
        yield from found_pictures(path, below=path.parent)


def _check_found(found: Sequence[Found], files: Sequence[Path]) -> None:
    if not found:
        names = listed([file.name for file in files]) or "nothing"
        raise DatasetError(f"no picture (PNG, JPEG, BMP, TIFF) is in what was published: {names}")
    if not any(one.mineral and not one.made_up for one in found):
        folders = listed(dict.fromkeys(one.path.parent.name for one in found))
        raise DatasetError(
            f"none of the {len(found)} pictures is named after a mineral of the paper, nor is its folder ({folders}): "
            "unpack the archives yourself, put the pictures into a folder for each mineral and use "
            "ore-minerals dataset tile"
        )


def _sort(found: Sequence[Found], unpacked: Path, folder: Path) -> None:
    """Put each picture into ``<its published folder>/<its mineral>`` and note what its path said."""
    with (folder / LAYOUT_NAME).open("x", encoding="utf-8", newline="") as text:
        table = csv.writer(text)
        table.writerow(["picture", "part", "deposit", "left_out"])
        for one in found:
            left_out = MADE_UP if one.made_up else "" if one.mineral else UNNAMED
            name = ""
            if one.mineral and not left_out:
                above = "-".join(one.relative.parts[:-1])[-150:].strip(". ") or "published"
                target = folder / above / one.mineral.name / one.path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                _place(one.path, target, own=one.path.is_relative_to(unpacked))
                name = target.relative_to(folder).as_posix()
            table.writerow([name, one.part, one.deposit, left_out])


def _place(source: Path, target: Path, *, own: bool) -> None:
    """Move a picture of our own; refer to one of somebody else's, by a link where the disk has them."""
    if target.exists():
        target = target.with_stem(f"{target.stem}-{hashlib.sha256(str(source).encode()).hexdigest()[:8]}")
    if own:
        os.replace(source, target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _keep_weights(unpacked: Path, folder: Path) -> list[str]:
    found = [path for path in sorted(unpacked.rglob("*")) if path.suffix.casefold() in _WEIGHTS]
    for path in found:
        (folder / "weights").mkdir(exist_ok=True)
        _place(path, folder / "weights" / path.name, own=True)
    return [path.name for path in found]


def _dataset_steps(out: Path, photograph: str | None) -> Steps[TileDataset]:
    """Cut the sorted pictures into tiles, and take over the deposits and parts that their paths told."""
    pictures, draft = out / "pictures", out / ".draft"
    layout = pd.read_csv(pictures / LAYOUT_NAME, dtype=str, keep_default_na=False)
    kept = layout[layout["left_out"] == ""]
    options = TileOptions(
        tile_px=_tile_px([pictures / name for name in kept["picture"]]),
        labels="folders",
        photograph_pattern=photograph,
        name="paper",
    )
    made = yield from tile_steps(pictures, draft, options, overwrite=True)
    if not (draft / RECORD_NAME).exists():
        raise _Stopped
    facts = kept.set_index(kept["picture"].map(lambda name: os.path.normpath(pictures / name)))
    of_tiles = facts.loc[[str(picture_path(draft, name)) for name in made.table["picture"]]]
    table = made.table.assign(deposit=of_tiles["deposit"].to_numpy(), part=of_tiles["part"].to_numpy())
    table, split_by, notice = _with_parts(table)
    left_out = Counter(layout["left_out"][layout["left_out"] != ""].tolist())
    dataset = replace(
        made,
        folder=out / "dataset",
        table=table,
        dropped={**made.dropped, **left_out},
        making=made.making.model_copy(
            update={"command": "ore-minerals fetch paper-dataset", "split_by": split_by}
        ),
    )
    dataset.write()
    shutil.rmtree(draft)
    yield Progress(len(kept), len(kept), "pictures", "done", notice)
    return dataset


def _with_parts(table: pd.DataFrame) -> tuple[pd.DataFrame, SplitBy, str]:
    """Keep the published parts where every tile has one and they do not leak; else leave the split to the user."""
    advice = "divide the tiles with ore-minerals dataset split"
    bare, missing = table.assign(part=""), int((table["part"] == "").sum())
    if missing:
        return bare, "deposit", f"the folders tell no part of {missing} of {len(table)} tiles: {advice}"
    reason = ""
    for by in get_args(SplitBy):
        try:
            check_split(table, by=by)
        except DatasetError as error:
            reason = str(error)
        else:
            return table, by, "the parts are those of the published folders"
    return bare, "deposit", f"the published parts are not taken over, since {reason}; {advice}"


def _tile_px(paths: Sequence[Path]) -> int:
    """Side of the tiles: the paper's, or that of the pictures where they were cut smaller."""
    from PIL import Image, UnidentifiedImageError

    sides: Counter[int] = Counter()
    for path in paths[:: max(1, len(paths) // 200)]:
        try:
            with Image.open(path) as picture:
                sides[min(picture.size)] += 1
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
            continue  # the cutting says what is wrong with it
    return min([_PAPER_TILE_PX, *(side for side, _ in sides.most_common(1) if side >= 16)])


def _write_source(out: Path, record: Record, files: Sequence[Path]) -> None:
    """Note what was fetched, with hashes that are stronger than those of the record."""
    facts = {
        "doi": record.doi,
        "title": record.title,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": [
            {"name": file.name, "size": file.size, "checksum": file.checksum, "sha256": _sha256(path)}
            for file, path in zip(record.files, files, strict=True)
        ],
    }
    try:
        (out / "source.json").write_text(
            json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise DatasetError(f"{out} cannot be written to: {error.strerror or error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
