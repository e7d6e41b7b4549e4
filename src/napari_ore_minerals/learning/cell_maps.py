"""Mineral maps from a classifier of cells: one cell of the map is one cell of the classifier."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import OreMineralsError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.batch import Outcome, result_folders
from napari_ore_minerals.maps.checks import check_map
from napari_ore_minerals.maps.files import write_result
from napari_ore_minerals.maps.mineral_map import MineralMap, label_cells
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.progress import Progress, Steps

from .cell_files import CellCard, load_cells
from .cell_learning import cell_colours

if TYPE_CHECKING:
    from .anchored import AnchoredClassifier

ARCHITECTURE = "anchored cells"
SMALLEST = 1e-4  # of a probability, before its logarithm


def map_of_cells(
    micrograph: Micrograph,
    card: CellCard,
    classifier: AnchoredClassifier,
    *,
    min_confidence: float | None = None,
) -> MineralMap:
    """Classify the cells of a picture; those at its lower and right edge are filled by reflection.

    Its class maps are the logarithms of the probabilities less their mean over the minerals, one place a cell, so
    that as everywhere their softmax is the probability.

    Parameters
    ----------
    micrograph
        A picture at the pixel size that was learnt from.
    card, classifier
        From `cell_files.load_cells`.
    min_confidence
        Cells below it are left unclassified; None for that of the card.

    Raises
    ------
    OptionError
        If the picture is too small or too large.
    """
    begun = time.perf_counter()
    least = card.min_confidence if min_confidence is None else min_confidence
    grid = TileGrid(micrograph.height_px, micrograph.width_px, card.cell_px, card.cell_px)
    probabilities = classifier.probabilities(cell_colours(micrograph, card.cell_px, padded=True))
    processed, minerals = np.ones(grid.shape, dtype=bool), card.mineral_table
    labels = label_cells(probabilities, processed, minerals, min_confidence=least)
    evidence = np.log(np.maximum(probabilities, SMALLEST))
    evidence -= evidence.mean(axis=2, keepdims=True)
    options = ClassifyOptions(
        tile_px=card.cell_px, min_confidence=min_confidence, device="cpu", precision="fp32"
    )
    record = RunRecord(
        options=options,
        min_confidence=least,
        temperature=1.0,
        device="CPU",
        precision="fp32",
        batch_size=1,
        tiles=labels.size,
        seconds=round(time.perf_counter() - begun, 3),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        complete=True,
        software={name: version(name) for name in ("napari-ore-minerals", "torch", "numpy")},
    )
    return MineralMap(
        grid=grid,
        labels=labels,
        probabilities=probabilities,
        class_maps=np.ascontiguousarray(np.moveaxis(evidence, 2, 0)).astype(np.float16),
        processed=processed,
        minerals=minerals,
        um_per_px=micrograph.um_per_px,
        um_per_px_source=micrograph.um_per_px_source,
        picture=PictureRecord.of(micrograph),
        model=ModelRecord(
            name=card.name, version=1, architecture=ARCHITECTURE, weights_sha256=card.weights_sha256
        ),
        run=record,
        warnings=check_map(labels, probabilities, processed, minerals),
    )


def map_cells_steps(
    pictures: Sequence[Path],
    model: Path,
    *,
    out: Path | None = None,
    um_per_px: float | None = None,
    min_confidence: float | None = None,
    overwrite: bool = False,
) -> Steps[list[Outcome]]:
    """Classify pictures with a classifier of cells; one that cannot be read or written does not stop the others.

    Yields
    ------
    Progress
        In pictures; ``update`` is a `maps.batch.Outcome`.

    Returns
    -------
    list of Outcome
        In the order of the pictures, without their maps; when sent True, of those that are finished.

    Raises
    ------
    ModelError
        If the classifier must not be used.
    OptionError
        If two pictures would have the same result folder.
    """
    card, classifier = load_cells(model)
    outcomes: list[Outcome] = []
    for number, (path, folder) in enumerate(zip(pictures, result_folders(pictures, out), strict=True), 1):
        try:
            micrograph = Micrograph.open(path.absolute(), um_per_px=um_per_px)
            found = map_of_cells(micrograph, card, classifier, min_confidence=min_confidence)
            write_result(found, folder, micrograph=micrograph, overwrite=overwrite)
            outcome = Outcome(path, folder, found, guesses=tuple(map(str, micrograph.guesses)))
        except (OreMineralsError, OSError, MemoryError) as error:
            outcome = Outcome(path, folder, problem=str(error) or type(error).__name__)
        outcomes.append(Outcome(path, folder, problem=outcome.problem))
        if (yield Progress(number, len(pictures), "pictures", path.name, update=outcome)):
            break
    return outcomes
