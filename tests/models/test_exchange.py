"""A model as one zip: it comes back as it was, says nothing of this computer, and nothing else gets in."""

from __future__ import annotations

import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import ModelCard, TrainingRecord
from napari_ore_minerals.models.exchange import _shortened, export_model, import_model, without_paths
from napari_ore_minerals.models.store import load_network, save_model
from napari_ore_minerals.models.versions import ModelStore

CARD = ModelCard(
    name="m",
    architecture="ore_swin_micro",
    minerals=DEFAULT_MINERALS.minerals,
    input_px=32,
    provenance="Tiles of /home/anna/Fe ores/2026 at 0.5 um/px and/or of C:\\Users\\anna\\ores; see https://a.org/b/c.",
    training=TrainingRecord(
        options={"resume": "/home/anna/runs/a b", "epochs": 3},
        command="train '/home/anna/my runs/secret/set' --out ~/private/run --cache=/mnt/lab/cache/",
    ),
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(tmp_path / "m", CARD, build_network("ore_swin_micro", 6))
    return tmp_path / "m"


def test_a_model_comes_back_bit_equal(model: Path, tmp_path: Path) -> None:
    archive = export_model(model, tmp_path / "m.zip")
    version = import_model(ModelStore(tmp_path / "store"), archive, activate=True)
    card, network = load_network(version.folder)
    assert card == without_paths(load_network(model)[0])
    for name, value in load_network(model)[1].state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_the_same_model_gives_the_same_file_and_one_version(model: Path, tmp_path: Path) -> None:
    first, second = (export_model(model, tmp_path / name) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()
    store = ModelStore(tmp_path / "store")
    assert import_model(store, first) == import_model(store, second)
    with pytest.raises(ModelError, match="exists"):
        export_model(model, first)


def test_an_export_holds_no_private_paths(model: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(export_model(model, tmp_path / "m.zip")) as zipped:
        text = zipped.read("card.json").decode()
        assert sorted(zipped.namelist()) == ["card.json", "model.safetensors"]
    for private in ("anna", "/home", "/mnt", "private", "secret", "Users"):
        assert private not in text
    for kept in ("um/px", "and/or", "https://a.org/b/c", "--out run", "--cache=cache", "'set'"):
        assert kept in text


@given(st.lists(st.sampled_from(["anna", "b c", "x.y", "ü", "-"]), min_size=1, max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_quoted_folder_is_kept(parts: list[str], windows: bool) -> None:
    separator = "\\" if windows else "/"
    path = ("C:" if windows else "") + separator + separator.join(["anna-private", *parts, "last"])
    card = without_paths(CARD.model_copy(update={"provenance": f"from '{path}' and on"}))
    assert card.provenance == "from 'last' and on"


@pytest.mark.parametrize("extra", ["../evil", "notes.txt", "card.json", "/abs", "a/"])
def test_anything_else_in_the_archive_is_refused(model: Path, tmp_path: Path, extra: str) -> None:
    archive = export_model(model, tmp_path / "m.zip")
    with zipfile.ZipFile(archive, "a") as zipped, pytest.warns() if extra == "card.json" else nullcontext():
        zipped.writestr(extra, "x")
    with pytest.raises(ModelError, match="nothing else"):
        import_model(ModelStore(tmp_path / "store"), archive)
    assert not (tmp_path / "store").exists()


def test_bombs_are_not_blown_up(model: Path, tmp_path: Path) -> None:
    for name in ("card.json", "model.safetensors"):
        archive = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for member in ("card.json", "model.safetensors"):
                content = b"\0" * (200 << 20) if member == name else (model / member).read_bytes()
                zipped.writestr(member, content)
        with pytest.raises(ModelError, match="more than the"):
            import_model(ModelStore(tmp_path / "store"), archive)


@pytest.mark.parametrize("at", [0, 40, 600, -30])
def test_damage_is_found(model: Path, tmp_path: Path, at: int) -> None:
    archive = export_model(model, tmp_path / "m.zip")
    content = bytearray(archive.read_bytes())
    content[at] ^= 0x55
    archive.write_bytes(content)
    with pytest.raises(ModelError):
        import_model(ModelStore(tmp_path / "store"), archive)
    assert not list((tmp_path / "store").glob("v*"))


def test_what_is_no_zip(tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(b"PK\x03\x04 and no more")
    for name in ("m.zip", "absent.zip"):
        with pytest.raises(ModelError, match=name):
            import_model(ModelStore(tmp_path / "store"), tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "learnt of /home/joe/My Pictures/secret project/a.tif",
        "learnt of /home/joe/Photos of mine/secret/a.tif at 0.5 um/px",
        "C:\\Users\\joe\\My Ores\\deep secret\\a.tif",
        "~/My Ores/secret/a.tif",
        ["/home/joe/secret/a.tif", ("/data/secret ores/a.tif", 3)],
    ],
)
def test_folders_with_spaces_and_lists_are_shortened_too(text: object) -> None:
    shown = repr(_shortened(text))
    assert "a.tif" in shown
    for private in ("joe", "secret", "Ores", "Pictures", "mine"):
        assert private not in shown


def test_what_is_no_path_stays() -> None:
    text = "pyrite and/or gold at 0.5 um/px, train --out x --seed 3; see https://a.org/b/c"
    assert _shortened(text) == text
