"""Pictures on a Dask cluster: the bytes of one process, whoever dies; nothing unprotected leaves this computer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from PIL import Image

from napari_ore_minerals.errors import JobError, ModelError, OptionError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps import cluster_batch
from napari_ore_minerals.maps.batch import Outcome, area_table, batch_steps, result_folders
from napari_ore_minerals.maps.cluster import check_address, connected
from napari_ore_minerals.maps.cluster_batch import Batch, cluster_steps
from napari_ore_minerals.maps.picture_tasks import PictureTask, TaskAnswer, card_hash, perform, software
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import Progress, run

if TYPE_CHECKING:
    from distributed import Client, Future

pytest.importorskip("distributed")
OPTIONS = ClassifyOptions(device="cpu", precision="fp32")
DEATHS = 3
WHEN_AND_HOW_LONG = ("seconds", "created", "device")  # the device's title counts threads


def written(folder: Path) -> dict[str, bytes | str]:
    """Everything in a result folder but what a clock and the number of threads say."""
    found: dict[str, bytes | str] = {file.name: file.read_bytes() for file in folder.iterdir()}
    record = json.loads(found["run.json"])
    for name in WHEN_AND_HOW_LONG:
        del record["run"][name]
    return found | {"run.json": json.dumps(record)}


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Six pictures of different content, and in their middle one that is damaged and one that is not there."""
    random = np.random.default_rng(11)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in "abcdef":
        rgb = random.integers(20, 240, (24, 28, 3), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
        Image.fromarray(rgb).save(folder / f"{name}.png")
    (folder / "ba.png").write_bytes((folder / "b.png").read_bytes()[:1000])
    return sorted(folder.iterdir()) + [folder / "g.png"]


@pytest.fixture
def batch(pictures: list[Path], micro_model: Path, tmp_path: Path) -> Batch:
    return Batch(pictures, micro_model, OPTIONS, out=tmp_path / "cluster")


def alone(batch: Batch, out: Path) -> list[Outcome]:
    """What one process makes of a batch."""
    classifier = Classifier.load(batch.model, device="cpu", precision="fp32")
    return run(batch_steps(batch.pictures, classifier, batch.options, out=out))


def task_of(batch: Batch, number: int = 0) -> PictureTask:
    path = batch.pictures[number]
    return PictureTask(
        picture=path,
        fingerprint=Micrograph.open(path).fingerprint(),
        model=batch.model,
        card_sha256=card_hash(read_card(batch.model)),
        options=batch.options,
        out=batch.out,
        software=software(),
    )


def done(task: PictureTask) -> TaskAnswer:
    return TaskAnswer.model_validate_json(perform(task.model_dump_json()))


def busy(client: Client) -> bool:
    """Whether every worker has a picture."""
    tasks = client.processing()
    return bool(tasks) and all(tasks.values())


def kill(client: Client, count: int) -> list[int]:
    """Kill some workers as the kernel does when memory ends."""
    found = list(client.run(os.getpid).values())[:count]
    for number in found:
        os.kill(number, signal.SIGKILL)
    return found


@pytest.mark.slow
def test_workers_are_killed_and_the_bytes_are_those_of_one_process(batch: Batch, tmp_path: Path) -> None:
    expected = alone(batch, tmp_path / "alone")
    told: list[str] = []
    shown: list[Path] = []
    killed: list[int] = []
    with connected(workers=2) as client:
        me = psutil.Process()
        for process in (me, *me.children(recursive=True)):
            listening = [link for link in process.net_connections("inet") if link.status == "LISTEN"]
            assert all(link.laddr.ip in ("127.0.0.1", "::1") for link in listening)
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        assert all(worker.startswith("tls://127.0.0.1:") for worker in client.nthreads())

        def kill_some(progress: Progress) -> None:
            told.append(progress.notice)
            if isinstance(progress.update, Outcome):
                shown.append(progress.update.picture)
                assert (progress.update.map is None) == bool(progress.update.problem)
            if len(killed) < 1 and busy(client):  # they load torch, for seconds
                killed.extend(kill(client, 1))
            if len(killed) == 1 and progress.done >= 3:
                killed.extend(kill(client, 2))

        outcomes = run(cluster_steps(batch, client), kill_some)
        again = run(cluster_steps(batch, client))
        with pytest.raises(OptionError, match="both be written"):
            run(cluster_steps(replace(batch, pictures=[*batch.pictures, batch.pictures[0]]), client))
    assert len(killed) >= 2
    assert any("ended" in notice for notice in told)
    assert shown == list(batch.pictures)
    for one, other in zip(expected, outcomes, strict=True):
        assert (one.picture, one.problem, one.guesses) == (other.picture, other.problem, other.guesses)
        assert not other.done_before
        if not one.problem:
            assert written(one.folder) == written(other.folder)
    assert [bool(outcome.problem) for outcome in outcomes] == [path.stem in ("ba", "g") for path in shown]
    assert area_table(expected).to_csv() == area_table(outcomes).to_csv()
    assert {path.name for path in (tmp_path / "cluster").iterdir()} == {
        path.name for path in (tmp_path / "alone").iterdir()
    }
    assert [outcome.done_before for outcome in again] == [not outcome.problem for outcome in outcomes]


@pytest.mark.slow
def test_a_picture_that_kills_every_worker_is_given_up_and_a_stop_leaves_whole_results(batch: Batch) -> None:
    before = set(psutil.Process().children(recursive=True))
    killed: list[int] = []

    def kill_four(_: Progress) -> None:
        if len(killed) < 4 and busy(client):
            killed.extend(kill(client, 1))

    with connected(workers=1) as client:
        first, second = run(cluster_steps(replace(batch, pictures=batch.pictures[:2]), client), kill_four)
        given_up = not first.folder.exists()
        outcomes = run(cluster_steps(batch, client), lambda at: at.done >= 3)
        started = set(psutil.Process().children(recursive=True)) - before
    assert "4 workers died with this picture" in first.problem
    assert given_up
    assert not second.problem
    assert 3 <= len(outcomes) < len(batch.pictures)
    assert all(written(outcome.folder) for outcome in outcomes if not outcome.problem)
    workers = [process for process in started if "resource_tracker" not in _line(process)]
    assert not psutil.wait_procs(workers, 20)[1]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sys.exit", "segfault"])
def test_workers_that_die_again_and_again_leave_the_bytes_of_one_process(
    batch: Batch, tmp_path: Path, mode: str
) -> None:
    from distributed.chaos import KillWorker

    batch = replace(batch, pictures=batch.pictures[:4])
    expected = alone(batch, tmp_path / "alone")
    seen: set[str] = set()
    problems = [""]
    with connected(workers=2) as client:
        client.register_plugin(KillWorker(delay="5 s", mode=mode), name="chaos")  # those that follow die too

        def look(_: Progress) -> None:
            before = len(seen)
            seen.update(client.nthreads())
            if before < DEATHS + 2 <= len(seen):
                with suppress(OSError):  # told to workers too, of which one may be dying
                    client.unregister_worker_plugin("chaos")

        while len(seen) < DEATHS + 2 or problems != [one.problem for one in expected]:
            again = replace(batch, overwrite=len(seen) < DEATHS + 2)  # what was given up is done now
            outcomes = run(cluster_steps(again, client), look)
            problems = [outcome.problem for outcome in outcomes]
    for one, other in zip(expected, outcomes, strict=True):
        if not one.problem:
            assert written(one.folder) == written(other.folder)
    assert {path.name for path in (tmp_path / "cluster").iterdir()} == {
        path.name for path in (tmp_path / "alone").iterdir()
    }


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_worker_that_leaves_before_its_answer_is_heard_is_started_anew(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed.chaos import KillWorker

    left: list[str] = []
    with connected(workers=1) as client:

        def hear(future: Future) -> TaskAnswer | None:
            if not left:
                left.extend(client.nthreads())
                with suppress(OSError):  # told to a worker that leaves at once, with its nanny
                    client.register_plugin(KillWorker(delay="1 ms", mode="sys.exit"), name="chaos")
                while set(left) & set(client.nthreads()):
                    time.sleep(0.01)
                with suppress(OSError):
                    client.unregister_worker_plugin("chaos")
            return heard(future)

        heard = cluster_batch._answer
        monkeypatch.setattr(cluster_batch, "_answer", hear)
        outcomes = run(cluster_steps(replace(batch, pictures=batch.pictures[:2]), client))
    assert [outcome.problem for outcome in outcomes] == ["", ""]
    assert left


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Certificates of a cluster of somebody's own, as Dask's configuration names them."""
    from distributed.security import Security

    made = Security.temporary()
    folder = tmp_path / "certificates"
    folder.mkdir()
    files = {"ca-file": made.tls_ca_file}
    for role in ("scheduler", "worker", "client"):
        files |= {f"{role}.cert": made.tls_client_cert, f"{role}.key": made.tls_client_key}
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
        variable = name.upper().replace("-", "_").replace(".", "__")
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{variable}", str(folder / name))
    import dask

    dask.config.refresh()
    yield
    monkeypatch.undo()
    dask.config.refresh()


@pytest.mark.slow
@pytest.mark.usefixtures("certificates")
def test_a_scheduler_and_a_worker_that_were_started_by_hand_are_used(batch: Batch, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    common = ["--protocol", "tls", "--no-dashboard", "--scheduler-file", str(file)]
    with ExitStack() as stack:
        for arguments in (["scheduler", "--host", "127.0.0.1", "--port", "0"], ["worker", "--nthreads", "1"]):
            process = stack.enter_context(subprocess.Popen([*dask, *arguments, *common], cwd=tmp_path))
            stack.callback(process.terminate)
            until = time.monotonic() + 60
            while not file.exists() and time.monotonic() < until:
                time.sleep(0.1)
        with connected(str(file)) as client:
            assert client.scheduler.address.startswith("tls://127.0.0.1:")
            outcomes = run(cluster_steps(replace(batch, pictures=batch.pictures[:2]), client))
    expected = alone(replace(batch, pictures=batch.pictures[:2]), tmp_path / "alone")
    for one, other in zip(expected, outcomes, strict=True):
        assert (other.problem, other.done_before) == ("", False)
        assert written(one.folder) == written(other.folder)


def test_a_task_is_words_and_its_answer_too(batch: Batch) -> None:
    task = task_of(batch)
    told = json.loads(task.model_dump_json())
    assert (told["picture"], told["model"]) == (str(batch.pictures[0]), str(batch.model))
    assert len(task.model_dump_json()) < 2_000
    assert done(task) == TaskAnswer()
    assert done(task) == TaskAnswer(done_before=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "0" * 64}, "another picture"),
        ({"card_sha256": "0" * 64}, "another model"),
        ({"software": {"torch": "1.0"}}, "begun with torch 1.0"),
        ({"picture": Path("/nowhere/a.png")}, "no such file"),
        ({"model": Path("/nowhere")}, "is no model"),
    ],
)
def test_a_worker_that_sees_other_files_says_so_and_writes_nothing(
    batch: Batch, change: dict[str, object], said: str
) -> None:
    assert said in done(task_of(batch).model_copy(update=change)).problem
    assert batch.out is not None
    assert not batch.out.exists()


@pytest.mark.parametrize(
    "address",
    [
        "tls://node17:8786",
        "tls://10.0.0.3:8786",
        "tcp://127.0.0.1:8786",
        "tcp://[::1]:8786",
        "tcp://localhost:8786",
        "127.0.0.1:8786",
        "inproc://127.0.0.1/1/1",
    ],
)
def test_what_is_protected_or_stays_here_is_taken(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://node17:8786",
        "tcp://10.0.0.3:8786",
        "tcp://0.0.0.0:8786",
        "node17:8786",
        "tcp://127.0.0.1.example.org:8786",
        "tcp://127.0.0.1@node17:8786",
        "tcp://localhost.example.org:8786",
        "ws://node17:8786",
        "wss://node17:8786",
        "ucx://node17:8786",
        "tcp://",
        "",
    ],
)
def test_what_is_not_protected_is_refused_in_one_sentence(address: str) -> None:
    with pytest.raises(OptionError) as refused:
        check_address(address)
    assert "tls://" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("scheduler", "error", "said"),
    [
        ("tcp://10.0.0.3:8786", OptionError, "is refused"),
        ("tls://10.0.0.3:8786", OptionError, "no certificates"),
        ("nowhere.json", OptionError, "no scheduler file"),
    ],
)
def test_no_connection_is_tried_without_protection(
    scheduler: str, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distributed.Client", lambda *_, **__: pytest.fail("a connection was tried"))
    with pytest.raises(error, match=said), connected(scheduler):
        pass


def test_a_scheduler_file_is_no_way_round(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": "tcp://10.0.0.3:8786"}), encoding="utf-8")
    with pytest.raises(OptionError, match="is refused"), connected(str(path)):
        pass


def test_a_scheduler_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ore_minerals.maps.cluster.CONNECT_SECONDS", 0.5)
    with pytest.raises(JobError, match="no scheduler answers"), connected("tcp://127.0.0.1:9"):
        pass


class _Unprotected:
    """A client of somebody's own cluster."""

    class scheduler:
        address = "tcp://10.0.0.3:8786"


def test_a_client_of_the_callers_own_is_looked_at_too(batch: Batch) -> None:
    with pytest.raises(OptionError, match="is refused"):
        next(cluster_steps(batch, _Unprotected()))  # type: ignore[arg-type]


def test_a_model_that_is_none_is_said_before_anything_is_sent(batch: Batch, tmp_path: Path) -> None:
    _Unprotected.scheduler.address = "tcp://127.0.0.1:9"
    with pytest.raises(ModelError, match="is no model"):
        next(cluster_steps(replace(batch, model=tmp_path), _Unprotected()))  # type: ignore[arg-type]


def test_names_of_many_results_are_found_quickly(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(20_000)]
    assert len(set(result_folders(paths))) == 20_000
