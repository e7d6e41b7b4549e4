"""Between a model and what it became: as far on the way as nothing is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from napari_ore_minerals.models.classifier import Classifier

    from .dataset import TileSamples

SHARES = (1.0, 0.8, 0.65, 0.5, 0.35, 0.2)
LEAST_KEPT = 0.97  # of the right answers of the model before, every mineral counting the same


_AT_ONCE = 32


def go_as_far_as_nothing_is_forgotten(
    taught: Classifier, way: Sequence[nn.Module], earlier: TileSamples, parent: Classifier
) -> float:
    """Move the weights of a taught model back on its way until earlier tiles that were answered right still are.

    What it answers better than before makes up for nothing: on so few tiles that is chance.

    Weights between those of a network and of its fine-tuned self keep most of what both know (WiSE-FT:
    Wortsman et al. 2022, CVPR).

    Parameters
    ----------
    taught
        Its network is changed.
    way
        The networks that it was, of the same shape, from the beginning on.
    earlier
        Tiles of what the parent learnt from, other than those that measure.
    parent
        The model before.

    Returns
    -------
    float
        How many steps of the way it went: at most ``len(way)``, which it went whole where there is nothing to forget.
    """
    if not len(earlier):
        return float(len(way))
    before = _answers(parent, earlier)
    states = [{name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
              for network in (*way, taught.network)]  # fmt: skip
    for step in range(len(way), 0, -1):
        first, last = states[step - 1 : step + 1]
        for share in SHARES:
            between = {name: _between(first[name], tensor, share) for name, tensor in last.items()}
            taught.replace_weights(between)
            if share_kept(earlier.labels, before, _answers(taught, earlier)) >= LEAST_KEPT:
                return step - 1 + share
    return SHARES[-1]


def share_kept(truth: NDArray[np.intp], before: NDArray[np.intp], now: NDArray[np.intp]) -> float:
    """Share of the answers that were right before and still are, every class counting the same; 1 if none was."""
    right = before == truth
    kept = [(now[right & (truth == index)] == index).mean() for index in np.unique(truth[right])]
    return float(np.mean(kept)) if kept else 1.0


def _answers(classifier: Classifier, samples: TileSamples) -> NDArray[np.intp]:
    """Answer for each sample, as an index in the minerals of the samples; -1 for a mineral that they lack."""
    named = {mineral.name.casefold(): index for index, mineral in enumerate(samples.minerals)}
    places = np.array([named.get(one.name.casefold(), -1) for one in classifier.card.minerals])
    parts = [
        classifier.predict(np.array(samples.tiles[start : start + _AT_ONCE])).logits.argmax(axis=1)
        for start in range(0, len(samples), _AT_ONCE)
    ]
    found: NDArray[np.intp] = places[np.concatenate(parts)]
    return found


def _between(first: torch.Tensor, last: torch.Tensor, share: float) -> torch.Tensor:
    return torch.lerp(first.to(last.device), last, share) if last.is_floating_point() else last
