"""The published photographs: from a record, whatever its layout, to a dataset; never half of one."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from repository import DOI, Repository, serving

from napari_ore_minerals.errors import DatasetError, OreMineralsError
from napari_ore_minerals.learning import paper_dataset, record
from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.paper_dataset import fetch_steps
from napari_ore_minerals.learning.record import read_record
from napari_ore_minerals.progress import Progress, run

MINERALS = ["arsenopyrite", "chalcopyrite", "gold", "pyrite", "stibnite"]
ENGLISH = dict(zip(MINERALS, ["Apy", "Ccp", "Au", "Py", "Stb"], strict=True))
PLURAL = {mineral: f"{mineral.upper()}S" for mineral in MINERALS}
CHINESE = dict(zip(MINERALS, ["毒砂", "黄铜矿", "自然金", "黄铁矿", "辉锑矿"], strict=True))
_random = np.random.default_rng(11)


def picture(side: int = 64, height: int | None = None) -> bytes:
    """A picture that no other is like."""
    file = io.BytesIO()
    pixels = _random.integers(0, 256, (height or side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return file.getvalue()


def layout(
    pattern: str, names: dict[str, str], parts: tuple[str, ...] = ("",), each: int = 2
) -> dict[str, bytes]:
    return {
        pattern.format(part=part, mineral=names[mineral], number=number): picture()
        for part in parts
        for mineral in MINERALS
        for number in range(each)
    }


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def zenodo() -> Iterator[Repository]:
    tiles = layout("data/{part}/{mineral}/{number}.png", ENGLISH, ("train", "val", "test"))
    with serving({"tiles.zip": archive(tiles), "readme.txt": b"read me"}) as server:
        yield server


def fetched(out: Path, files: dict[str, bytes], **options: str) -> tuple[TileDataset, list[str]]:
    """Make a dataset of files as somebody would have downloaded them."""
    downloaded = out.parent / f"{out.name}-downloaded"
    for name, content in files.items():
        path = downloaded / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    said: list[Progress] = []
    dataset = run(fetch_steps(out, None, downloaded=downloaded, **options), said.append)
    assert dataset is not None
    return dataset, [progress.notice for progress in said if progress.notice]


def from_record(server: Repository, out: Path) -> TileDataset | None:
    return run(fetch_steps(out, read_record(DOI, base_url=server.url)))


def test_from_the_record_to_a_dataset(zenodo: Repository, tmp_path: Path) -> None:
    dataset = from_record(zenodo, tmp_path / "paper")
    assert dataset is not None
    assert [mineral.name for mineral in dataset.minerals] == MINERALS
    assert dataset.tile_px == 64
    assert dataset.table.groupby(["part", "mineral"]).size().tolist() == [2] * 15
    assert dataset.dropped == {}
    again = TileDataset.open(tmp_path / "paper" / "dataset")
    assert again.sha256() == dataset.sha256()
    assert len(again.samples("training", input_px=32, cache=tmp_path / "cache")) == 10
    source = json.loads((tmp_path / "paper" / "source.json").read_text(encoding="utf-8"))
    assert source["doi"] == DOI
    assert [len(file["sha256"]) for file in source["files"]] == [64, 64]
    assert sorted(path.name for path in (tmp_path / "paper").iterdir()) == [
        "dataset",
        "downloads",
        "pictures",
        "source.json",
    ]


def test_what_is_done_is_not_done_again(zenodo: Repository, tmp_path: Path) -> None:
    first = from_record(zenodo, tmp_path / "paper")
    zenodo.asked.clear()
    again = from_record(zenodo, tmp_path / "paper")
    assert first is not None
    assert again is not None
    assert again.sha256() == first.sha256()
    assert len(zenodo.asked) == 1  # the record alone


@pytest.mark.parametrize(
    ("pattern", "names", "parts"),
    [
        ("{mineral}/{number}.png", ENGLISH, ("",)),
        ("a/b/c/{mineral}/{number}.png", PLURAL, ("",)),
        ("金属矿物/{part}/{mineral}/{number}.png", CHINESE, ("训练集", "验证集", "测试集")),
        ("{mineral}/{part}/{number}.png", ENGLISH, ("Training", "Validation", "Testing")),
        ("{part}_{mineral} ({number}).png", ENGLISH, ("all",)),
    ],
)
def test_any_layout_gives_the_same_labels(
    tmp_path: Path, pattern: str, names: dict[str, str], parts: tuple[str, ...]
) -> None:
    members = layout(pattern, names, parts)
    minerals = [mineral for _ in parts for mineral in MINERALS for _ in range(2)]  # as `layout` goes
    truth = dict(zip(members.values(), minerals, strict=True))
    for kind, files in {
        "zip": {"x.zip": archive(members)},
        "folder": {f"x/{n}": c for n, c in members.items()},
    }.items():
        dataset, _ = fetched(tmp_path / kind, files)
        assert len(dataset.table) == len(members)
        for row in dataset.table.itertuples():
            content = (dataset.folder / row.picture).read_bytes()
            assert row.mineral == truth[content]
        assert (dataset.table["part"] == "").all() == (len(parts) == 1)


def test_archives_in_archives_and_several_archives(tmp_path: Path) -> None:
    inner = {
        ENGLISH[mineral] + ".zip": archive({f"{n}.png": picture() for n in range(2)}) for mineral in MINERALS
    }
    dataset, _ = fetched(
        tmp_path / "out", {"all.zip": archive(inner), "Py.zip": archive({"9.png": picture()})}
    )
    assert dataset.table.groupby("mineral").size().to_dict() == dict.fromkeys(MINERALS, 2) | {"pyrite": 3}


@pytest.mark.parametrize("stem", ["unpacked", ".unpacked", "weights", "dataset"])
def test_no_name_of_an_archive_gets_in_the_way(tmp_path: Path, stem: str) -> None:
    members = {f"{ENGLISH[mineral]} (1).png": picture() for mineral in MINERALS}
    files = {
        "all.zip": archive({f"{stem}.zip": archive(members)}),
        f"{stem.strip('.')}.zip": archive(members),
    }
    dataset, _ = fetched(tmp_path / "out", files)
    assert dataset.table.groupby("mineral").size().to_dict() == dict.fromkeys(MINERALS, 1)
    assert dataset.dropped == {"tiles of the same pixels as another": 5}  # so none of them was lost


def test_copies_and_strangers_are_left_out_and_counted(tmp_path: Path) -> None:
    members = layout("train/{mineral}/{number}.png", ENGLISH)
    members |= {"train_aug/Py/1.png": picture(), "maps/overview.png": picture()}
    members["train/Py/copy.png"] = members["train/Py/0.png"]
    dataset, notices = fetched(
        tmp_path / "out", {"x.zip": archive(members), "x.rar": b"Rar!", "a.pdf": b"%PDF"}
    )
    assert len(dataset.table) == 10
    assert dataset.dropped == {
        "tiles of the same pixels as another": 1,
        "changed copies of other pictures": 1,
        "pictures in no folder of a mineral": 1,
    }
    assert sum("x.rar is no zip archive" in notice for notice in notices) == 1


def test_the_parts_are_taken_over_only_where_they_do_not_leak(tmp_path: Path) -> None:
    members = layout("{part}/{mineral}/photo{number}_1.png", ENGLISH, ("train", "test"))
    plain, notices = fetched(tmp_path / "plain", {"x.zip": archive(members)})
    assert set(plain.table["part"]) == {"training", "test"}
    assert "the parts are those of the published folders" in notices
    grouped, notices = fetched(tmp_path / "grouped", {"x.zip": archive(members)}, photograph="^(.*)_[0-9]+$")
    assert grouped.photographs(None) == ["photo0", "photo1"]
    assert set(grouped.table["part"]) == {""}
    assert any("leaks" in notice and "dataset split" in notice for notice in notices)


def test_deposits_are_read_from_folders(tmp_path: Path) -> None:
    members = layout(
        "{part}/{mineral}/{number}.png", ENGLISH, ("Dayin gold deposit", "Linglong gold deposit")
    )
    dataset, _ = fetched(tmp_path / "out", {"x.zip": archive(members)})
    assert set(dataset.table["deposit"]) == {"Dayin gold deposit", "Linglong gold deposit"}
    assert dataset.table.groupby("mineral").size().to_dict() == dict.fromkeys(MINERALS, 4)


def test_photographs_larger_than_a_tile_are_cut(tmp_path: Path) -> None:
    files = {f"{name}/1.png": picture(520) for name in ENGLISH.values()}
    dataset, _ = fetched(tmp_path / "out", {"x.zip": archive(files)})
    assert (dataset.tile_px, len(dataset.table)) == (256, 4 * 5)


def test_weights_are_kept_and_told(tmp_path: Path) -> None:
    members = layout("{mineral}/{number}.png", ENGLISH) | {"code/swin.pth": b"weights"}
    _, notices = fetched(tmp_path / "out", {"x.zip": archive(members)})
    assert (tmp_path / "out" / "pictures" / "weights" / "swin.pth").read_bytes() == b"weights"
    assert any("models import" in notice for notice in notices)


def test_pictures_of_the_user_stay_where_they_are(tmp_path: Path) -> None:
    files = {f"x/{name}": content for name, content in layout("{mineral}/{number}.png", ENGLISH).items()}
    fetched(tmp_path / "out", files)
    left = list((tmp_path / "out-downloaded").rglob("*.png"))
    assert len(left) == 10
    assert os.stat(left[0]).st_nlink == 2  # referred to, not copied


HOSTILE = {
    "climbing": {"../../evil.png": b"x"},
    "absolute": {"/evil.png": b"x"},
    "bomb": {"Py/1.png": bytes(300 << 10)},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_leave_nothing(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "deep" / "out"
    content = archive(HOSTILE[kind])
    if kind == "bomb":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("Py/1.png", bytes(3 << 20))
        content = file.getvalue()
    with pytest.raises(DatasetError):
        fetched(out, {"x.zip": content})
    assert not out.exists() or list(out.iterdir()) == []
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x.zip"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "no folder with the files"),
        ({"a.pdf": b"%PDF"}, r"no picture \(PNG, JPEG, BMP, TIFF\) is in what was published: a\.pdf"),
        (
            {"x.zip": archive({"one/1.png": picture(), "two/1.png": picture()})},
            "none of the 2 pictures.*one, two",
        ),
        ({"x.zip": archive({"Py/1.png": b"no picture"})}, "pictures that cannot be read|gave no tile"),
    ],
)
def test_what_cannot_become_a_dataset_is_told(tmp_path: Path, files: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(OreMineralsError, match=sentence) as caught:
        fetched(tmp_path / "out", files)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "dataset").exists()


def test_it_can_be_stopped_at_every_step_and_goes_on(zenodo: Repository, tmp_path: Path) -> None:
    """Stop after each step once more than the last time; what is there is always whole."""
    out, steps_done = tmp_path / "paper", 0
    while True:
        count = 0

        def stop(_: Progress, last: int = steps_done) -> bool:
            nonlocal count
            count += 1
            return count > last

        dataset = run(fetch_steps(out, read_record(DOI, base_url=zenodo.url)), stop)
        assert not [
            path.name for path in out.iterdir() if path.name.startswith(".") and path.name != ".draft"
        ]
        if dataset is not None:
            break
        assert not (out / "dataset").exists()
        steps_done += 3
    assert len(dataset.table) == 30
    assert steps_done > 10


def test_a_full_disk_while_sorting_leaves_no_half_folder(
    zenodo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def full(source: Path, target: Path, *, own: bool) -> None:
        nonlocal calls
        calls += 1
        if calls > 7:
            raise OSError(28, "No space left on device")
        os.replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(paper_dataset, "_place", full)
        with pytest.raises(OreMineralsError, match="No space left on device"):
            from_record(zenodo, tmp_path / "paper")
    assert sorted(path.name for path in (tmp_path / "paper").iterdir()) == ["downloads", "source.json"]
    dataset = from_record(zenodo, tmp_path / "paper")
    assert dataset is not None
    assert len(dataset.table) == 30
