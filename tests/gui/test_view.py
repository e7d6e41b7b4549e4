"""``ore-minerals view`` opens a real viewer with the dock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ore_minerals.cli import commands
from napari_ore_minerals.images.micrograph import Micrograph

PROGRAM = """
import sys
import napari

def shown():
    viewer = napari.current_viewer()
    print("layers:", [layer.name for layer in viewer.layers])
    from napari_ore_minerals.widgets.pictures import picture_of
    print("pixels:", [picture_of(layer).micrograph().fingerprint() for layer in viewer.layers])
    print("docks:", sorted(viewer.window.dock_widgets))
    viewer.close()

napari.run = shown
from napari_ore_minerals.widgets.view import main
sys.exit(main(sys.argv[1:]))
"""


def view(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-800:]
    return done.stdout


@pytest.mark.slow
def test_a_picture_and_the_dock_are_shown(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((80, 90, 3), np.uint8)).save(tmp_path / "PS-07.png")
    said = view(str(tmp_path / "PS-07.png"))
    assert "layers: ['PS-07']" in said
    assert "Classify" in said


@pytest.mark.slow
def test_inks_are_shown_as_the_command_line_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "inks.tif"
    colours = np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)
    Image.fromarray(colours).convert("CMYK").save(path)
    said = view(str(path))
    assert "layers: ['inks']" in said
    assert f"pixels: ['{Micrograph.open(path).fingerprint()}']" in said


def test_a_picture_that_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.view(tmp_path / "gone.tif") == 1
    said = capsys.readouterr().err
    assert "gone.tif is not there" in said
    assert said.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only there a variable tells of the screen")
def test_no_screen_is_one_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in commands.SCREENS:
        monkeypatch.delenv(name, raising=False)
    assert commands.view(sample=True) == 1
    assert capfd.readouterr().err == f"ore-minerals: {commands.NO_SCREEN}\n"


@pytest.mark.slow
def test_a_screen_that_does_not_answer_is_told(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    assert commands.view(sample=True) == 1
    assert capfd.readouterr().err.endswith(f"ore-minerals: {commands.NO_SCREEN}\n")


@pytest.mark.slow
def test_the_sample_is_shown() -> None:
    assert "yrite" in view("--sample")
