"""The optimizer of a training and its learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn

    from .options import TrainOptions


def optimizer_of(network: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """Adam or AdamW; biases and scales are not decayed.

    Each group of parameters has ``lr_scale``, its learning rate as a part of that of the head
    (layer-wise decay: Bao et al. 2022, BEiT, ICLR).
    """
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(_groups(network, options), lr=options.learning_rate, betas=(0.9, 0.999))


def set_rate(optimizer: torch.optim.Optimizer, options: TrainOptions, share: float) -> float:
    """Set the learning rate for when `share` (0 to 1) of the training is done; returns that of the head."""
    largest = options.learning_rate * rate(options, share)
    for group in optimizer.param_groups:
        group["lr"] = largest * group.get("lr_scale", 1.0)
    return largest


def rate(options: TrainOptions, share: float) -> float:
    """Learning rate as a part of the largest, when `share` (0 to 1) of the training is done."""
    if share < options.warm_up:
        return max(share / options.warm_up, 0.01)
    if options.schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (share - options.warm_up) / (1.0 - options.warm_up)))


def _groups(network: nn.Module, options: TrainOptions) -> list[dict[str, Any]]:
    if options.layer_decay < 1.0:
        from timm.optim import param_groups_layer_decay

        groups: list[dict[str, Any]] = param_groups_layer_decay(
            network, options.weight_decay, layer_decay=options.layer_decay
        )
        return groups
    parameters = [one for one in network.parameters() if one.requires_grad]
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
