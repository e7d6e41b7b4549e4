"""Where nothing can be written to the user's folder, the dock offers another one, and what was refused is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")

from gui_support import SECONDS

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.learning.journal import Journal
from napari_ore_minerals.learning.lesson import Lesson
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.models import user_folder
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.versions import ModelStore
from napari_ore_minerals.widgets.diary import Diary
from napari_ore_minerals.widgets.elsewhere import Elsewhere
from napari_ore_minerals.widgets.learn_section import LearnSection

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX"),
]


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder in which a file stands where folders are wanted: not even root can write there."""
    (tmp_path / "closed").write_text("no folder")
    return tmp_path / "closed"


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_folder, "user_config_path", lambda _: tmp_path / "config")


@pytest.mark.fault("D3")
def test_another_folder_is_offered_and_what_was_refused_is_written_there(
    qtbot: Any, configured: None, closed: Path, micro_model: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    mineral_map = classify(Micrograph.from_array(picture), Classifier.load(micro_model, device="cpu"))
    lesson, store = Lesson.of(mineral_map), ModelStore(closed / "models")
    diary = Diary(Journal(closed / "corrections"))
    offer = Elsewhere(store, diary)
    qtbot.addWidget(offer)
    diary.failed.connect(offer.look)
    offer.look()
    assert f"Nothing can be written to {store.root}" in offer.words.text()
    store.root = tmp_path / "models"
    offer.look()
    assert "corrections cannot be kept there" in offer.words.text()
    offer.hide()
    said = lesson.say({Cell(0, 0): 1, Cell(0, 1): 2})
    with qtbot.waitSignal(diary.failed, timeout=20 * SECONDS):
        diary.write(lesson, said)
    assert not offer.isHidden()
    complaints: list[str] = []
    offer.failed.connect(complaints.append)
    offer.keep_in(closed / "mine")
    assert "choose another folder" in complaints[0]
    assert not offer.isHidden()
    with qtbot.waitSignals([diary.saved, offer.moved], timeout=20 * SECONDS):
        offer.keep_in(tmp_path / "mine")
    assert offer.isHidden()
    assert store.root == tmp_path / "mine" / "models"
    assert user_folder.user_folder() == tmp_path / "mine"
    found = Journal(tmp_path / "mine" / "corrections").read(mineral_map.picture.fingerprint)
    assert found.corrections == said.corrections
    diary.close()


@pytest.mark.fault("D3")
def test_the_dock_looks_whether_its_folders_can_be_written_to_when_something_failed(
    make_napari_viewer_proxy: Any, add_dock: Any, closed: Path
) -> None:
    dock = add_dock(make_napari_viewer_proxy())
    section: LearnSection = dock.learn
    assert section.elsewhere.isHidden()
    section.history.failed.emit("something else went wrong")
    assert section.elsewhere.isHidden()
    section.history._store.root = closed / "models"
    section.tuning.failed.emit("The model could not be saved")
    assert not section.elsewhere.isHidden()
    assert dock.teaching.diary is section.elsewhere._diary
