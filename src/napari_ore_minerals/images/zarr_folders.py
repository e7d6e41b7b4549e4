"""Zarr folders: an array, or an OME-Zarr image with its pyramid levels and scale (OME-NGFF 0.4 and 0.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr
from pydantic import BaseModel, Field, ValidationError

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images.blocks import READ_ERRORS, reason
from napari_ore_minerals.images.kinds import ZARR_MARKS
from napari_ore_minerals.images.pixels import ReadOptions

ZARR_SUFFIX = ".zarr"
UM_PER_UNIT = {
    "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6,
}  # fmt: skip


class _Axis(BaseModel):
    name: str
    unit: str | None = None


class _Change(BaseModel):
    type: str
    scale: list[float] | None = None


class _Level(BaseModel):
    path: str
    changes: list[_Change] = Field(default=[], alias="coordinateTransformations")


class _Image(BaseModel):
    axes: list[_Axis]
    datasets: list[_Level] = Field(min_length=1)


def open_zarr(path: Path, options: ReadOptions) -> tuple[list[zarr.Array], ReadOptions, float | None]:
    """Open a Zarr folder for reading; no pixel is read.

    Parameters
    ----------
    path
        Folder of a Zarr array, or of a group with OME-Zarr's ``multiscales``, whose first image is taken.
    options
        Answers of the user; those that OME-Zarr tells are filled in.

    Returns
    -------
    levels : list of zarr.Array
        The finest first.
    options : ReadOptions
        With the axis of the colours, where it is told.
    um_per_px : float or None
        Of the level that is asked for, where it is told and pixels are square.

    Raises
    ------
    PictureError
        If the folder is no Zarr array or image, or is damaged.
    OptionError
        If the level does not exist.
    """
    if not any((path / name).is_file() for name in ZARR_MARKS):
        raise PictureError(
            f"{path.name}: is a folder, but no Zarr array or OME-Zarr image; name a picture in it."
        )
    try:
        found = zarr.open(path, mode="r")
        if isinstance(found, zarr.Array):
            return [found], options, None
        attributes: dict[str, Any] = dict(found.attrs)
        told = attributes.get("ome", attributes).get("multiscales")
        image = _Image.model_validate(told[0])
        levels = [found[level.path] for level in image.datasets]
    except (ValidationError, zarr.errors.BaseZarrError, *READ_ERRORS) as error:
        raise PictureError(
            f"{path.name}: is no Zarr array or OME-Zarr image that can be read ({reason(error)}); name the folder "
            "of the array, or save the picture anew."
        ) from error
    if not all(isinstance(level, zarr.Array) for level in levels):
        raise PictureError(f"{path.name}: a level of the OME-Zarr image is no array; save the picture anew.")
    if options.level >= len(levels):
        raise OptionError(
            f"{path.name}: there is no level {options.level}; its levels are 0 to {len(levels) - 1}."
        )
    names = [axis.name for axis in image.axes]
    if options.channel_axis is None and "c" in names and levels[0].shape[names.index("c")] in (3, 4):
        options = options.model_copy(update={"channel_axis": names.index("c")})
    return levels, options, _um_per_px(image, options.level)


def _um_per_px(image: _Image, level: int) -> float | None:
    """Micrometres per pixel of a level; None where it is not told or pixels are not square."""
    scale = next((change.scale for change in image.datasets[level].changes if change.scale), None)
    names = [axis.name for axis in image.axes]
    if scale is None or len(scale) != len(names) or not {"y", "x"} <= set(names):
        return None
    sides = []
    for name in ("y", "x"):
        unit = UM_PER_UNIT.get(image.axes[names.index(name)].unit or "")
        if unit is None:
            return None
        sides.append(unit * scale[names.index(name)])
    return sides[1] if abs(sides[0] - sides[1]) <= 0.01 * min(sides) else None
