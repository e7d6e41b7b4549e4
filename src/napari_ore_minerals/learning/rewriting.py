"""Files of a folder that are replaced together: whoever reads them finds all the older ones, or all the newer ones."""

from __future__ import annotations

import os
from pathlib import Path

from napari_ore_minerals.models.durable import sync_folder

PENDING = ".rewriting"


def replace_together(staging: Path, folder: Path) -> None:
    """Put the files of `staging` in the place of those of the same names in `folder`.

    The rename of `staging` into `folder` decides: killed before it, the older files hold; killed after
    it, `finish_replacing` brings the newer ones to their places before they are read.

    Raises
    ------
    OSError
        If the disk refuses; the older files hold, unless some of the newer ones are in place already.
    """
    finish_replacing(folder)
    pending, names = folder / PENDING, sorted(path.name for path in staging.iterdir())
    os.rename(staging, pending)
    sync_folder(folder)
    try:
        finish_replacing(folder)
    except OSError:
        if all((pending / name).exists() for name in names):
            os.rename(pending, staging)
        raise


def finish_replacing(folder: Path) -> None:
    """Bring to their places the files that a process left behind which was killed while replacing them."""
    pending = folder / PENDING
    if not pending.is_dir():
        return
    try:
        for path in sorted(pending.iterdir()):
            os.replace(path, folder / path.name)
        pending.rmdir()
    except FileNotFoundError:  # another process finishes as well
        finish_replacing(folder)
    sync_folder(folder)
