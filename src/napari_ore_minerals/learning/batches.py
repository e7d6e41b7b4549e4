"""The batches of a training: which tiles, in which order, on which process; and all randomness."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import set_seed

from .augmentation import Batch, augment
from .dataset import TileSamples, balancing_weights

if TYPE_CHECKING:
    from accelerate import Accelerator

    from .options import TrainOptions


class Batches:
    """Augmented batches, the same from the same seed.

    The order is drawn apart from what is changed in tiles, so that networks that take tiles of other sizes
    see the same order.  With several processes all draw the same order, each takes its part of every batch
    and draws changes of its own.

    Attributes
    ----------
    order : (n,) int64 tensor
        Indices of the samples of this epoch; empty before the first.
    """

    def __init__(self, samples: TileSamples, options: TrainOptions, accelerator: Accelerator) -> None:
        self.samples, self.options, self.accelerator = samples, options, accelerator
        self.count = options.samples_per_epoch or len(samples)
        self.order = torch.empty(0, dtype=torch.int64)
        set_seed(options.seed, device_specific=accelerator.num_processes > 1)
        self._orders = torch.Generator().manual_seed(options.seed)
        self._changes = torch.Generator().manual_seed(options.seed + 1 + accelerator.process_index)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(self.count / self.options.batch_size)

    def begin_epoch(self) -> None:
        """Draw the order of an epoch."""
        if self.options.balanced or self.options.samples_per_epoch:
            weights = balancing_weights(self.samples) if self.options.balanced else np.ones(len(self.samples))
            self.order = torch.multinomial(
                torch.from_numpy(weights), self.count, True, generator=self._orders
            )
        else:
            self.order = torch.randperm(self.count, generator=self._orders)

    def after(self, done: int) -> Iterator[Batch]:
        """Yield the batches of this epoch that come after the first `done`, on the device."""
        size = self.options.batch_size
        for start in range(done * size, len(self.order), size):
            batch = self._read(self._own_part(self.order[start : start + size]).numpy())
            yield augment(batch, self.options.augmentation, self._changes)

    def state(self) -> dict[str, torch.Tensor]:
        """Return what is needed to go on with the same batches; all processes must call it.

        Generators have a row for each process.
        """
        states = {"orders": self._orders.get_state(), "changes": self._changes.get_state()}
        states["torch"] = torch.get_rng_state()
        if self.accelerator.device.type != "cpu":
            states["device"] = torch.get_device_module(self.accelerator.device).get_rng_state()
        rows = {name: state.to(self.accelerator.device)[None] for name, state in states.items()}
        gathered = {name: self.accelerator.gather(row).cpu() for name, row in rows.items()}
        return gathered | {"order": self.order}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        process = self.accelerator.process_index
        own = {name: rows[process % len(rows)] for name, rows in state.items() if name != "order"}
        self.order = state["order"]
        self._orders.set_state(own["orders"])
        self._changes.set_state(own["changes"])
        torch.set_rng_state(own["torch"])
        if self.accelerator.device.type != "cpu" and "device" in own:
            torch.get_device_module(self.accelerator.device).set_rng_state(own["device"])

    def _own_part(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return every n-th of a batch for n processes, filled up from its beginning to equal parts."""
        processes, own = self.accelerator.num_processes, self.accelerator.process_index
        missing = -len(chosen) % processes
        return torch.cat([chosen, chosen.repeat(processes)[:missing]])[own::processes]

    def _read(self, chosen: np.ndarray) -> Batch:
        samples, device = self.samples, self.accelerator.device
        tiles, fractions = (
            torch.from_numpy(np.ascontiguousarray(values[chosen])).to(device)
            for values in (samples.tiles, samples.fractions)
        )
        dense = None if samples.dense is None else torch.from_numpy(samples.dense[chosen]).to(device)
        return Batch(tiles.permute(0, 3, 1, 2).float() / 255.0, fractions, dense)
