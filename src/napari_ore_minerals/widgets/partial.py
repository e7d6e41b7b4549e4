"""The map of a run whose process had to be killed: labels and confidence, without heatmaps."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.records import ModelRecord, PictureRecord, RunRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.widgets.gathered import Gathered
    from napari_ore_minerals.widgets.pictures import LayerPicture

NOTICE = (
    "the classifier did not answer in time and was ended: labels and confidence were kept, heatmaps were not"
)


def partial_map(gathered: Gathered, card: ModelCard, picture: LayerPicture) -> MineralMap:
    """Make a map of the cells that are known; the rest is not processed."""
    minerals = card.mineral_table
    index = np.zeros(256, np.intp)
    index[list(minerals.codes)] = np.arange(len(minerals))
    rows, columns = np.nonzero(gathered.processed)
    probabilities = np.zeros((*gathered.labels.shape, len(minerals)), np.float32)
    probabilities[rows, columns, index[gathered.labels[rows, columns]]] = gathered.confidence[rows, columns]
    options = gathered.task.options
    given = options.min_confidence
    return MineralMap(
        grid=gathered.task.grid,
        labels=gathered.labels.copy(),
        probabilities=probabilities,
        class_maps=_evidence(gathered, index, len(minerals), card.temperature),
        processed=gathered.processed.copy(),
        minerals=minerals,
        um_per_px=picture.um_per_px,
        um_per_px_source=picture.um_per_px_source,
        picture=PictureRecord(
            name=picture.name,
            path=None if picture.path is None else str(picture.path),
            height_px=picture.height_px,
            width_px=picture.width_px,
            fingerprint="",
            answers=picture.options.answers,
        ),
        model=ModelRecord.of(card),
        run=RunRecord(
            options=options,
            min_confidence=card.min_confidence if given is None else given,
            temperature=card.temperature,
            device=options.device,
            precision="bf16" if options.precision == "bf16" else "fp32",
            batch_size=options.batch_size or 1,
            tiles=gathered.done,
            seconds=round(monotonic() - gathered.begun, 3),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            complete=False,
            notices=(NOTICE,),
            software={"napari-ore-minerals": version("napari-ore-minerals")},
        ),
        warnings=(NOTICE,),
    )


def _evidence(
    gathered: Gathered, index: NDArray[np.intp], minerals: int, temperature: float
) -> NDArray[np.float16]:
    """One place a cell, with the evidence that gives its confidence: (minerals, rows, columns); even where unclear."""
    found = np.zeros((minerals, *gathered.labels.shape), np.float16)
    rows, columns = np.nonzero(gathered.processed & (gathered.labels > 0))
    shares = np.clip(gathered.confidence[rows, columns], 1e-4, 1 - 1e-4)
    found[:, rows, columns] = temperature * np.log((1 - shares) / max(minerals - 1, 1))
    found[index[gathered.labels[rows, columns]], rows, columns] = temperature * np.log(shares)
    return found
