from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_ore_minerals.errors import DeviceError, OreMineralsError, TrainingError
from napari_ore_minerals.learning import checkpoints as checkpoint_module
from napari_ore_minerals.learning.augmentation import TRANSFORMS
from napari_ore_minerals.learning.checkpoints import STATE_NAME, Checkpoints, read_course, replace_file, sweep
from napari_ore_minerals.learning.course import Course, EpochRecord
from napari_ore_minerals.learning.dataset import grouped_split
from napari_ore_minerals.learning.faults import device_faults
from napari_ore_minerals.learning.options import Augmentation, TrainOptions
from napari_ore_minerals.learning.training import TrainResult, train_steps
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.progress import run

SHORT = TrainOptions(epochs=3, batch_size=16, learning_rate=1e-2, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def split(samples):
    kept, held = grouped_split(samples.groups, 0.34, np.random.default_rng(0))
    return samples.select(kept), samples.select(held)


def steps(split, options: TrainOptions, checkpoints: Checkpoints | None = None):
    torch.manual_seed(0)
    return train_steps(build_network("ore_swin_micro", 6), *split, options, checkpoints=checkpoints)


def same_weights(first: TrainResult, second: TrainResult) -> bool:
    pairs = zip(first.network.state_dict().items(), second.network.state_dict().items(), strict=True)
    return all(one == other and torch.equal(a, b) for (one, a), (other, b) in pairs)


@pytest.mark.fault("T6")
@pytest.mark.parametrize(
    "changes",
    [
        {"averaging": 0.9, "augmentation": "laboratory"},
        {"balanced": False, "layer_decay": 0.7, "augmentation": "paper", "optimizer": "adam"},
    ],
    ids=["averaged", "layers"],
)
def test_an_interrupted_training_ends_as_one_that_was_not(split, tmp_path, changes):
    options = SHORT.changed(changes)
    whole = run(steps(split, options))
    chance, breaks = random.Random(4), 0
    while True:
        training = steps(split, options, Checkpoints(tmp_path, 0.0))
        try:
            for _ in range(chance.randint(2, 6)):
                next(training)
            training.close()
            breaks += 1
        except StopIteration as end:
            broken = end.value
            break
    assert breaks >= 2
    assert same_weights(whole, broken)
    assert [epoch.loss for epoch in whole.history] == [epoch.loss for epoch in broken.history]
    assert [epoch.accuracy for epoch in whole.history] == [epoch.accuracy for epoch in broken.history]
    assert [epoch.training_accuracy for epoch in whole.history] == [
        epoch.training_accuracy for epoch in broken.history
    ]


@pytest.mark.slow
@pytest.mark.fault("T6")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_training_that_is_killed_at_30_steps_ends_as_one_that_was_not(tmp_path):
    """Killed between steps and in the middle of writing a checkpoint; see training_victims.py."""
    victims = Path(__file__).with_name("training_victims.py")
    child = subprocess.run(
        [sys.executable, str(victims), str(tmp_path), "30"],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert child.returncode == 0, child.stderr
    kills, same = child.stdout.split()
    assert int(kills) >= 30
    assert same == "True"


def test_without_what_a_checkpoint_holds_the_weights_differ(split, tmp_path):
    """The test above can fail: a checkpoint without the moments of the optimizer ends elsewhere."""
    whole = run(steps(split, SHORT))
    training = steps(split, SHORT, Checkpoints(tmp_path, 0.0))
    for _ in range(6):
        next(training)
    training.close()
    kept = Checkpoints(tmp_path).read()
    for name, tensor in kept.tensors.items():
        if name.endswith("exp_avg"):
            tensor.zero_()
    Checkpoints(tmp_path).write(kept)
    assert not same_weights(whole, run(steps(split, SHORT, Checkpoints(tmp_path))))


def test_a_finished_training_is_not_trained_further(split, tmp_path):
    first = run(steps(split, SHORT, Checkpoints(tmp_path)))
    seen = []
    again = run(steps(split, SHORT, Checkpoints(tmp_path)), seen.append)
    assert not seen
    assert same_weights(first, again)


def test_a_stop_keeps_a_checkpoint_of_that_step(split, tmp_path):
    result = run(steps(split, SHORT, Checkpoints(tmp_path, 60.0)), lambda progress: progress.done == 6)
    assert result.stopped
    assert read_course(tmp_path).steps == 6
    assert same_weights(run(steps(split, SHORT)), run(steps(split, SHORT, Checkpoints(tmp_path))))


def test_patience_ends_a_training_that_gets_no_better(split):
    options = SHORT.changed({"epochs": 30, "patience": 2, "learning_rate": 1e-9})
    result = run(steps(split, options))
    assert len(result.history) <= result.best_epoch + 2 < 30
    assert not result.stopped


def test_the_course_is_read_back_exactly():
    epoch = EpochRecord(1, 0.1 + 0.2, 1 / 3, 0.5, 0.25, 1e-9, 0.7, 1e-6)
    course = Course(7, [0.1, 1 / 7], 3, 32, 1.5, [epoch], 1)
    assert Course.from_json(course.to_json()) == course
    assert course.epoch == 2
    assert course.best == epoch


def test_only_the_best_weights_of_now_are_kept(split, tmp_path):
    result = run(steps(split, SHORT, Checkpoints(tmp_path)))
    assert {path.name for path in tmp_path.iterdir()} == {
        STATE_NAME,
        f"best-{result.best_epoch}.safetensors",
    }


@pytest.mark.fault("D1")
def test_a_full_disk_leaves_the_older_checkpoint_whole(split, tmp_path, monkeypatch):
    training = steps(split, SHORT, Checkpoints(tmp_path, 0.0))
    for _ in range(6):
        next(training)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_module.os, "fsync", full)
    with pytest.raises(
        TrainingError, match=r"state.safetensors \(.* MB\) could not be written .*No space left"
    ):
        next(training)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    assert same_weights(run(steps(split, SHORT)), run(steps(split, SHORT, Checkpoints(tmp_path))))


def test_a_broken_checkpoint_is_said_in_a_sentence(split, tmp_path):
    run(steps(split, SHORT, Checkpoints(tmp_path)))
    state = tmp_path / STATE_NAME
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(TrainingError, match="cannot be read"):
        Checkpoints(tmp_path).read()
    state.write_bytes(b"")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_course(tmp_path)
    assert read_course(tmp_path / "nowhere") is None


def test_orphans_of_killed_writers_are_swept(tmp_path):
    replace_file(tmp_path / "a.csv", b"kept")
    (tmp_path / ".a.csv-0123.tmp").write_bytes(b"half")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.fault("W1", "W3")
@pytest.mark.parametrize(
    ("title", "error", "words"),
    [
        (
            "NVIDIA L4",
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            "too little free memory for steps of 16",
        ),
        ("CPU, 1 threads", MemoryError(), "too little free memory"),
        (
            "CPU, 1 threads",
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "too little free memory",
        ),
        (
            "NVIDIA L4",
            RuntimeError("CUDA error: unspecified launch failure\nCompile with"),
            "failed or was lost",
        ),
    ],
)
def test_what_a_device_throws_becomes_one_sentence(split, tmp_path, monkeypatch, title, error, words):
    whole = run(steps(split, SHORT))
    training = steps(split, SHORT, Checkpoints(tmp_path, 0.0))
    for _ in range(6):
        next(training)

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("accelerate.Accelerator.backward", fail)
        patch.setattr(
            "napari_ore_minerals.learning.trainer.Trainer.faults", lambda _: device_faults(title, 16)
        )
        resumed = steps(split, SHORT, Checkpoints(tmp_path))
        with pytest.raises(DeviceError, match=words) as caught:
            run(resumed)
    assert "\n" not in str(caught.value)
    training.close()
    assert same_weights(whole, run(steps(split, SHORT, Checkpoints(tmp_path))))


def test_other_errors_on_the_cpu_are_left_alone():
    with pytest.raises(RuntimeError, match="shapes"), device_faults("CPU, 1 threads", 16):
        raise RuntimeError("shapes do not fit")
    with pytest.raises(OreMineralsError, match="plain"), device_faults("NVIDIA L4", 16):
        raise TrainingError("plain")


def test_augmentations_of_the_options_are_those_that_there_are():
    assert set(Augmentation.__args__) == set(TRANSFORMS)


def test_presets_are_valid_and_their_flags_give_them_again():
    for name in ("paper", "fast"):
        preset = TrainOptions.preset(name)
        assert TrainOptions.model_validate(preset.model_dump()) == preset
    assert TrainOptions.preset("fast").flags() == "--preset fast"
    changed = TrainOptions.preset("fast").changed({"epochs": 3, "balanced": False})
    assert changed.flags() == "--preset fast --epochs 3 --no-balanced"
