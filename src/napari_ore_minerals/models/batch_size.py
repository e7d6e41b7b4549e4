"""The batch size with which a device is fastest, found while it works."""

from __future__ import annotations

from dataclasses import dataclass, field

TRIALS = 4  # of a batch size: the first one also pays for its set-up, and tiles are being read meanwhile


@dataclass
class BatchSize:
    """Finds the fastest batch size while working, and halves it when memory runs out.

    Sizes double while tiles per second grow by more than 5 %.
    """

    largest: int
    size: int = 4
    settled: bool = False
    rates: dict[int, list[float]] = field(default_factory=dict)

    def record(self, tiles: int, seconds: float) -> None:
        """Take note that a batch of `tiles` took `seconds`."""
        if self.settled or tiles < self.size:
            return
        self.rates.setdefault(self.size, []).append(tiles / max(seconds, 1e-9))
        if len(self.rates[self.size]) < TRIALS:
            return
        best = max(self.rates, key=lambda size: max(self.rates[size]))
        gained = max(self.rates[self.size]) > 1.05 * max(*self.rates.get(self.size // 2, [0.0]), 1e-09)
        if gained and self.size * 2 <= self.largest:
            self.size *= 2
        else:
            self.size, self.settled = best, True

    def halve(self) -> bool:
        """After running out of memory: use half the size from now on; False if it is 1 already."""
        if self.size == 1:
            return False
        self.size //= 2
        self.largest, self.settled = self.size, True
        return True
