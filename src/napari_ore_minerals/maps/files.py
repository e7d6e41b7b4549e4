"""Result folders: a mineral map on disk, whole or not at all, and read back bit-equal.

``<picture>.oremap/`` holds ``minerals.tif``, ``confidence.tif`` and ``heatmaps.tif``
(OME-TIFF with physical scale), ``areas.csv``, ``overlay.png`` and ``run.json``; of a very large picture
without a pyramid also ``picture.tif``, the picture made smaller, to look at.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tifffile
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_ore_minerals.errors import OptionError, ResultError
from napari_ore_minerals.images.levels import is_large, write_levels
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.overlay import write_overlay
from napari_ore_minerals.maps.records import ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.minerals import Mineral, MineralTable
from napari_ore_minerals.models.durable import hidden_beside

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph

SUFFIX = ".oremap"
RUN_NAME = "run.json"
MINERALS_NAME, CONFIDENCE_NAME, HEATMAPS_NAME = "minerals.tif", "confidence.tif", "heatmaps.tif"
AREAS_NAME, OVERLAY_NAME, PICTURE_NAME = "areas.csv", "overlay.png", "picture.tif"
_MAX_RUN_BYTES = 4 << 20
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class GridRecord(BaseModel):
    """A TileGrid in ``run.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height_px: int
    width_px: int
    tile_px: int
    stride_px: int


class ResultRecord(BaseModel):
    """What ``run.json`` holds: all of a MineralMap but its arrays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["napari-ore-minerals result 1"] = "napari-ore-minerals result 1"
    picture: PictureRecord
    grid: GridRecord
    um_per_px: Annotated[float, Field(gt=0)] | None
    um_per_px_source: str
    places_per_cell: Annotated[int, Field(ge=1, le=512)]
    minerals: tuple[Mineral, ...]
    model: ModelRecord
    run: RunRecord
    warnings: tuple[str, ...]


def result_folder(picture: Path, out: Path | None = None) -> Path:
    """Name of the result folder of a picture: ``<picture>.oremap`` beside it, or in `out`."""
    picture = Path(picture)
    return (picture.parent if out is None else Path(out)) / (picture.name + SUFFIX)


def write_result(
    mineral_map: MineralMap, folder: Path, *, micrograph: Micrograph | None = None, overwrite: bool = False
) -> Path:
    """Write a map as a result folder, whole or not at all.

    Parameters
    ----------
    mineral_map
        The map.
    folder
        Must not exist unless `overwrite`; its parents are made.
    micrograph
        The picture, for the overlay; None leaves the overlay without it.
    overwrite
        Replace an older result folder.  Anything else of that name is never replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ResultError
        If the folder exists, or the disk refuses; nothing half-written remains.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise ResultError(f"{folder} exists: choose another place, or ask to overwrite it")
    if folder.exists() and not (folder / RUN_NAME).is_file():
        raise ResultError(f"{folder} is no result of this program and is not overwritten")
    staging = hidden_beside(folder)
    try:
        staging.mkdir(parents=True)
        _write_files(mineral_map, staging, micrograph)
        _put_in_place(staging, folder)
    except OSError as error:
        raise ResultError(
            f"the result could not be written to {folder}: {error.strerror or error}"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def read_result(folder: Path) -> MineralMap:
    """Read a result folder.

    Raises
    ------
    ResultError
        If it is no result folder, or its files do not belong together.
    """
    folder = Path(folder)
    record = _read_record(folder)
    try:
        grid = TileGrid(**record.grid.model_dump())
        minerals = MineralTable.of(record.minerals)
    except (ValidationError, OptionError) as error:
        raise ResultError(f"{folder / RUN_NAME} does not make sense: {error}") from error
    places, count = record.places_per_cell, len(minerals)
    labels = _read_tiff(folder / MINERALS_NAME, grid.shape, np.uint8)
    shares = _read_tiff(folder / CONFIDENCE_NAME, (count + 1, *grid.shape), np.float32)
    size = (grid.rows * places, grid.columns * places)
    maps = _read_tiff(folder / HEATMAPS_NAME, (count, *size), np.float32)
    probabilities = np.ascontiguousarray(np.moveaxis(shares[1:], 0, -1))
    return MineralMap(
        grid=grid,
        labels=labels,
        probabilities=probabilities,
        class_maps=maps.astype(np.float16),
        processed=probabilities.sum(axis=-1) > 0,
        minerals=minerals,
        um_per_px=record.um_per_px,
        um_per_px_source=record.um_per_px_source,
        picture=record.picture,
        model=record.model,
        run=record.run,
        warnings=record.warnings,
    )


def write_areas(table: pd.DataFrame, path: Path) -> None:
    """Write an area table as CSV (UTF-8) to a file that must not exist; text cells cannot become formulas.

    Raises
    ------
    ResultError
        If the file exists or the disk refuses.
    """
    try:
        with Path(path).open("x", encoding="utf-8", newline="") as file:
            safe_cells(table).to_csv(file, index=False, lineterminator="\n")
    except FileExistsError as error:
        raise ResultError(f"{path} exists: choose another name") from error
    except OSError as error:
        raise ResultError(f"{path} could not be written: {error.strerror or error}") from error


def safe_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before text that a spreadsheet would take for a formula (OWASP: CSV injection)."""

    def safe(value: Any) -> Any:
        return "'" + value if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value

    return table.map(safe)


def _write_files(mineral_map: MineralMap, folder: Path, micrograph: Micrograph | None) -> None:
    names = [mineral.name for mineral in mineral_map.minerals]
    scale = None if mineral_map.um_per_px is None else mineral_map.um_per_px * mineral_map.grid.stride_px
    _write_tiff(folder / MINERALS_NAME, mineral_map.labels, scale, ["mineral code"])
    shares = np.concatenate(
        [mineral_map.confidence[np.newaxis], np.moveaxis(mineral_map.probabilities, -1, 0)]
    )
    _write_tiff(folder / CONFIDENCE_NAME, shares, scale, ["confidence", *names])
    place = None if scale is None else scale / mineral_map.places_per_cell
    _write_tiff(folder / HEATMAPS_NAME, mineral_map.class_maps.astype(np.float32), place, names)
    write_areas(areas(mineral_map), folder / AREAS_NAME)
    if micrograph is not None and is_large(micrograph.height_px, micrograph.width_px):
        smaller = folder / PICTURE_NAME
        micrograph = type(micrograph).open(smaller) if write_levels(micrograph, smaller) else micrograph
    write_overlay(mineral_map, folder / OVERLAY_NAME, micrograph=micrograph)
    record = ResultRecord(
        picture=mineral_map.picture,
        grid=GridRecord(
            height_px=mineral_map.grid.height_px,
            width_px=mineral_map.grid.width_px,
            tile_px=mineral_map.grid.tile_px,
            stride_px=mineral_map.grid.stride_px,
        ),
        um_per_px=mineral_map.um_per_px,
        um_per_px_source=mineral_map.um_per_px_source,
        places_per_cell=mineral_map.places_per_cell,
        minerals=mineral_map.minerals.minerals,
        model=mineral_map.model,
        run=mineral_map.run,
        warnings=mineral_map.warnings,
    )
    with (folder / RUN_NAME).open("x", encoding="utf-8") as file:
        file.write(record.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(staging: Path, folder: Path) -> None:
    """Rename the finished folder to its name, with an older one out of the way until it is there."""
    if not folder.exists():
        os.rename(staging, folder)
        return
    older = hidden_beside(folder, "older-")
    os.rename(folder, older)
    try:
        os.rename(staging, folder)
    except OSError:
        os.rename(older, folder)
        raise
    shutil.rmtree(older, ignore_errors=True)


def _write_tiff(path: Path, values: NDArray[Any], um_per_place: float | None, channels: list[str]) -> None:
    metadata: dict[str, Any] = {"axes": "YX" if values.ndim == 2 else "CYX", "Channel": {"Name": channels}}
    if um_per_place is not None:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": um_per_place, f"PhysicalSize{axis}Unit": "µm"}
    named = uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(np.ascontiguousarray(values).data).hexdigest())
    metadata["UUID"] = named.urn  # the same for the same map, not one of every writing
    tifffile.imwrite(
        path,
        values,
        ome=True,
        compression="zlib",
        predictor=False,
        photometric="minisblack",
        metadata=metadata,
    )


def _read_tiff(path: Path, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    try:
        with path.open("rb") as file, tifffile.TiffFile(file) as tiff:
            series = tiff.series[0]
            if tuple(series.shape) != shape or series.dtype != dtype:
                raise ResultError(
                    f"{path} is {series.dtype} {series.shape}, its run.json says {dtype.__name__} {shape}"
                )
            return np.ascontiguousarray(series.asarray())
    except (OSError, ValueError, IndexError, KeyError, RuntimeError) as error:  # codecs raise the last one
        if isinstance(error, ResultError):
            raise
        raise ResultError(f"{path} cannot be read: {error}") from error


def _read_record(folder: Path) -> ResultRecord:
    path = folder / RUN_NAME
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_RUN_BYTES + 1)
        if len(text) > _MAX_RUN_BYTES:
            raise ResultError(f"{path} is too large to be a run record")
        return ResultRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ResultError(f"{path} is no run record of this program: {where}: {first['msg']}") from error
    except OSError as error:
        if isinstance(error, ResultError):
            raise
        raise ResultError(
            f"{folder} is no result folder: its {RUN_NAME} cannot be read ({error.strerror or error})"
        ) from error
