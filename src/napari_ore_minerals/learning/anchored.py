"""A small classifier of cells that sees each one beside the rest of its photograph.

A few networks of one hidden layer on the values of `images.anchoring`.  They learn from
every cell of one mineral, also of tiles that hold several; from parts of each photograph
as if they were photographs, so that they do not count on all minerals being there to
compare with; and under other lamps.  A training takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_ore_minerals.errors import DatasetError

from .anchored_options import AnchoredOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.anchoring import CellColours, Look

__all__ = ["AnchoredClassifier", "AnchoredOptions", "LabelledCells", "means_of_tiles", "train_anchored"]

LARGEST = 4.0  # standard deviations; what is further out is clipped
BATCH = 512


@dataclass(frozen=True)
class LabelledCells:
    """The cells of one photograph, and what is in them.

    Attributes
    ----------
    colours : CellColours
    shares : (rows, columns, classes) float32 array
        Share of each class; rows of a cell that is only partly known add up to less than 1.
    """

    colours: CellColours
    shares: NDArray[np.float32]


class AnchoredClassifier:
    """Networks on anchored values, with the centre and spread of each value."""

    def __init__(
        self, networks: list[nn.Module], centre: torch.Tensor, spread: torch.Tensor, *, look: Look
    ) -> None:
        self.networks, self.centre, self.spread, self.look = networks, centre, spread, look

    def probabilities(self, colours: CellColours) -> NDArray[np.float32]:
        """Classify the cells of one photograph: (rows, columns, classes), adding up to 1."""
        values = torch.from_numpy(colours.features(self.look))
        with torch.inference_mode():
            scaled = _scaled(values, self.centre, self.spread)
            answers = torch.stack([network(scaled).softmax(dim=-1) for network in self.networks])
        mean: NDArray[np.float32] = answers.mean(dim=0).numpy()
        return mean

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that was learnt, from which `of_tensors` makes the same classifier."""
        found = {"centre": self.centre, "spread": self.spread}
        for number, network in enumerate(self.networks):
            found |= {f"networks.{number}.{name}": tensor for name, tensor in network.state_dict().items()}
        return {name: tensor.contiguous() for name, tensor in found.items()}

    @classmethod
    def of_tensors(
        cls, tensors: dict[str, torch.Tensor], options: AnchoredOptions, classes: int
    ) -> AnchoredClassifier:
        """Make the classifier again whose `tensors` these are; KeyError or RuntimeError if they do not fit."""
        centre, spread = tensors["centre"], tensors["spread"]
        networks = []
        for number in range(options.networks):
            start = f"networks.{number}."
            own = {name.removeprefix(start): it for name, it in tensors.items() if name.startswith(start)}
            network = _network(len(centre), options.hidden, classes)
            network.load_state_dict(own, strict=True)
            networks.append(network.eval().requires_grad_(False))
        return cls(networks, centre, spread, look=options.look)


def train_anchored(
    photographs: Sequence[LabelledCells], options: AnchoredOptions | None = None
) -> AnchoredClassifier:
    """Learn from photographs whose minerals are known.

    Parameters
    ----------
    photographs
        Of at least two, with at least two minerals among their pure cells.
    options
        How to train; the same seed gives the same classifier on the same computer.

    Raises
    ------
    DatasetError
        If there are too few photographs or minerals.
    """
    chosen = options or AnchoredOptions()
    if len(photographs) < 2:
        raise DatasetError(f"learning needs at least two photographs with masks, not {len(photographs)}")
    random = np.random.default_rng(chosen.seed)
    drawn = [part for photograph in photographs for part in _drawn(photograph, chosen, random)]
    values = torch.from_numpy(np.concatenate([part[0] for part in drawn]))
    labels = np.concatenate([part[1] for part in drawn])
    numbers = np.repeat(np.arange(len(drawn)) // (1 + chosen.crops), [len(part[1]) for part in drawn])
    if len(np.unique(labels)) < 2:
        raise DatasetError(
            f"learning needs cells of at least two minerals; {len(labels)} cells of "
            f"{len(np.unique(labels))} are at least {chosen.pure:.0%} of one mineral"
        )
    classes = photographs[0].shares.shape[2]
    weights = torch.from_numpy(_weights(labels, numbers, classes))
    centre, spread = values.mean(dim=0), values.std(dim=0).clamp(min=1e-6)
    data = _Data(_scaled(values, centre, spread), torch.from_numpy(labels), weights, classes)
    networks = [_trained(data, chosen, chosen.seed + number) for number in range(chosen.networks)]
    return AnchoredClassifier(networks, centre, spread, look=chosen.look)


@dataclass(frozen=True)
class _Data:
    values: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    classes: int


def means_of_tiles(cells: NDArray[np.float32], per_tile: int) -> NDArray[np.float32]:
    """Mean of (rows, columns, classes) probabilities over whole tiles of `per_tile` x `per_tile` cells."""
    rows, columns = (length // per_tile for length in cells.shape[:2])
    whole = cells[: rows * per_tile, : columns * per_tile]
    means: NDArray[np.float32] = whole.reshape(rows, per_tile, columns, per_tile, -1).mean(axis=(1, 3))
    return means


def _drawn(
    photograph: LabelledCells, options: AnchoredOptions, random: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Values and labels of some pure cells of a photograph, then of its parts."""
    for number in range(1 + options.crops):
        colours, shares, most = photograph.colours, photograph.shares, options.most
        if number:
            rows, columns = _part(colours.shape, random)
            colours, shares, most = colours.crop(rows, columns), shares[rows, columns], options.most // 5
            red, blue = np.exp(options.balance * random.standard_normal(2))
            light = np.exp(options.exposure * random.standard_normal())
            colours = colours.relit([light * red, light, light * blue])
        labels = shares.argmax(axis=2).ravel()
        pure = shares.max(axis=2).ravel() >= options.pure
        picked = [
            random.permutation(np.flatnonzero(pure & (labels == label)))[:most]
            for label in range(shares.shape[2])
        ]
        cells = np.concatenate(picked)
        values = colours.features(options.look)
        yield values.reshape(len(labels), -1)[cells], labels[cells].astype(np.int64)


def _part(shape: tuple[int, int], random: np.random.Generator) -> tuple[slice, slice]:
    """A part of a quarter to four fifths of the height and width, at random."""
    share = random.uniform(0.25, 0.8)
    sides = [max(1, int(share * length)) for length in shape]
    starts = [int(random.integers(0, length - side + 1)) for length, side in zip(shape, sides, strict=True)]
    rows, columns = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return rows, columns


def _weights(labels: NDArray[np.int64], photographs: NDArray[np.intp], classes: int) -> NDArray[np.float32]:
    """Weigh classes alike, and photographs within a class by the root of their cells."""
    pairs = photographs * classes + labels
    weights = 1.0 / np.sqrt(np.bincount(pairs)[pairs])
    weights /= np.bincount(labels, weights)[labels]
    found: NDArray[np.float32] = (weights * len(labels) / weights.sum()).astype(np.float32)
    return found


def _scaled(values: torch.Tensor, centre: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    return ((values - centre) / spread).clamp(-LARGEST, LARGEST)


def _network(values: int, hidden: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(values, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def _trained(data: _Data, options: AnchoredOptions, seed: int) -> nn.Module:
    """Train one network of one hidden layer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(data.values.shape[1], options.hidden, data.classes)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01, fused=True)
    batches = -(-len(data.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs * batches)
    for _ in range(options.epochs):
        order = torch.randperm(len(data.labels), generator=generator)
        for start in range(0, len(order), BATCH):
            cells = order[start : start + BATCH]
            losses = functional.cross_entropy(
                network(data.values[cells]), data.labels[cells], reduction="none"
            )
            loss = (losses * data.weights[cells]).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval().requires_grad_(False)
