"""Calibration: probabilities that mean what they say, and the confidence from which a cell is named.

Both numbers are fitted on validation tiles and stored in the card of a new
version of the model; an older version is never changed.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import Classifier, softmax
from napari_ore_minerals.models.store import save_version

from .evaluate_options import WANTED_PRECISION
from .evaluation import CALIBRATION_BINS, confident_from

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from napari_ore_minerals.models.card import ModelCard

    from .dataset import TileSamples

BATCH = 32
CHOSEN_FOR = "precision that the least confidence was chosen for"  # in the metrics of a card


@dataclass(frozen=True)
class Calibration:
    """What validation tiles say of a model's probabilities.

    Attributes
    ----------
    temperature : float
        Logits are divided by it; above 1 the model was too sure of itself.
    min_confidence : float or None
        Least probability, after the temperature, from which the share `wanted_precision` of the validation
        tiles is named rightly; None if no confidence reaches that.
    wanted_precision : float
    tiles : int
        Number of validation tiles.
    """

    temperature: float
    min_confidence: float | None
    wanted_precision: float
    tiles: int

    def changes(self, card: ModelCard) -> dict[str, Any]:
        """Changed fields of a model card; where no confidence is good enough, its least one stays as it is."""
        if self.min_confidence is None:
            return {"temperature": self.temperature}
        return {
            "temperature": self.temperature,
            "min_confidence": self.min_confidence,
            "metrics": card.metrics | {CHOSEN_FOR: self.wanted_precision},
        }


def calibrate(
    truth: NDArray[np.int64], logits: NDArray[np.float32], wanted_precision: float = WANTED_PRECISION
) -> Calibration:
    """Fit temperature and least confidence on validation tiles.

    Parameters
    ----------
    truth : (n,) int array
        Index of the true class.
    logits : (n, classes) float array
    wanted_precision
        Share, 0 to 1, of the tiles that are named which shall be named rightly.

    Raises
    ------
    DatasetError
        If there are no tiles.
    """
    if not len(truth):
        raise DatasetError("calibration needs at least one validation tile")
    temperature = fitted_temperature(truth, logits)
    least = confident_from(truth, softmax(logits, temperature), wanted_precision)
    return Calibration(temperature, None if least >= 1.0 else least, wanted_precision, len(truth))


def calibrated(card: ModelCard, network: nn.Module, validation: TileSamples) -> ModelCard:
    """Return the card of a network that was just trained, with what its validation tiles say of its confidence."""
    classifier = Classifier(card, network, device="cpu", precision="fp32")
    starts = range(0, len(validation), BATCH)
    logits = [classifier.predict(np.array(validation.tiles[at : at + BATCH])).logits for at in starts]
    found = calibrate(validation.labels, np.concatenate(logits))
    return card.model_copy(update=found.changes(card))


def fitted_temperature(truth: NDArray[np.int64], logits: NDArray[np.float32]) -> float:
    """Temperature between 0.25 and 4 with the least negative log likelihood (Guo et al. 2017).

    Parameters
    ----------
    truth : (n,) int array
    logits : (n, classes) float array
    """
    known, scores = torch.from_numpy(truth), torch.from_numpy(logits)
    candidates = np.geomspace(0.25, 4.0, 81)
    losses = [float(torch.nn.functional.cross_entropy(scores / value, known)) for value in candidates]
    return round(float(candidates[int(np.argmin(losses))]), 3)


def reliability(
    truth: NDArray[np.int64], probabilities: NDArray[np.floating], bins: int = CALIBRATION_BINS
) -> pd.DataFrame:
    """Confidence beside accuracy in bins of equal width: the table behind a reliability diagram.

    Parameters
    ----------
    truth : (n,) int array
    probabilities : (n, classes) float array
    bins
        Number of bins between 0 and 1.

    Returns
    -------
    DataFrame
        ``from``, ``to``, ``tiles``, ``confidence`` and ``accuracy`` (means; NaN in an empty bin).
    """
    confidence = probabilities.max(axis=1).astype(float)
    right = (probabilities.argmax(axis=1) == truth).astype(float)
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    tiles = np.bincount(index, minlength=bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(index, values, minlength=bins) / tiles for values in (confidence, right)]
    return pd.DataFrame(
        {"from": edges[:-1], "to": edges[1:], "tiles": tiles, "confidence": means[0], "accuracy": means[1]}
    )


def save_calibrated(folder: Path, source: Path, calibration: Calibration) -> ModelCard:
    """Write a new version of a model with temperature and least confidence from its validation tiles.

    Parameters
    ----------
    folder
        Must not exist.
    source
        Model folder; it is not changed.
    calibration
        From `calibrate`.

    Raises
    ------
    ModelError
        As `models.store.save_version`.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return save_version(folder, source, calibration.changes(read_card(source)) | {"created": now})
