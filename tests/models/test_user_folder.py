"""Models and corrections are kept in one folder of the user, which may be another one than usual."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.learning.journal import Journal
from napari_ore_minerals.models import user_folder
from napari_ore_minerals.models.user_folder import choose_user_folder
from napari_ore_minerals.models.versions import ModelStore


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_folder, "user_config_path", lambda _: tmp_path / "config")
    monkeypatch.setattr(user_folder, "user_data_path", lambda _: tmp_path / "usual")


@pytest.mark.fault("D3")
def test_a_chosen_folder_is_used_by_all_and_one_that_refuses_is_not_chosen(tmp_path: Path) -> None:
    assert user_folder.user_folder() == tmp_path / "usual"
    (tmp_path / "closed").write_text("a file stands where folders are wanted: not even root can write there")
    with pytest.raises(ModelError, match="nothing can be written to"):
        choose_user_folder(tmp_path / "closed" / "mine")
    assert user_folder.user_folder() == tmp_path / "usual"
    choose_user_folder(tmp_path / "mine µ 日本")
    assert ModelStore().root == tmp_path / "mine µ 日本" / "models"
    assert Journal().folder == tmp_path / "mine µ 日本" / "corrections"
    assert not (tmp_path / "mine µ 日本").exists(), "it is made when something is saved"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"relative/folder", b"\n"])
def test_a_damaged_choice_means_the_usual_folder(tmp_path: Path, content: bytes) -> None:
    choose_user_folder(tmp_path / "mine")
    (tmp_path / "config" / "folder.txt").write_bytes(content)
    assert user_folder.user_folder() == tmp_path / "usual"
