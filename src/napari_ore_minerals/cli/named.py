"""Pictures and results that a command line names: files, or folders of them, one level deep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_ore_minerals.cli.console import tell

NO_PICTURES = "no pictures (PNG, JPEG, BMP, TIFF) were found in what was named"


def pictures_named(named: list[Path]) -> list[Path]:
    """Files that were named and pictures in folders that were named; tells of those in folders below."""
    from napari_ore_minerals.images.kinds import is_picture

    folders = [path for path in named if path.is_dir() and not is_picture(path)]
    _tell_of_deeper("pictures", folders, _holds_pictures)
    paths: list[Path] = []
    for path in named:
        inside = sorted(filter(is_picture, path.iterdir())) if path in folders else [path]
        if not inside and len(named) > 1:
            tell(f"{path} holds no pictures (PNG, JPEG, BMP, TIFF)")
        paths += inside
    return paths


def results_named(named: list[Path]) -> list[Path]:
    """Result folders that were named, and those in folders that were named; tells of those in folders below."""
    from napari_ore_minerals.maps.files import RUN_NAME, SUFFIX

    folders = [path for path in named if path.is_dir() and not (path / RUN_NAME).is_file()]
    _tell_of_deeper("results", folders, lambda inner: any(inner.glob(f"*{SUFFIX}")))
    paths: list[Path] = []
    for path in named:
        inside = sorted(path.glob(f"*{SUFFIX}")) if path in folders else [path]
        if not inside and len(named) > 1:
            tell(f"{path} holds no result folders ({SUFFIX})")
        paths += inside
    return paths


def _tell_of_deeper(what: str, folders: list[Path], holds: Callable[[Path], bool]) -> None:
    """Say in one sentence which folders within those that were named are left out, though they hold the same."""
    found = [
        inner
        for path in folders
        for inner in sorted(path.iterdir())
        if inner.is_dir() and inner not in folders and not inner.name.startswith(".") and holds(inner)
    ]
    if found:
        more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
        tell(f"{what} in folders below are not taken ({found[0]}{more}): name these folders too")


def _holds_pictures(folder: Path) -> bool:
    """Whether this is a folder of pictures, and neither a picture, a result nor a folder of results."""
    from napari_ore_minerals.images.kinds import is_picture
    from napari_ore_minerals.maps.files import SUFFIX

    if is_picture(folder) or folder.suffix == SUFFIX:
        return False
    try:
        inside = list(folder.iterdir())
    except OSError:  # not readable: nothing is known of it
        return False
    return any(map(is_picture, inside)) and not any(one.suffix == SUFFIX for one in inside)
