"""The forms in which a map leaves the program, chosen by the end of the file's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from napari_ore_minerals.errors import OptionError, PictureError, ResultError
from napari_ore_minerals.exports.geojson import write_geojson
from napari_ore_minerals.exports.page import write_page
from napari_ore_minerals.exports.sheets import write_pdf, write_png
from napari_ore_minerals.exports.shown import Shown
from napari_ore_minerals.exports.tables import write_csv, write_grains_csv, write_json
from napari_ore_minerals.exports.tiff import write_tiff
from napari_ore_minerals.exports.workbook import write_workbook
from napari_ore_minerals.exports.zarr_labels import FACTS_NAME, write_zarr
from napari_ore_minerals.maps.whole import whole_file, whole_folder

WITHOUT_PHOTOGRAPH = "the photograph was not here or could not be read, so it is left out"


@dataclass(frozen=True)
class Format:
    """One form of export.

    Attributes
    ----------
    suffix : str
        End of the file's name, such as ".csv".
    title : str
        For people.
    write : callable
        Writes what is shown to a path that does not exist.
    needs_picture, needs_grains : bool
        Cannot be written without.
    folder : bool
        A folder is written instead of a file.
    """

    suffix: str
    title: str
    write: Callable[[Shown, Path], None]
    needs_picture: bool = False
    needs_grains: bool = False
    folder: bool = False


FORMATS: tuple[Format, ...] = (
    Format(".csv", "Areas as a table (CSV)", write_csv),
    Format(".xlsx", "All tables (Excel)", write_workbook),
    Format(".grains.csv", "Grains, a row each (CSV)", write_grains_csv, needs_grains=True),
    Format(".json", "All tables and records (JSON)", write_json),
    Format(".geojson", "Outlines for QuPath (GeoJSON)", write_geojson),
    Format(".png", "Map with legend and scale bar (PNG)", write_png),
    Format(".pdf", "Page to print (PDF)", write_pdf),
    Format(".html", "Report (HTML)", write_page),
    Format(".ome.tif", "Pixel map (OME-TIFF)", write_tiff),
    Format(".ome.zarr", "Picture and labels (OME-Zarr)", write_zarr, folder=True),
)


def format_of(path: Path) -> Format:
    """The form that a file's name asks for; where several suffixes fit, the longest.

    Raises
    ------
    OptionError
        If there is none.
    """
    fitting = [one for one in FORMATS if path.name.lower().endswith(one.suffix)]
    if not fitting:
        known = ", ".join(one.suffix for one in FORMATS)
        raise OptionError(f"{path.name} does not say what to write: end its name in {known}")
    return max(fitting, key=lambda one: len(one.suffix))


def export(shown: Shown, path: Path, *, overwrite: bool = False) -> Path:
    """Write what is shown to a file, whole or not at all.

    Parameters
    ----------
    shown
        What is shown.
    path
        Its end chooses the form; its parents are made.  It must not exist unless `overwrite`.
    overwrite
        Replace an older file; of folders only those that an export wrote.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    OptionError
        If no form has this suffix, or the form needs the picture or grains, which are not here.
    ResultError
        If it exists, is the photograph itself, or the disk refuses; nothing half-written remains.
    """
    path = Path(path)
    chosen = format_of(path)
    if chosen.needs_picture and shown.micrograph is None:
        raise OptionError(f"{path.name} cannot be written without the picture of {shown.name}: open it first")
    if chosen.needs_grains and shown.grain_tables is None:
        raise OptionError(
            f"{path.name} cannot be written without grains: find the grains of {shown.name} first"
        )
    photograph = shown.mineral_map.picture.path
    if photograph is not None and path.exists() and Path(photograph).exists() and path.samefile(photograph):
        raise ResultError(f"{path} is the photograph itself, which is never replaced: choose another name")
    if chosen.folder:
        with whole_folder(path, mark=FACTS_NAME, overwrite=overwrite) as staging:
            chosen.write(shown, staging)
    else:
        with whole_file(path, overwrite=overwrite) as staging:
            chosen.write(shown, staging)
    return path


def export_readable(shown: Shown, path: Path, *, overwrite: bool = False) -> Shown:
    """Write what is shown as `export` does, without its photograph where that turns out to be damaged.

    Returns
    -------
    Shown
        What was written: `shown` itself, or the same without the photograph and with a doubt that says so.
    """
    try:
        export(shown, path, overwrite=overwrite)
    except PictureError:
        if shown.micrograph is None:
            raise
        shown = replace(shown, micrograph=None, doubts=(*shown.doubts, WITHOUT_PHOTOGRAPH))
        export(shown, path, overwrite=overwrite)
    return shown
