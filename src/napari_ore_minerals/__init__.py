"""Which ore minerals are in a photograph of a polished section, and how much of each.

The public names below are loaded when they are first used: importing this
package loads neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Classifier": "models.classifier",
    "ClassifyOptions": "maps.records",
    "Micrograph": "images.micrograph",
    "Mineral": "minerals",
    "MineralMap": "maps.mineral_map",
    "MineralTable": "minerals",
    "ModelCard": "models.card",
    "OreMineralsError": "errors",
    "TileGrid": "images.tiles",
    "areas": "maps.areas",
    "classify": "maps.predict",
    "read_result": "maps.files",
    "write_result": "maps.files",
}
__all__ = ["__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
