"""Corrections that lie in a result folder: what was painted before it was saved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.maps.files import read_result
from napari_ore_minerals.maps.mineral_map import label_cells
from napari_ore_minerals.maps.places import follows, said_by_user
from napari_ore_minerals.minerals import UNCLASSIFIED

from .corrections import Cell, as_corrections, found_corrections
from .journal import Lessons, PictureNote
from .lesson import Lesson

if TYPE_CHECKING:
    from pathlib import Path

    from napari_ore_minerals.maps.mineral_map import MineralMap


def painted_corrections(folder: Path) -> Lessons:
    """Find what was painted on a saved result, by comparing its labels with what its probabilities say.

    Raises
    ------
    ResultError
        If it is no result folder.
    DatasetError
        If nothing was painted on it.
    """
    mineral_map = read_result(folder)
    predicted = label_cells(
        mineral_map.probabilities,
        mineral_map.processed,
        mineral_map.minerals,
        min_confidence=mineral_map.run.min_confidence,
    )
    confirmed = [(int(row), int(column)) for row, column in np.argwhere(said_by_user(mineral_map))]
    found = found_corrections(predicted, mineral_map.labels, confirmed, mineral_map.minerals)
    if not len(found.cells):
        raise DatasetError(f"nothing was painted on {folder} before it was saved: there is nothing to learn")
    picture = mineral_map.picture
    note = PictureNote(
        picture=picture.fingerprint,
        name=picture.name[:1000],
        path=picture.path,
        um_per_px=mineral_map.um_per_px,
        um_per_px_source=mineral_map.um_per_px_source[:200],
        answers=picture.answers,
        minerals=mineral_map.minerals.minerals,
    )
    return Lessons(note, tuple(as_corrections(found, mineral_map, now=mineral_map.run.created[:40])))


def taught_already(mineral_map: MineralMap, own: MineralMap | None = None) -> Lesson | None:
    """Lesson of a map that carries what a user said; None where nothing was said of it.

    Parameters
    ----------
    mineral_map
        As it was shown or saved; its labels hold what was said.
    own
        As the model gave it, where that is still known.

    Returns
    -------
    Lesson or None
        Its base is the model's own answer and not what was said; where that is not known any more, a cell of
        which something was said is unclassified there.
    """
    said = said_by_user(mineral_map)
    if own is None:
        if not said.any():
            return None
        labels = label_cells(
            mineral_map.probabilities,
            mineral_map.processed,
            mineral_map.minerals,
            min_confidence=mineral_map.run.min_confidence,
        )
        if follows(mineral_map):
            labels[said] = UNCLASSIFIED
        own = replace(mineral_map, labels=labels)
    codes = {
        Cell(int(row), int(column)): int(mineral_map.labels[row, column]) for row, column in np.argwhere(said)
    }
    known = {cell: code for cell, code in codes.items() if code in mineral_map.minerals.codes}
    blank = [cell for cell in codes if cell not in known]
    return Lesson(own, mineral_map.minerals).say(known, blank=blank)
