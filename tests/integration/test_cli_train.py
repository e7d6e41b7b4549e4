"""Training from the command line, in one process and in two."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_ore_minerals import cli
from napari_ore_minerals.learning.checkpoints import read_course
from napari_ore_minerals.learning.splitting import SplitOptions, split
from napari_ore_minerals.learning.tile_options import TileOptions
from napari_ore_minerals.learning.tiling import tile_steps
from napari_ore_minerals.learning.trainer import Trainer
from napari_ore_minerals.models.store import load_network
from napari_ore_minerals.progress import run

COLOURS = {"pyrite": (200, 195, 160), "chalcopyrite": (190, 160, 90), "stibnite": (90, 95, 110)}
QUICK = [
    "--architecture",
    "ore_swin_micro",
    "--weights",
    "none",
    "--epochs",
    "2",
    "--batch-size",
    "16",
    "--device",
    "cpu",
    "--precision",
    "fp32",
]


def call(*arguments: object) -> int:
    before, sys.argv = sys.argv, ["ore-minerals", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split dataset of three minerals, five photographs each, tiles of 32 px."""
    pictures, out = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("data") / "ores"
    for mineral, colour in COLOURS.items():
        (pictures / mineral).mkdir()
        for number in range(5):
            random = np.random.default_rng([number, colour[2]])
            rgb = np.clip(np.array(colour) + random.normal(0, 20, (96, 96, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(rgb).save(pictures / mineral / f"{mineral}{number}.png")
    dataset = run(tile_steps([pictures], out, TileOptions(tile_px=32)))
    split(dataset, SplitOptions()).write(overwrite=True)
    return out


@pytest.fixture(scope="module")
def trained(ores: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert call("train", ores, "--out", out, *QUICK) == 0
    return out


def test_a_dataset_becomes_a_model(ores, trained, capsys):
    assert len(pd.read_csv(trained / "epochs.csv")) == 2
    facts = json.loads((trained / "run.json").read_text())
    assert facts["options"]["label_smoothing"] == 0.1, "what no flag sets is left to the preset"
    assert facts["command"].startswith("ore-minerals train ores --out RUN --architecture ore_swin_micro")
    card, _ = load_network(trained / "model")
    assert {mineral.name for mineral in card.minerals} == set(COLOURS)
    assert call("train", ores, "--out", trained, *QUICK) == 0, "a finished run is not trained again"
    assert "validation balanced accuracy" in capsys.readouterr().out


def test_the_command_that_a_run_records_gives_the_same_weights(ores, trained, tmp_path):
    recorded = json.loads((trained / "run.json").read_text())["command"].split()[1:]
    recorded[1], recorded[3] = str(ores), str(tmp_path / "again")
    assert call(*recorded) == 0
    again = tmp_path / "again" / "model" / "model.safetensors"
    assert again.read_bytes() == (trained / "model" / "model.safetensors").read_bytes()


def test_the_model_classifies_a_picture(trained, tmp_path):
    picture = tmp_path / "section.png"
    Image.fromarray(np.full((128, 128, 3), COLOURS["pyrite"], np.uint8)).save(picture)
    assert call("classify", picture, "--model", trained / "model", "--out", tmp_path) == 0
    assert (tmp_path / "section.png.oremap" / "areas.csv").exists()


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--architecture", "vgg", "no single architecture is named 'vgg'"),
        ("--epochs", "3", "holds a run with other settings (epochs: 2, now 3)"),
        ("--epochs", "0", "greater than or equal to 1"),
        ("--weights", "nowhere.safetensors", "nowhere.safetensors cannot be read"),
        ("--weights", "imagenet", "there are no ImageNet weights for ore_swin_micro"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(ores, trained, capsys, flag, value, words):
    flags = list(QUICK)
    flags[flags.index(flag) + 1] = value
    capsys.readouterr()
    assert call("train", ores, "--out", trained, *flags) == 1
    printed = capsys.readouterr().err
    assert words in printed
    assert "Traceback" not in printed


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
@pytest.mark.parametrize(("command", "run_of"), [("train", "."), ("compare", "runs/ore_swin_micro")])
def test_ctrl_c_keeps_the_step_that_a_training_is_at(ores, tmp_path, monkeypatch, capsys, command, run_of):
    usual = Trainer.step

    def interrupted(self: Trainer, batch: object) -> None:
        usual(self, batch)
        if self.course.steps == 2:
            signal.raise_signal(signal.SIGINT)

    flags = QUICK if command == "train" else [*QUICK[2:], "--models", "ore_swin_micro", "--preset", "fast"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert call(command, ores, "--out", tmp_path / "out", *flags) == 130
    said = capsys.readouterr().err
    assert "stopping: what was learnt is kept" in said
    assert "Traceback" not in said
    assert read_course(tmp_path / "out" / run_of / "checkpoint").steps == 2
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_place_without_a_dataset_is_refused(tmp_path, capsys):
    assert call("train", tmp_path / "nothing", "--out", tmp_path / "run", *QUICK) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_help_names_both_presets_of_every_option(capsys):
    assert call("train", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "[paper: 1e-06, fast: 0.001]" in shown
    assert "--no-balanced" in shown


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo's launcher needs a POSIX system")
def test_two_processes_learn_together_what_one_learns_alone(ores, tmp_path):
    flags = [*QUICK, "--augmentation", "none", "--averaging", "0"]
    assert call("train", ores, "--out", tmp_path / "alone", *flags) == 0
    together, script = tmp_path / "together", Path(__file__).with_name("train_on_ranks.py")
    launched(tmp_path, str(script), "train", ores, "--out", together, *flags)
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    one, two = (
        load_file(folder / "model" / "model.safetensors") for folder in (tmp_path / "alone", together)
    )
    assert all(torch.allclose(tensor, two[name], atol=1e-3) for name, tensor in one.items())
    printed = launched(tmp_path, "-m", "napari_ore_minerals", "train", ores, "--out", together, *flags)
    assert printed.count("validation balanced accuracy") == 1, "one of the processes speaks"


def launched(folder: Path, *arguments: object) -> str:
    """What two processes print under ``accelerate launch``, as the docs say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    options = f"--mixed_precision no --dynamo_backend no --main_process_port {port}".split()
    found = subprocess.run(
        [sys.executable, "-m", *launch, *options, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1", "RANKS_FOLDER": str(folder)},
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout
