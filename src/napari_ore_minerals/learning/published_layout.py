"""What the names of folders and files of published data say: mineral, deposit, part, and what is a made-up copy.

Nothing is certain about a layout that nobody here has seen, so names are read word by
word, in English, in Chinese or as abbreviations, from the deepest folder outwards.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from napari_ore_minerals.minerals import PAPER_MINERALS, Mineral

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


def _by_word(words: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {word: meaning for meaning, several in words.items() for word in several}


# Symbols of the IMA and others that are met: Stb for stibnite in the paper, Asp and Cp in older lists.
_MINERALS = _by_word(
    {
        "arsenopyrite": ("arsenopyrite", "apy", "asp", "毒砂", "砷黄铁矿"),
        "chalcopyrite": ("chalcopyrite", "ccp", "cpy", "cp", "黄铜矿"),
        "gold": ("gold", "au", "自然金", "明金", "金"),
        "pyrite": ("pyrite", "py", "黄铁矿"),
        "stibnite": ("stibnite", "antimonite", "sbn", "stb", "辉锑矿"),
    }
)
_PARTS = _by_word(
    {
        "training": ("train", "training", "训练"),
        "validation": ("val", "valid", "validation", "验证"),
        "test": ("test", "testing", "测试"),
    }
)
_DEPOSIT = _by_word({"deposit": ("deposit", "mine", "orefield", "矿床", "矿区")})
_MADE_UP = _by_word({"copy": ("aug", "augment", "augmented", "augmentation", "enhanced", "增强", "扩增")})
_LATIN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_CHINESE = re.compile(r"[\u4e00-\u9fff]+")


class Found(NamedTuple):
    """A picture of published data, and what its path says.

    Attributes
    ----------
    path : Path
    relative : PurePath
        Below the folder that was searched.
    mineral : Mineral or None
        None where no name in the path speaks of a mineral, or one speaks of several.
    deposit : str
        Name of the nearest folder that calls itself a deposit or mine; "" for none.
    part : str
        "training", "validation", "test" or "".
    made_up : bool
        Whether it is a changed copy of another picture.
    """

    path: Path
    relative: PurePath
    mineral: Mineral | None
    deposit: str
    part: str
    made_up: bool


def found_pictures(place: Path, *, below: Path | None = None) -> list[Found]:
    """Return all pictures in a folder, in the order of their paths; or the picture that `place` is.

    Parameters
    ----------
    place
    below
        Folder whose own name, and those above it, say nothing; by default `place`.
    """
    paths = [
        path for path in (place, *place.rglob("*")) if path.suffix.casefold() in SUFFIXES and path.is_file()
    ]
    return [judged(path, path.relative_to(below or place)) for path in sorted(paths)]


def judged(path: Path, relative: PurePath) -> Found:
    """Read what a path says, its folders first and then its name."""
    folders = list(reversed(relative.parts[:-1]))
    names = [*folders, relative.stem]
    deposits = [name for name in folders if meanings(name, _DEPOSIT)]
    minerals = [mineral_of(name) for name in names if name not in deposits]
    parts = [meanings(name, _PARTS) for name in folders]
    return Found(
        path,
        relative,
        mineral=next((mineral for mineral in minerals if mineral), None),
        deposit=deposits[0] if deposits else "",
        part=next((min(part) for part in parts if len(part) == 1), ""),
        made_up=any(meanings(name, _MADE_UP) for name in names),
    )


def mineral_of(name: str) -> Mineral | None:
    """Return the mineral that a name speaks of: ``"Apy"``, ``"02_Pyrites"``, ``"毒砂"``; None for none or several."""
    found = meanings(name, _MINERALS)
    return PAPER_MINERALS.by_name(min(found)) if len(found) == 1 else None


def meanings(name: str, known: Mapping[str, str]) -> set[str]:
    """Return what the words of a name mean.

    Parameters
    ----------
    name
        Such as ``"02_ApyTiles 训练集"``: English words end where digits, signs or a new capital begin, and may
        be plurals; Chinese words are looked for in each run of characters, the longest first.
    known
        Meaning by word, in lower case and in the singular.
    """
    name = unicodedata.normalize("NFKC", name)
    words = [word.casefold() for word in _LATIN.findall(name)]
    found = {known[form] for word in words for form in (word, word.removesuffix("s")) if form in known}
    for characters in _CHINESE.findall(name):
        left = characters
        for word in sorted(known, key=len, reverse=True):
            if word == characters or (len(word) > 1 and word in left):  # one character stands in many words
                found.add(known[word])
                left = left.replace(word, " ")
    return found
