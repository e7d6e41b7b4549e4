"""Names of reports: those of the pictures, and told apart where two pictures have the same."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from napari_ore_minerals.maps.files import SUFFIX

ENDING = "-minerals"  # so that no export can have the name of a photograph
SUMMARY = "summary"


def titles_of(folders: Sequence[Path]) -> list[str]:
    """Name of each picture, with as much of its folder as tells it from pictures of the same name elsewhere."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    parents: dict[str, set[Path]] = {}
    for path in paths:
        parents.setdefault(path.name, set()).add(path.parent)
    found = []
    for path in paths:
        places = parents[path.name]
        common = (
            path.parent if len({place.anchor for place in places}) > 1 else Path(os.path.commonpath(places))
        )
        found.append((path.parent.relative_to(common) / path.name).as_posix().removesuffix(SUFFIX))
    return found


def names_of(folders: Sequence[Path], out: Path | None = None) -> list[str]:
    """Begin of the exports' names, of which no two of one folder are the same.

    It is the name of the picture, with its suffix and its folder only where they are needed.
    """
    titles = [Path(title) for title in titles_of(folders)]
    places = [folder.parent if out is None else out for folder in folders]
    stems = Counter((place, title.stem) for place, title in zip(places, titles, strict=True))
    names = Counter((place, title.name) for place, title in zip(places, titles, strict=True))
    taken: dict[tuple[Path, str], int] = {}
    found = []
    for place, title in zip(places, titles, strict=True):
        name = title.stem
        if stems[place, title.stem] > 1 or title.stem == SUMMARY:
            name = title.name if names[place, title.name] == 1 else "-".join(title.parts)
        again = taken[place, name] = taken.get((place, name), 0) + 1
        found.append(name + (f"-{again}" if again > 1 else "") + ENDING)
    return found
