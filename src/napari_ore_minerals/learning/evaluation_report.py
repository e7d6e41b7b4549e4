"""What a model does on one part of a dataset: every figure, and the predictions it was made from.

All figures follow from the table of predictions, so a report that was written can
be read again, and no figure can differ from what stands in its files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_ore_minerals.errors import DatasetError

from .evaluation import Evaluation, evaluate
from .intervals import FEW_PHOTOGRAPHS, table_of_figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.card import ModelCard

    from .calibration import Calibration

TILE_COLUMNS = ("tile", "photograph", "deposit", "mineral")
PROBABILITY = "p "  # before the name of the mineral, in predictions.csv


@dataclass(frozen=True)
class EvaluationReport:
    """What a model does on one part of a dataset.

    Attributes
    ----------
    title : str
        Of the model.
    dataset, part : str
    minerals : MineralTable
        The classes of the model.
    predictions : DataFrame
        One row a tile: ``tile``, ``photograph``, ``deposit``, ``mineral``, ``predicted``, ``confidence``,
        ``right`` and one column ``p <mineral>`` of probability for each class.
    card : ModelCard or None
        None for what is no network, such as the colour forest.
    calibration : Calibration or None
        As fitted on validation tiles; None where there are none.
    calibration_table : DataFrame
        Cross entropy and calibration error on this part, and what is named how rightly: without scaling, as
        the card has it and as fitted.
    reliability_table : DataFrame
        Confidence beside accuracy in bins, under the same scalings.
    notices : tuple of str
        What the reader should be told.
    """

    title: str
    dataset: str
    part: str
    minerals: MineralTable
    predictions: pd.DataFrame
    card: ModelCard | None = None
    calibration: Calibration | None = None
    calibration_table: pd.DataFrame | None = None
    reliability_table: pd.DataFrame | None = None
    notices: tuple[str, ...] = ()

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """(n,) index of the true class."""
        return class_indices(self.predictions["mineral"], self.minerals)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """(n, classes) float32 array."""
        names = [PROBABILITY + mineral.name for mineral in self.minerals]
        return np.ascontiguousarray(self.predictions[names].to_numpy(np.float32))

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """(n,) number of the photograph."""
        return pd.factorize(self.predictions["photograph"])[0].astype(np.int64)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Confusion matrix and scores."""
        return evaluate(self.truth, self.probabilities, self.minerals)

    @cached_property
    def figures(self) -> pd.DataFrame:
        """Every figure with its 95 % interval, see `intervals.table_of_figures`."""
        return table_of_figures(self.truth, self.probabilities, self.groups, self.minerals)

    def figure(self, name: str, mineral: str = "") -> pd.Series:
        """Return ``value``, ``low`` and ``high`` (and more) of one figure; KeyError if there is none."""
        table = self.figures
        chosen = table[(table["figure"] == name) & (table["mineral"] == mineral)]
        if chosen.empty:
            raise KeyError(f"no figure {name!r} of {mineral!r}")
        return chosen.iloc[0]


def table_of_predictions(
    tiles: pd.DataFrame, probabilities: NDArray[np.float32], minerals: MineralTable
) -> pd.DataFrame:
    """Make the table of predictions, see `EvaluationReport`, of rows of ``tiles.csv`` and (n, classes) shares."""
    names = np.array([mineral.name for mineral in minerals])
    table = tiles.loc[:, list(TILE_COLUMNS)].reset_index(drop=True)
    table["predicted"] = names[probabilities.argmax(axis=1)]
    table["confidence"] = probabilities.max(axis=1)
    table["right"] = table["predicted"] == table["mineral"]
    for index, name in enumerate(names):
        table[PROBABILITY + name] = probabilities[:, index]
    return table


def few_photographs(tiles: pd.DataFrame) -> list[str]:
    """Say that the intervals of tiles are too narrow, where they are of few photographs; else nothing."""
    photographs = tiles["photograph"].nunique()
    sentence = (
        f"the tiles are of {photographs} photographs only: their 95 % intervals are too narrow "
        f"(give at least {FEW_PHOTOGRAPHS})"
    )
    return [sentence] if photographs < FEW_PHOTOGRAPHS else []


def stopped_after(done: int, total: int, unit: str) -> list[str]:
    """Say that an evaluation was stopped, where it was; else nothing."""
    return [f"stopped after {done} of {total} {unit}: the figures are of these alone"] if done < total else []


def class_indices(names: pd.Series, minerals: MineralTable) -> NDArray[np.int64]:
    """Turn names of minerals into indices of a model's classes.

    Raises
    ------
    DatasetError
        If a name is not among them; says which, and how many tiles.
    """
    index = {mineral.name: number for number, mineral in enumerate(minerals)}
    unknown = names[~names.isin(list(index))].value_counts()
    if len(unknown):
        listed = ", ".join(f"{name} ({count} tiles)" for name, count in unknown.items())
        raise DatasetError(
            f"the model does not know {listed}; it knows {', '.join(index)}: evaluate it on these, or train another"
        )
    return np.array([index[name] for name in names], dtype=np.int64)
