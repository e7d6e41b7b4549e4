"""Losses: cross entropy with shares of classes, of a whole tile and at every cell of its class maps."""

from __future__ import annotations

from collections.abc import Sequence

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


def tiles_without_numbers(logits: torch.Tensor, shares: torch.Tensor, names: Sequence[str]) -> str:
    """Say how many tiles have logits that are not finite, and of which minerals: ", in 2 of 16 tiles (gold)".

    Parameters
    ----------
    logits, shares : (n, classes) float tensors
    names
        Of the classes.
    """
    bad = ~torch.isfinite(logits).all(dim=1)
    found = sorted({names[index] for index in shares[bad].argmax(dim=1).tolist()})
    return f", in {int(bad.sum())} of {len(bad)} tiles ({', '.join(found)})" if found else ""
