"""Which paths look like pictures, and which kind their first bytes tell."""

from __future__ import annotations

from pathlib import Path

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.images.blocks import reason

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PHOTOGRAPH_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")


def is_picture(path: Path) -> bool:
    """Whether a path looks like a picture: a file by its suffix, a folder by Zarr's own files."""
    if path.is_dir():
        return any((path / name).is_file() for name in ZARR_MARKS)
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_photograph(path: Path) -> bool:
    """Whether the file starts like a PNG, JPEG or BMP; False if it starts like a TIFF."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError as error:
        raise PictureError(f"{path}: there is no such file.") from error
    except (OSError, ValueError) as error:
        raise PictureError(f"{path}: cannot be opened ({reason(error)}).") from error
    if start.startswith(TIFF_STARTS):
        return False
    if start.startswith(PHOTOGRAPH_STARTS):
        return True
    raise PictureError(f"{path.name}: {_what_instead(start)}; PNG, JPEG, BMP and TIFF files can be read.")


def _what_instead(start: bytes) -> str:
    if not start:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is only the pointer to a Git LFS file (fetch it with git lfs pull)"
    if start.lstrip()[:1] == b"<":
        return "holds text such as a web page, not a picture"
    if not start.strip(b"\0"):
        return "starts with zeros, as a file that was not copied to its end"
    return "is no picture of a known kind"
