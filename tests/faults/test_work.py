"""Devices and memory that fail in the middle of a picture, and stops at any moment."""

from __future__ import annotations

import copy
import gc
import random
import threading
from itertools import count
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from napari_ore_minerals.errors import DeviceError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.predict import classify, classify_steps
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.devices import Device
from napari_ore_minerals.widgets.worker import no_memory

ONE_BY_ONE = ClassifyOptions(batch_size=1)


@pytest.fixture
def classifier(micro_model: Any) -> Classifier:
    return Classifier.load(micro_model, device="cpu", precision="fp32")


@pytest.fixture
def whole(classifier: Classifier, picture: np.ndarray) -> MineralMap:
    """The map where nothing fails: 24 tiles."""
    return classify(Micrograph.from_array(picture), classifier, ONE_BY_ONE)


def failing_at(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, calls: set[int], error: Exception
) -> None:
    """Let forward passes fail, by their number."""
    plain, numbers = classifier.predict, count()

    def predict(pixels: np.ndarray, **options: Any) -> Any:
        if next(numbers) in calls:
            raise error
        return plain(pixels, **options)

    monkeypatch.setattr(classifier, "predict", predict)


@pytest.mark.fault("W1")
@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_memory_runs_out_at_any_batch(
    classifier: Classifier, picture: np.ndarray, whole: MineralMap, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(classifier, monkeypatch, {at}, torch.OutOfMemoryError("CUDA out of memory"))
    found = classify(Micrograph.from_array(picture), classifier, ClassifyOptions(batch_size=4))
    np.testing.assert_array_equal(found.labels, whole.labels)
    assert found.run.notices == ("memory ran out: going on with batches of 2",)


@pytest.mark.fault("W1")
@pytest.mark.parametrize("at", [0, 1, 12, 23])
def test_memory_runs_out_for_a_single_tile_and_the_next_run_works(
    classifier: Classifier, picture: np.ndarray, whole: MineralMap, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(classifier, monkeypatch, {at}, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(DeviceError, match="close other programs or choose a smaller model"):
        classify(Micrograph.from_array(picture), classifier, ONE_BY_ONE)
    again = classify(Micrograph.from_array(picture), classifier, ONE_BY_ONE)
    np.testing.assert_array_equal(again.labels, whole.labels)


@pytest.mark.fault("W3")
def test_memory_that_ran_out_is_told_with_the_size_asked_for() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.uint8)
    assert "1.00 EiB" in no_memory(caught.value)
    assert (
        no_memory(MemoryError()) == "There is not enough memory: close other programs or use a smaller batch."
    )


@pytest.mark.fault("W4")
@pytest.mark.parametrize("at", [0, 11, 23])
def test_an_operation_that_a_gpu_lacks_is_done_on_the_cpu_with_one_notice(
    classifier: Classifier, picture: np.ndarray, whole: MineralMap, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for MPS, which cannot be had here: a classifier that says that it is on one, and computes here."""
    lacking = NotImplementedError("The operator 'aten::roll' is not implemented for the MPS device")
    here = copy.copy(classifier)
    monkeypatch.setattr(classifier, "predict", here.predict)
    failing_at(classifier, monkeypatch, {at}, lacking)
    monkeypatch.setattr(
        classifier, "device", Device(torch.device("mps"), "MPS", "the fastest that was found")
    )
    before = list(classifier.notices)
    found = classify(Micrograph.from_array(picture), classifier, ONE_BY_ONE)
    np.testing.assert_array_equal(found.labels, whole.labels)
    (notice,) = found.run.notices
    assert notice.startswith("MPS cannot run this model (The operator 'aten::roll'")
    assert found.run.device.startswith("CPU")
    assert classifier.notices == before, "the next run tries the GPU again"


@pytest.mark.fault("W4")
def test_an_operation_that_the_cpu_lacks_is_an_error(
    classifier: Classifier, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(classifier, monkeypatch, {2}, NotImplementedError("no such operation"))
    with pytest.raises(NotImplementedError, match="no such operation"):
        classify(Micrograph.from_array(picture), classifier, ONE_BY_ONE)


@pytest.mark.fault("W10")
def test_a_stop_at_any_of_50_moments_leaves_no_thread_and_half_a_map_that_is_right(
    classifier: Classifier, picture: np.ndarray, whole: MineralMap
) -> None:
    chance, threads = random.Random(3), threading.active_count()
    for number in range(50):
        steps = classify_steps(Micrograph.from_array(picture), classifier, ONE_BY_ONE)
        taken = chance.randint(1, 23)
        for _ in range(taken):
            next(steps)
        if number % 2:
            steps.close()
        else:
            with pytest.raises(StopIteration) as end:
                steps.send(True)
            found = end.value.value
            assert found.processed.sum() == taken
            assert not found.run.complete
            np.testing.assert_array_equal(found.labels, np.where(found.processed, whole.labels, 0))
        assert threading.active_count() == threads


@pytest.mark.fault("W10")
@pytest.mark.alone
def test_stops_give_back_the_memory_of_the_process(classifier: Classifier, picture: np.ndarray) -> None:
    """Each run has a picture of 6 MB of its own, which nothing may hold after the stop."""
    chance, used = random.Random(3), []
    for number in range(26):
        pixels = np.tile(picture, (5, 6, 1)) ^ np.uint8(number)
        steps = classify_steps(Micrograph.from_array(pixels), classifier, ONE_BY_ONE)
        for _ in range(chance.randint(1, 23)):
            next(steps)
        if number % 2:
            steps.close()
        else:
            with pytest.raises(StopIteration):
                steps.send(True)
        del steps, pixels
        gc.collect()
        used.append(psutil.Process().memory_info().rss / 1e6)
    assert abs(used[-1] - used[5]) < 5.0, "MB"
