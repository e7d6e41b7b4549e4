"""A classifier for somebody who waits: batches short enough that a cancel is answered at once."""

from __future__ import annotations

from napari_ore_minerals.models.batch_size import BatchSize
from napari_ore_minerals.models.classifier import Classifier

LONGEST_S = 0.35


class ShortBatches(BatchSize):
    """Finds the fastest batch size that takes at most `LONGEST_S`."""

    slow: int = 0

    def record(self, tiles: int, seconds: float) -> None:
        """Take note that a batch of `tiles` took `seconds`; the first of a size also pays for its set-up."""
        self.slow = self.slow + 1 if seconds > LONGEST_S else 0
        if self.slow >= 2:
            self.halve()
            self.slow = 0
        else:
            super().record(tiles, seconds)


class WaitedForClassifier(Classifier):
    """A Classifier whose own choice of batch size keeps batches short."""

    _finding = ShortBatches
