"""A head start: before a network is fine-tuned, its last layer is fitted to what it is about to learn.

Training that begins with a head which answers at random spoils the features below it (Kumar et al. 2022, ICLR:
first the linear layer, then the rest).  The fit is that of `head_change`, which moves the parent's own head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_ore_minerals.progress import Progress, Steps

from .head_change import Examples, fitted_change, log_softmax
from .replay import at_most

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray
    from torch import nn

    from .dataset import TileSamples
    from .imagenet import Normalisation

NEW_BIAS = -2.3  # of a mineral that the parent does not know, before it is taught: log 0.1
EARLIER_TILES = 100  # of a mineral, at most
_AT_ONCE = 32


def quieten_new_minerals(network: nn.Module, samples: TileSamples, known: Collection[str]) -> None:
    """Let a network answer minerals that its parent does not know nowhere, until it learns them.

    Parameters
    ----------
    network
        With an output for each mineral of `samples`.
    known
        Names of the parent's minerals.
    """
    head = network.get_classifier()  # type: ignore[operator]
    names = {name.casefold() for name in known}
    with torch.no_grad():
        for index, mineral in enumerate(samples.minerals):
            if mineral.name.casefold() not in names:
                head.weight[index] = 0.0
                head.bias[index] = NEW_BIAS


def fit_head_steps(
    network: nn.Module, taught: TileSamples, earlier: TileSamples, normalisation: Normalisation
) -> Steps[None]:
    """Fit the last layer to corrections and earlier tiles, on features as they are.

    Parameters
    ----------
    network
        Its last layer is changed.
    taught, earlier
        In the minerals of its outputs; of the earlier ones, those of one clear mineral count.
    normalisation
        Mean and std of the model's card.

    Yields
    ------
    Progress
        In ``"tiles"``.

    Raises
    ------
    TrainingError
        If a feature is not finite.
    """
    earlier = at_most(earlier.select(earlier.clear()), EARLIER_TILES, 0)
    total, found = len(taught) + len(earlier), []
    for part in (taught, earlier):
        for start in range(0, len(part), _AT_ONCE):
            tiles = np.ascontiguousarray(part.tiles[start : start + _AT_ONCE])
            found.append(_features(network, tiles, normalisation))
            yield Progress(sum(map(len, found)), total, "tiles", "looking at what is learnt")
    _move_head(network, torch.cat(found).double().numpy(), np.concatenate([taught.labels, earlier.labels]))


def _move_head(network: nn.Module, values: NDArray[np.float64], labels: NDArray[np.intp]) -> None:
    """Fit the change of the last layer to (n, d) features and (n,) classes, and make it."""
    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6) * np.sqrt(values.shape[1])
    head = network.get_classifier()  # type: ignore[operator]
    weights, bias = (one.detach().cpu().numpy().astype(np.float64) for one in (head.weight, head.bias))
    scaled = ((values - mean) / spread).astype(np.float32)
    change = fitted_change(Examples(scaled, log_softmax(values @ weights.T + bias), labels))
    moved = change.weights / spread[:, np.newaxis]
    with torch.no_grad():
        head.weight += torch.from_numpy(moved.T).to(head.weight)
        head.bias += torch.from_numpy(change.bias - mean @ moved).to(head.bias)


def _features(network: nn.Module, tiles: NDArray[np.uint8], normalisation: Normalisation) -> torch.Tensor:
    """What the last layer is given for each tile, (n, d)."""
    pixels = torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255.0
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in normalisation)
    network.eval()
    with torch.inference_mode():
        maps = network.forward_features((pixels - mean) / std)  # type: ignore[operator]
        found: torch.Tensor = network.forward_head(maps, pre_logits=True)  # type: ignore[operator]
    return found
