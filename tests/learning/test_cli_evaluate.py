"""``ore-minerals evaluate`` and ``compare`` as a user calls them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_ore_minerals import cli
from napari_ore_minerals.cli.evaluate import print_report
from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.evaluation_report import EvaluationReport, table_of_predictions
from napari_ore_minerals.minerals import Mineral, MineralTable
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import Classifier


def call(*arguments: object) -> int:
    """What the shell would see as the exit code."""
    before = sys.argv
    sys.argv = ["ore-minerals", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def test_evaluate_prints_figures_with_intervals_and_writes_a_new_version(
    dataset: TileDataset, three_mineral_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, new = tmp_path / "evaluation", tmp_path / "calibrated"
    arguments = ("evaluate", three_mineral_model, dataset.folder, "--out", out)
    before = read_card(three_mineral_model)
    assert call(*arguments, "--calibrated", new, "--wanted-precision", 0.9) == 0
    printed = capsys.readouterr().out
    for words in (
        "three 1 on 36 test tiles of 9 photographs",
        "balanced accuracy",
        " to ",
        "chalcopyrite",
        str(out),
    ):
        assert words in printed
    assert "Note: the tiles are of 9 photographs only" in printed
    assert read_card(new).version == before.version + 1
    assert read_card(three_mineral_model) == before
    table = pd.read_csv(out / "figures.csv").set_index("figure")
    assert f"{table.loc['accuracy', 'value']:.2f}" in printed
    assert call(*arguments) == 1
    assert "exists" in capsys.readouterr().err
    assert call(*arguments, "--overwrite", "--calibrated", new) == 1
    assert "never overwritten" in capsys.readouterr().err


def test_long_names_of_minerals_do_not_touch_their_figures(capsys: pytest.CaptureFixture[str]):
    names = ["tennantite-tetrahedrite", "gold"]
    minerals = MineralTable.of(
        [Mineral(code=n + 1, name=name, symbol=name[:3], colour="#808080") for n, name in enumerate(names)]
    )
    tiles = pd.DataFrame({"tile": ["a", "b"], "photograph": ["a", "b"], "deposit": "", "mineral": names})
    shares = np.eye(2, dtype=np.float32)
    print_report(EvaluationReport("m", "d", "test", minerals, table_of_predictions(tiles, shares, minerals)))
    printed = capsys.readouterr().out
    assert "tennantite-tetrahedrite  1.00" in printed
    columns = {line.index("1.00") for line in printed.splitlines() if line.startswith(tuple(names))}
    assert len(columns) == 1


def test_evaluate_as_json_with_another_model_beside(
    dataset: TileDataset,
    three_mineral_model: Path,
    micro_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    out = tmp_path / "evaluation"
    flags = ("--part", "validation", "--json", "--beside", micro_model)
    assert call("evaluate", three_mineral_model, dataset.folder, "--out", out, *flags) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["part"] == "validation"
    figures = {row["figure"]: row["value"] for row in found["figures"] if not row["mineral"]}
    assert 0.5 < figures["accuracy"] <= 1.0
    assert [row["scaling"] for row in found["calibration"]] == ["none", "of the card"]
    with Image.open(out / "heatmaps.png") as picture:
        assert picture.width > 500  # three columns: tile and two models


def test_models_beside_are_checked_before_anything_is_computed(
    dataset: TileDataset,
    three_mineral_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(Classifier, "predict", None)
    flags = ("--out", tmp_path / "evaluation", "--beside", tmp_path / "nowhere")
    assert call("evaluate", three_mineral_model, dataset.folder, *flags) == 1
    printed = capsys.readouterr().err
    assert "nowhere" in printed
    assert "Traceback" not in printed


def test_flags_out_of_bounds_are_a_wrong_call_in_a_sentence(
    dataset: TileDataset, three_mineral_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = ("--out", tmp_path / "out")
    assert call("evaluate", three_mineral_model, dataset.folder, *out, "--wanted-precision", 2) == 1
    assert call("evaluate", three_mineral_model, dataset.folder, *out, "--part", "exam") == 1
    assert call("compare", dataset.folder, *out, "--wanted-precision", 2) == 1
    assert call("compare", dataset.folder, *out, "--part", "training") == 1
    assert call("compare", dataset.folder, *out, "--models", ",") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert "--wanted-precision must be less than or equal to 1, not 2" in lines[0]
    assert "--models ',' names no model" in lines[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_compare_ends_with_2_where_weights_cannot_be_had(
    dataset: TileDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    out = tmp_path / "comparison"
    chosen = ("--models", "micro,mobilenetv2", "--weights", "micro=none", "--epochs", 1, "--device", "cpu")
    assert call("compare", dataset.folder, "--out", out, *chosen) == 2
    found = capsys.readouterr()
    assert "mobilenetv2 was not trained: the ImageNet weights" in found.err
    assert "colour-forest" in found.out
    assert "0.81" in found.out  # the paper's accuracy, beside which ours is missing
    assert (out / "report.html").is_file()
    assert call("compare", dataset.folder, "--out", out, *chosen, "--seed", 4) == 1
    assert "seed: 0, now 4" in capsys.readouterr().err
    assert call("compare", dataset.folder, "--out", out, "--models", "vgg16") == 1
