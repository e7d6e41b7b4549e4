"""A small classifier of cells that sees each one beside the rest of its photograph.

A few networks of one hidden layer on the values of `images.anchoring`.  They learn from
every cell of one mineral, also of tiles that hold several; from parts of each photograph
as if they were photographs, so that they do not count on all minerals being there to
compare with; and under other lamps.  A training takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.anchoring import Look

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.anchoring import CellColours

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


class AnchoredOptions(BaseModel):
    """How to train an `AnchoredClassifier`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    look: Look = Field(
        "both", title="Look", description="Cells beside their photograph, as they are, or both"
    )
    crops: Annotated[int, Field(ge=0, le=100)] = Field(
        8, title="Parts", description="Parts of each photograph shown as photographs, beside the whole"
    )
    exposure: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.1, title="Exposure", description="Standard deviation of the logarithm of the light on the parts"
    )
    balance: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.03, title="White balance", description="The same for red and blue against green"
    )
    most: Annotated[int, Field(ge=5)] = Field(
        60, title="Cells", description="Of one mineral from a whole photograph; a fifth of it from each part"
    )
    pure: Annotated[float, Field(gt=0.5, le=1.0)] = Field(
        0.95, title="Pure", description="Least share of one mineral in a cell to learn from"
    )
    networks: Annotated[int, Field(ge=1, le=100)] = Field(
        4, title="Networks", description="Whose answers are averaged"
    )
    hidden: Annotated[int, Field(ge=1, le=10_000)] = Field(
        64, title="Hidden values", description="Of each network"
    )
    epochs: Annotated[int, Field(ge=1, le=10_000)] = Field(
        15, title="Epochs", description="Passes over the cells"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, title="Seed", description="Of all randomness")


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


def _trained(data: _Data, options: AnchoredOptions, seed: int) -> nn.Module:
    """Train one network of one hidden layer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(data.values.shape[1], options.hidden),
            nn.ReLU(),
            nn.Linear(options.hidden, data.classes),
        )
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
