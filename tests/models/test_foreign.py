"""Foreign checkpoints: opened only by a child process, only when vouched for, and only for plain tensors."""

from __future__ import annotations

import argparse
import os
import pickle  # noqa: TID251 - the bait
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.models import foreign
from napari_ore_minerals.models.foreign import foreign_tensors, plain_tensors

LARGE = 1 << 30


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def test_without_trust_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Evil(tmp_path / "canary")))
    with pytest.raises(ModelError, match="can run a program") as caught:
        foreign_tensors(path)
    assert "--i-trust-this-file" in str(caught.value)
    assert not (tmp_path / "canary").exists()


def test_the_bait_would_bite(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "canary")))  # noqa: S301 - our own
    assert (tmp_path / "canary").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "legacy", "bare pickle"])
def test_programs_in_a_checkpoint_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, canary = tmp_path / "evil.pth", tmp_path / "canary"
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(Evil(canary)))
    else:
        content = {"state_dict": {"a": torch.ones(2), "b": Evil(canary)}}
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(ModelError) as caught:
        foreign_tensors(path, trusted=True)
    assert not canary.exists()
    assert "\n" not in str(caught.value)
    assert "weights_only=False" not in str(caught.value)  # torch's own advice is not ours
    if kind != "bare pickle":
        assert "system" in str(caught.value)
        assert "nothing was run" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True])
def test_plain_tensors_come_back_in_their_order(tmp_path: Path, legacy: bool) -> None:
    wanted = {
        "module.z": torch.randn(2, 3),
        "module.a": torch.arange(4),
        "module.m": torch.randn(3).half(),
        "module.t": torch.randn(3, 4).T,
    }
    whole = {"model": wanted, "optimizer": {"lr": 0.1}, "epoch": 3, "best": torch.tensor(0.9)}
    torch.save(whole, tmp_path / "c.pth", _use_new_zipfile_serialization=not legacy)
    found = foreign_tensors(tmp_path / "c.pth", trusted=True)
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_in_one_sentence(tmp_path: Path) -> None:
    torch.save({"a": torch.randn(100)}, tmp_path / "c.pth")
    content = (tmp_path / "c.pth").read_bytes()
    (tmp_path / "c.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"no checkpoint that torch\.save wrote, or it is damaged$"):
        foreign_tensors(tmp_path / "c.pth", trusted=True)


@pytest.mark.slow
def test_other_python_objects_are_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}, "args": argparse.Namespace(lr=1)}, tmp_path / "c.pth")
    with pytest.raises(ModelError, match=r"argparse\.Namespace.*state_dict"):
        foreign_tensors(tmp_path / "c.pth", trusted=True)


def test_reading_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    (tmp_path / "c.pth").write_bytes(b"x")
    with pytest.raises(ModelError, match="not read within 0 s"):
        foreign_tensors(tmp_path / "c.pth", trusted=True, seconds=0.2)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by signal 9"),
        ("raise MemoryError", "more memory"),
        ("raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory')", "more memory"),
        ("raise SystemExit(3)", "is damaged"),
    ],
)
def test_a_child_that_dies_gives_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, sentence: str
) -> None:
    monkeypatch.setattr(foreign, "COMMAND", (sys.executable, "-c", program))
    (tmp_path / "c.pth").write_bytes(b"x")
    with pytest.raises(ModelError, match=sentence):
        foreign_tensors(tmp_path / "c.pth", trusted=True)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are kept on Linux")
@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("bytearray(2 << 30)", "more memory"),
        ("open(sys.argv[1] + '/weights.safetensors', 'wb').write(bytes(8 << 20))", "ended by signal|damaged"),
    ],
)
def test_limits_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, sentence: str
) -> None:
    begin = "import sys; from napari_ore_minerals.models.foreign import limit_process; limit_process(1000); "
    monkeypatch.setattr(foreign, "COMMAND", (sys.executable, "-c", begin + program))
    (tmp_path / "c.pth").write_bytes(b"x")
    with pytest.raises(ModelError, match=sentence):
        foreign_tensors(tmp_path / "c.pth", trusted=True)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "holds a list"),
        ({}, "0 named tensors"),
        ({"epoch": 3}, "0 named tensors"),
        ({"model": {"model": {"model": {"model": {}}}}}, "more than three dictionaries"),
        ({"a": torch.ones(1).expand(10**9)}, "claim 4000000000 bytes"),
        ({"a": torch.eye(3).to_sparse()}, "no dense array"),
        ({"a": torch.zeros(3, device="meta")}, "no dense array"),
        ({"a": torch.zeros(3, dtype=torch.complex64)}, "no dense array"),
        ({f"k{number}": torch.zeros(1) for number in range(5001)}, "5001 named tensors"),
        ({7: torch.zeros(1)}, "named tensors"),
        ({"n" * 1000: torch.zeros(1)}, "named tensors"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_set_of_plain_tensors_is_refused(content: object, sentence: str) -> None:
    size = 1 << 20
    with pytest.raises(ModelError, match=sentence):
        plain_tensors(content, size)


@pytest.mark.parametrize("wrapper", foreign.WRAPPERS)
def test_wrappers_are_undone_and_what_lies_beside_them_is_left(wrapper: str) -> None:
    whole = {"epoch": 1, "best": torch.tensor(0.5), wrapper: {"a": torch.ones(2), "name": "Swin"}}
    assert list(plain_tensors(whole, LARGE)) == ["a"]
    assert list(plain_tensors({"state_dict": whole}, LARGE)) == ["a"]


def test_safetensors_need_no_trust_and_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    assert torch.equal(foreign_tensors(tmp_path / "w.safetensors")["a"], torch.ones(2))
    (tmp_path / "evil.safetensors").write_bytes(pickle.dumps(Evil(tmp_path / "canary")))
    with pytest.raises(ModelError, match="no valid safetensors file"):
        foreign_tensors(tmp_path / "evil.safetensors")
    assert not (tmp_path / "canary").exists()


def test_files_that_cannot_be_checkpoints_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(ModelError, match="has 0 bytes"):
        foreign_tensors(tmp_path / "empty.pth", trusted=True)
    with pytest.raises(ModelError, match="No such file"):
        foreign_tensors(tmp_path / "absent.pth", trusted=True)
    with pytest.raises(ModelError, match="no ordinary file"):
        foreign_tensors(tmp_path, trusted=True)
    monkeypatch.setattr(foreign, "MAX_FILE_BYTES", 10)
    (tmp_path / "large.pth").write_bytes(bytes(11))
    with pytest.raises(ModelError, match="between 1 and 10"):
        foreign_tensors(tmp_path / "large.pth", trusted=True)
