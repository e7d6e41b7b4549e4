"""Zip archives: ordinary files come out as they went in; nothing else is written anywhere."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning import archives
from napari_ore_minerals.learning.archives import Allowance, safe_name, unpack_steps
from napari_ore_minerals.progress import run


def unpacked(archive: Path, folder: Path, allowance: Allowance | None = None) -> int | None:
    return run(unpack_steps(archive, folder, allowance or Allowance()))


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder deep enough for names that climb to stay inside the test's own."""
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    return folder


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.dictionaries(
        st.from_regex(r"[a-z0-9 _-]{0,8}[a-z0-9](/[a-z0-9_-]{1,8}){0,3}\.jpg", fullmatch=True),
        st.binary(max_size=2000),
        max_size=6,
    )
)
def test_what_went_in_comes_out(tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("zip")
    archive = zipped(folder / "a.zip", members)
    assert unpacked(archive, folder / "out") == len(members)
    assert tree(folder / "out") == members


def _link(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def _reparse(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 0, 0x420
    return info


WRONG_MEMBERS: dict[str, str | zipfile.ZipInfo] = {
    "climbs": "../../canary.jpg",
    "climbs later": "x/../../../canary.jpg",
    "absolute": "/tmp/canary.jpg",  # noqa: S108 - nothing is written there
    "drive": "C:/canary.jpg",
    "other stream": "a.jpg:canary",
    "backslash": "..\\canary.jpg",
    "server": "//server/canary.jpg",
    "device of Windows": "x/CON.jpg",
    "other device": "nul",
    "trailing dot": "x./a.jpg",
    "trailing blank": "x /a.jpg",
    "line feed": "a\nb.jpg",
    "nul byte in the middle": "a.jpg\x00.exe",
    "dot": "x/./a.jpg",
    "too long": "n" * 300,
    "too deep": "/".join("d" * 40),
    "symbolic link": _link("link", stat.S_IFLNK),
    "device": _link("device", stat.S_IFBLK),
    "pipe": _link("pipe", stat.S_IFIFO),
    "socket": _link("socket", stat.S_IFSOCK),
    "reparse point": _reparse("junction"),
}


def _raw_zip(path: Path, member: str | zipfile.ZipInfo) -> Path:
    """Write a zip whose member has exactly this name, which `zipfile` itself would tidy up."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("good.jpg", b"good")
        info = zipfile.ZipInfo("x" * len(member)) if isinstance(member, str) else member
        file.writestr(info, b"/etc/hostname")
    if isinstance(member, str):
        path.write_bytes(path.read_bytes().replace(b"x" * len(member), member.encode()))
    return path


@pytest.mark.parametrize("kind", WRONG_MEMBERS)
def test_what_is_no_file_below_the_folder_is_refused(alone: Path, kind: str) -> None:
    archive = _raw_zip(alone / "a.zip", WRONG_MEMBERS[kind])
    with pytest.raises(DatasetError) as caught:
        unpacked(archive, alone / "out")
    assert "\n" not in str(caught.value)
    assert not (alone / "out").exists()  # judged before anything is written
    top = alone.parents[2]
    assert [path.name for path in top.rglob("*") if path.is_file()] == ["a.zip"]
    assert not any("canary" in path.name for path in Path("/tmp").iterdir())  # noqa: S108


def _bomb(path: Path) -> Path:
    return zipped(path, {"bomb.bmp": bytes(3 << 20)})


def _overlapping(path: Path) -> Path:
    """Write a table of contents that names the same packed bytes forty times."""
    zipped(path, {"00.bmp": os.urandom(1 << 10) + bytes(900 << 10)})
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    local = content[:start]
    table = b"".join(entry for _ in range(40))
    table = table.replace(b"00.bmp", b"%02d.bmp")
    for number in range(40):
        table = table.replace(b"%02d.bmp", b"%02d.bmp" % number, 1)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 40, 40, len(table), len(local), 0)
    path.write_bytes(local + table + tail)
    return path


def _locked(path: Path) -> Path:
    zipped(path, {"a.jpg": b"a"})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    return path


def _lying(path: Path) -> Path:
    """Write a table of contents that promises fewer bytes than come out."""
    zipped(path, {"a.jpg": bytes(range(256)) * 40}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(mark) + offset
        content[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    return path


def _huge_table(path: Path) -> Path:
    """Write an archive that claims a table of contents of 3 GB."""
    zipped(path, {"a.jpg": b"a"})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x05\x06") + 12
    content[at : at + 4] = (3 << 30).to_bytes(4, "little")
    path.write_bytes(content)
    return path


def _flipped(path: Path) -> Path:
    zipped(path, {"a.jpg": b"a" * 1000}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(b"aaaa") + 10] ^= 1
    path.write_bytes(content)
    return path


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bomb": (_bomb, "grows more than 200 times"),
    "overlapping members": (_overlapping, "grows more than 200 times"),
    "locked": (_locked, "locked with a password"),
    "lies about sizes": (_lying, "damaged"),
    "huge table": (_huge_table, "damaged"),
    "a flipped bit": (_flipped, "damaged"),
    "no zip": (lambda path: _bytes(path, b"Rar!" * 20), "no zip archive"),
    "empty file": (lambda path: _bytes(path, b""), "no zip archive"),
    "lzma": (lambda path: zipped(path, {"a.jpg": b"a"}, zipfile.ZIP_LZMA), r"method 14\) that is not read"),
    "twice": (lambda path: zipped(path, {"a/B.jpg": b"1", "A/b.jpg": b"2"}), "twice"),
    "file and folder": (lambda path: zipped(path, {"a": b"1", "a/b": b"2"}), "could not be unpacked"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_and_hostile_archives_are_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    make, sentence = BROKEN[kind]
    archive = make(tmp_path / "a.zip")
    with pytest.raises(DatasetError, match=sentence) as caught:
        unpacked(archive, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(archive))


def test_the_allowance_is_shared_and_never_exceeded(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {f"{number}.jpg": os.urandom(100) for number in range(10)})
    allowance = Allowance(files=15, size=10_000)
    unpacked(archive, tmp_path / "one", allowance)
    assert (allowance.files, allowance.size) == (5, 9000)
    with pytest.raises(DatasetError, match="at most 5 files and 9000 bytes"):
        unpacked(archive, tmp_path / "two", allowance)
    with pytest.raises(DatasetError, match="at most 100 files and 999 bytes"):
        unpacked(archive, tmp_path / "two", Allowance(files=100, size=999))
    assert not (tmp_path / "two").exists()


def test_a_large_table_of_contents_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "a.zip", {f"{number}.jpg": b"a" for number in range(50)})
    monkeypatch.setattr(archives, "LARGEST_TABLE_BYTES", 1000)
    with pytest.raises(DatasetError, match=r"its table of contents has \d+ bytes"):
        unpacked(archive, tmp_path / "out")


def test_names_are_read_as_their_makers_meant_them(tmp_path: Path) -> None:
    """Chinese Windows writes GB 18030, whose second bytes may be those of a backslash; macOS writes UTF-8."""
    for encoding, flag in (("gb18030", 0), ("utf-8", 0), ("utf-8", 0x800)):
        name = "毒砂/乗.jpg".encode(encoding)
        path = tmp_path / f"{encoding}{flag}.zip"
        zipped(path, {"x" * len(name): b"tile"})
        content = bytearray(path.read_bytes().replace(b"x" * len(name), name))
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = content.index(mark) + offset
            content[at : at + 2] = flag.to_bytes(2, "little")
        path.write_bytes(content)
        unpacked(path, tmp_path / f"{encoding}{flag}")
        assert tree(tmp_path / f"{encoding}{flag}") == {"毒砂/乗.jpg": b"tile"}


def test_litter_of_file_managers_is_left_out(tmp_path: Path) -> None:
    litter = {"__MACOSX/py/._1.jpg": b"x", "py/.DS_Store": b"x", "Thumbs.db": b"x", "py/._1.jpg": b"x"}
    archive = zipped(tmp_path / "a.zip", litter | {"py/1.jpg": b"tile", "py/": b""})
    assert unpacked(archive, tmp_path / "out") == 1
    assert tree(tmp_path / "out") == {"py/1.jpg": b"tile"}


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.jpg": b"a" * 100})
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DatasetError, match=r"has 0\.0 GB free and 0\.1 GB are needed"):
        unpacked(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_unpacking_stops_when_asked(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {f"{number}.jpg": b"a" for number in range(10)})
    steps = unpack_steps(archive, tmp_path / "out", Allowance())
    assert run(steps, lambda progress: progress.done == 3) is None
    assert len(tree(tmp_path / "out")) == 3


def test_modes_of_an_archive_are_not_taken_over(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("a.jpg")
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o6777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, b"a")
    unpacked(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out" / "a.jpg").stat().st_mode & 0o6111


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_gives_files_or_a_dataset_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    archive = zipped(folder / "a.zip", {"py/1.jpg": b"a" * 300, "gold/2.jpg": bytes(range(200, 250))})
    content = bytearray(archive.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    archive.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    with contextlib.suppress(DatasetError):
        unpacked(archive, folder / "out")
    assert {path.name for path in folder.iterdir()} <= {"a.zip", "out"}


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=40))
def test_safe_names_stay_below_the_folder_on_every_system(text: str) -> None:
    from pathlib import PureWindowsPath

    name = safe_name(text)
    if name is None:
        return
    assert not name.is_absolute()
    assert ".." not in name.parts
    windows = PureWindowsPath(str(name))
    assert not windows.is_absolute()
    assert not windows.drive
    assert not windows.is_reserved()
    assert windows.parts == name.parts
