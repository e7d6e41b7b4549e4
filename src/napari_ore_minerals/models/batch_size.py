"""The batch size with which a device is fastest, found while it works."""

from __future__ import annotations

from dataclasses import dataclass, field

TRIALS = 4  # of a batch size: the first one also pays for its set-up, and tiles are being read meanwhile

MUCH = 0.03


@dataclass
class BatchSize:
    """Finds the fastest batch size while working, and halves it when memory runs out.

    Sizes double until one is slower than the fastest by more than `MUCH`, in a second round of trials too:
    another program may have had the processor in the first.
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
        rates = {size: max(found) for size, found in self.rates.items()}
        best = max(rates, key=rates.__getitem__)
        fast = rates[self.size] >= (1 - MUCH) * rates[best]
        if fast and self.size * 2 <= self.largest:
            self.size *= 2
        elif fast or len(self.rates[self.size]) == 2 * TRIALS:
            self.size, self.settled = best, True

    def halve(self) -> bool:
        """After running out of memory: use half the size from now on; False if it is 1 already."""
        if self.size == 1:
            return False
        self.size //= 2
        self.largest, self.settled = self.size, True
        return True
