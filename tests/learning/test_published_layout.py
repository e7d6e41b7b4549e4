"""Layouts of published data: whatever the folders are called, the mineral is read off."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from napari_ore_minerals.learning.published_layout import found_pictures, judged, mineral_of

NAMES = {
    "arsenopyrite": [
        "Apy",
        "apy",
        "01_Apy",
        "APY",
        "Arsenopyrite",
        "arsenopyrites",
        "ApyTiles",
        "毒砂",
        "砷黄铁矿图片",
    ],
    "chalcopyrite": ["Ccp", "Cp", "Chalcopyrite", "chalcopyrite (Ccp)", "黄铜矿", "黄铜矿 Ccp"],
    "gold": ["Au", "au_256", "Gold", "native gold", "NativeGold", "自然金", "金", "Ａｕ"],
    "pyrite": ["Py", "py2", "Pyrite", "PYRITES", "黄铁矿", "4-黄铁矿"],
    "stibnite": ["Sbn", "Stb", "stibnite", "Antimonite", "辉锑矿"],
    "": [
        "",
        "images",
        "Pyrrhotite",
        "Authors",
        "copy",
        "happy",
        "金属矿物",
        "大桥金矿",
        "Py and Apy",
        "train",
        "ppy",
    ],
}


@pytest.mark.parametrize(
    ("mineral", "name"), [(mineral, name) for mineral in NAMES for name in NAMES[mineral]]
)
def test_names_of_minerals(mineral: str, name: str) -> None:
    found = mineral_of(name)
    assert (found.name if found else "") == mineral


@pytest.mark.parametrize(
    ("path", "mineral", "part", "deposit", "made_up"),
    [
        ("data/train/Apy/001.jpg", "arsenopyrite", "training", "", False),
        ("val/gold/a.png", "gold", "validation", "", False),
        ("Pyrite/Test set/a.png", "pyrite", "test", "", False),
        ("数据集/测试集/辉锑矿/1.bmp", "stibnite", "test", "", False),
        ("训练集/毒砂/1.bmp", "arsenopyrite", "training", "", False),
        ("Ccp (12).jpg", "chalcopyrite", "", "", False),
        ("Linglong gold deposit/Py/1.tif", "pyrite", "", "Linglong gold deposit", False),
        ("Linglong gold deposit/1.tif", "", "", "Linglong gold deposit", False),
        ("train_augmented/Py/1.jpg", "pyrite", "training", "", True),
        ("train/Py/1_aug_3.jpg", "pyrite", "training", "", True),
        ("train/Py/Au_1.jpg", "pyrite", "training", "", False),  # folders are believed before files
        ("training and test/Py/1.jpg", "pyrite", "", "", False),
        ("test/latest/contest.jpg", "", "test", "", False),
    ],
)
def test_paths(path: str, mineral: str, part: str, deposit: str, made_up: bool) -> None:
    found = judged(Path(path), PurePosixPath(path))
    assert (found.mineral.name if found.mineral else "") == mineral
    assert (found.part, found.deposit, found.made_up) == (part, deposit, made_up)


def test_only_pictures_are_found_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b/Py/2.JPG", "b/Py/1.jpg", "a/readme.txt", "a/Au/x.TIFF", "a/notes.pdf"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    found = [str(one.path.relative_to(tmp_path)) for one in found_pictures(tmp_path)]
    assert found == ["a/Au/x.TIFF", "b/Py/1.jpg", "b/Py/2.JPG"]
