"""Disks that fill up or refuse, files that change, clocks that jump: the store is as before or after, and can be used."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_ore_minerals.errors import DatasetError, ModelError, OreMineralsError, ResultError, TrainingError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning.checkpoints import replace_file
from napari_ore_minerals.learning.corrections import Correction
from napari_ore_minerals.learning.journal import Journal
from napari_ore_minerals.maps.files import read_result, result_folder, write_result
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.maps.whole import whole_file, whole_folder
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models import durable, store_lock
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.history import history
from napari_ore_minerals.models.store import load_network, packed
from napari_ore_minerals.models.versions import CurrentModel, ModelStore

CARD = ModelCard(name="m", architecture="ore_swin_micro", minerals=DEFAULT_MINERALS.minerals, input_px=32)
POINTS = 20
LONG_NAMES = ["a b", "日本語 🪨", "矿" * 75, "x矿" * 60, "🪨" * 60, "x" * 240]
posix = pytest.mark.skipif(os.name == "nt", reason="limits and permissions of POSIX")


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network("ore_swin_micro", 6)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with two versions, the second current."""
    found = ModelStore(tmp_path / "models")
    found.add(CARD, network(1))
    found.add(CARD, network(2), activate=True)
    return found


@pytest.fixture(scope="module")
def mineral_map(micro_model: Path) -> MineralMap:
    pixels = np.random.default_rng(3).integers(0, 255, (128, 192, 3), dtype=np.uint8)
    return classify(
        Micrograph.from_array(pixels), Classifier.load(micro_model, device="cpu", precision="fp32")
    )


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files may grow to `size` bytes and no further: a disk that fills up in the middle of a write."""
    import resource

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@contextmanager
def nobody() -> Iterator[Path]:
    """A folder in which only its permissions count: root gives up its rights meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # noqa: S103 - so that nobody may write into it
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)
            for path in [Path(folder), *Path(folder).rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o700)


def state(store: ModelStore) -> tuple[list[str], CurrentModel]:
    """What lies in the store, and what is current."""
    return sorted(path.name for path in store.root.iterdir() if path.name[:5] != ".lock"), store.current()


@posix
@pytest.mark.fault("D1")
def test_a_disk_that_fills_up_at_any_byte_of_a_model(store: ModelStore) -> None:
    card, weights = packed(CARD, network(3))
    before = state(store)
    for size in np.linspace(0, len(weights) - 1, POINTS).astype(int).tolist():
        with (
            room_for(size),
            pytest.raises(ModelError, match=r"could not be saved .* what is there is as it was"),
        ):
            store.add_packed(card, weights, activate=True)
        assert state(store) == before
    assert store.add_packed(card, weights, activate=True) == store.current().version


@posix
@pytest.mark.fault("D1")
def test_a_disk_that_fills_up_at_any_byte_of_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    replace_file(path, b"before")
    for size in np.linspace(0, 9_999, POINTS).astype(int).tolist():
        with room_for(size), pytest.raises(TrainingError, match=r"\(0.0 MB\) could not be written"):
            replace_file(path, bytes(10_000))
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(path.name, b"before")]
    replace_file(path, bytes(10_000))


@posix
@pytest.mark.fault("D1")
def test_a_disk_that_fills_up_while_results_are_written(mineral_map: MineralMap, tmp_path: Path) -> None:
    folder = tmp_path / "a.oremap"
    largest = max(path.stat().st_size for path in write_result(mineral_map, tmp_path / "whole").iterdir())
    for size in np.linspace(0, largest - 1, POINTS).astype(int).tolist():
        with room_for(size), pytest.raises(ResultError, match="could not be written"):
            write_result(mineral_map, folder)
        assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    np.testing.assert_array_equal(read_result(write_result(mineral_map, folder)).labels, mineral_map.labels)


@posix
@pytest.mark.fault("D1")
def test_a_disk_that_fills_up_under_the_journal(tmp_path: Path) -> None:
    journal, said = Journal(tmp_path), []
    for row in range(3):
        said.append(Correction(picture="a" * 64, row=row, column=0, tile_px=64, stride_px=64, height_px=640,
                               width_px=640, code=1, kind="corrected", time="t", model="0" * 64))  # fmt: skip
    journal.write(said[:1])
    length = journal.path("a" * 64).stat().st_size
    for size in range(length, 2 * length, length // POINTS):
        with room_for(size), pytest.raises(DatasetError, match="kept in memory only"):
            journal.write(said[1:2])
        assert journal.read("a" * 64).corrections == tuple(said[:1])
    journal.write(said[1:])
    assert journal.read("a" * 64).corrections == tuple(said)


class Refusing(io.FileIO):
    """A file whose n-th write, or whose closing, fails; once, or from then on."""

    left, lasting = 0, True

    def write(self, content: Any) -> int:
        self._count()
        return super().write(content)

    def close(self) -> None:
        opened = not self.closed
        super().close()
        if opened:
            self._count()

    @classmethod
    def _count(cls) -> None:
        cls.left -= 1
        if cls.left == 0 or (cls.lasting and cls.left < 0):
            raise OSError(5, "Input/output error")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> type[Refusing]:
    """New files refuse."""
    plain = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, mode="r", *a, **k: Refusing(path, "x") if mode == "xb" else plain(path, mode, *a, **k),
    )
    monkeypatch.setattr(durable, "_BEFORE_AGAIN_S", 0.0)
    return Refusing


@pytest.mark.fault("D2")
def test_a_disk_that_refuses_once_is_asked_once_more(store: ModelStore, refusing: type[Refusing]) -> None:
    card, weights = packed(CARD, network(3))
    refusing.lasting = False
    for failing in range(1, 5):
        refusing.left = failing
        version = store.add_packed(card, weights, activate=True)
        assert refusing.left <= 0, "it was refused"
        assert store.current() == CurrentModel(version)
        load_network(version.folder)


@pytest.mark.fault("D2")
def test_a_journal_that_is_refused_once_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused, sync = [True, False], os.fsync
    said = Correction(picture="a" * 64, row=0, column=0, tile_px=64, stride_px=64, height_px=640,
                      width_px=640, code=1, kind="corrected", time="t", model="0" * 64)  # fmt: skip

    def once(handle: int) -> None:
        if refused.pop(0):
            raise OSError(5, "Input/output error")
        refused.append(False)
        sync(handle)

    monkeypatch.setattr(os, "fsync", once)
    Journal(tmp_path).write([said])
    assert Journal(tmp_path).read("a" * 64).corrections == (said,)


@pytest.mark.fault("D2")
def test_every_write_and_every_closing_may_fail(store: ModelStore, refusing: type[Refusing]) -> None:
    """Errors at fsync, rename and replace: see tests/models/test_versions.py."""
    before, refusing.lasting = state(store), True
    card, weights = packed(CARD, network(3))
    told: list[str] = []
    for failing in range(1, 20):
        refusing.left = failing
        try:
            store.add_packed(card, weights)
        except ModelError as error:
            told.append(str(error))
        if state(store) != before:
            break
    assert len(told) == 4, "two files, each written and closed"
    assert all("Input/output error" in sentence for sentence in told)
    assert store.versions()[-1].number == 3
    load_network(store.versions()[-1].folder)


@posix
@pytest.mark.fault("D3")
def test_folders_that_must_not_be_written_to(mineral_map: MineralMap) -> None:
    with nobody() as folder:
        store = ModelStore(folder / "models")
        version = store.add(CARD, network(1), activate=True)
        store.root.chmod(0o500)
        for save in (lambda: store.add(CARD, network(2)), lambda: store.activate(None)):
            with pytest.raises(ModelError, match="choose another folder"):
                save()
        assert store.current() == CurrentModel(version), "and it can be used"
        Classifier.load(version.folder, device="cpu")
        (folder / "pictures").mkdir()
        (folder / "pictures").chmod(0o500)
        with pytest.raises(ResultError, match=r"could not be written to .*Permission denied"):
            write_result(mineral_map, folder / "pictures" / "a.oremap")
        write_result(mineral_map, folder / "elsewhere" / "a.oremap")


@posix
@pytest.mark.fault("D4")
def test_a_pointer_that_may_not_be_read() -> None:
    with nobody() as folder:
        store = ModelStore(folder / "models")
        for seed in (1, 2):
            store.add(CARD, network(seed))
        store.activate(1)
        (store.root / "CURRENT").chmod(0)
        found = store.current()
        assert found.version is not None
        assert found.version.number == 2
        assert "version 2 is used instead" in found.notice
        store.activate(1)
        assert store.current().version == store.version(1), "and it can be put right"


CUT = """
import sys
from pathlib import Path
import torch
from napari_ore_minerals.models.store import load_network
folder, plain = Path(sys.argv[1]), torch.nn.Module.load_state_dict
def cut(*given, **options):
    with open(folder / "model.safetensors", "r+b") as file:
        file.truncate(0)
    return plain(*given, **options)
torch.nn.Module.load_state_dict = cut
card, network = load_network(folder)
with torch.inference_mode():
    answer = network(torch.zeros(1, 3, 32, 32))
print(bool(torch.isfinite(answer).all()))
"""


@pytest.mark.fault("D7")
def test_weights_that_are_cut_while_they_are_in_use_do_no_harm(store: ModelStore) -> None:
    asked = [sys.executable, "-c", CUT, str(store.version(1).folder)]
    child = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert (child.returncode, child.stdout.strip()) == (0, "True"), child.stderr
    assert store.current().version == store.version(2)


HOLD = """
import sys, time
from pathlib import Path
from napari_ore_minerals.models.versions import ModelStore
with ModelStore(Path(sys.argv[1]))._locked():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.fault("D11")
def test_the_lock_of_a_killed_process_is_free(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(store.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with monkeypatch.context() as patched:
            patched.setattr(store_lock, "LOCK_TIMEOUT_S", 0.1)
            with pytest.raises(ModelError, match=f"number {child.pid}"):
                store.activate(1)
        os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        child.wait()
        begun = time.monotonic()
        store.activate(1)
        assert time.monotonic() - begun < 1.0
    finally:
        child.kill()
    assert store.current().version == store.version(1)


@pytest.mark.fault("D12")
def test_versions_keep_their_order_when_the_clock_does_not(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = time.time() - 86_400
    monkeypatch.setattr(time, "time", lambda: yesterday)
    third = store.add(CARD, network(3), activate=True)
    os.utime(third.folder, (yesterday, yesterday))
    for number, when in ((1, yesterday + 172_800), (2, yesterday)):
        os.utime(store.version(number).folder, (when, when))
    (store.root / ".staging-of-another-process").mkdir()
    assert store.sweep() == 0, "a clock that was put back makes nothing old"
    assert [version.number for version in store.versions()] == [1, 2, 3]
    assert [entry.version.number for entry in history(store.versions())] == [1, 2, 3]
    (store.root / "CURRENT").write_bytes(b"")
    assert store.current().version == third, "the newest is the one with the highest number"
    assert store.add(CARD, network(4)).number == 4


@pytest.mark.fault("D13")
@pytest.mark.parametrize("name", ["a b", "µ", "日本語", "🪨 ore", "'; rm -rf *", "x" * 240])
def test_a_store_may_lie_anywhere(tmp_path: Path, name: str) -> None:
    store = ModelStore(tmp_path / name / "models")
    version = store.add(CARD, network(1), activate=True)
    assert store.current() == CurrentModel(version)
    loaded = load_network(version.folder)[1].state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in network(1).state_dict().items())


@pytest.mark.fault("D13")
@pytest.mark.parametrize("name", LONG_NAMES)
def test_results_may_lie_anywhere(tmp_path: Path, mineral_map: MineralMap, name: str) -> None:
    """Names may have 255 bytes, and a letter of other scripts has up to 4."""
    folder = result_folder(tmp_path / name)
    for overwrite in (False, True):
        found = read_result(write_result(mineral_map, folder, overwrite=overwrite))
        np.testing.assert_array_equal(found.labels, mineral_map.labels)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.fault("D13")
@pytest.mark.parametrize("name", LONG_NAMES)
def test_files_of_any_name_are_written(tmp_path: Path, name: str) -> None:
    with whole_file(tmp_path / f"{name}.csv") as staging:
        assert staging.name.endswith(".csv")
        staging.write_bytes(b"a,b")
    with whole_folder(tmp_path / name, mark="mark") as folder:
        (folder / "mark").touch()
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.csv"}


def test_what_these_tests_use_bites(tmp_path: Path) -> None:
    """A full disk is full, and folders without permission refuse, even for root."""
    attempts: list[Callable[[Path], object]] = [lambda path: path.write_bytes(b"12345")]
    if os.name == "nt":
        return
    with room_for(4), pytest.raises(OSError, match="File too large"):
        attempts[0](tmp_path / "a")
    with nobody() as folder:
        folder.joinpath("b").mkdir(mode=0o500)
        with pytest.raises(PermissionError):
            attempts[0](folder / "b" / "c")
    assert issubclass(ModelError, OreMineralsError)
