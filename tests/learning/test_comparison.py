"""Several models compared: what is trained, what is told of the others, and a report that needs nothing else."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from napari_ore_minerals.errors import DatasetError, OptionError, ResultError
from napari_ore_minerals.learning import comparison, paper
from napari_ore_minerals.learning.comparison import CompareOptions, compare_steps, not_trained, planned_runs
from napari_ore_minerals.learning.comparison_tables import (
    Outcome,
    epochs_table,
    headline_table,
    table3,
    transfer_table,
)
from napari_ore_minerals.learning.evaluate_options import EvaluateOptions
from napari_ore_minerals.learning.evaluation_files import read_evaluation
from napari_ore_minerals.learning.evaluation_report import EvaluationReport, table_of_predictions
from napari_ore_minerals.learning.options import TrainOptions
from napari_ore_minerals.markup import Markup, safe, table_markup
from napari_ore_minerals.minerals import PAPER_MINERALS
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.progress import run

TRAINING = TrainOptions(
    epochs=2, learning_rate=3e-3, batch_size=16, augmentation="none", device="cpu", precision="fp32"
)
MEASURING = EvaluateOptions(device="cpu", precision="fp32")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No weights are fetched or found."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))


@pytest.fixture(scope="session")
def begun_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "micro.safetensors"
    save_file(dict(build_network("ore_swin_micro", 10).state_dict()), path)
    return path


@pytest.fixture
def options(begun_weights: Path) -> CompareOptions:
    return CompareOptions(
        models=("micro", "mobilenetv2"),
        also_from_scratch=False,
        weights=("imagenet", f"micro={begun_weights}"),
        training=TRAINING,
        evaluation=MEASURING,
        command="ore-minerals compare three-minerals",
    )


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"folder": tmp_path_factory.mktemp("comparison") / "whole"}


@pytest.fixture
def compared(whole: dict[str, Path], dataset, options: CompareOptions) -> Path:
    """A comparison of a micro Swin with weights and without, made once."""
    both = options.model_copy(update={"models": ("micro",), "also_from_scratch": True})
    if not whole["folder"].exists():
        run(compare_steps(dataset, whole["folder"], both))
    return whole["folder"]


class Page(HTMLParser):
    """Collects what a page refers to, its text, and whether its tags are closed."""

    VOID = frozenset({"meta", "img", "br", "hr", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references, self.open, self.tags, self.text = [], [], set(), ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [value or "" for name, value in attrs if name in {"src", "href", "data", "action"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def test_models_are_planned_in_their_order_with_their_weights(begun_weights: Path):
    options = CompareOptions(
        models=("swin_base", "resnet50", "micro"),
        also_from_scratch=True,
        weights=("imagenet", "resnet50=none", f"micro={begun_weights}"),
    )
    plan = planned_runs(options)
    assert [(run.name, run.shown_weights) for run in plan] == [
        ("swin_base", "imagenet"),
        ("swin_base-from-scratch", "none"),
        ("resnet50", "none"),
        ("micro", "micro.safetensors"),
        ("micro-from-scratch", "none"),
    ]
    assert plan[0].architecture == "swin_base_patch4_window7_224"
    bundled = CompareOptions(models=("swin_compact",), weights=("swin_compact=bundled",))
    assert [run.shown_weights for run in planned_runs(bundled)] == ["bundled"]
    assert planned_runs(CompareOptions())[2].architecture == "mobilenetv2_100"
    for name in ("swin_compact", "efficientnet_lite0", "swin_tiny", "swin_small"):
        assert planned_runs(CompareOptions(models=(name,)))[0].name == name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models": ("vgg16",)}, "no single architecture"),
        ({"models": ("micro", "micro")}, "named twice"),
        ({"weights": ("somewhere.safetensors",)}, "MODEL=FILE"),
        ({"weights": ("resnet50=none",)}, "not among the models"),
    ],
)
def test_what_cannot_be_planned_is_refused(changes: dict, sentence: str):
    with pytest.raises(OptionError, match=sentence):
        planned_runs(CompareOptions(**{"models": ("micro",)} | changes))


@pytest.mark.slow
def test_everything_is_written_and_the_tables_agree_with_the_evaluations(compared: Path, dataset):
    places = {"compare.json", "evaluations", "figures", "models", "report.html", "runs", "tables"}
    assert {path.name for path in compared.iterdir()} == places
    headlines = pd.read_csv(compared / "tables" / "headlines.csv").set_index("model")
    assert list(headlines.index) == ["micro", "micro-from-scratch", "colour-forest"]
    for name in headlines.index:
        report = read_evaluation(compared / "evaluations" / name)
        assert headlines.loc[name, "accuracy"] == pytest.approx(report.evaluation.accuracy)
        assert len(report.predictions) == 36
    assert {path.stem for path in (compared / "figures").iterdir()} == {
        "figure6-curves", "figure7-confusion", "figure9-transfer", "figure10-heatmaps",
        "figure8-mistakes-micro", "figure8-mistakes-micro-from-scratch",
        "calibration-micro", "calibration-micro-from-scratch",
    }  # fmt: skip
    epochs = pd.read_csv(compared / "tables" / "figure6-curves.csv")
    assert epochs.groupby("model")["epoch"].max().to_dict() == {"micro": 2, "micro-from-scratch": 2}
    assert set(epochs["weights"]) == {"micro.safetensors", "none"}
    table2 = pd.read_csv(compared / "tables" / "table2.csv").set_index("mineral")
    assert table2.loc["all", ["training", "validation", "test"]].tolist() == [36, 36, 36]
    runs = pd.read_csv(compared / "tables" / "runs.csv")
    assert runs["command"].str.contains("--architecture ore_swin_micro").all()


@pytest.mark.slow
def test_models_are_calibrated_versions_of_the_trained_ones(compared: Path):
    for name in ("micro", "micro-from-scratch"):
        trained, model = read_card(compared / "runs" / name / "model"), read_card(compared / "models" / name)
        assert (model.version, model.parent) == (trained.version + 1, trained.weights_sha256)
        calibration = read_evaluation(compared / "evaluations" / name).calibration
        assert model.temperature == calibration.temperature
        assert trained.temperature == pytest.approx(calibration.temperature)


@pytest.mark.slow
def test_the_report_is_one_page_that_needs_nothing_from_elsewhere(compared: Path):
    text = (compared / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.references
    for reference in page.references:
        assert reference.startswith("data:image/png;base64,")
        picture = Image.open(io.BytesIO(base64.b64decode(reference.partition(",")[2])))
        assert min(picture.size) > 100
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert "url(" not in text
    assert "@import" not in text
    for words in ("Table 2", "Table 3", "Figure 6", "Figure 7", "Figure 8", "Figure 9", "Figure 10"):
        assert words in page.text
    for words in ("colour-forest", "ore-minerals compare three-minerals", "ore-minerals train", "sha256"):
        assert words in page.text
    for version in ("torch", "timm", "napari-ore-minerals"):
        assert version in page.text
    headlines = pd.read_csv(compared / "tables" / "headlines.csv")
    assert f"{headlines.loc[0, 'accuracy']:.2f}" in page.text


@pytest.mark.slow
def test_a_finished_comparison_is_not_done_again(
    compared: Path, dataset, options: CompareOptions, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(comparison, "evaluate_model_steps", refuse)
    monkeypatch.setattr(comparison, "calibration_steps", refuse)
    monkeypatch.setattr(comparison, "ColourForest", refuse)
    weights = {path: path.stat().st_mtime_ns for path in compared.rglob("*.safetensors")}
    tables = {path.name: path.read_bytes() for path in (compared / "tables").iterdir()}
    both = options.model_copy(update={"models": ("micro",), "also_from_scratch": True})
    run(compare_steps(dataset, compared, both))
    assert {path: path.stat().st_mtime_ns for path in compared.rglob("*.safetensors")} == weights
    assert {path.name: path.read_bytes() for path in (compared / "tables").iterdir()} == tables


@pytest.mark.slow
def test_weights_that_cannot_be_had_are_told_and_the_rest_is_done(
    dataset, options: CompareOptions, tmp_path: Path
):
    told = []
    report = run(
        compare_steps(dataset, tmp_path / "out", options), lambda step: told.append(step.notice) and None
    )
    failed = not_trained(tmp_path / "out")
    assert list(failed) == ["mobilenetv2"]
    assert "could not be fetched" in failed["mobilenetv2"]
    assert any(notice.startswith("mobilenetv2: the ImageNet weights") for notice in told)
    text = Page(report.read_text(encoding="utf-8")).text
    assert "mobilenetv2 was not trained: the ImageNet weights" in text
    headlines = pd.read_csv(tmp_path / "out" / "tables" / "headlines.csv").set_index("model")
    assert headlines.loc["mobilenetv2", "paper accuracy"] == 0.81
    assert np.isnan(headlines.loc["mobilenetv2", "accuracy"])
    assert headlines.loc["micro", "accuracy"] > 0.3


@pytest.mark.slow
def test_a_stopped_comparison_says_so_and_goes_on(
    compared: Path, dataset, options: CompareOptions, tmp_path: Path
):
    both = options.model_copy(update={"models": ("micro",), "also_from_scratch": True})
    stopped = run(
        compare_steps(dataset, tmp_path / "out", both), lambda step: step.unit == "batches" and step.done >= 2
    )
    assert stopped.is_file()
    assert list(not_trained(tmp_path / "out")) == ["micro", "micro-from-scratch"]
    assert "goes on with it" in not_trained(tmp_path / "out")["micro"]
    run(compare_steps(dataset, tmp_path / "out", both))
    assert not_trained(tmp_path / "out") == {}
    for name in ("micro", "micro-from-scratch"):
        weights = [folder / "models" / name / "model.safetensors" for folder in (tmp_path / "out", compared)]
        assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("words", ["micro (1 of 1): validation tiles", "micro (1 of 1): test tiles"])
@pytest.mark.parametrize("once", [True, False], ids=["asked once", "asked again and again"])
def test_a_comparison_that_is_stopped_while_it_measures_keeps_no_part_of_an_evaluation(
    compared: Path, dataset, options: CompareOptions, tmp_path: Path, words: str, *, once: bool
):
    one = options.model_copy(
        update={"models": ("micro",), "evaluation": MEASURING.model_copy(update={"batch_size": 8})}
    )
    asked: list[str] = []

    def stop(step) -> bool:
        if now := step.stage == words:
            asked.append(step.stage)
        return now if once else bool(asked)

    run(compare_steps(dataset, tmp_path / "out", one), stop)
    assert len(asked) == 1
    assert "stopped while it was measured" in not_trained(tmp_path / "out")["micro"]
    assert [path.name for path in (tmp_path / "out" / "evaluations").iterdir()] == ["colour-forest"]
    run(compare_steps(dataset, tmp_path / "out", one))
    assert not_trained(tmp_path / "out") == {}
    for name in ("predictions.csv", "figures.csv", "calibration.csv"):
        whole, again = (folder / "evaluations" / "micro" / name for folder in (compared, tmp_path / "out"))
        pd.testing.assert_frame_equal(pd.read_csv(whole), pd.read_csv(again), atol=1e-5)


@pytest.mark.slow
def test_a_stop_between_models_leaves_the_others_for_the_next_time(
    dataset, options: CompareOptions, tmp_path: Path
):
    first = options.model_copy(update={"models": ("mobilenetv2", "micro")})
    steps: list[str] = []

    def stop(step) -> bool:
        steps.append(step.stage)
        return bool(step.notice)  # that the first could not be trained

    run(compare_steps(dataset, tmp_path / "out", first), stop)
    assert "not begun" in not_trained(tmp_path / "out")["micro"]
    assert not any(stage.startswith("micro") for stage in steps)
    run(compare_steps(dataset, tmp_path / "begin", first), lambda step: step.stage == "colour forest")
    assert all("not begun" in why for why in not_trained(tmp_path / "begin").values())


@pytest.mark.slow
def test_a_folder_of_something_else_or_with_other_settings_is_refused(
    compared: Path, dataset, options: CompareOptions, tmp_path: Path
):
    other = options.model_copy(update={"training": TRAINING.model_copy(update={"seed": 1})})
    with pytest.raises(OptionError, match="seed: 0, now 1"):
        run(compare_steps(dataset, compared, other))
    with pytest.raises(OptionError, match="part: test, now validation"):
        run(compare_steps(dataset, compared, options.model_copy(update={"part": "validation"})))
    (tmp_path / "letter.txt").write_text("Dear all")
    with pytest.raises(ResultError, match="holds no comparison"):
        run(compare_steps(dataset, tmp_path, options))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_dataset_without_a_part_is_refused_before_anything_is_trained(
    dataset, options: CompareOptions, tmp_path: Path
):
    table = dataset.table[dataset.table["part"] != "validation"]
    with pytest.raises(DatasetError, match="no labelled tile in its part 'validation'"):
        run(compare_steps(replace(dataset, table=table), tmp_path / "out", options))
    assert not (tmp_path / "out").exists()


def of_paper(name: str, architecture: str, weights: str) -> Outcome:
    """An outcome on the paper's five minerals, with random answers."""
    random = np.random.default_rng(len(name))
    names = np.array([mineral.name for mineral in PAPER_MINERALS])[np.arange(50) % 5]
    tiles = pd.DataFrame(
        {
            "tile": np.arange(50).astype(str),
            "photograph": (np.arange(50) // 5).astype(str),
            "deposit": "",
            "mineral": names,
        }
    )
    shares = random.dirichlet(np.ones(5), 50).astype(np.float32)
    report = EvaluationReport(
        name, "d", "test", PAPER_MINERALS, table_of_predictions(tiles, shares, PAPER_MINERALS)
    )
    epochs = pd.DataFrame({"epoch": [1, 2], "validation_accuracy": [0.5, 0.75]})
    return Outcome(name, architecture, weights, report, Path("model"), epochs)


def test_the_papers_figures_stand_beside_the_same_network_begun_alike():
    swin, resnet = "swin_base_patch4_window7_224", "resnet50"
    outcomes = [
        of_paper("swin_base", swin, "imagenet"),
        of_paper("swin_base-from-scratch", swin, "none"),
        of_paper("resnet50", resnet, "imagenet"),
        of_paper("swin_file", swin, "mine.safetensors"),
        of_paper("micro", "ore_swin_micro", "none"),
    ]
    table = table3(outcomes).set_index(["model", "mineral"])
    assert len(table) == 25
    for name, architecture in (("swin_base", swin), ("resnet50", resnet)):
        for mineral, score in paper.PRINTED[architecture].scores.items():
            row = table.loc[(name, mineral)]
            assert (row["precision paper"], row["recall paper"], row["F1 paper"]) == tuple(score)
            assert row["precision low"] <= row["precision"] <= row["precision high"]
    assert table.loc[["swin_base-from-scratch", "swin_file", "micro"], "F1 paper"].isna().all()
    headlines = headline_table(outcomes, None).set_index("model")
    assert headlines.loc[["swin_base", "resnet50"], "paper accuracy"].tolist() == [0.92, 0.91]
    transfer = transfer_table(outcomes).set_index("model")
    assert transfer.loc["swin_base", "first epoch paper"] == 0.74
    assert transfer.loc["swin_base-from-scratch", ["first epoch paper", "best epoch paper"]].tolist() == [
        0.56,
        0.88,
    ]
    assert np.isnan(headlines.loc["swin_file", "paper accuracy"])
    assert transfer.loc["swin_file", ["first epoch paper", "best epoch paper"]].isna().all()
    assert transfer.loc["swin_base", ["first epoch", "best epoch"]].tolist() == [0.5, 0.75]
    assert epochs_table(outcomes)["network"].unique().tolist() == [
        "swin_base", "resnet50", "swin_file", "micro",
    ]  # fmt: skip


def test_the_gain_over_the_forest_is_paired():
    forest = replace(of_paper("forest", "", ""), model=None)
    same, other = replace(forest, name="same", model=Path("m")), of_paper("another", "resnet50", "imagenet")
    table = headline_table([same, other], forest).set_index("model")
    assert table.loc["same", ["gain", "gain low", "gain high"]].tolist() == [0.0, 0.0, 0.0]
    difference = table.loc["another", "balanced accuracy"] - table.loc["forest", "balanced accuracy"]
    assert table.loc["another", "gain"] == pytest.approx(difference)
    assert np.isnan(table.loc["forest", "gain"])


def test_text_is_escaped_and_markup_is_not():
    assert safe("<b> & 'x'") == "&lt;b&gt; &amp; &#x27;x&#x27;"
    assert safe(Markup("<b>")) == "<b>"
    page = Page(table_markup(["<i>"], [["<script>alert(1)</script>"]], "a < b"))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.slow
def test_a_name_cannot_bring_a_program_into_the_report(
    compared: Path, dataset, options: CompareOptions, tmp_path: Path
):
    evil = replace(dataset, name="<script>alert(1)</script>")
    one = options.model_copy(
        update={"models": ("mobilenetv2",), "weights": ("imagenet",), "command": "a <img src=x>"}
    )
    report = run(compare_steps(evil, tmp_path / "out", one))
    page = Page(report.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert all(reference.startswith("data:") for reference in page.references)
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["dataset"]["name"] == evil.name
