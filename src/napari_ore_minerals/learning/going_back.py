"""Between a model and what it became: as far on the way as nothing is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .before_after import figures_of_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from napari_ore_minerals.models.classifier import Classifier

    from .dataset import TileSamples

SHARES = (1.0, 0.8, 0.65, 0.5, 0.35, 0.2)
MOST_LOST = 0.01  # of macro-F1, half of what the verdict allows


def go_as_far_as_nothing_is_forgotten(
    taught: Classifier, way: Sequence[nn.Module], earlier: TileSamples, parent: Classifier
) -> float:
    """Move the weights of a taught model back on its way until earlier tiles are answered as before.

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
    wanted = figures_of_model(parent, earlier)["macro F1"].value - MOST_LOST
    states = [{name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
              for network in (*way, taught.network)]  # fmt: skip
    for step in range(len(way), 0, -1):
        first, last = states[step - 1 : step + 1]
        for share in SHARES:
            between = {name: _between(first[name], tensor, share) for name, tensor in last.items()}
            taught.network.load_state_dict(between)
            if figures_of_model(taught, earlier)["macro F1"].value >= wanted:
                return step - 1 + share
    return SHARES[-1]


def _between(first: torch.Tensor, last: torch.Tensor, share: float) -> torch.Tensor:
    return torch.lerp(first.to(last.device), last, share) if last.is_floating_point() else last
