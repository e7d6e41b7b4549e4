"""The folder that keeps a user's models and corrections: the computer's usual one, or one that was chosen instead."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_config_path, user_data_path

from napari_ore_minerals.errors import ModelError

from .durable import replace_synced

PROGRAM = "napari-ore-minerals"
MODELS, CORRECTIONS = "models", "corrections"
_LONGEST_PATH = 4096


def user_folder() -> Path:
    """Return the folder, which need not be there."""
    try:
        with _choice().open(encoding="utf-8") as file:
            chosen = Path(file.read(_LONGEST_PATH).strip())
    except (OSError, ValueError):
        chosen = Path()
    return chosen if chosen.is_absolute() else Path(user_data_path(PROGRAM))


def choose_user_folder(folder: Path) -> None:
    """Keep models and corrections in another folder from now on; what was kept so far stays where it is.

    Raises
    ------
    ModelError
        If nothing can be written there, or the choice cannot be remembered.
    """
    folder = Path(os.path.abspath(folder))
    if not is_writable(folder):
        raise ModelError(f"nothing can be written to {folder}: choose another folder")
    try:
        _choice().parent.mkdir(parents=True, exist_ok=True)
        replace_synced(_choice(), f"{folder}\n".encode())
    except OSError as error:
        raise ModelError(
            f"{folder} could not be remembered in {_choice().parent} ({error.strerror or error}); it was not chosen"
        ) from error


def is_writable(folder: Path) -> bool:
    """Tell whether files can be written to a folder, or to where it would be made, by writing one."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"ore minerals")
    except OSError:
        return False
    return True


def _choice() -> Path:
    return Path(user_config_path(PROGRAM)) / "folder.txt"
