"""A head start: before a network is fine-tuned, its last layer is fitted to what it is about to learn.

Training that begins with a head which answers at random spoils the features below it (Kumar et al. 2022, ICLR:
first the linear layer, then the rest).  The fit is that of `head_change`, which moves the parent's own head.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_ore_minerals.progress import Progress, Steps

from .going_back import share_kept
from .head_change import Examples, fitted_change, log_softmax

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray
    from torch import nn

    from .dataset import TileSamples
    from .imagenet import Normalisation
    from .replay import Replay

NEW_BIAS = -2.3  # of a mineral that the parent does not know, before it is taught: log 0.1
WEIGHTS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)  # of an earlier tile beside a correction, tried in this order
LEAST_KEPT = 0.99  # by the new head, of what the model answered right; the rest is for the stages below it
SAID = 0.5  # of what an earlier tile teaches: what the model said of it
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
    network: nn.Module, taught: TileSamples, replay: Replay, normalisation: Normalisation
) -> Steps[Replay]:
    """Fit the last layer to corrections and earlier tiles, on features as they are.

    Half of what an earlier tile teaches is what is in it, half is what the model said of it (distillation:
    Hinton et al. 2015; Li and Hoiem 2016, Learning without Forgetting, ECCV).  Earlier tiles weigh as much as it
    takes for others of their kind to be answered as before.

    Parameters
    ----------
    network
        Its last layer is changed.
    taught
        In the minerals of its outputs.
    replay
        What is learnt again, and tiles to choose the weight with.
    normalisation
        Mean and std of the model's card.

    Yields
    ------
    Progress
        In ``"tiles"``.

    Returns
    -------
    Replay
        Whose tiles teach also what the model said of them.

    Raises
    ------
    TrainingError
        If a feature is not finite.
    """
    parts = (taught, replay.learnt, replay.chosen)
    total, found = sum(map(len, parts)), [list[torch.Tensor]() for _ in parts]
    done = 0
    for part, features in zip(parts, found, strict=True):
        for start in range(0, len(part), _AT_ONCE):
            tiles = np.ascontiguousarray(part.tiles[start : start + _AT_ONCE])
            features.append(_features(network, tiles, normalisation))
            done += len(tiles)
            yield Progress(done, total, "tiles", "looking at what is learnt")
    head = network.get_classifier()  # type: ignore[operator]
    values = [_joined(features, head.in_features) for features in found]
    weights, bias = (one.detach().cpu().numpy().astype(np.float64) for one in (head.weight, head.bias))
    unknown = np.where(weights.any(axis=1), 0.0, -np.inf)  # minerals that it does not know are said nowhere
    said = np.exp(log_softmax(values[1] @ weights.T + bias + unknown))
    softened = ((1 - SAID) * replay.learnt.fractions + SAID * said).astype(np.float32)
    learnt = replace(replay.learnt, fractions=softened)
    _fit(head, values, taught.labels, softened, replay.chosen.labels)
    return replace(replay, softened=learnt)


def _joined(features: list[torch.Tensor], width: int) -> NDArray[np.float64]:
    joined: NDArray[np.float64] = torch.cat([torch.zeros(0, width), *features]).double().numpy()
    return joined


def _fit(
    head: nn.Linear,
    values: list[NDArray[np.float64]],
    labels: NDArray[np.intp],
    softened: NDArray[np.float32],
    wanted: NDArray[np.intp],
) -> None:
    """Fit the change of the last layer, with as much weight of earlier tiles as it takes, and make it."""
    taught = np.concatenate(values[:2])
    mean, spread = taught.mean(axis=0), np.maximum(taught.std(axis=0), 1e-6) * np.sqrt(taught.shape[1])
    weights, bias = (one.detach().cpu().numpy().astype(np.float64) for one in (head.weight, head.bias))
    scaled = ((taught - mean) / spread).astype(np.float32)
    scores, choosing = (log_softmax(one @ weights.T + bias) for one in (taught, values[2]))
    truth = np.eye(len(weights))[labels]
    examples = Examples(scaled, scores, np.concatenate([labels, softened.argmax(axis=1)]))
    for weight in WEIGHTS:
        change = fitted_change(examples, targets=np.concatenate([truth, weight * softened]))
        moved: NDArray[np.float64] = change.weights / spread[:, np.newaxis]
        shift = change.bias - mean @ moved
        if not len(wanted):
            break
        now = choosing + values[2] @ moved + shift
        if share_kept(wanted, choosing.argmax(axis=1), now.argmax(axis=1)) >= LEAST_KEPT:
            break
    with torch.no_grad():
        head.weight.add_(torch.from_numpy(moved.T).to(head.weight))
        head.bias.add_(torch.from_numpy(shift).to(head.bias))


def _features(network: nn.Module, tiles: NDArray[np.uint8], normalisation: Normalisation) -> torch.Tensor:
    """What the last layer is given for each tile, (n, d)."""
    pixels = torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255.0
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in normalisation)
    network.eval()
    with torch.inference_mode():
        maps = network.forward_features((pixels - mean) / std)  # type: ignore[operator]
        found: torch.Tensor = network.forward_head(maps, pre_logits=True)  # type: ignore[operator]
    return found
