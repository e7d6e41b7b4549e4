"""What is in a tile, as far as folders, masks and results tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tifffile
from PIL import Image

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.blocks import READ_ERRORS, reason
from napari_ore_minerals.images.kinds import PICTURE_SUFFIXES
from napari_ore_minerals.maps.files import read_result, result_folder
from napari_ore_minerals.minerals import DEFAULT_MINERALS, UNCLASSIFIED

from .naming import mineral_name
from .picture_files import MASK_ENDING, PictureFile
from .tile_table import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph, Window

LabelKind = Literal["folders", "masks", "results", "none"]
UNKNOWN = ""


@dataclass(frozen=True)
class CodedCells:
    """Mineral codes of a picture on squares of `cell_px`; of 1 for a mask.

    Attributes
    ----------
    codes : (rows, columns) uint8 or uint16 array
    cell_px : int
    names : mapping
        Mineral of each code, "" for unknown.
    """

    codes: NDArray[np.integer]
    cell_px: int
    names: Mapping[int, str]

    def shares(self, window: Window) -> dict[str, float]:
        """Share of each mineral in a window of the picture; what is unknown is left out."""
        row, column, height, width = window
        rows, columns = np.arange(row, row + height), np.arange(column, column + width)
        found = self.codes[np.ix_(rows // self.cell_px, columns // self.cell_px)]
        shares: dict[str, float] = {}
        for code, count in zip(*np.unique(found, return_counts=True), strict=True):
            name = self.names.get(int(code), UNKNOWN)
            if name != UNKNOWN:
                shares[name] = shares.get(name, 0.0) + float(count) / found.size
        return shares


@dataclass(frozen=True)
class WholePicture:
    """A picture that shows one mineral, as its folder says."""

    mineral: str

    def shares(self, window: Window) -> dict[str, float]:
        """Share of each mineral in a window of the picture."""
        return {self.mineral: 1.0}


Labels = CodedCells | WholePicture


def parse_codes(given: Sequence[str]) -> dict[int, str]:
    """Read which mineral the codes of a mask stand for.

    Parameters
    ----------
    given
        ``"6=pyrite"`` pairs, where ``"7="`` leaves a code out; or the path of one JSON file,
        ``{"6": "pyrite", "7": null}``.  Empty for the codes of `DEFAULT_MINERALS`.

    Raises
    ------
    DatasetError
        If that is not what it is.
    """
    if not given:
        return {UNCLASSIFIED: UNKNOWN} | {mineral.code: mineral.name for mineral in DEFAULT_MINERALS}
    if len(given) == 1 and "=" not in given[0]:
        pairs = _codes_of_file(Path(given[0]))
    else:
        pairs = [tuple(pair.split("=", 1)) if "=" in pair else (pair, None) for pair in given]  # type: ignore[misc]
    codes = {UNCLASSIFIED: UNKNOWN}
    for code, name in pairs:
        if not code.strip().isdecimal() or not 0 <= int(code) <= 65535 or name is None:
            raise DatasetError(
                f"{code}={name}: write the codes of masks as 6=pyrite, with 7= for a code to leave out"
            )
        codes[int(code)] = mineral_name(name) if name.strip() else UNKNOWN
    return codes


def _codes_of_file(path: Path) -> list[tuple[str, str | None]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"{path} cannot be read as the codes of masks ({why})") from error
    if not isinstance(found, dict) or not all(
        name is None or isinstance(name, str) for name in found.values()
    ):
        raise DatasetError(f'{path} must hold codes and names, as in {{"6": "pyrite", "7": null}}')
    return [(str(code), name or "") for code, name in found.items()]


def find_mask(file: PictureFile, masks: Path | None) -> Path | None:
    """Find the mask of a picture: ``NAME-mask.png`` beside it, or in the folder `masks`; None if there is none."""
    folders = [file.path.parent] if masks is None else [masks / file.relative.parent, masks]
    endings = [MASK_ENDING] if masks is None else ["", MASK_ENDING]
    for folder in dict.fromkeys(folders):
        for ending in endings:
            for suffix in sorted(PICTURE_SUFFIXES):
                path = folder / f"{file.path.stem}{ending}{suffix}"
                if path.is_file() and path != file.path:
                    return path
    return None


def read_mask(path: Path) -> NDArray[np.integer]:
    """Read a mask of mineral codes: (height, width).

    Raises
    ------
    DatasetError
        If it is damaged, or has colours instead of codes.
    """
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            codes = tifffile.imread(path)
        else:
            with Image.open(path) as image:
                codes = np.asarray(image)
    except Image.DecompressionBombError as error:
        raise DatasetError(f"{path.name} has too many pixels for its format: save it as TIFF") from error
    except READ_ERRORS as error:
        raise DatasetError(f"{path.name} cannot be read ({reason(error)})") from error
    if codes.ndim == 3 and codes.shape[2] >= 3 and (codes[..., :1] == codes[..., :3]).all():
        codes = codes[..., 0]  # grey that was saved in colour
    if codes.ndim != 2 or codes.dtype.kind not in "uib":
        raise DatasetError(
            f"{path.name} has colours, where a mask has one whole number, a mineral's code, a pixel"
        )
    return codes.astype(np.uint8) if codes.dtype == bool else codes


def find_result(file: PictureFile, results: Path | None) -> Path | None:
    """Find the result folder of a picture beside it or in the folder `results`; None if there is none."""
    folder = result_folder(file.path, results)
    return folder if folder.is_dir() else None


def labels_of_result(folder: Path, micrograph: Micrograph) -> CodedCells:
    """Labels of a result folder, as they are stored in it, with corrections.

    Raises
    ------
    DatasetError
        If it is the result of another picture.
    ResultError
        If it cannot be read.
    """
    mapped = read_result(folder)
    size, found = (mapped.grid.height_px, mapped.grid.width_px), (micrograph.height_px, micrograph.width_px)
    if size != found or mapped.picture.fingerprint != micrograph.fingerprint():
        raise DatasetError(f"{folder.name} is the result of another picture")
    names = {mineral.code: mineral_name(mineral.name) for mineral in mapped.minerals}
    return CodedCells(mapped.labels, mapped.grid.stride_px, {UNCLASSIFIED: UNKNOWN} | names)


def folder_label(file: PictureFile) -> WholePicture:
    """Label of a picture in the folder of a mineral."""
    return WholePicture(mineral_name(file.relative.parent.name))


def choose_kind(
    files: Sequence[PictureFile], wanted: str, masks: Path | None, results: Path | None
) -> LabelKind:
    """Find out where the labels of pictures come from: masks, else results, else folders, else nowhere.

    Raises
    ------
    DatasetError
        If labels that were asked for are not there.
    """
    counts: dict[LabelKind, int] = {
        "masks": sum(find_mask(file, masks) is not None for file in files),
        "results": sum(find_result(file, results) is not None for file in files),
        "folders": sum(len(file.relative.parts) > 1 for file in files),
    }
    asked = "masks" if masks is not None else "results" if results is not None else None
    kind = asked if wanted == "auto" and asked else wanted
    if kind == "auto":
        kind = next((name for name, count in counts.items() if count), "none")
    if kind == "folders" and counts["folders"] < len(files):
        loose = [file.path.name for file in files if len(file.relative.parts) < 2]
        raise DatasetError(
            f"{len(loose)} of {len(files)} pictures lie in no folder of a mineral ({listed(loose)}): "
            "put each into a folder with the name of its mineral"
        )
    if kind != "none" and not counts[kind]:  # type: ignore[index]
        where = {"masks": masks, "results": results}.get(kind)
        raise DatasetError(
            f"none of the {len(files)} pictures has a {'mask' if kind == 'masks' else 'result'}, "
            f"named as {'NAME-mask.png' if kind == 'masks' else 'NAME.oremap'}, "
            f"{'beside it' if where is None else f'in {where}'}"
        )
    return kind  # type: ignore[return-value]
