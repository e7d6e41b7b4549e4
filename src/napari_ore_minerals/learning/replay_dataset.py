"""The dataset that a model was trained on, opened again where it lies: it is referred to and never copied."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_ore_minerals.errors import DatasetError, ResultError
from napari_ore_minerals.models.card import DatasetReference

from .collection import TileDataset
from .dataset import TileSamples

LEARNT_TILES = 150  # of a mineral, at most


class DatasetParts(NamedTuple):
    """Tiles to learn from again, to choose with and to measure with, in the dataset's minerals.

    Those to choose and to measure with are of different photographs of the validation part, where both halves of
    it show all its minerals; else both are the whole part.
    """

    learnt: TileSamples
    chosen: TileSamples
    checked: TileSamples


def reference_to(dataset: TileDataset) -> DatasetReference:
    """Say which dataset it is, for the card of a model that is trained on it."""
    return DatasetReference(name=dataset.name, folder=str(dataset.folder.absolute()), sha256=dataset.sha256())


def parts_of(reference: DatasetReference, *, input_px: int) -> DatasetParts:
    """Read the tiles of a dataset that a card refers to.

    Raises
    ------
    DatasetError
        If it is not there, or not what it was.
    """
    missing = f"the dataset {reference.name} that this model was trained on"
    if not reference.folder or not Path(reference.folder).is_dir():
        where = f" in {reference.folder}" if reference.folder else ""
        raise DatasetError(f"{missing} is not here{where}")
    try:
        dataset = TileDataset.open(reference.folder)
        if dataset.sha256() != reference.sha256:
            raise DatasetError("its tiles, labels or parts were changed")
        learnt, validation = (dataset.samples(part, input_px=input_px) for part in ("training", "validation"))
    except (DatasetError, ResultError) as error:
        raise DatasetError(f"{missing} is not what it was: {error}") from error
    odd = np.isin(validation.groups, np.unique(validation.groups)[1::2])
    chosen, checked = validation.select(~odd), validation.select(odd)
    if any(set(half.labels) != set(validation.labels) for half in (chosen, checked)):
        chosen = checked = validation
    return DatasetParts(learnt, chosen, checked)
