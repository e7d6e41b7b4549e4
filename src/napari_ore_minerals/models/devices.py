"""Which device computes, and in which precision.

bf16 on a CPU is faster where the processor's AMX works; without AMX, Swin in fp32 is
as fast or faster, and more exact.  Some virtual machines report an AMX that ends the
process with an illegal instruction when it is used.  So bf16 is tried once in a child
process, and oneDNN is kept from AMX where only AMX fails.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_ore_minerals.errors import DeviceError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cuda", "mps", "xpu", "cpu"]
Precision = Literal["auto", "fp32", "bf16"]
BF16 = Literal["yes", "without AMX", "no"]

REPRODUCIBLE_VARIABLE, REPRODUCIBLE = "MKL_CBWR", "AUTO,STRICT"  # the same sums for any number of threads
ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"
ISA_WITHOUT_AMX = "AVX512_CORE_BF16"
_PROBE = """
import torch
from torch import nn
with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
    x = torch.rand(4, 3, 224, 224)
    y = nn.Conv2d(3, 96, 4, 4)(x).flatten(2).transpose(1, 2)
    y = nn.functional.scaled_dot_product_attention(y, y, y)
    y = nn.Linear(96, 384)(y)
    ok = bool(torch.isfinite(nn.Conv2d(3, 8, 3, padding=1)(x)).all() and torch.isfinite(y).all())
print("bf16 works" if ok else "bf16 gives nonsense")
"""


@dataclass(frozen=True)
class Device:
    """A device to compute on.

    Attributes
    ----------
    torch_device : torch.device
    title : str
        What to show: ``"CPU, 2 threads"`` or the name of the GPU.
    why : str
        Why this one, in a few plain words.
    """

    torch_device: torch.device
    title: str
    why: str


def choose_device(name: DeviceName = "auto") -> Device:
    """Choose CUDA, MPS, XPU or CPU, in this order, or the named one.

    Raises
    ------
    DeviceError
        If the named one is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there |= {"xpu": hasattr(torch, "xpu") and torch.xpu.is_available(), "cpu": True}
    if name != "auto" and not there[name]:
        found = ", ".join(key for key, present in there.items() if present)
        raise DeviceError(f"there is no {name} device that torch {torch.__version__} can use; found: {found}")
    chosen = name if name != "auto" else next(key for key, present in there.items() if present)
    why = "chosen by you" if name != "auto" else "the fastest that was found"
    if chosen == "cuda":
        return Device(torch.device("cuda"), torch.cuda.get_device_name(), why)
    if chosen == "cpu":
        if name == "auto":
            why = "torch finds no GPU on this computer"
        threads = torch.get_num_threads()
        return Device(torch.device("cpu"), f"CPU, {threads} thread{'s' * (threads > 1)}", why)
    return Device(torch.device(chosen), chosen.upper(), why)


def choose_precision(
    device: torch.device, precision: Precision = "auto"
) -> tuple[Literal["fp32", "bf16"], str]:
    """Choose bf16 where the hardware gains from it, or where it is asked for and works, else fp32.

    Returns
    -------
    precision : "fp32" or "bf16"
    notice : str
        Why a faster or the asked-for precision is not used; empty if it is.
    """
    import torch

    if precision == "fp32" or (precision == "auto" and device.type not in ("cuda", "cpu")):
        return "fp32", ""
    if device.type == "cuda":
        works = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "") if works else ("fp32", "this GPU has no bf16, so fp32 is used")
    if device.type != "cpu":
        return "fp32", "bf16 is used on CUDA and CPU only, so fp32 is used"
    return _cpu_precision(precision)


def _cpu_precision(precision: Precision) -> tuple[Literal["fp32", "bf16"], str]:
    if precision == "auto":
        return ("bf16" if "amx_bf16" in _cpu_features() and cpu_bf16() == "yes" else "fp32"), ""
    supported = cpu_bf16()
    if supported == "yes" or (supported == "without AMX" and os.environ.get(ISA_VARIABLE) == ISA_WITHOUT_AMX):
        return "bf16", ""
    if supported == "without AMX":
        return "fp32", (
            f"this computer's AMX does not work; bf16 needs {ISA_VARIABLE}={ISA_WITHOUT_AMX} "
            "in the environment before torch starts, so fp32 is used"
        )
    return "fp32", "this processor has no working bf16, so fp32 is used"


def prepare_process() -> None:
    """Make results independent of the number of threads, and keep oneDNN from an AMX that does not work.

    To be called before the first use of torch. Changes only this process's environment, and only where the user
    did not set the variables.
    """
    os.environ.setdefault(REPRODUCIBLE_VARIABLE, REPRODUCIBLE)
    if ISA_VARIABLE not in os.environ and cpu_bf16() == "without AMX":
        os.environ[ISA_VARIABLE] = ISA_WITHOUT_AMX


def cpu_bf16() -> BF16:
    """Tell whether this CPU computes in bf16.

    Tried once in a child process and remembered in the user's cache folder.
    """
    features = _cpu_features()
    if not features & {"avx512_bf16", "amx_bf16"}:
        return "no"
    memory = _memory_file()
    key = f"{platform.node()} {platform.release()} torch {_torch_version()} {' '.join(sorted(features))}"
    known = _remembered(memory)
    if key in known:
        return known[key]
    inherited = {name: value for name, value in os.environ.items() if name != ISA_VARIABLE}
    answer: BF16 = "no"
    if _probe(inherited):
        answer = "yes"
    elif _probe(inherited | {ISA_VARIABLE: ISA_WITHOUT_AMX}):
        answer = "without AMX"
    _remember(memory, known | {key: answer})
    return answer


def _probe(environment: dict[str, str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _PROBE],
            env=environment,
            capture_output=True,
            timeout=120,
            check=False,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "bf16 works" in done.stdout


def _cpu_features() -> set[str]:
    """Return those of this CPU's features that speak of bf16, as Linux names them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return set(flags.split()) & {"avx512_bf16", "amx_bf16", "amx_tile"}


def _torch_version() -> str:
    from importlib.metadata import version

    return version("torch")


def _memory_file() -> Path:
    from platformdirs import user_cache_path

    return Path(user_cache_path("napari-ore-minerals"), "cpu.json")


def _remembered(path: Path) -> dict[str, BF16]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key): value for key, value in found.items() if value in ("yes", "without AMX", "no")}


def _remember(path: Path, known: dict[str, BF16]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(known, file)
        os.replace(file.name, path)
    except OSError:
        return  # it is only remembered to save seconds next time
