"""Checkpoints from elsewhere: the one place where a pickle is opened, in a child process.

A ``.pth`` file is a pickle, which can run a program when it is opened.  torch's
``weights_only`` reader refuses all but tensors and plain containers, but it has had
holes.  So such a file is opened only when the user vouches for it, by a process that
does nothing else, with limits on its memory, time and output; what comes back is
safetensors, which cannot run anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from napari_ore_minerals.errors import ModelError

if TYPE_CHECKING:
    import torch

MAX_FILE_BYTES = 4 << 30
MAX_TENSORS = 5_000
READING_SECONDS = 300.0
SPARE_BYTES = 512 << 20  # beside three times the file: for what torch itself needs while reading
COMMAND = (sys.executable, "-P", "-m", "napari_ore_minerals.models.foreign")
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights")
_RESULT = "weights.safetensors"
_LONGEST_NAME = 300
_DIGITS = 5  # in front of each name on its way back, since safetensors sorts by name


def foreign_tensors(
    path: Path, *, trusted: bool = False, seconds: float = READING_SECONDS
) -> dict[str, torch.Tensor]:
    """Read the tensors of a file that another program wrote.

    Parameters
    ----------
    path
        ``.safetensors``, or a checkpoint that ``torch.save`` wrote: a state dict, bare or
        inside a dictionary under a usual name (``"state_dict"``, ``"model"`` ...).
    trusted
        Whether the user vouches for a checkpoint; safetensors do not need it.
    seconds
        Time that reading a checkpoint may take.

    Returns
    -------
    dict of str to torch.Tensor
        On the CPU, dense, under the names that the file gives them, a checkpoint's in their order.

    Raises
    ------
    ModelError
        One sentence: the file is not vouched for, too large, or no set of plain tensors.
    """
    path = Path(path)
    if path.suffix.casefold() == ".safetensors":
        return _safe_tensors(path, where=str(path))
    if not trusted:
        raise ModelError(
            f"{path} is not opened: a checkpoint that is no .safetensors file can run a program on this "
            "computer when it is read, so give --i-trust-this-file, and only if you know and trust who made it"
        )
    if path.exists() and not path.is_file():
        raise ModelError(f"{path} is no ordinary file")
    try:
        with path.open("rb") as file, tempfile.TemporaryDirectory(prefix="ore-minerals-") as folder:
            size = _checked_size(path, file)
            _read_in_child(path, file, Path(folder), seconds=seconds)
            numbered = _safe_tensors(Path(folder, _RESULT), where=str(path), largest=size + (2 << 20))
            return {name[_DIGITS:]: numbered[name] for name in sorted(numbered)}
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


def _checked_size(path: Path, file: IO[bytes]) -> int:
    size = os.fstat(file.fileno()).st_size
    if not 0 < size <= MAX_FILE_BYTES:
        raise ModelError(f"{path} has {size} bytes; a checkpoint has between 1 and {MAX_FILE_BYTES}")
    return size


def _read_in_child(path: Path, file: IO[bytes], folder: Path, *, seconds: float) -> None:
    """Let a child process, which gets the open file as its input, write safetensors into a folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TORCH_FORCE")}
    with Path(folder, "errors.txt").open("w+b") as errors:
        try:
            done = subprocess.run(  # noqa: S603
                [*COMMAND, str(folder)],
                stdin=file,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment | {"CUDA_VISIBLE_DEVICES": "", "PYTHONIOENCODING": "utf-8"},
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{path} was not read within {seconds:.0f} s") from error
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 20_000))
        words = errors.read().decode("utf-8", errors="replace")
    if done.returncode:
        raise ModelError(f"{path} was not read: {_reason(words, done.returncode)}")


def _reason(words: str, exit_code: int) -> str:
    """Say in plain words why the child ended, from the traceback it left."""
    if found := re.search(r"GLOBAL ([\w.]{1,120})", words):
        return (
            f"it holds more than weights ({found[1]}), of which nothing was run; where it was made, "
            "save the bare weights with torch.save(model.state_dict(), ...)"
        )
    if "TorchScript" in words:
        return "it is a TorchScript program and no checkpoint; save model.state_dict() where it was made"
    if re.search(r"MemoryError|can't allocate memory|not enough memory|bad_alloc", words):
        return "it needs more memory than a file of its size may use"
    if own := re.findall(r"^[\w.]+\.ModelError: (.+)$", words, flags=re.MULTILINE):
        return str(own[-1])[:400]
    if exit_code < 0:
        return (
            f"the process that read it was ended by signal {-exit_code}, by a limit or by what is in the file"
        )
    return "it is no checkpoint that torch.save wrote, or it is damaged"


def _safe_tensors(path: Path, *, where: str, largest: int = MAX_FILE_BYTES) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        if path.stat().st_size > largest:
            raise ModelError(f"{where} holds more than {largest} bytes of weights")
        tensors: dict[str, torch.Tensor] = load(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{where} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{where} is no valid safetensors file: {str(error)[:200]}") from error
    if not 0 < len(tensors) <= MAX_TENSORS:
        raise ModelError(f"{where} holds {len(tensors)} tensors; a classifier has 1 to {MAX_TENSORS}")
    return tensors


# What follows runs in the child process only.


def main() -> None:
    """Read a checkpoint from standard input and write its tensors into the named folder."""
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    file = sys.stdin.buffer
    size = os.fstat(file.fileno()).st_size
    limit_process(size)
    found = torch.load(file, map_location="cpu", weights_only=True)
    tensors = plain_tensors(found, size).items()
    numbered = {f"{number:0{_DIGITS}d}{name}": value for number, (name, value) in enumerate(tensors)}
    save_file(numbered, Path(sys.argv[1], _RESULT))


def limit_process(size: int) -> None:
    """Bound what this process may use while it reads a file of `size` bytes, where the system can.

    Windows has no such limits and macOS does not keep that of memory; the time limit holds everywhere.
    """
    try:
        import resource
    except ImportError:
        return
    used = Path("/proc/self/statm")
    if used.exists():
        pages = int(used.read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + 3 * size + SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + (2 << 20), size + (2 << 20)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(READING_SECONDS), int(READING_SECONDS)))


def plain_tensors(found: object, size: int) -> dict[str, torch.Tensor]:
    """Take the state dict out of what a checkpoint holds, and refuse all but plain tensors.

    Parameters
    ----------
    found
        What ``torch.load`` gave.
    size
        Bytes of the file: dense tensors cannot hold more.
    """
    import torch

    state = _state_of(found)
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not 0 < len(tensors) <= MAX_TENSORS or any(
        not isinstance(name, str) or len(name) > _LONGEST_NAME for name in tensors
    ):
        raise ModelError(f"it holds {len(tensors)} named tensors; a classifier has 1 to {MAX_TENSORS}")
    for name, tensor in tensors.items():
        number = tensor.dtype.is_floating_point or tensor.dtype in (torch.int64, torch.int32, torch.uint8)
        if not number or tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise ModelError(f"its tensor {name!a} is no dense array of numbers")
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if claimed > size:
        raise ModelError(f"its tensors claim {claimed} bytes, more than the {size} of the file")
    return {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _state_of(found: object) -> Mapping[str, object]:
    """Look for the state dict, at most three wrappers deep."""
    for _ in range(4):
        if not isinstance(found, Mapping):
            raise ModelError(f"it holds a {type(found).__name__} where a dictionary of tensors was expected")
        inner = next((found[name] for name in WRAPPERS if isinstance(found.get(name), Mapping)), None)
        if inner is None:
            return found
        found = inner
    raise ModelError("its tensors lie in more than three dictionaries, one inside the other")


if __name__ == "__main__":
    main()
