"""A model measured on one part of a dataset, with its probabilities set right on the validation part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_ore_minerals.models.classifier import Classifier, softmax
from napari_ore_minerals.progress import Progress, Steps

from .calibration import Calibration, calibrate, reliability
from .evaluate_options import EvaluateOptions
from .evaluation_report import (
    EvaluationReport,
    class_indices,
    few_photographs,
    stopped_after,
    table_of_predictions,
)
from .faults import device_faults
from .intervals import ratio, table_of_figures

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.card import ModelCard

    from .collection import TileDataset
    from .dataset import TileSamples

CALIBRATION_FIGURES = ("cross entropy", "calibration error")


def evaluate_model_steps(
    dataset: TileDataset,
    part: str,
    model_folder: Path,
    options: EvaluateOptions | None = None,
    *,
    fitted: Calibration | None = None,
) -> Steps[EvaluationReport]:
    """Measure a model on one part of a dataset.

    Temperature and least confidence are fitted on the validation part and reported;
    `calibration.save_calibrated` writes them into a new version.

    Parameters
    ----------
    dataset
        Its minerals must be among those of the model; their order may differ.
    part
        ``"test"``, as a rule.
    model_folder
        ``card.json`` and ``model.safetensors``.
    options
        How to evaluate; None for the defaults.
    fitted
        What `calibration_steps` gave, if that was done already.

    Yields
    ------
    Progress
        In ``"tiles"``.

    Returns
    -------
    EvaluationReport
        When sent True, of the tiles done so far (all at once if there are none yet).

    Raises
    ------
    DatasetError
        If the part has no tiles, or minerals that the model does not know.
    ModelError
        If the model must not be used.
    """
    options = options or EvaluateOptions()
    classifier = Classifier.load(model_folder, device=options.device, precision=options.precision)
    card = classifier.card
    tiles, samples = tiles_of(dataset, part, input_px=card.input_px)
    truth = class_indices(tiles["mineral"], card.mineral_table)
    logits = yield from logits_steps(classifier, samples, options.batch_size, f"{part} tiles")
    if fitted is None and part != "validation" and len(dataset.tiles("validation")):
        fitted = yield from _fitted_steps(dataset, classifier, options)
    tiles, truth = tiles.iloc[: len(logits)], truth[: len(logits)]
    scalings = _scalings(card, fitted)
    return EvaluationReport(
        title=f"{card.name} {card.version}",
        dataset=dataset.name,
        part=part,
        minerals=card.mineral_table,
        predictions=table_of_predictions(tiles, classifier.probabilities(logits), card.mineral_table),
        card=card,
        calibration=fitted,
        calibration_table=_calibration_table(
            scalings, truth, logits, tiles["photograph"], card.mineral_table
        ),
        reliability_table=pd.concat(
            [
                reliability(truth, softmax(logits, temperature)).assign(scaling=name)
                for name, (temperature, _) in scalings.items()
            ],
            ignore_index=True,
        ),
        notices=(
            *stopped_after(len(logits), len(samples), "tiles"),
            *_notices(dataset, card, tiles, fitted, options),
        ),
    )


def calibration_steps(
    dataset: TileDataset, model_folder: Path, options: EvaluateOptions | None = None
) -> Steps[Calibration]:
    """Fit temperature and least confidence of a model on the validation part; as `evaluate_model_steps`."""
    options = options or EvaluateOptions()
    classifier = Classifier.load(model_folder, device=options.device, precision=options.precision)
    return (yield from _fitted_steps(dataset, classifier, options))


def tiles_of(dataset: TileDataset, part: str, *, input_px: int) -> tuple[pd.DataFrame, TileSamples]:
    """Rows and samples of the tiles of a part that are labelled and sure, in the same order.

    Raises
    ------
    DatasetError
        If there are none.
    """
    samples = dataset.samples(part, input_px=input_px)
    return dataset.tiles(part).reset_index(drop=True), samples


def logits_steps(
    classifier: Classifier, samples: TileSamples, batch_size: int, stage: str
) -> Steps[NDArray[np.float32]]:
    """Logits (n, classes) of samples, batch by batch; when sent True, of those done so far."""
    found = []
    for start in range(0, len(samples), batch_size):
        tiles = np.array(samples.tiles[start : start + batch_size])
        with device_faults(classifier.device.title, batch_size):
            found.append(classifier.predict(tiles).logits)
        done = min(start + batch_size, len(samples))
        if (yield Progress(done, len(samples), "tiles", stage)):
            break
    return np.concatenate(found)


def _fitted_steps(
    dataset: TileDataset, classifier: Classifier, options: EvaluateOptions
) -> Steps[Calibration]:
    card = classifier.card
    tiles, samples = tiles_of(dataset, "validation", input_px=card.input_px)
    truth = class_indices(tiles["mineral"], card.mineral_table)
    logits = yield from logits_steps(classifier, samples, options.batch_size, "validation tiles")
    return calibrate(truth[: len(logits)], logits, options.wanted_precision)


def _scalings(card: ModelCard, fitted: Calibration | None) -> dict[str, tuple[float, float]]:
    """Temperature and least confidence, by what they are called."""
    found = {"none": (1.0, 0.0), "of the card": (card.temperature, card.min_confidence)}
    if fitted is None:
        return found
    least = card.min_confidence if fitted.min_confidence is None else fitted.min_confidence
    return found | {"fitted on validation": (fitted.temperature, least)}


def _calibration_table(
    scalings: dict[str, tuple[float, float]],
    truth: NDArray[np.int64],
    logits: NDArray[np.float32],
    photographs: pd.Series,
    minerals: MineralTable,
) -> pd.DataFrame:
    """Cross entropy, calibration error, and what is named how rightly, under each scaling."""
    groups = pd.factorize(photographs)[0].astype(np.int64)
    rows: list[dict[str, object]] = []
    for name, (temperature, least) in scalings.items():
        probabilities = softmax(logits, temperature)
        figures = table_of_figures(truth, probabilities, groups, minerals).set_index("figure")
        named = probabilities.max(axis=1) >= least
        right = probabilities.argmax(axis=1) == truth
        found = {
            figure: tuple(figures.loc[figure, ["value", "low", "high"]]) for figure in CALIBRATION_FIGURES
        }
        found["share named"] = ratio(named, np.ones_like(named), groups)
        found["precision of the named"] = ratio(named & right, named, groups)
        row: dict[str, object] = {"scaling": name, "temperature": temperature, "min_confidence": least}
        for figure, ends in found.items():
            row |= {f"{figure}{end}": value for end, value in zip(("", " low", " high"), ends, strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)


def _notices(
    dataset: TileDataset,
    card: ModelCard,
    tiles: pd.DataFrame,
    fitted: Calibration | None,
    options: EvaluateOptions,
) -> list[str]:
    found = few_photographs(tiles)
    if dataset.tile_px != card.tile_px:
        found.append(
            f"tiles of {dataset.tile_px} px are shown to a model that was made for {card.tile_px} px: "
            "it sees minerals at another size"
        )
    if fitted is None:
        found.append("there are no validation tiles, so temperature and least confidence were not fitted")
    elif fitted.min_confidence is None:
        found.append(
            f"at no confidence are {options.wanted_precision:.0%} of the validation tiles named rightly, "
            f"so the least confidence of {card.min_confidence:.2f} stays"
        )
    return found
