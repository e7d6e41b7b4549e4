"""The head refitted while the user waits: a map follows what was corrected on it.

Features of the cells stay what they are; logistic regression on the corrections moves the answers.
Its unknowns are the *change* of the model's own head, which a penalty pulls towards none (a Gaussian
prior with the head as its mean), so that one correction moves its like and does not overturn everything.
What was said of other pictures moves the head first, and what is said of this one moves it from there.
The stored model is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.maps.mineral_map import MineralMap, label_cells
from napari_ore_minerals.maps.places import FOLLOWS, OTHERS_TOO

from .head_change import AS_MEASURED, Examples, HeadChange, RefitOptions, balanced, fitted_change, log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.features import CellFeatures
    from napari_ore_minerals.minerals import MineralTable

    from .corrections import Correction

LEAST_PROBABILITY = 1e-6  # a model is never taken to be surer than this
MOST_PROBABILITY = 1 - 1e-6  # of a cell that nobody spoke about; 1 is what the user said
NEW_MINERAL_PROBABILITY = 0.1  # of a mineral that the model does not know, before it has been corrected


def refitted_map(
    mineral_map: MineralMap,
    features: CellFeatures,
    corrections: Sequence[Correction],
    *,
    minerals: MineralTable | None = None,
    earlier: HeadChange | None = None,
    options: RefitOptions = AS_MEASURED,
) -> MineralMap:
    """Let a map follow corrections of its cells.

    Parameters
    ----------
    mineral_map
        As the model gave it; it is not changed.
    features
        Filled by the classification that made the map.
    corrections
        Of this picture and grid; others are left out.
    minerals
        The table to answer in: with minerals added, or without some; None for the map's own.
    earlier
        How far the head was moved by other pictures, in the same table; see `learnt_elsewhere`.
    options
        How far corrections may move the head.

    Returns
    -------
    MineralMap
        Labels, probabilities and class maps follow; the mean of a cell's class map is its logit as before.
        What the user said of a cell stands there with probability 1.  The map itself where there is
        nothing to learn from and the minerals are its own.

    Raises
    ------
    DatasetError
        If the features are of another grid, or a correction names a mineral that the table lacks.
    TrainingError
        If a value is not finite.
    """
    table = mineral_map.minerals if minerals is None else minerals
    mine = [one for one in corrections if one.is_of(mineral_map.picture.fingerprint, mineral_map.grid)]
    if not mine and earlier is None and table == mineral_map.minerals:
        return mineral_map
    if features.grid != mineral_map.grid:
        raise DatasetError(f"the features are of {features.grid}, the map of {mineral_map.grid}")
    usable = mineral_map.processed & features.known
    cells, places = np.argwhere(usable), np.cumsum(usable.ravel()).reshape(usable.shape) - 1
    scores = _own_scores(mineral_map, table)[usable]
    values = features.standardised(cells)
    before = np.zeros_like(scores)
    if earlier is not None:
        values = np.concatenate([values, features.colours(cells)], axis=1)
        before = earlier.of(values)
    _classes(mine, table)
    known = [one for one in mine if usable[one.cell]]
    where = np.array([places[one.cell] for one in known], np.intp)
    taught = Examples(values[where], (scores + before)[where], _classes(known, table))
    moved = np.zeros((*mineral_map.grid.shape, len(table)))
    moved[usable] = before + fitted_change(taught, options).of(values)
    answers = _with_moves(mineral_map, table, moved)
    return _as_the_user_said(answers, mine, elsewhere=earlier is not None)


def with_minerals(mineral_map: MineralMap, minerals: MineralTable) -> MineralMap:
    """Answer in another table: with minerals that the model does not know, which begin small, or without some."""
    if minerals == mineral_map.minerals:
        return mineral_map
    return _with_moves(mineral_map, minerals, np.zeros((*mineral_map.grid.shape, len(minerals))))


def examples_of(
    mineral_map: MineralMap,
    features: CellFeatures,
    corrections: Sequence[Correction],
    minerals: MineralTable | None = None,
) -> Examples:
    """Turn the corrections of a map into examples for other pictures."""
    table = mineral_map.minerals if minerals is None else minerals
    usable = mineral_map.processed & features.known
    mine = [
        one
        for one in corrections
        if one.is_of(mineral_map.picture.fingerprint, mineral_map.grid) and usable[one.cell]
    ]
    cells = np.array([one.cell for one in mine], np.intp).reshape(-1, 2)
    scores = _own_scores(mineral_map, table)[cells[:, 0], cells[:, 1]]
    values = np.concatenate([features.standardised(cells), features.colours(cells)], axis=1)
    return Examples(values, scores, _classes(mine, table))


def learnt_elsewhere(examples: Sequence[Examples], options: RefitOptions = AS_MEASURED) -> HeadChange | None:
    """Fit how far corrections of other pictures move the head, minerals alike; None if there are none.

    Parameters
    ----------
    examples
        Of each of the pictures, as `examples_of` gives them, in the table that is to be answered in.

    Raises
    ------
    TrainingError
        If a value is not finite.
    """
    known = [one for one in examples if len(one.classes)]
    return fitted_change(balanced(known), options) if known else None


def _classes(corrections: Sequence[Correction], minerals: MineralTable) -> NDArray[np.intp]:
    if unknown := sorted({one.code for one in corrections} - set(minerals.codes)):
        raise DatasetError(
            f"corrections name codes {unknown} that are no mineral of this map: add these minerals, or revert them"
        )
    return np.array([minerals.codes.index(one.code) for one in corrections], np.intp)


def _own_scores(mineral_map: MineralMap, minerals: MineralTable) -> NDArray[np.float64]:
    """The model's log probabilities in another table: (rows, columns, minerals)."""
    own = np.log(np.maximum(mineral_map.probabilities.astype(np.float64), LEAST_PROBABILITY))
    scores = np.full((*own.shape[:2], len(minerals)), np.log(NEW_MINERAL_PROBABILITY))
    for index, mineral in enumerate(minerals):
        if mineral.code in mineral_map.minerals.codes:
            scores[..., index] = own[..., mineral_map.minerals.codes.index(mineral.code)]
    return scores


def _with_moves(mineral_map: MineralMap, minerals: MineralTable, moved: NDArray[np.float64]) -> MineralMap:
    """The map whose scores are moved; class maps shift by the same evidence, evenly over the cell."""
    scores = _own_scores(mineral_map, minerals) + moved
    processed, temperature = mineral_map.processed, mineral_map.run.temperature
    probabilities = (np.exp(log_softmax(scores)) * processed[..., np.newaxis]).astype(np.float32)
    side, grid = mineral_map.places_per_cell, mineral_map.grid
    older = mineral_map.class_maps.reshape(-1, grid.rows, side, grid.columns, side)
    shift = np.moveaxis(moved * temperature * processed[..., np.newaxis], -1, 0).astype(np.float32)
    base = _base(older, temperature)
    maps = np.zeros((len(minerals), *older.shape[1:]), np.float16)
    for index, mineral in enumerate(minerals):
        if mineral.code in mineral_map.minerals.codes:
            own = older[mineral_map.minerals.codes.index(mineral.code)]
        else:
            own = base * processed[:, np.newaxis, :, np.newaxis]
        maps[index] = own + shift[index][:, np.newaxis, :, np.newaxis]
    labels = label_cells(probabilities, processed, minerals, min_confidence=mineral_map.run.min_confidence)
    maps = maps.reshape(len(minerals), *mineral_map.class_maps.shape[1:])
    return replace(
        mineral_map, labels=labels, probabilities=probabilities, class_maps=maps, minerals=minerals
    )


def _base(class_maps: NDArray[np.float16], temperature: float) -> NDArray[np.float32]:
    """Evidence at which a new mineral begins in each cell: (rows, 1, columns, 1)."""
    logits = class_maps.mean(axis=(2, 4), dtype=np.float32) / temperature
    highest = logits.max(axis=0)
    whole = highest + np.log(np.exp(logits - highest).sum(axis=0))
    base: NDArray[np.float32] = temperature * (whole + np.log(NEW_MINERAL_PROBABILITY))
    return base[:, np.newaxis, :, np.newaxis].astype(np.float32)


def _as_the_user_said(
    answers: MineralMap, corrections: Sequence[Correction], *, elsewhere: bool
) -> MineralMap:
    np.minimum(answers.probabilities, MOST_PROBABILITY, out=answers.probabilities)
    for one in corrections:
        answers.labels[one.cell] = one.code
        if answers.processed[one.cell]:
            answers.probabilities[one.cell] = 0
            answers.probabilities[(*one.cell, answers.minerals.codes.index(one.code))] = 1
    notice = f"{FOLLOWS} {len(corrections)} corrections by its user"
    if elsewhere:
        notice = f"{notice}, {OTHERS_TOO}"
    run = answers.run.model_copy(update={"notices": (*answers.run.notices, notice)})
    return replace(answers, run=run)
