"""A viewer with the Classify dock, a small model and nothing remembered from other sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")

from napari_ore_minerals.learning import journal
from napari_ore_minerals.models import versions
from napari_ore_minerals.widgets import memory
from napari_ore_minerals.widgets.classify import ClassifyDock


@pytest.fixture(autouse=True)
def _nothing_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, remember_processor: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(memory, "user_config_path", lambda _: tmp_path / "config")
    monkeypatch.setattr(journal, "default_folder", lambda: tmp_path / "corrections")
    monkeypatch.setattr(versions, "default_root", lambda: tmp_path / "store")
    remember_processor(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def add_dock(micro_model: Path) -> Iterator[Callable[[Any], ClassifyDock]]:
    """Adds the dock to a viewer, as the Plugins menu does, with the small model."""
    docks: list[ClassifyDock] = []

    def add(viewer: Any, model: Path = micro_model) -> ClassifyDock:
        _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Classify")
        dock.form.models.choose(model)
        docks.append(dock)
        return dock

    yield add
    for dock in docks:
        dock.worker.close()


@pytest.fixture
def large_picture() -> np.ndarray:
    """3200 x 3200 px, 2,500 tiles of 64 px: enough to be interrupted."""
    random = np.random.default_rng(3)
    fields = random.integers(20, 240, (50, 50, 3), dtype=np.uint8)
    return fields.repeat(64, axis=0).repeat(64, axis=1)
