"""A shortage of memory is known by what the parts of torch really say, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_ore_minerals.errors import DeviceError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.classifier import Classifier, Evidence
from napari_ore_minerals.models.devices import Device
from napari_ore_minerals.models.gpu_faults import device_failed, out_of_memory

SHORT = [
    torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which 1.2 GiB is free."
    ),
    torch.OutOfMemoryError("HIP out of memory. Tried to allocate 392.00 MiB."),
    torch.OutOfMemoryError(
        "XPU out of memory. Tried to allocate 64.00 GiB. GPU 0 has a total capacity of 64.00 GiB"
    ),
    RuntimeError("XPU out of memory. Tried to allocate 1.00 GiB (GPU 0; 15.56 GiB total capacity)"),
    RuntimeError(
        "MPS backend out of memory (MPS allocated: 5.50 GB, other allocations: 14.76 GB, max allowed: 20.40 GB). "
        "Tried to allocate 147.24 MB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper "
        "limit for memory allocations (may cause system failure)."
    ),
    RuntimeError("Invalid buffer size: 24.00 GiB"),
    RuntimeError("UR backend failed. UR backend returns:40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)"),
    RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    RuntimeError("Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 25165824 bytes."),
    MemoryError(),
]
FAILED = [
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    torch.AcceleratorError("CUDA error: unspecified launch failure"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)"),
]
LACKING = NotImplementedError("The operator 'aten::roll' is not currently implemented for the MPS device.")
OTHER = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x512 and 768x6)"),
    ValueError("out of memory"),
]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: str(error)[:30])
def test_each_device_has_its_words_for_it(error: BaseException) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize("error", [*FAILED, LACKING], ids=lambda error: str(error)[:30])
def test_a_gpu_that_failed_is_told_from_a_full_one(error: BaseException) -> None:
    assert device_failed(error)
    assert not out_of_memory(error)


@pytest.mark.parametrize("error", OTHER, ids=lambda error: str(error)[:30])
def test_other_errors_are_other_errors(error: BaseException) -> None:
    assert not out_of_memory(error)
    assert not device_failed(error)


def test_what_this_torch_says_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert out_of_memory(caught.value)


class OnAGpu(Classifier):
    """A stand-in for a GPU, which cannot be had here: it says that it is one, and fails from some pass on."""

    passes = 0

    def fail(self, error: RuntimeError, at: int, most_tiles: int = 0) -> None:
        """Raise `error` from pass number `at` on, for batches of more than `most_tiles`."""
        self.device = Device(torch.device("cuda"), "Some GPU", "the fastest that was found")
        self.failure = error, at, most_tiles

    def predict(self, pixels: np.ndarray, *, with_features: bool = False) -> Evidence:
        error, at, most_tiles = getattr(self, "failure", (None, 0, 0))
        self.passes += 1
        if error is not None and self.passes > at and len(pixels) > most_tiles:
            raise error
        return super().predict(pixels, with_features=with_features)

    def _seen(self, pixels: np.ndarray) -> torch.Tensor:
        device, self.device = self.device, Device(torch.device("cpu"), "", "")
        try:
            return super()._seen(pixels)
        finally:
            self.device = device


@pytest.fixture
def gpu(micro_model: Path) -> OnAGpu:
    found = OnAGpu.load(micro_model, device="cpu", precision="fp32")
    assert isinstance(found, OnAGpu)
    return found


@pytest.mark.fault("W1")
@pytest.mark.parametrize("error", [SHORT[0], SHORT[4], *FAILED], ids=lambda error: str(error)[:30])
@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_gpu_that_fails_leaves_the_work_to_the_cpu_with_one_notice(
    gpu: OnAGpu, picture: np.ndarray, error: RuntimeError, at: int
) -> None:
    micrograph, options = Micrograph.from_array(picture), ClassifyOptions(batch_size=4)
    whole = classify(micrograph, gpu, options)
    gpu.passes = 0
    gpu.fail(error, at)
    found = classify(micrograph, gpu, options)
    np.testing.assert_array_equal(found.labels, whole.labels)
    assert found.run.complete
    assert found.run.device.startswith("CPU")
    told = [notice for notice in found.run.notices if "CPU" in notice]
    assert len(told) == 1
    assert told[0].startswith("Some GPU ")
    assert told[0].endswith(": going on with the CPU")
    batches = [notice for notice in found.run.notices if "batches of" in notice]
    assert len(batches) == (2 if out_of_memory(error) else 0), "batches of 2 and of 1 are tried first"
    assert gpu.device.title == "Some GPU", "the next run tries the GPU again"
    assert gpu.notices == []


@pytest.mark.fault("W1")
@pytest.mark.parametrize("error", SHORT[:-1], ids=lambda error: str(error)[:30])
def test_a_gpu_that_has_room_for_two_tiles_stays_at_work(
    gpu: OnAGpu, picture: np.ndarray, error: RuntimeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    gpu.fail(error, 0, most_tiles=2)
    found = classify(Micrograph.from_array(picture), gpu, ClassifyOptions(batch_size=8))
    assert found.run.device == "Some GPU"
    assert [notice[-1] for notice in found.run.notices] == ["4", "2"]


@pytest.mark.fault("W1")
def test_a_gpu_that_gives_its_weights_not_back_is_one_sentence(
    gpu: OnAGpu, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    gpu.fail(FAILED[0], 2)
    monkeypatch.setattr(gpu.network, "state_dict", lost)
    with pytest.raises(DeviceError, match=r"^Some GPU failed \(CUDA error: .*choose the device 'cpu'$"):
        classify(Micrograph.from_array(picture), gpu, ClassifyOptions(batch_size=4))


@pytest.mark.fault("W1")
@pytest.mark.parametrize("error", [torch.AcceleratorError("CUDA error: unknown"), RuntimeError("a bug")])
def test_on_the_cpu_an_error_is_an_error(gpu: OnAGpu, picture: np.ndarray, error: RuntimeError) -> None:
    cpu = gpu.device
    gpu.fail(error, 0)
    gpu.device = cpu
    with pytest.raises(type(error), match=str(error)):
        classify(Micrograph.from_array(picture), gpu)


@pytest.mark.parametrize("error", [SHORT[0], SHORT[4]], ids=lambda error: str(error)[:30])
def test_a_device_that_is_too_small_for_the_weights_is_named(
    error: RuntimeError, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(
        DeviceError, match="has too little free memory for ore_swin_micro; choose the device 'cpu'"
    ):
        Classifier.load(micro_model, device="cpu", precision="fp32")
