"""classify: the path from a Micrograph to a MineralMap."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_ore_minerals.errors import DeviceError, OptionError
from napari_ore_minerals.images.tile_reader import TileBatch, TileReader, nearest_first
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.checks import PictureCheck, check_chunks, check_map, check_scale
from napari_ore_minerals.maps.mineral_map import Answers, EvidenceSum, MineralMap, joined_rows, label_cells
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.models.batch_size import BatchSize
from napari_ore_minerals.models.classifier import Classifier, Evidence
from napari_ore_minerals.models.gpu_faults import device_failed, out_of_memory, without_gpu
from napari_ore_minerals.progress import Progress, Steps, run

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import Window
    from napari_ore_minerals.maps.features import CellFeatures
    from napari_ore_minerals.models.card import ModelCard

_AS_THE_CARD_SAYS = ClassifyOptions()


@dataclass(frozen=True)
class CellUpdate:
    """Cells whose answer became known or changed.

    Attributes
    ----------
    rows, columns : (n,) int arrays
    labels : (n,) uint8 array
        Mineral codes, 0 below the least confidence.
    confidence : (n,) float32 array
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]


def plan(micrograph: Micrograph, card: ModelCard, options: ClassifyOptions = _AS_THE_CARD_SAYS) -> TileGrid:
    """Grid that `classify` would use: tiles of the physical size of the model's training where scales are known.

    A tile size given in the options is in pixels of this picture.

    Raises
    ------
    OptionError
        If the stride does not divide the tile, or the tiles would be out of bounds.
    """
    if options.tile_px is not None:
        return TileGrid.over(micrograph, tile_px=options.tile_px, stride_px=options.stride_px)
    return TileGrid.over(
        micrograph, tile_px=card.tile_px, stride_px=options.stride_px, model_um_per_px=card.um_per_px
    )


def classify(
    micrograph: Micrograph, classifier: Classifier, options: ClassifyOptions = _AS_THE_CARD_SAYS
) -> MineralMap:
    """Classify a picture; see `classify_steps`."""
    return run(classify_steps(micrograph, classifier, options))


def classify_steps(
    micrograph: Micrograph,
    classifier: Classifier,
    options: ClassifyOptions = _AS_THE_CARD_SAYS,
    *,
    wanted: NDArray[np.bool_] | None = None,
    first: Window | None = None,
    features: CellFeatures | None = None,
) -> Steps[MineralMap]:
    """Classify a picture tile by tile.

    Parameters
    ----------
    micrograph
        The picture, read window by window.
    classifier
        The model, ready on its device (the options' device and precision were used to load it).
    options
        Tile, stride, least confidence, batch.
    wanted : (rows, columns) bool array, optional
        Cells of `plan` that are asked for; None for all.
    first : Window, optional
        Part of the picture to begin with, such as the part in view.
    features : CellFeatures, optional
        Of `plan`'s grid; it is filled with what the network sees in each cell, in the same forward pass.

    Yields
    ------
    Progress
        In tiles; its ``update`` is a `CellUpdate`.  Sending True stops: the map so far
        is returned, the rest of it not processed.

    Returns
    -------
    MineralMap

    Raises
    ------
    PictureError
        If the picture turns out to be damaged.
    OptionError
        If options and picture do not fit.
    DeviceError
        If the device is too small for a single tile, or computes nonsense.
    """
    task = Task(micrograph, classifier, options, wanted=wanted, features=features)
    positions = nearest_first(task.grid, task.grid.tiles_for(task.wanted), first)
    done, complete = 0, True
    with TileReader(micrograph, task.grid, positions, input_px=classifier.card.input_px) as reader:
        while (tiles := reader.take(task.batch.size)) is not None:
            for part in task.predict(tiles):
                notice, update = task.take_in(part)
                done += len(part[0].rows)
                stop = yield Progress(done, len(positions), "tiles", "classifying", notice, update)
                if stop:
                    complete = False
                    break
            if not complete:
                break
    return task.result(complete=complete, tiles=done)


class Task:
    """One classification: the evidence gathered so far and what is needed to add to it."""

    def __init__(
        self,
        micrograph: Micrograph,
        classifier: Classifier,
        options: ClassifyOptions,
        *,
        wanted: NDArray[np.bool_] | None,
        features: CellFeatures | None,
    ) -> None:
        self.begun = time.perf_counter()
        self.micrograph, self.classifier, self.options = micrograph, classifier, options
        card = classifier.card
        self.grid = plan(micrograph, card, options)
        if features is not None and features.grid != self.grid:
            raise OptionError(f"features are kept for {features.grid}, the picture is cut into {self.grid}")
        self.features = features
        self.wanted = np.ones(self.grid.shape, dtype=bool) if wanted is None else wanted
        self.minerals = card.mineral_table
        given = options.min_confidence
        self.min_confidence = card.min_confidence if given is None else given
        self.batch: BatchSize = classifier.batch_size(options.batch_size)
        self.check = PictureCheck()
        self.notices: list[str] = []
        self._told: list[str] = list(classifier.notices)
        self.evidence: EvidenceSum | None = None

    def predict(self, tiles: TileBatch) -> Generator[tuple[TileBatch, Evidence | None]]:
        """Forward passes over tiles that have data, in smaller batches when memory runs out."""
        rest = tiles
        if not tiles.finite.all():
            rest = tiles.pick(tiles.finite)
            yield tiles.pick(~tiles.finite), None
        while len(rest.rows):
            count = min(self.batch.size, len(rest.rows))
            begun = time.perf_counter()
            try:
                evidence = self._evidence(rest.pixels[:count])
            except RuntimeError as error:
                if not (out_of_memory(error) or device_failed(error)):
                    raise
                self._make_do(error)
                continue
            self.batch.record(count, time.perf_counter() - begun)
            if not np.isfinite(evidence.logits).all():
                raise DeviceError(
                    f"{self.classifier.device.title} computed values that are not finite in "
                    f"{self.classifier.precision}; choose the precision 'fp32' or the device 'cpu'"
                )
            yield rest.pick(slice(count)), evidence
            rest = rest.pick(slice(count, None))

    def _evidence(self, pixels: NDArray[np.uint8]) -> Evidence:
        if self.features is None:
            return self.classifier.predict(pixels)
        return self.classifier.predict(pixels, with_features=True)

    def take_in(self, part: tuple[TileBatch, Evidence | None]) -> tuple[str, CellUpdate | None]:
        """Add the evidence of a batch; returns what to tell and the cells that are known now."""
        tiles, evidence = part
        notice = "; ".join(self._told)
        self.notices += self._told
        self._told = []
        if evidence is None:
            return notice, None
        self.add(np.stack([tiles.rows, tiles.columns], axis=1), evidence.class_maps)
        if self.features is not None and evidence.features is not None:
            for row, column, seen, pixels in zip(
                tiles.rows, tiles.columns, evidence.features, tiles.pixels, strict=True
            ):
                self.features.add(int(row), int(column), seen, pixels)
        self.check.add(tiles.pixels)
        return notice, self._update(tiles)

    def add(self, positions: NDArray[np.intp], class_maps: NDArray[np.float32]) -> None:
        """Add the (n, classes, h, w) evidence of tiles, whose rows and columns are (n, 2)."""
        for (row, column), maps in zip(positions.tolist(), class_maps, strict=True):
            if self.evidence is None:
                self.evidence = EvidenceSum(self.grid, classes=len(maps), map_px=maps.shape[1])
            self.evidence.add(row, column, maps)

    def _update(self, tiles: TileBatch) -> CellUpdate:
        top, bottom = int(tiles.rows.min()), int(tiles.rows.max()) + self.grid.overlap
        left, right = int(tiles.columns.min()), int(tiles.columns.max()) + self.grid.overlap
        area = (slice(top, bottom), slice(left, right))
        labels, probabilities, processed, _ = self._answers(*area)
        rows, columns = np.nonzero(processed)
        return CellUpdate(
            rows + top, columns + left, labels[processed], probabilities.max(axis=-1)[processed]
        )

    def _answers(self, rows: slice, columns: slice = slice(None)) -> Answers:
        evidence = self.evidence or EvidenceSum(self.grid, classes=len(self.minerals), map_px=1)
        logits, maps, answered = evidence.cells(rows, columns)
        processed = answered & self.wanted[rows, columns]
        probabilities = self.classifier.probabilities(logits) * processed[..., np.newaxis]
        labels = label_cells(probabilities, processed, self.minerals, min_confidence=self.min_confidence)
        return labels, probabilities, processed, maps

    def _make_do(self, error: RuntimeError) -> None:
        """Go on with smaller batches where memory ran out, and with the CPU where that does not help."""
        if out_of_memory(error) and self.batch.halve():
            if self.classifier.device.torch_device.type == "cuda":
                torch.cuda.empty_cache()
            self._told.append(f"memory ran out: going on with batches of {self.batch.size}")
            return
        self.classifier = without_gpu(self.classifier, error)
        self.batch = self.classifier.batch_size(self.options.batch_size)
        self._told.append(self.classifier.notices[-1])

    def result(self, *, complete: bool, tiles: int) -> MineralMap:
        """Return the map of what was gathered."""
        labels, probabilities, processed, maps = joined_rows(self._answers, self.grid.rows)
        card, micrograph = self.classifier.card, self.micrograph
        holes = micrograph.holes()
        run_record = RunRecord(
            options=self.options,
            min_confidence=self.min_confidence,
            temperature=card.temperature,
            device=self.classifier.device.title,
            precision=self.classifier.precision,
            batch_size=self.batch.size,
            tiles=tiles,
            seconds=round(time.perf_counter() - self.begun, 3),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            complete=complete,
            missing_chunks=holes.missing,
            damaged_chunks=holes.damaged,
            notices=tuple(self.notices),
            software=_software(),
        )
        return MineralMap(
            grid=self.grid,
            labels=labels,
            probabilities=probabilities,
            class_maps=maps,
            processed=processed,
            minerals=self.minerals,
            um_per_px=micrograph.um_per_px,
            um_per_px_source=micrograph.um_per_px_source,
            picture=PictureRecord.of(micrograph),
            model=ModelRecord.of(card),
            run=run_record,
            warnings=(
                *self.check.warnings(),
                *check_chunks(holes),
                *check_map(labels, probabilities, processed, self.minerals),
                *(check_scale(micrograph, card) if self.options.tile_px is None else ()),
            ),
        )


@cache
def _software() -> dict[str, str]:
    return {name: version(name) for name in ("napari-ore-minerals", "torch", "timm", "numpy")}
