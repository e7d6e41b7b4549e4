"""Between a model and what it became: as far on the way as nothing is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .before_after import figures_of_model

if TYPE_CHECKING:
    from torch import nn

    from napari_ore_minerals.models.classifier import Classifier

    from .dataset import TileSamples

SHARES = (1.0, 0.8, 0.65, 0.5, 0.35, 0.2)
MOST_LOST = 0.01  # of macro-F1, half of what the verdict allows


def go_as_far_as_nothing_is_forgotten(
    taught: Classifier, beginning: nn.Module, earlier: TileSamples, parent: Classifier
) -> float:
    """Move the weights of a taught model back towards its beginning until earlier tiles are answered as before.

    Weights between those of a network and of its fine-tuned self keep most of what both know (WiSE-FT:
    Wortsman et al. 2022, CVPR).

    Parameters
    ----------
    taught
        Its network is changed.
    beginning
        The network that the training began with, of the same shape.
    earlier
        Tiles of what the parent learnt from, other than those that measure.
    parent
        The model before.

    Returns
    -------
    float
        How far it went, 0 to 1; 1 where there is nothing to forget.
    """
    if not len(earlier):
        return 1.0
    wanted = figures_of_model(parent, earlier)["macro F1"].value - MOST_LOST
    last = {name: tensor.clone() for name, tensor in taught.network.state_dict().items()}
    first = {name: tensor.to(last[name].device) for name, tensor in beginning.state_dict().items()}
    for share in SHARES:
        between = {name: _between(first[name], tensor, share) for name, tensor in last.items()}
        taught.network.load_state_dict(between)
        if figures_of_model(taught, earlier)["macro F1"].value >= wanted:
            break
    return share


def _between(first: torch.Tensor, last: torch.Tensor, share: float) -> torch.Tensor:
    return torch.lerp(first, last, share) if last.is_floating_point() else last
