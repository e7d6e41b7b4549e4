"""What a run of the classifier is asked to do, and what is known of it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_ore_minerals.widgets.messages import Advance, Load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import Window
    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.maps.records import ClassifyOptions


class Task(NamedTuple):
    """What to classify, and how."""

    open_picture: Callable[[], Micrograph]
    load: Load
    options: ClassifyOptions
    grid: TileGrid
    wanted: NDArray[np.bool_] | None = None
    first: Window | None = None


@dataclass
class Gathered:
    """The cells that are known so far; all that is left if the process has to be killed."""

    task: Task
    job: int
    begun: float = field(default_factory=monotonic)
    heard: float = field(default_factory=monotonic)
    done: int = 0
    total: int = 0
    stopped: float | None = None

    def __post_init__(self) -> None:
        self.labels = np.zeros(self.task.grid.shape, np.uint8)
        self.confidence = np.zeros(self.task.grid.shape, np.float32)
        self.processed = np.zeros(self.task.grid.shape, np.bool_)

    def add(self, advance: Advance) -> None:
        """Take in what a message tells."""
        self.done, self.total = advance.done, advance.total
        for cells in advance.cells:
            where = cells.rows, cells.columns
            self.labels[where], self.confidence[where], self.processed[where] = (
                cells.labels,
                cells.confidence,
                True,
            )
