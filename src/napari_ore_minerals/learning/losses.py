"""Losses: cross entropy with shares of classes, of a whole tile and at every cell of its class maps."""

from __future__ import annotations

import torch
from torch.nn import functional

from .augmentation import class_cells


def soft_cross_entropy(logits: torch.Tensor, shares: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Mean cross entropy between shares (n, classes) and logits (n, classes), with label smoothing."""
    targets = shares * (1.0 - smoothing) + smoothing / shares.shape[1]
    return functional.cross_entropy(logits.float(), targets)


def dense_loss(maps: torch.Tensor, dense: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross entropy at every cell of the class maps, weighted by how much of the cell is known.

    Parameters
    ----------
    maps : (n, classes, h, w) float tensor
        Logits.
    dense : (n, k, k) uint8 tensor
        Class indices, `dataset.UNKNOWN` where nobody knows.
    smoothing
        Label smoothing.
    """
    classes = maps.shape[1]
    shares = functional.adaptive_avg_pool2d(class_cells(dense, classes), (maps.shape[2], maps.shape[3]))
    known = shares.sum(dim=1)
    targets = shares / known.clamp(min=1e-6)[:, None] * (1.0 - smoothing) + smoothing / classes
    cells = -(targets * functional.log_softmax(maps.float(), dim=1)).sum(dim=1)
    return (cells * known).sum() / known.sum().clamp(min=1e-6)
