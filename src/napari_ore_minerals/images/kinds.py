"""Which paths look like pictures, without opening them."""

from __future__ import annotations

from pathlib import Path

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")


def is_picture(path: Path) -> bool:
    """Whether a path looks like a picture: a file by its suffix, a folder by Zarr's own files."""
    if path.is_dir():
        return any((path / name).is_file() for name in ZARR_MARKS)
    return path.suffix.lower() in PICTURE_SUFFIXES
