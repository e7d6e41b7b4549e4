"""A model measured on a dataset: figures that follow from the predictions, files that are read again."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from napari_ore_minerals.errors import DatasetError, DeviceError, ResultError
from napari_ore_minerals.learning import evaluation_files
from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.evaluate_options import EvaluateOptions
from napari_ore_minerals.learning.evaluation_files import (
    confusion_table,
    draw_heatmaps_of,
    looks_at,
    read_evaluation,
    write_evaluation,
    write_evaluation_folder,
)
from napari_ore_minerals.learning.evaluation_report import EvaluationReport
from napari_ore_minerals.learning.gallery import blended, draw_mistakes, drawn_tiles, worst_mistakes
from napari_ore_minerals.learning.model_evaluation import evaluate_model_steps
from napari_ore_minerals.minerals import MineralTable
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.store import save_model
from napari_ore_minerals.progress import run

CPU = EvaluateOptions(device="cpu", precision="fp32", batch_size=16)


@pytest.fixture
def report(dataset, three_mineral_model: Path) -> EvaluationReport:
    return run(evaluate_model_steps(dataset, "test", three_mineral_model, CPU))


def test_every_tile_of_the_part_is_answered_as_the_classifier_answers(
    dataset, three_mineral_model: Path, report: EvaluationReport
):
    rows = dataset.table[dataset.table["part"] == "test"]
    assert report.predictions["tile"].tolist() == rows["tile"].tolist()
    classifier = Classifier.load(three_mineral_model, device="cpu", precision="fp32")
    samples = dataset.samples("test", input_px=32)
    expected = classifier.probabilities(classifier.predict(np.array(samples.tiles)).logits)
    np.testing.assert_allclose(report.probabilities, expected, atol=1e-6)
    assert (
        report.predictions["right"].mean() == report.evaluation.accuracy == report.figure("accuracy")["value"]
    )
    assert report.evaluation.accuracy > 0.6
    assert report.predictions["confidence"].tolist() == report.probabilities.max(axis=1).tolist()


def test_the_order_of_the_minerals_and_those_without_tiles_do_not_matter(
    dataset, micro_model: Path, report: EvaluationReport
):
    """A model of six minerals is measured on three of them: truth goes by name, not by place."""
    found = run(evaluate_model_steps(dataset, "test", micro_model, CPU))
    names = [mineral.name for mineral in found.minerals]
    assert len(names) == 6
    assert [names[index] for index in found.truth] == found.predictions["mineral"].tolist()
    assert sorted(set(found.predictions["mineral"])) == sorted(set(report.predictions["mineral"]))


def test_scaling_is_fitted_on_validation_and_shown_beside_none(dataset, report: EvaluationReport):
    table = report.calibration_table.set_index("scaling")
    assert list(table.index) == ["none", "of the card", "fitted on validation"]
    assert table.loc["none", "temperature"] == 1.0
    assert table.loc["fitted on validation", "temperature"] == report.calibration.temperature
    assert table.loc["of the card", "calibration error"] == pytest.approx(report.evaluation.calibration_error)
    assert report.calibration.tiles == (dataset.table["part"] == "validation").sum()
    counted = report.reliability_table.groupby("scaling")["tiles"].sum()
    assert (counted == len(report.predictions)).all()


def test_what_cannot_be_measured_is_refused_in_a_sentence(dataset: TileDataset, three_mineral_model: Path):
    galena = dataset.minerals[2].model_copy(update={"name": "galena", "symbol": "Gn"})
    renamed = replace(
        dataset,
        minerals=MineralTable.of([*dataset.minerals.minerals[:2], galena]),
        table=dataset.table.replace({"mineral": {"gangue": "galena"}}),
    )
    with pytest.raises(DatasetError, match=r"does not know galena \(12 tiles\); it knows chalcopyrite"):
        run(evaluate_model_steps(renamed, "test", three_mineral_model, CPU))
    with pytest.raises(DatasetError, match="no labelled and sure tile in its part 'tests'"):
        run(evaluate_model_steps(dataset, "tests", three_mineral_model, CPU))


def test_unsure_tiles_are_not_counted(dataset: TileDataset, three_mineral_model: Path):
    table = dataset.table.assign(sure=dataset.table["tile"] != "18-r0-c2")
    found = run(evaluate_model_steps(replace(dataset, table=table), "test", three_mineral_model, CPU))
    assert len(found.predictions) == 35
    assert "18-r0-c2" not in found.predictions["tile"].tolist()


def test_notices_tell_what_makes_figures_doubtful(dataset: TileDataset, three_mineral_model: Path):
    table = dataset.table[dataset.table["part"] != "validation"].reset_index(drop=True)
    found = run(
        evaluate_model_steps(replace(dataset, table=table, tile_px=64), "test", three_mineral_model, CPU)
    )
    assert found.calibration is None
    assert len(found.notices) == 3
    assert "9 photographs only" in found.notices[0]
    assert "made for 32 px" in found.notices[1]
    assert "no validation tiles" in found.notices[2]


def test_a_device_that_is_full_is_one_sentence(
    dataset: TileDataset, three_mineral_model: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Classifier, "predict", full)
    with pytest.raises(DeviceError, match="too little free memory for steps of 16 tiles"):
        run(evaluate_model_steps(dataset, "test", three_mineral_model, CPU))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("out of memory"), torch.AcceleratorError("gone")])
def test_a_device_that_is_lost_while_galleries_are_drawn_is_one_sentence(
    dataset, report: EvaluationReport, three_mineral_model: Path, tmp_path: Path, monkeypatch, error
):
    def lost(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Classifier, "explain", lost)
    with pytest.raises(DeviceError, match=r"CPU.*(too little free memory|failed or was lost \(gone\))"):
        write_evaluation_folder(dataset, report, [three_mineral_model], tmp_path / "out", options=CPU)
    assert not list(tmp_path.iterdir())


def test_an_evaluation_can_be_stopped(dataset, three_mineral_model: Path):
    found = run(evaluate_model_steps(dataset, "test", three_mineral_model, CPU), lambda step: step.done >= 16)
    assert len(found.predictions) == 16
    assert found.notices[0] == "stopped after 16 of 36 tiles: the figures are of these alone"


def test_a_written_report_is_read_again_number_by_number(report: EvaluationReport, tmp_path: Path):
    write_evaluation(report, tmp_path)
    again = read_evaluation(tmp_path)
    np.testing.assert_array_equal(again.probabilities, report.probabilities)
    pd.testing.assert_frame_equal(again.figures, report.figures)
    assert (again.card, again.calibration, again.notices) == (report.card, report.calibration, report.notices)
    assert (again.minerals, again.title, again.part) == (report.minerals, report.title, report.part)
    pd.testing.assert_frame_equal(again.calibration_table, report.calibration_table)
    on_disk = pd.read_csv(tmp_path / "confusion.csv", index_col=0)
    assert on_disk.to_numpy().tolist() == report.evaluation.confusion.tolist()
    assert list(confusion_table(report).columns) == list(on_disk.columns)
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(ResultError, match="no evaluation"):
        read_evaluation(tmp_path)


@pytest.mark.slow
def test_the_folder_has_everything_and_is_not_overwritten_unasked(
    dataset, report: EvaluationReport, three_mineral_model: Path, micro_model: Path, tmp_path: Path
):
    folder = tmp_path / "evaluation"
    models = [three_mineral_model, micro_model]
    write_evaluation_folder(dataset, report, models, folder, options=CPU)
    pictures = {"confusion.png", "reliability.png", "mistakes.png", "heatmaps.png"}
    tables = {"predictions.csv", "figures.csv", "confusion.csv", "calibration.csv", "reliability.csv"}
    assert {path.name for path in folder.iterdir()} == pictures | tables | {"evaluation.json"}
    for name in pictures:
        assert min(Image.open(folder / name).size) > 150
    before = (folder / "evaluation.json").read_bytes()
    with pytest.raises(ResultError, match="exists"):
        write_evaluation_folder(dataset, report, models, folder, options=CPU)
    assert (folder / "evaluation.json").read_bytes() == before
    write_evaluation_folder(dataset, report, models[:1], folder, options=CPU, overwrite=True)
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    with pytest.raises(ResultError, match="not of this program"):
        write_evaluation_folder(dataset, report, models[:1], stranger, options=CPU, overwrite=True)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_full_disk_leaves_nothing(
    dataset,
    report: EvaluationReport,
    three_mineral_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluation_files, "draw_heatmaps", full)
    with pytest.raises(ResultError, match="No space left"):
        write_evaluation_folder(dataset, report, [three_mineral_model], tmp_path / "evaluation", options=CPU)
    assert os.listdir(tmp_path) == []
    shutil.rmtree(tmp_path)


def test_the_worst_mistakes_come_first_and_few_from_one_photograph(report: EvaluationReport):
    wrong = (np.asarray(report.truth) + 1) % 3
    shares = np.full((len(wrong), 3), 0.1, np.float32)
    shares[np.arange(len(wrong)), wrong] = 0.8
    shares[4, [wrong[4], report.truth[4]]] = [0.88, 0.02]
    table = report.predictions.copy()
    table[["p chalcopyrite", "p pyrite", "p gangue"]] = shares
    table["right"] = False
    table.loc[0, "right"] = True
    bad = EvaluationReport("bad", "", "test", report.minerals, table)
    rows = worst_mistakes(bad, count=10, most_per_photograph=2)
    assert rows[0] == 4
    assert 0 not in rows
    assert len(rows) == 10
    assert np.bincount(bad.groups[rows]).max() == 2
    assert (
        len(worst_mistakes(EvaluationReport("good", "", "test", report.minerals, table.assign(right=True))))
        == 0
    )


def test_tiles_are_drawn_by_lot_from_every_mineral(report: EvaluationReport):
    rows = drawn_tiles(report, np.random.default_rng(0), per_mineral=2)
    assert report.truth[rows].tolist() == [0, 0, 1, 1, 2, 2]
    assert not np.array_equal(rows, drawn_tiles(report, np.random.default_rng(1), per_mineral=2))


def test_heat_changes_the_colour_and_leaves_the_picture_visible():
    tile = np.zeros((8, 8, 3), np.uint8)
    tile[:, 4:] = 200
    cold, hot = (blended(tile, np.full((8, 8), heat, np.float32)) for heat in (0.0, 1.0))
    assert cold.shape == (8, 8, 3)
    assert np.abs(cold - hot).max() > 0.2
    for mixed in (cold, hot):
        assert (mixed[:, 4:].mean() - mixed[:, :4].mean()) > 0.3
        assert 0.0 <= mixed.min() <= mixed.max() <= 1.0


@pytest.mark.slow
def test_models_that_take_tiles_of_other_sizes_stand_side_by_side(
    dataset: TileDataset, report: EvaluationReport, three_mineral_model: Path, tmp_path: Path
):
    large = tmp_path / "large"
    minerals = dataset.minerals.minerals
    card = ModelCard(name="large", architecture="mobilenetv2_100", minerals=minerals)
    save_model(large, card, build_network("mobilenetv2_100", 3))
    for number, models in enumerate(([three_mineral_model, large], [large, three_mineral_model])):
        path = tmp_path / f"{number}.png"
        draw_heatmaps_of(dataset, report, models, path, options=CPU)
        assert Image.open(path).width > 500
    tile, heat = np.zeros((8, 8, 3), np.uint8), np.linspace(0, 1, 48, dtype=np.float32)
    assert blended(tile, np.tile(heat, (48, 1))).shape == (8, 8, 3)


def test_a_model_without_a_mineral_of_the_dataset_stands_beside_one_that_has_it(
    dataset: TileDataset, report: EvaluationReport, three_mineral_model: Path, tmp_path: Path
):
    two = MineralTable.of(dataset.minerals.minerals[:2])
    card = ModelCard(
        name="two", architecture="ore_swin_micro", minerals=two.minerals, tile_px=32, input_px=32
    )
    save_model(tmp_path / "two", card, build_network("ore_swin_micro", 2))
    draw_heatmaps_of(
        dataset, report, [three_mineral_model, tmp_path / "two"], tmp_path / "a.png", options=CPU
    )
    assert Image.open(tmp_path / "a.png").width > 500
    rows = drawn_tiles(report, np.random.default_rng(0))
    seen = [look for _, look in looks_at(dataset, report, tmp_path / "two", rows, options=CPU)]
    names = report.predictions["mineral"].iloc[rows]
    assert [look.true_heat is None for look in seen] == [name not in {m.name for m in two} for name in names]
    assert all(look.predicted in {mineral.symbol for mineral in two} for look in seen)
    strange = [look for look in seen if look.true_heat is None]
    tile = np.zeros((32, 32, 3), np.uint8)
    draw_mistakes([tile] * len(strange), strange, ["a"] * len(strange), tmp_path / "b.png", heading="")
    assert Image.open(tmp_path / "b.png").width > 500
