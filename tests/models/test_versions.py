"""The user's store: whatever is killed, damaged or full, what was saved stays and one model can be used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models import durable, store_lock, versions
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.models.history import history, read_note, write_note
from napari_ore_minerals.models.store import load_network
from napari_ore_minerals.models.versions import ModelStore

CARD = ModelCard(name="m", architecture="ore_swin_micro", minerals=DEFAULT_MINERALS.minerals, input_px=32)
VICTIMS = Path(__file__).parent / "store_victims.py"


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network("ore_swin_micro", 6)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with two versions, the second current and trained from the first."""
    found = ModelStore(tmp_path / "models µ 日本 🪨")
    first = found.add(CARD, network(1))
    child = CARD.model_copy(update={"parent": first.card.weights_sha256, "version": 2})
    found.add(child, network(2), activate=True)
    return found


def victims(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(VICTIMS), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_an_empty_store_means_the_bundled_model(tmp_path: Path) -> None:
    found = ModelStore(tmp_path / "none").current()
    assert found.version is None
    assert not found.notice
    assert not (tmp_path / "none").exists()


def test_versions_are_numbered_and_read_back(store: ModelStore) -> None:
    assert [version.number for version in store.versions()] == [1, 2]
    current = store.current().version
    assert current is not None
    assert current.number == 2
    loaded = load_network(current.folder)[1]
    for name, value in network(2).state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_going_back_and_to_the_bundled_model(store: ModelStore) -> None:
    store.activate(1)
    assert store.current().version == store.version(1)
    store.activate(None)
    assert store.current().version is None
    with pytest.raises(ModelError, match="no version 9"):
        store.activate(9)


@pytest.mark.fault("D5")
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../../etc", b"v0009\n", b"v0002/..", b"x" * 10_000])
def test_a_damaged_pointer_gives_the_newest_version_and_says_so(store: ModelStore, content: bytes) -> None:
    (store.root / "CURRENT").write_bytes(content)
    found = store.current()
    assert found.version is not None
    assert found.version.number == 2
    assert "version 2 is used instead" in found.notice


@pytest.mark.fault("D4")
def test_an_unreadable_pointer(store: ModelStore) -> None:
    (store.root / "CURRENT").unlink()
    (store.root / "CURRENT").mkdir()
    assert "version 2 is used instead" in store.current().notice


@pytest.mark.fault("D6")
@pytest.mark.parametrize("damage", ["flip", "truncate", "swap", "delete", "card"])
def test_a_damaged_version_is_named_and_the_others_are_used(store: ModelStore, damage: str) -> None:
    weights = store.version(2).folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    if damage == "flip":
        content[-5] ^= 1
        weights.write_bytes(content)
    elif damage == "truncate":
        weights.write_bytes(content[:-1])
    elif damage == "swap":
        shutil.copy(store.version(1).folder / "model.safetensors", weights)
    elif damage == "delete":
        weights.unlink()
    else:
        (weights.parent / "card.json").write_text("{}")
    found = store.current()
    assert found.version is not None
    assert found.version.number == 1
    assert "2" in found.notice
    assert "version 1 is used instead" in found.notice


def test_where_all_is_damaged_the_bundled_model_is_left(store: ModelStore) -> None:
    for version in store.versions():
        (version.folder / "model.safetensors").write_bytes(b"")
    found = store.current()
    assert found.version is None
    assert "bundled model" in found.notice


def test_removed_weights_leave_card_number_and_history(store: ModelStore) -> None:
    third = store.add(CARD, network(3))
    for kept in (1, 2):
        with pytest.raises(ModelError, match="is kept"):
            store.remove(kept)
    store.remove(third.number)
    assert store.version(3).removed
    with pytest.raises(ModelError, match="were removed"):
        store.activate(3)
    assert store.add(CARD, network(4)).number == 4


def test_history_is_the_tree_of_parents(store: ModelStore) -> None:
    first = store.version(1).card.weights_sha256
    store.add(CARD, network(3))
    store.add(CARD.model_copy(update={"parent": first}), network(4))
    found = [(entry.version.number, entry.depth) for entry in history(store.versions())]
    assert found == [(1, 0), (2, 1), (4, 1), (3, 0)]


def test_a_note_changes_nothing_but_itself(store: ModelStore) -> None:
    version = store.version(1)
    before = {path.name: path.read_bytes() for path in version.folder.iterdir()}
    assert read_note(store, version) == ""
    write_note(store, version, "gold of the Ural µ")
    write_note(store, version, "gold of the Urals µ")
    assert read_note(store, version) == "gold of the Urals µ"
    assert {path.name: path.read_bytes() for path in version.folder.iterdir()} == before
    with pytest.raises(ModelError, match="2000"):
        write_note(store, version, "x" * 2001)


def test_weights_that_are_not_finite_are_not_saved(store: ModelStore) -> None:
    broken = network()
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        store.add(CARD, broken)
    assert len(store.versions()) == 2
    assert not list(store.root.glob(".staging-*"))


@pytest.mark.fault("D2")
@pytest.mark.parametrize("lasting", [False, True])
def test_every_operation_may_fail(store: ModelStore, monkeypatch: pytest.MonkeyPatch, lasting: bool) -> None:
    """An error of the disk at each fsync, rename and replace in turn: what passes is not noticed, or all is as it was."""
    monkeypatch.setattr(durable, "_BEFORE_AGAIN_S", 0.0)
    for name in ("fsync", "rename", "replace"):
        real = getattr(os, name)
        for failing in range(1, 20):
            numbers, current = [version.number for version in store.versions()], store.current()
            calls = 0

            def operation(*arguments: object, _real=real, _failing=failing) -> object:
                nonlocal calls
                calls += 1
                if calls == _failing or (lasting and calls > _failing):
                    raise OSError(5, "Input/output error")
                return _real(*arguments)

            with monkeypatch.context() as patch:
                patch.setattr(os, name, operation)
                told = ""
                try:
                    store.add(CARD, network(failing), activate=True)
                except ModelError as error:
                    told = str(error)
            assert bool(told) == (lasting and calls >= failing)
            assert not told or ("Input/output error" in told and "choose another folder" in told)
            after = store.current()
            assert after.version is not None
            assert not after.notice
            assert not list(store.root.glob(".staging-*")) + list(store.root.glob(".tmp*"))
            if calls < failing:
                assert after.version.number == len(numbers) + 1
                break
            if len(store.versions()) == len(numbers):
                assert after == current
        else:
            pytest.fail("saving never came through")


@pytest.mark.fault("D2")
def test_files_are_synced_before_their_names_and_names_after(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def synced(handle: int) -> None:
        log.append(("sync", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", lambda a, b: (log.append(("rename", Path(b).name)), rename(a, b)))
    monkeypatch.setattr(os, "replace", lambda a, b: (log.append(("replace", Path(b).name)), replace(a, b)))
    store.add(CARD, network(3), activate=True)
    plain = [(what, name if name[0] != "." else name[:5]) for what, name in log]
    assert plain == [
        ("sync", "model.safetensors"),
        ("sync", "card.json"),
        ("sync", ".stag"),
        ("rename", "v0003"),
        ("sync", store.root.name),
        ("sync", ".tmp-"),
        ("replace", "CURRENT"),
        ("sync", store.root.name),
    ]


@pytest.mark.fault("D1")
def test_a_full_disk_is_told_beforehand(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(store.root)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ModelError, match="MB free"):
        store.add(CARD, network(3))


@pytest.mark.fault("D3")
def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="choose another folder"):
        ModelStore(tmp_path / "file" / "models").add(CARD, network())


@pytest.mark.fault("D10")
def test_a_lock_that_is_never_given_back(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_lock, "LOCK_TIMEOUT_S", 0.2)
    with FileLock(store.root / ".lock"), pytest.raises(ModelError, match=f"number {os.getpid()}"):
        store.add(CARD, network(3))
    assert store.add(CARD, network(3)).number == 3


def test_a_link_planted_as_the_lock_destroys_nothing(store: ModelStore, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    (store.root / ".lock").unlink()
    (store.root / ".lock").symlink_to(precious)
    with pytest.raises(ModelError):
        store.add(CARD, network(3))
    assert precious.read_text() == "data"


@pytest.mark.fault("D9")
def test_windows_programs_that_hold_a_file_for_a_moment(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = os.replace, [3]

    def refused(source: Path, target: Path) -> None:
        if refusals[0]:
            refusals[0] -= 1
            error = PermissionError(13, "Access is denied")
            error.winerror = 5  # type: ignore[attr-defined]
            raise error
        real(source, target)

    monkeypatch.setattr(durable, "WINDOWS", True)
    monkeypatch.setattr(durable, "_WAITS_S", (0.01,) * 3)
    monkeypatch.setattr(os, "replace", refused)
    store.activate(1)
    assert not refusals[0]
    refusals[0] = 9
    with pytest.raises(ModelError, match="Access is denied"):
        store.activate(2)
    assert store.current().version == store.version(1)


@pytest.mark.fault("D8")
def test_orphans_are_swept_and_nothing_else(store: ModelStore) -> None:
    before = sorted(path.name for path in store.root.iterdir())
    for number in range(50):
        (store.root / f".staging-{number}").mkdir()
        (store.root / f".staging-{number}" / "card.json").write_text("{}")
        (store.root / f".tmp-{number}").write_text("v")
    old = time.time() - 25 * 3600
    for path in store.root.glob(".*-*"):
        if path.name != ".lock-holder":
            os.utime(path, (old, old))
    (store.root / ".staging-young").mkdir()
    assert store.sweep() == 100
    assert sorted(path.name for path in store.root.iterdir()) == sorted([*before, ".staging-young"])


@pytest.mark.fault("D8")
def test_whoever_writes_sweeps_what_killed_processes_left(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = time.time() - 25 * 3600

    def left_behind(name: str) -> Path:
        folder = store.root / name
        folder.mkdir()
        os.utime(folder, (old, old))
        return folder

    orphan = left_behind(".staging-dead")
    store.activate(1)
    assert not orphan.exists()

    def refused(*_: object, **__: object) -> None:
        raise OSError("busy")

    left_behind(".staging-dead")
    monkeypatch.setattr(versions, "sweep_orphans", refused)
    store.activate(2)
    assert store.current().version == store.version(2)


@pytest.mark.slow
def test_killed_at_any_operation_the_store_is_as_before_or_after(tmp_path: Path) -> None:
    child = victims("kill", tmp_path / "store")
    found = json.loads(child.communicate(timeout=120)[0])
    assert sum(step["killed"] for step in found) > 12
    for step in found:
        added = [number for number in step["after"] if number not in step["before"]]
        assert step["after"][: len(step["before"])] == step["before"]
        assert len(added) <= 1
        assert step["current_after"] in (step["current_before"], *added)
        assert not step["notice"]
        if not step["killed"]:
            assert step["current_after"] == added[0]


@pytest.mark.slow
def test_two_processes_saving_lose_nothing(tmp_path: Path) -> None:
    children = [victims("save", tmp_path, 30) for _ in range(2)]
    store = ModelStore(tmp_path)
    while any(child.poll() is None for child in children):
        assert not store.current().notice
        time.sleep(0.01)
    assert [child.returncode for child in children] == [0, 0]
    saved = store.versions()
    assert [version.number for version in saved] == list(range(1, 61))
    assert len({version.card.weights_sha256 for version in saved}) == 60
