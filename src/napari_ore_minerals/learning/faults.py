"""What a device throws when it is lost or full, as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_ore_minerals.errors import DeviceError
from napari_ore_minerals.models.gpu_faults import out_of_memory


@contextmanager
def device_faults(title: str, batch_size: int) -> Iterator[None]:
    """Raise `DeviceError` where a device has too little memory or is lost.

    Parameters
    ----------
    title
        Of the device.
    batch_size
        Tiles per step, named in the sentence.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            raise DeviceError(
                f"{title} has too little free memory for steps of {batch_size} tiles: end other programs and "
                "run the same command again, which goes on where it was, or begin anew with a smaller batch size"
            ) from error
        if title.startswith("CPU") and not isinstance(error, torch.AcceleratorError):
            raise
        raise DeviceError(
            f"{title} failed or was lost ({_first_line(error)}): run the same command again, which goes on "
            "from the last checkpoint, or on another device"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
