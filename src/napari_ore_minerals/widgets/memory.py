"""What the viewer remembers between sessions: speeds of models, and folders of the user's models."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

MOST_MODELS = 8


def _file() -> Path:
    return Path(user_config_path("napari-ore-minerals")) / "viewer.json"


def _read() -> dict[str, Any]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(known: dict[str, Any]) -> None:
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(known, file, indent=1)
        os.replace(file.name, path)
    except OSError:
        return  # only a convenience is lost


def tiles_per_second(model: str, device: str) -> float | None:
    """Speed of an earlier run of the model with these weights on a device; None if there was none."""
    value = _read().get("tiles_per_second", {}).get(f"{model} {device}")
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def remember_speed(model: str, device: str, rate: float) -> None:
    """Keep the speed of a run for the next forecast."""
    known = _read()
    speeds = known.get("tiles_per_second")
    speeds = speeds if isinstance(speeds, dict) else {}
    _write(known | {"tiles_per_second": speeds | {f"{model} {device}": round(rate, 3)}})


def seconds_of_learning(architecture: str, depth: str, device: str) -> float | None:
    """How long an earlier fine-tuning took; None if there was none."""
    known = _read().get("seconds_of_learning")
    value = known.get(f"{architecture} {depth} {device}") if isinstance(known, dict) else None
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def remember_learning(architecture: str, depth: str, device: str, seconds: float) -> None:
    """Keep how long a fine-tuning took for the next forecast."""
    known = _read()
    times = known.get("seconds_of_learning")
    times = times if isinstance(times, dict) else {}
    _write(known | {"seconds_of_learning": times | {f"{architecture} {depth} {device}": round(seconds, 1)}})


def model_folders() -> list[Path]:
    """Model folders that the user chose, the latest first; those that are gone are left out."""
    named = _read().get("models", [])
    folders = [Path(text) for text in named if isinstance(text, str)] if isinstance(named, list) else []
    return [folder for folder in folders if folder.is_dir()]


def remember_model(folder: Path) -> None:
    """Put a model folder first in the list."""
    others = [str(other) for other in model_folders() if other != folder]
    _write(_read() | {"models": [str(folder), *others][:MOST_MODELS]})
