"""Which device computes, and in which precision.

Some CPUs are three times faster in bf16, some that have it gain nothing, and then fp32 is more
exact; some virtual machines report an AMX that ends the process with an illegal instruction
when it is used.  So bf16 is tried and timed against fp32 once in a child process, and oneDNN is
kept from AMX where only AMX fails.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from napari_ore_minerals.errors import DeviceError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cuda", "mps", "xpu", "cpu"]
Precision = Literal["auto", "fp32", "bf16"]


class CpuBf16(NamedTuple):
    """What bf16 is worth on this CPU.

    Attributes
    ----------
    works : "yes", "without AMX" or "no"
    gain : float
        How many times faster than fp32 the layers of a Swin Transformer are; 0 where it does not work.
    """

    works: Literal["yes", "without AMX", "no"]
    gain: float = 0.0


NO_BF16 = CpuBf16("no")
WORTH_IT = 1.2
REPRODUCIBLE_VARIABLE, REPRODUCIBLE = "MKL_CBWR", "AUTO,STRICT"  # the same sums for any number of threads
ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"
ISA_WITHOUT_AMX = "AVX512_CORE_BF16"
WAITING_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
SPINS = "6000"  # some microseconds
MALLOC_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEPT_BYTES = 64 << 20
_PROBE = """
import time
import torch
from torch import nn

stem, first, last = nn.Conv2d(3, 96, 4, 4), nn.Linear(96, 384), nn.Linear(384, 96)
convolution = nn.Conv2d(3, 8, 3, padding=1)
pixels = torch.rand(4, 3, 224, 224)

def answer(bf16):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = stem(pixels).flatten(2).transpose(1, 2).reshape(-1, 3, 49, 32)
        y = nn.functional.scaled_dot_product_attention(y, y, y).reshape(4, -1, 96)
        for _ in range(4):
            y = last(nn.functional.gelu(first(y)))
        return convolution(pixels), y

def seconds(bf16):
    begun = time.perf_counter()
    answer(bf16)
    return time.perf_counter() - begun

if not all(torch.isfinite(part).all() for part in answer(True)):
    raise SystemExit("bf16 gives nonsense")
answer(False)
rounds = [(seconds(False), seconds(True)) for _ in range(9)]
exact, short = (min(times) for times in zip(*rounds))
print("bf16 works", exact / short)
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
    works, gain = cpu_bf16()
    usable = works == "yes" or (works == "without AMX" and os.environ.get(ISA_VARIABLE) == ISA_WITHOUT_AMX)
    if precision == "auto":
        return ("bf16" if usable and gain >= WORTH_IT else "fp32"), ""
    if usable:
        return "bf16", ""
    if works == "without AMX":
        return "fp32", (
            f"this computer's AMX does not work; bf16 needs {ISA_VARIABLE}={ISA_WITHOUT_AMX} "
            "in the environment before torch starts, so fp32 is used"
        )
    return "fp32", "this processor has no working bf16, so fp32 is used"


def prepare_process() -> None:
    """Make results independent of the number of threads, and torch quick on a computer that does other things too.

    To be called before torch is imported. Changes only this process and those that it starts, and only where the
    user did not set the variables: sums in one order, freed memory is kept, threads that wait for each other soon
    sleep (by default they turn in circles for milliseconds, which where another program has a core takes several
    times as long), and oneDNN is kept from an AMX that fails.
    """
    os.environ.setdefault(REPRODUCIBLE_VARIABLE, REPRODUCIBLE)
    if not any(name in os.environ for name in WAITING_VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = SPINS
    if not any(name in os.environ for name in MALLOC_VARIABLES):
        _keep_memory()
    if ISA_VARIABLE not in os.environ and cpu_bf16().works == "without AMX":
        os.environ[ISA_VARIABLE] = ISA_WITHOUT_AMX


def _keep_memory() -> None:
    """Let glibc keep what is freed for the next layer.

    By default it gives large blocks back and is given them again, page by page and filled with zeros: in every
    forward pass, which takes up to half as long again.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(TRIM_THRESHOLD, KEPT_BYTES)
    if not mallopt(MMAP_THRESHOLD, KEPT_BYTES):
        mallopt(MMAP_THRESHOLD, 32 << 20)  # the most that an older glibc accepts


def cpu_bf16() -> CpuBf16:
    """Tell what bf16 is worth on this CPU.

    Tried and timed once in a child process and remembered in the user's cache folder.
    """
    features = _cpu_features()
    if not features & {"avx512_bf16", "amx_bf16"}:
        return NO_BF16
    memory = _memory_file()
    key = f"{platform.node()} {platform.release()} torch {_torch_version()} {' '.join(sorted(features))}"
    known = _remembered(memory)
    if key in known:
        return known[key]
    inherited = {name: value for name, value in os.environ.items() if name != ISA_VARIABLE}
    answer = NO_BF16
    if gain := _probe(inherited):
        answer = CpuBf16("yes", gain)
    elif gain := _probe(inherited | {ISA_VARIABLE: ISA_WITHOUT_AMX}):
        answer = CpuBf16("without AMX", gain)
    _remember(memory, known | {key: answer})
    return answer


def _probe(environment: dict[str, str]) -> float:
    """How many times faster bf16 is; 0 if it does not work."""
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _PROBE],
            env=environment,
            capture_output=True,
            timeout=120,
            check=False,
            text=True,
        )
        said = done.stdout.split()
        return float(said[-1]) if done.returncode == 0 and said[:2] == ["bf16", "works"] else 0.0
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return 0.0


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


def _remembered(path: Path) -> dict[str, CpuBf16]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(key): CpuBf16(works, float(gain))
            for key, (works, gain) in found.items()
            if works in ("yes", "without AMX", "no")
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(path: Path, known: dict[str, CpuBf16]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(known, file)
        os.replace(file.name, path)
    except OSError:
        return  # it is only remembered to save seconds next time
