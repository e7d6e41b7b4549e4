"""Devices that lack memory or an operation, or fail, each in its own words; and the way out: the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_ore_minerals.errors import DeviceError

from .store import network_of

if TYPE_CHECKING:
    from .classifier import Classifier

_SHORT = (
    "out of memory",  # CUDA, HIP, XPU; "MPS backend out of memory"; "CUDA error: out of memory"
    "defaultcpuallocator",  # not enough memory, can't allocate memory
    "can't allocate memory",
    "not enough memory",
    "invalid buffer size",  # MPS, of a buffer larger than Metal gives
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED and its like
    "result_error_out_of_",  # Intel's UR: OUT_OF_RESOURCES, OUT_OF_DEVICE_MEMORY, OUT_OF_HOST_MEMORY
    "pi_error_out_of_",  # the same, before UR
)

_FAILED = ("cudnn error", "result_error_device_lost", "pi_error_device_lost")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has too little free memory.

    torch has a class for it, which its MPS, CPU and SYCL parts do not always use: they raise a plain
    ``RuntimeError``.
    """
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in _SHORT)
    )


def device_failed(error: BaseException) -> bool:
    """Whether an error says that a GPU lacks an operation, as Apple's do some, that it failed, or was lost."""
    if isinstance(error, torch.AcceleratorError | NotImplementedError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _FAILED)


def without_gpu(classifier: Classifier, error: RuntimeError) -> Classifier:
    """Copy a classifier to the CPU because its GPU failed, lacks an operation, or has no room for a single tile.

    No memory of the GPU is taken for it.

    Parameters
    ----------
    classifier
        It stays as it is: the next run may find the GPU well again.
    error
        What the GPU said.

    Returns
    -------
    Classifier
        Its last notice says what was wrong.

    Raises
    ------
    DeviceError
        If the CPU has too little memory, or the weights cannot be had back from the GPU.
    RuntimeError
        The same one, if it was raised on the CPU.
    """
    device, card = classifier.device, classifier.card
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    if device.torch_device.type == "cpu":
        if out_of_memory(error):
            raise DeviceError(
                f"{device.title} has too little free memory for a single tile of {card.architecture}; "
                "close other programs or choose a smaller model"
            ) from error
        raise error
    network = network_of(card)
    try:
        network.load_state_dict(
            {name: values.cpu() for name, values in classifier.network.state_dict().items()}
        )
    except RuntimeError:
        raise DeviceError(f"{device.title} failed ({said}); try again, or choose the device 'cpu'") from error
    found = type(classifier)(card, network, device="cpu", precision="fp32")
    notice = f"{device.title} failed ({said}): going on with the CPU"
    if isinstance(error, NotImplementedError):
        notice = f"{device.title} cannot run this model ({said}): going on with the CPU"
    elif out_of_memory(error):
        architecture = card.architecture
        notice = f"{device.title} has too little free memory for a single tile of {architecture}: going on with the CPU"
    found.notices.append(notice)
    return found
