"""Classification in parts that are kept on disk: it goes on after a kill, and gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.images.pixels import Window
from napari_ore_minerals.images.tile_reader import TileBatch, TileReader
from napari_ore_minerals.maps.checks import PictureCheck
from napari_ore_minerals.maps.parts import PART_TILES, Part, PartFolder
from napari_ore_minerals.maps.predict import Task, plan
from napari_ore_minerals.models.batch_size import BatchSize
from napari_ore_minerals.progress import Progress, Steps

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.maps.records import ClassifyOptions
    from napari_ore_minerals.models.classifier import Classifier, Evidence

CPU_BATCH, OTHER_BATCH = 8, 128  # fixed, since the last bits of an answer depend on the batch
FEWEST_PARTS = 3  # smaller pictures are done before a kill would matter
_SOFTWARE = ("napari-ore-minerals", "torch", "timm", "numpy")


def part_folder(
    result: Path, micrograph: Micrograph, classifier: Classifier, options: ClassifyOptions
) -> PartFolder | None:
    """Where the parts of a classification are kept; None for a picture that is too small for it.

    Parameters
    ----------
    result
        The result folder that is to be made.
    micrograph, classifier, options
        As for `resumable_steps`.
    """
    grid = plan(micrograph, classifier.card, options)
    if grid.tile_count < FEWEST_PARTS * PART_TILES:
        return None
    return PartFolder(result, _key(micrograph, classifier, options))


def resumable_steps(
    micrograph: Micrograph, classifier: Classifier, options: ClassifyOptions, parts: PartFolder | None
) -> Steps[MineralMap]:
    """Classify a picture part by part, in batches of one size, which gives the same bits every time.

    Parameters
    ----------
    micrograph
        The picture, best opened with ``ReadOptions(salvage=True)``: chunks that cannot be read are left out.
    classifier, options
        As for `classify_steps`.
    parts
        Where parts are read from and kept, held by the caller; None keeps none.

    Yields
    ------
    Progress
        In tiles; its ``update`` is a `CellUpdate`, None for what was known before. Sending True stops: the map
        so far is returned, and the parts that are complete are kept.

    Returns
    -------
    MineralMap

    Raises
    ------
    PictureError
        If nothing of the picture can be read, or it is gone.
    ResultError
        If the disk refuses.
    OptionError, DeviceError
        As `classify_steps`.
    """
    run = _Run(micrograph, classifier, options, parts)
    total = len(run.positions)
    complete = True
    if run.known:
        told = f"{len(run.known)} of {run.count} parts were classified before: going on"
        yield Progress(0, total, "tiles", "classifying", told)
    with run.reader() as reader:
        for number in range(run.count):
            steps = run.recalled(number) if number in run.known else run.computed(number, reader)
            for done, notice, update in steps:
                if (yield Progress(done, total, "tiles", "classifying", notice, update)) and done < total:
                    complete = False
                    break
            if not complete:
                break
    return run.result(complete=complete)


class _Run:
    """What `resumable_steps` knows."""

    def __init__(
        self,
        micrograph: Micrograph,
        classifier: Classifier,
        options: ClassifyOptions,
        parts: PartFolder | None,
    ) -> None:
        self.task = Task(micrograph, classifier, options, wanted=None, features=None)
        size = _batch(classifier, options)
        self.task.batch = BatchSize(largest=size, size=size, settled=True)
        self.positions = self.task.grid.tiles_for(self.task.wanted)
        self.count = -(-len(self.positions) // PART_TILES)
        self.known = frozenset() if parts is None else parts.known(self.count)
        self._micrograph, self._parts = micrograph, parts
        self._exposure, self._done, self._seen = PictureCheck(), 0, 0

    def reader(self) -> TileReader:
        """Reads the tiles of all parts that are not known."""
        numbers = np.arange(len(self.positions)) // PART_TILES
        wanted = self.positions[~np.isin(numbers, list(self.known))]
        card = self.task.classifier.card
        return TileReader(self._micrograph, self.task.grid, wanted, input_px=card.input_px)

    def recalled(self, number: int) -> Iterator[tuple[int, str, Any]]:
        """Take in a part that was kept."""
        if self._parts is None:
            return
        part, here = self._parts.read(number), self._tiles(number)
        self.task.add(here[part.seen], part.class_maps)
        self._exposure.merge(part.exposure)
        self.task.begun -= float(part.seconds[0])
        self._done += len(here)
        self._seen += int(part.seen.sum())
        yield self._done, "", None

    def computed(self, number: int, reader: TileReader) -> Iterator[tuple[int, str, Any]]:
        """Classify a part and keep it."""
        begun, here = time.perf_counter(), self._tiles(number)
        self.task.check = PictureCheck()
        left, found = len(here), list[tuple[TileBatch, "Evidence | None"]]()
        while left:
            tiles = reader.take(min(self.task.batch.size, left))
            if tiles is None:
                break
            left -= len(tiles.rows)
            for part in self.task.predict(tiles):
                notice, update = self.task.take_in(part)
                found.append(part)
                self._done += len(part[0].rows)
                if not left and sum(len(tiles.rows) for tiles, _ in found) == len(here):
                    self._keep(number, here, found, time.perf_counter() - begun)
                yield self._done, notice, update

    def _keep(
        self,
        number: int,
        here: NDArray[np.intp],
        found: list[tuple[TileBatch, Evidence | None]],
        seconds: float,
    ) -> None:
        exposure = self.task.check.state()
        self._exposure.merge(exposure)
        known = {
            (int(row), int(column)): maps
            for tiles, evidence in found
            if evidence is not None
            for row, column, maps in zip(tiles.rows, tiles.columns, evidence.class_maps, strict=True)
        }
        seen = np.array([(int(row), int(column)) in known for row, column in here])
        self._seen += int(seen.sum())
        if self._parts is None or not self._all_sound(here[~seen]):
            return
        maps = [known[int(row), int(column)] for row, column in here[seen]]
        stacked = np.stack(maps) if maps else np.zeros((0, 1, 1, 1), np.float32)
        self._parts.write(number, Part(seen, stacked, exposure, np.array([seconds])))

    def _all_sound(self, blank: NDArray[np.intp]) -> bool:
        """Whether tiles without data have none in the picture; damaged ones are tried again next time."""
        grid, picture = self.task.grid, self._micrograph
        for row, column in blank.tolist():
            top, left, side, _ = grid.window(row, column)
            size = min(side, picture.height_px - top), min(side, picture.width_px - left)
            if not picture.sound(Window(top, left, *size)):
                if picture.path is not None and not picture.path.exists():
                    raise PictureError(
                        f"{picture.name}: is no longer there; run again when it is back: "
                        f"{self._done} of {len(self.positions)} tiles are done"
                    )
                return False
        return True

    def _tiles(self, number: int) -> NDArray[np.intp]:
        return self.positions[number * PART_TILES : (number + 1) * PART_TILES]

    def result(self, *, complete: bool) -> MineralMap:
        """Return the map of what was gathered."""
        holes = self._micrograph.holes()
        if complete and not self._seen and holes.damaged:
            raise PictureError(
                f"{self._micrograph.name}: none of its {holes.chunks} tiles or chunks can be read; the picture is "
                "damaged, or needs a codec that is not installed"
            )
        self.task.check = self._exposure
        return self.task.result(complete=complete, tiles=self._done)


def _batch(classifier: Classifier, options: ClassifyOptions) -> int:
    if options.batch_size is not None:
        return options.batch_size
    return CPU_BATCH if classifier.device.torch_device.type == "cpu" else OTHER_BATCH


def _key(micrograph: Micrograph, classifier: Classifier, options: ClassifyOptions) -> str:
    """SHA-256 of all that the evidence of tiles depends on."""
    card = classifier.card
    facts = {
        "picture": [micrograph.fingerprint(), micrograph.holes().missing, *_file(micrograph)],
        "grid": str(plan(micrograph, card, options)),
        "model": card.model_dump(mode="json", exclude={"training", "metrics", "provenance"}),
        "computed": [classifier.device.title, classifier.precision, _batch(classifier, options)],
        "software": [version(name) for name in _SOFTWARE],
        "tiles in a part": PART_TILES,
        "noted of them": len(PictureCheck().state()),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _file(micrograph: Micrograph) -> list[int]:
    """Size and time of the picture's file; of a folder its own time, which chunks in folders do not change."""
    if micrograph.path is None:
        return []
    found = micrograph.path.stat()
    return [found.st_size, found.st_mtime_ns]
