from __future__ import annotations

import json
import multiprocessing
import random
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from runs_support import SHORT, ColouredTiles, train

from napari_ore_minerals.errors import DatasetError, DeviceError, ModelError, OptionError, TrainingError
from napari_ore_minerals.learning import checkpoints, trainer
from napari_ore_minerals.learning.calibration import calibrate
from napari_ore_minerals.learning.course import EpochRecord
from napari_ore_minerals.learning.run_folder import draw_curves
from napari_ore_minerals.learning.runs import train_dataset_steps
from napari_ore_minerals.minerals import PAPER_MINERALS, MineralTable
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.store import load_network
from napari_ore_minerals.progress import run

COLUMNS = [
    "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "validation_balanced_accuracy",
    "seconds", "learning_rate",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole run"
    before = torch.get_num_threads()
    train(folder)
    torch.set_num_threads(before)
    return folder


def steps(out: Path, dataset: ColouredTiles | None = None, **more):
    arguments = {"options": SHORT, "architecture": "ore_swin_micro", "weights": "none"} | more
    return train_dataset_steps(dataset or ColouredTiles(), out, **arguments)


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def test_a_run_folder_holds_what_is_needed_to_see_and_repeat_it(whole):
    assert {path.name for path in whole.iterdir()} - {"tensorboard", ".lock"} == {
        "model", "epochs.csv", "curves.png", "run.json",
    }  # fmt: skip
    table = pd.read_csv(whole / "epochs.csv")
    assert list(table) == COLUMNS
    assert table["epoch"].tolist() == [1, 2, 3]
    assert (table[["accuracy", "validation_accuracy"]].to_numpy() <= 1).all()
    assert (whole / "curves.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((whole / "run.json").read_text())
    assert facts["state"] == "finished"
    assert facts["options"] == SHORT.model_dump()
    assert facts["dataset"]["training tiles"] == 60
    assert {"torch", "timm", "napari-ore-minerals"} <= set(facts["versions"])
    assert facts["weights"] == {"kind": "none"}


def test_the_model_is_that_of_the_best_epoch(whole):
    table = pd.read_csv(whole / "epochs.csv")
    card, network = load_network(whole / "model")
    best = table.loc[table["validation_loss"].idxmin()]
    assert card.metrics["best epoch"] == best["epoch"]
    assert card.metrics["validation accuracy"] == pytest.approx(best["validation_accuracy"])
    assert (card.name, card.tile_px, card.input_px) == ("whole-run", 64, 32)
    assert card.training.samples == 60
    validation = ColouredTiles().samples("validation", input_px=32)
    tiles = torch.from_numpy(validation.tiles).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (card.mean, card.std))
    with torch.inference_mode():
        logits = network((tiles - mean) / std)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(validation.labels))
    assert float(loss) == pytest.approx(best["validation_loss"], abs=1e-5)


def test_a_finished_run_is_returned_at_once(whole):
    before, seen = weights(whole), []
    card = run(steps(whole), seen.append)
    assert not seen
    assert card == read_card(whole / "model")
    assert weights(whole) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": SHORT.changed({"epochs": 4})}, "epochs: 3, now 4"),
        ({"architecture": "ore_swin_compact"}, "architecture: ore_swin_micro, now ore_swin_compact"),
        ({"dataset": ColouredTiles(counts={"training": 61, "validation": 30})}, "dataset: "),
    ],
)
def test_a_folder_with_another_run_is_refused(whole, change, words):
    with pytest.raises(OptionError, match=f"holds a run with other settings .*{words}"):
        run(steps(whole, **change))


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.docx").write_text("precious")
    with pytest.raises(OptionError, match="is no run folder"):
        run(steps(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]
    with pytest.raises(OptionError, match=r"thesis.docx is a file: name another place"):
        run(steps(tmp_path / "thesis.docx"))


def test_an_interrupted_run_goes_on_and_ends_the_same(whole, tmp_path):
    training = steps(tmp_path)
    for _ in range(7):
        next(training)
    training.close()
    assert (tmp_path / "checkpoint" / "state.safetensors").exists()
    assert not (tmp_path / "model").exists()
    first = []
    run(steps(tmp_path, options=SHORT.changed({"checkpoint_minutes": 9.0})), first.append)
    assert first[1].done == 6, "steps that were done are not done again"
    assert weights(tmp_path) == weights(whole)
    assert not (tmp_path / "checkpoint").exists()
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "epochs.csv").drop(columns="seconds"),
        pd.read_csv(whole / "epochs.csv").drop(columns="seconds"),
    )


def test_a_stopped_run_has_a_model_and_can_go_on(whole, tmp_path):
    card = run(steps(tmp_path), lambda progress: progress.done == 6)
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "stopped"
    assert card == read_card(tmp_path / "model")
    run(steps(tmp_path))
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "finished"
    assert weights(tmp_path) == weights(whole)


def test_a_run_that_was_killed_before_an_epoch_was_written_down_has_it_all_the_same(whole, tmp_path):
    training = steps(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_ore_minerals.learning.run_folder.RunFolder.record", killed)
        with pytest.raises(KeyboardInterrupt):
            run(training)
    run(steps(tmp_path))
    assert len(pd.read_csv(tmp_path / "epochs.csv")) == 3


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_two_trainings_do_not_share_a_folder(tmp_path):
    training = steps(tmp_path)
    next(training), next(training)
    with pytest.raises(TrainingError, match="another process is training"):
        run(steps(tmp_path))
    training.close()
    next(steps(tmp_path))


def test_a_disk_that_refuses_leaves_a_folder_to_go_on_with(whole, tmp_path, monkeypatch):
    training = steps(tmp_path)
    for _ in range(7):
        next(training)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, "replace", full)
        with pytest.raises(TrainingError, match=r"No space left on device; .* run the same command again"):
            run(training)
    assert not list(tmp_path.rglob("*.tmp"))
    run(steps(tmp_path))
    assert weights(tmp_path) == weights(whole)


@pytest.mark.fault("T1")
def test_a_loss_that_is_not_finite_ends_a_run_in_one_sentence(tmp_path, monkeypatch):
    usual = trainer.soft_cross_entropy

    def broken(logits, shares, smoothing):
        return usual(logits * float("nan") if len(losses) == 6 else logits, shares, smoothing)

    losses = []
    monkeypatch.setattr(trainer, "soft_cross_entropy", broken)
    with pytest.raises(
        TrainingError, match=r"the loss is nan after 5 steps: use a smaller learning rate"
    ) as caught:
        run(steps(tmp_path), losses.append)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()
    assert checkpoints.read_course(tmp_path / "checkpoint").steps == 5


@pytest.mark.fault("T1")
@pytest.mark.parametrize("ruined_at", [4, 8])  # the last step of the first and of the second epoch
def test_weights_that_give_no_numbers_are_no_epoch_and_no_checkpoint(tmp_path, monkeypatch, ruined_at):
    usual = trainer.Trainer.step

    def ruinous(self, batch):
        usual(self, batch)
        if self.course.steps == ruined_at:
            with torch.no_grad():
                self.average.network.head.fc.bias.fill_(float("nan"))

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "step", ruinous)
        with pytest.raises(
            TrainingError, match=f"the validation loss is nan after {ruined_at} steps, in 30 of 30 tiles"
        ) as caught:
            run(steps(tmp_path))
    assert "\n" not in str(caught.value)
    course = checkpoints.read_course(tmp_path / "checkpoint")
    assert course.steps < ruined_at
    assert len(course.history) == course.best_epoch == ruined_at // 4 - 1
    assert run(steps(tmp_path)).metrics["best epoch"] == 3


def test_a_checkpoint_that_would_be_of_no_use_is_not_written(tmp_path, monkeypatch):
    usual = trainer.Trainer.step

    def ruinous(self, batch):
        usual(self, batch)
        if self.course.steps == 2:
            with torch.no_grad():
                self.plain.network.head.fc.bias.fill_(float("nan"))

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "step", ruinous)
        with pytest.raises(TrainingError, match="the loss is nan after 2 steps"):
            run(steps(tmp_path))
    assert checkpoints.read_course(tmp_path / "checkpoint").steps == 1


def test_a_run_that_failed_before_its_first_checkpoint_can_be_begun_otherwise(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("accelerate.Accelerator.backward", full)
        with pytest.raises(DeviceError, match="smaller batch size"):
            run(steps(tmp_path))
    run(steps(tmp_path, options=SHORT.changed({"batch_size": 8, "epochs": 1})))
    assert json.loads((tmp_path / "run.json").read_text())["options"]["batch_size"] == 8


def test_weights_that_cannot_be_had_leave_no_folder(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="no valid safetensors file"):
        run(steps(tmp_path / "run", weights=tmp_path / "a.safetensors"))
    assert not (tmp_path / "run").exists()


@pytest.mark.fault("T2")
def test_minerals_without_tiles_are_told_with_counts(tmp_path):
    one = ColouredTiles(MineralTable.of(PAPER_MINERALS.minerals[:1]))
    with pytest.raises(DatasetError, match=r"at least two minerals; .* has 60 of arsenopyrite"):
        run(steps(tmp_path / "one", one))
    few = ColouredTiles(counts={"training": 3, "validation": 5})
    with pytest.raises(DatasetError, match="1 of gold, 0 of pyrite, 0 of stibnite: label more"):
        run(steps(tmp_path / "few", few))
    assert not list(tmp_path.iterdir()), "nothing is left of a run that did not begin"


def test_a_run_begins_with_another_model(whole, tmp_path):
    card = train(tmp_path / "next", options=SHORT.changed({"epochs": 1}), weights=whole / "model")
    older = read_card(whole / "model")
    assert (card.parent, card.version) == (older.weights_sha256, 2)
    assert card.metrics["validation cross entropy"] < older.metrics["validation cross entropy"] + 0.2
    assert "the model whole-run" in card.provenance


def test_curves_of_one_epoch_are_drawn():
    assert draw_curves([EpochRecord(1, 1.0, 1.0, 0.5, 0.5, 1.0, 0.5, 1e-3)]).startswith(b"\x89PNG")


def test_logs_for_tensorboard(whole):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    found = [event.value for event in events.Scalars("loss/validation")]
    assert found == pytest.approx(pd.read_csv(whole / "epochs.csv")["validation_loss"].tolist(), rel=1e-6)


def test_without_tensorboard_one_is_told_and_training_goes_on(whole, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    seen = []
    run(steps(tmp_path), seen.append)
    notices = [progress.notice for progress in seen if progress.notice]
    assert len(notices) == 1
    assert "pip install 'napari-ore-minerals[tensorboard]'" in notices[0]
    assert weights(tmp_path) == weights(whole)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_killed_runs_end_with_the_same_weights(whole, tmp_path):
    """Each of four runs is killed (SIGKILL) at random moments, again and again until it ends by itself."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["napari_ore_minerals.learning.runs", "matplotlib.backends.backend_agg", "pandas"]
    )
    chance, kills = random.Random(1), 0
    for number in range(4):
        folder = tmp_path / str(number)
        while True:
            process = context.Process(target=train, args=(folder,))
            process.start()
            wait_for_steps(folder, process, chance.randint(2, 6))
            time.sleep(chance.uniform(0.0, 0.02))
            process.kill()
            process.join()
            if process.exitcode == 0:
                break
            kills += 1
        assert weights(folder) == weights(whole)
        assert len(pd.read_csv(folder / "epochs.csv")) == 3
        assert not list(folder.rglob("*.tmp"))
    assert kills >= 4


def wait_for_steps(folder: Path, process, wanted: int) -> None:
    """Wait until a run has made some steps, or has ended."""
    begun = steps_of(folder)
    while process.exitcode is None and steps_of(folder) < begun + wanted:
        time.sleep(0.005)


def steps_of(folder: Path) -> int:
    course = checkpoints.read_course(folder / "checkpoint")
    return course.steps if course else 0


def test_a_trained_model_knows_how_sure_it_may_be(whole):
    """Temperature and least confidence come from the validation part."""
    card = read_card(whole / "model")
    validation = ColouredTiles().samples("validation", input_px=card.input_px)
    classifier = Classifier.load(whole / "model", device="cpu", precision="fp32")
    found = calibrate(validation.labels, classifier.predict(np.array(validation.tiles)).logits)
    assert card.temperature == found.temperature
    assert card.min_confidence == found.min_confidence
    assert card.metrics["precision that the least confidence was chosen for"] == 0.95
