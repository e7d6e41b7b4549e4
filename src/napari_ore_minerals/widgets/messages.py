"""What the viewer and the classifier's process say to each other.

The viewer's process must not import torch, so nothing here does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_ore_minerals.images.pixels import Guess, PictureAnswers, Pixels, Window
    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.learning.corrections import Cell, Correction
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.maps.records import ClassifyOptions
    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.devices import DeviceName, Precision


class Load(NamedTuple):
    """Have this model ready on this device; `measure` asks for its speed."""

    model: Path
    device: DeviceName = "auto"
    precision: Precision = "auto"
    measure: bool = False


class PictureFacts(NamedTuple):
    """All of a Micrograph but its pixels."""

    name: str
    height_px: int
    width_px: int
    um_per_px: float | None
    um_per_px_source: str
    guesses: tuple[Guess, ...]
    answers: PictureAnswers
    path: Path | None


class Run(NamedTuple):
    """Classify a picture whose pixels are asked for with `WindowWanted`."""

    job: int
    load: Load
    picture: PictureFacts
    options: ClassifyOptions
    wanted: NDArray[np.bool_] | None
    first: Window | None


class Stop(NamedTuple):
    """Return what this job has so far."""

    job: int


class WindowRead(NamedTuple):
    """The pixels that were asked for, or in one sentence why there are none."""

    number: int
    pixels: Pixels | None
    problem: str = ""


class Ready(NamedTuple):
    """The model is loaded; `tiles_per_second` is 0 if it was not to be measured."""

    load: Load
    device: str
    why: str
    precision: str
    notices: tuple[str, ...]
    tiles_per_second: float = 0.0


class WindowWanted(NamedTuple):
    """Pixels of a picture are needed; `number` comes back with them."""

    job: int
    number: int
    window: Window


class Cells(NamedTuple):
    """Cells whose answer is known now."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]


class Advance(NamedTuple):
    """A job got on."""

    job: int
    done: int
    total: int
    cells: tuple[Cells, ...] = ()
    notices: tuple[str, ...] = ()


class Done(NamedTuple):
    """A job's map, of a part of the picture if it was stopped."""

    job: int
    mineral_map: MineralMap


class MapKey(NamedTuple):
    """Which run a map is from: a picture may be classified with several models, tiles and parts."""

    picture: str
    grid: TileGrid
    model: str
    created: str
    seconds: float

    @classmethod
    def of(cls, mineral_map: MineralMap) -> MapKey:
        """Key of a map, which stays the same while the map follows."""
        run, model = mineral_map.run, mineral_map.model.weights_sha256
        return cls(mineral_map.picture.fingerprint, mineral_map.grid, model, run.created, run.seconds)


class Follow(NamedTuple):
    """Let a map of this process follow corrections; of those that wait, the newest of a map is answered."""

    job: int
    of: MapKey
    corrections: tuple[Correction, ...]
    minerals: MineralTable
    seen: frozenset[Cell] = frozenset()


class Followed(NamedTuple):
    """The map that follows, and the cell whose answer would teach most now; None if all were seen."""

    job: int
    mineral_map: MineralMap
    next_cell: Cell | None
    seconds: float


class NotFollowed(NamedTuple):
    """Why a map could not follow, in one sentence; corrections are kept."""

    job: int
    sentence: str


class Failed(NamedTuple):
    """A job (0: loading a model) that could not be done; the process lives on."""

    job: int
    sentence: str


class Ended(NamedTuple):
    """The classifier's process is gone."""

    exit_code: int
    last_words: str
