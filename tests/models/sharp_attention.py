"""Random networks whose attention is sharp, so that it matters which places it sees."""

from __future__ import annotations

import torch
from torch import nn


def sharpened(network: nn.Module) -> nn.Module:
    """Make the attention of a random Swin sharp; returns it, in evaluation mode."""
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("qkv.weight"):
                value.mul_(3)
            elif name.endswith("bias_table"):
                value.normal_(std=0.5)
    return network.eval()
