"""Records of data: what arrives is what the record states, or a sentence; a broken connection costs little."""

from __future__ import annotations

import errno
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repository import DOI, Repository, serving

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning import archives, record
from napari_ore_minerals.learning.record import Record, RecordFile, download_steps, read_record
from napari_ore_minerals.progress import Progress, run

LARGE = os.urandom(3_500_000)
FILES = {"tiles.zip": LARGE, "读我.txt": b"read me", "nothing.csv": b""}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def zenodo() -> Iterator[Repository]:
    with serving(dict(FILES)) as server:
        yield server


def fetched(server: Repository, folder: Path) -> list[Path]:
    return run(download_steps(read_record(DOI, base_url=server.url), folder))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_record_tells_names_sizes_and_checksums(zenodo: Repository) -> None:
    found = read_record(DOI, base_url=zenodo.url)
    assert (found.doi, found.title, found.size) == (DOI, "Opaque minerals", len(LARGE) + 7)
    assert [file.name for file in found.files] == list(FILES)
    assert all(file.checksum.startswith("md5:") for file in found.files)
    assert len(zenodo.asked) == 1  # nothing is downloaded yet


def test_files_arrive_as_they_are_and_only_once(zenodo: Repository, tmp_path: Path) -> None:
    paths = fetched(zenodo, tmp_path)
    assert [path.name for path in paths] == list(FILES)
    assert contents(tmp_path) == FILES
    zenodo.asked.clear()
    assert fetched(zenodo, tmp_path) == paths
    assert len(zenodo.asked) == 1  # the record alone


def test_a_broken_download_goes_on_within_the_same_run(zenodo: Repository, tmp_path: Path) -> None:
    zenodo.break_after = [1_000_000, 500_000]
    said: list[Progress] = []
    run(download_steps(read_record(DOI, base_url=zenodo.url), tmp_path), said.append)
    assert contents(tmp_path) == FILES
    ranges = [asked.partition(" bytes=")[2] for asked in zenodo.asked if "tiles.zip" in asked]
    begun = [int(text.removesuffix("-") or 0) for text in ranges]
    assert begun[0] == 0
    assert begun == sorted(set(begun))  # every attempt begins further on
    assert sum("trying again" in progress.notice for progress in said) == 2
    assert [progress.done for progress in said] == sorted(progress.done for progress in said)


def test_a_broken_download_goes_on_in_the_next_run(
    zenodo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "ATTEMPTS", 1)
    zenodo.break_after = [2_000_000]
    with pytest.raises(
        DatasetError, match=r"tiles\.zip could not be fetched.*of 3500000 bytes.*goes on from there"
    ):
        fetched(zenodo, tmp_path)
    have = (tmp_path / "tiles.zip.part").stat().st_size
    assert 0 < have <= 2_000_000
    assert not (tmp_path / "tiles.zip").exists()
    zenodo.asked.clear()
    fetched(zenodo, tmp_path)
    assert contents(tmp_path) == FILES
    assert f"bytes={have}-" in " ".join(zenodo.asked)


def test_a_server_without_ranges_begins_anew(zenodo: Repository, tmp_path: Path) -> None:
    zenodo.break_after, zenodo.ranges = [1_000_000], False
    fetched(zenodo, tmp_path)
    assert contents(tmp_path) == FILES


def test_a_stop_keeps_what_has_arrived(zenodo: Repository, tmp_path: Path) -> None:
    steps = download_steps(read_record(DOI, base_url=zenodo.url), tmp_path)
    assert run(steps, lambda progress: True) == []
    assert (tmp_path / "tiles.zip.part").stat().st_size > 0
    fetched(zenodo, tmp_path)
    assert contents(tmp_path) == FILES


def test_a_wrong_checksum_is_refused_and_the_file_fetched_anew(zenodo: Repository, tmp_path: Path) -> None:
    found = read_record(DOI, base_url=zenodo.url)
    zenodo.files["tiles.zip"] = LARGE[:-1] + b"x"
    with pytest.raises(DatasetError, match="does not have the checksum"):
        run(download_steps(found, tmp_path))
    assert contents(tmp_path) == {}
    zenodo.files["tiles.zip"] = LARGE
    run(download_steps(found, tmp_path))
    assert contents(tmp_path) == FILES


def test_a_part_of_another_file_is_not_kept(zenodo: Repository, tmp_path: Path) -> None:
    (tmp_path / "tiles.zip.part").write_bytes(b"something else")
    with pytest.raises(DatasetError, match="does not have the checksum"):
        fetched(zenodo, tmp_path)
    (tmp_path / "tiles.zip.part").write_bytes(LARGE + b"too long")
    fetched(zenodo, tmp_path)
    assert contents(tmp_path) == FILES


def test_a_damaged_file_that_is_there_is_fetched_anew(zenodo: Repository, tmp_path: Path) -> None:
    (tmp_path / "tiles.zip").write_bytes(b"damaged")
    fetched(zenodo, tmp_path)
    assert contents(tmp_path) == FILES


def test_a_file_longer_than_stated_is_refused(zenodo: Repository, tmp_path: Path) -> None:
    found = read_record(DOI, base_url=zenodo.url)
    zenodo.files["读我.txt"] = b"read me" * 10
    with pytest.raises(DatasetError, match="more than the record says"):
        run(download_steps(found, tmp_path))
    assert not (tmp_path / "读我.txt").exists()


@pytest.mark.parametrize(
    ("status", "attempts"), [(503, record.ATTEMPTS), (429, record.ATTEMPTS), (404, 1), (403, 1)]
)
def test_answers_of_the_server_are_told(
    zenodo: Repository, tmp_path: Path, status: int, attempts: int
) -> None:
    zenodo.status = status
    with pytest.raises(DatasetError, match=f"it answers {status}"):
        fetched(zenodo, tmp_path)
    assert sum("tiles.zip" in asked for asked in zenodo.asked) == attempts


def test_without_a_network_the_sentence_says_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DatasetError, match="cannot be reached") as caught:
        read_record(DOI, base_url=f"http://127.0.0.1:{port}")
    assert f"https://doi.org/{DOI}" in str(caught.value)
    assert "--downloaded" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "PATIENCE_SECONDS", (0.2, 0.2))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DatasetError, match="no answer in time"):
            read_record(DOI, base_url=f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_full_disk_is_told_before_and_while_it_fills(
    zenodo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_record(DOI, base_url=zenodo.url)
    usage = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DatasetError, match="make room or choose another disk"):
        run(download_steps(found, tmp_path / "a"))
    monkeypatch.undo()
    usual = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, chunk: bytes) -> int:
            if self.file.tell() > 1_000_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(chunk)

    def opened(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        file = usual(path, mode, *more, **options)
        return Full(file) if mode == "ab" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(DatasetError, match=r"No space left on device.*is kept"):
            run(download_steps(found, tmp_path / "b"))
    run(download_steps(found, tmp_path / "b"))
    assert contents(tmp_path / "b") == FILES


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "no files": ({"files": []}, "holds no files"),
    "closed": ({"files": None}, "a form that is not known"),
    "other form": ({"files": [{"name": "a"}]}, "a form that is not known"),
    "climbing name": ({"files": [{"key": "../a"}]}, "no name of a file"),
    "folder": ({"files": [{"key": "a/b"}]}, "no name of a file"),
    "no size": ({"files": [{"size": None}]}, "no size or no known checksum"),
    "negative size": ({"files": [{"size": -1}]}, "no size or no known checksum"),
    "no checksum": ({"files": [{"checksum": "crc:1"}]}, "no size or no known checksum"),
    "another host": ({"files": [{"links": {"self": "http://example.org/a"}}]}, "is not opened"),
    "local file": ({"files": [{"links": {"self": "file:///etc/passwd"}}]}, "is not opened"),
    "look-alike": ({"files": [{"links": {"self": "http://127.0.0.1.example.org/a"}}]}, "is not opened"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_answers_that_are_no_record_are_refused_in_one_sentence(zenodo: Repository, kind: str) -> None:
    changes, sentence = WRONG[kind]
    if changes["files"] and "name" not in changes["files"][0]:  # type: ignore[index]
        good = zenodo.record()["files"][0]  # type: ignore[index]
        changes = {"files": [good | changes["files"][0]]}  # type: ignore[index]
    zenodo.changes = changes
    with pytest.raises(DatasetError, match=sentence) as caught:
        read_record(DOI, base_url=zenodo.url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "raw", [b"<html>maintenance</html>", b"[1, 2]", b"null", b'{"files": {"a": 1}}', b"\xff"]
)
def test_other_answers_are_refused_in_one_sentence(zenodo: Repository, raw: bytes) -> None:
    zenodo.raw = raw
    with pytest.raises(DatasetError) as caught:
        read_record(DOI, base_url=zenodo.url)
    assert "\n" not in str(caught.value)


def test_a_record_that_is_not_there_is_told(zenodo: Repository) -> None:
    with pytest.raises(DatasetError, match="persistent identifier does not exist"):
        read_record("10.5281/zenodo.1", base_url=zenodo.url)
    with pytest.raises(DatasetError, match="no DOI of Zenodo"):
        read_record("10.1000/182", base_url=zenodo.url)


def test_a_redirect_may_not_lead_from_https_to_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def answer(url: str, **_: object) -> requests.Response:
        response = requests.Response()
        response.status_code, response.url, response.raw = 200, url.replace("https", "http"), io.BytesIO(b"x")
        return response

    monkeypatch.setattr(requests, "get", answer)
    file = RecordFile("a.zip", 1, "md5:" + "0" * 32, "https://zenodo.org/a.zip")
    with pytest.raises(DatasetError, match=r"leads to 'http://zenodo\.org/a\.zip', which is not opened"):
        run(download_steps(Record(DOI, "", (file,)), tmp_path))
    assert (tmp_path / "a.zip.part").read_bytes() == b""
