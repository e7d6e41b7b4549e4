"""A Swin Transformer as other published code has it, in plain torch, written from its description.

Liu et al. 2021 (ICCV, 10012-10022), with maps padded to whole windows *before* the cyclic shift
and every odd block shifted, also where the map is one window.  Names of weights as in that code:
merging belongs to the end of a stage, the head is ``head``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch.nn import functional

Weights = Mapping[str, torch.Tensor]
WINDOW = 7


def published_names(state: Weights) -> dict[str, torch.Tensor]:
    """Name timm's weights of a Swin as the other code does."""
    renamed = {}
    for timm_name, value in state.items():
        name = re.sub(
            r"layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", timm_name
        )
        renamed[name.replace("head.fc.", "head.")] = value
    for name in [name for name in renamed if name.endswith("relative_position_bias_table")]:
        index = relative_index()
        renamed[name.replace("bias_table", "index")] = index
    return renamed


def published_logits(weights: Weights, tiles: torch.Tensor) -> torch.Tensor:
    """Logits (n, classes) of normalised tiles (n, 3, s, s)."""
    x = functional.conv2d(
        tiles, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=4
    )
    x = normed(x.permute(0, 2, 3, 1), weights, "patch_embed.norm")
    stages = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    for stage in range(stages):
        depth = len({name.split(".")[3] for name in weights if name.startswith(f"layers.{stage}.blocks.")})
        for number in range(depth):
            x = block(x, weights, f"layers.{stage}.blocks.{number}", shift=WINDOW // 2 if number % 2 else 0)
        if f"layers.{stage}.downsample.reduction.weight" in weights:
            x = merged(x, weights, f"layers.{stage}.downsample")
    pooled = normed(x, weights, "norm").mean(dim=(1, 2))
    return linear(pooled, weights, "head")


def block(x: torch.Tensor, weights: Weights, name: str, *, shift: int) -> torch.Tensor:
    x = x + attended(normed(x, weights, f"{name}.norm1"), weights, f"{name}.attn", shift=shift)
    hidden = functional.gelu(linear(normed(x, weights, f"{name}.norm2"), weights, f"{name}.mlp.fc1"))
    return x + linear(hidden, weights, f"{name}.mlp.fc2")


def attended(x: torch.Tensor, weights: Weights, name: str, *, shift: int) -> torch.Tensor:
    count, height, width, depth = x.shape
    x = functional.pad(x, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
    rows, columns = x.shape[1:3]
    x = x.roll((-shift, -shift), dims=(1, 2))
    across, down, area = columns // WINDOW, rows // WINDOW, WINDOW * WINDOW

    def windows(values: torch.Tensor) -> torch.Tensor:
        parts = values.reshape(len(values), down, WINDOW, across, WINDOW, -1)
        return parts.transpose(2, 3).reshape(len(values), down * across, area, -1)

    table = weights[f"{name}.relative_position_bias_table"]
    heads = table.shape[1]
    q, k, v = linear(windows(x), weights, f"{name}.qkv").unflatten(-1, (3, heads, depth // heads)).unbind(3)
    scores = torch.einsum("nwihd,nwjhd->nwhij", q, k) / (depth // heads) ** 0.5
    scores = scores + table[relative_index().reshape(-1)].reshape(area, area, heads).permute(2, 0, 1)
    if shift:
        region = windows(regions(rows, columns, shift)[None, :, :, None])[0, :, :, 0]
        scores = scores - 100.0 * (region[:, None, :, None] != region[:, None, None, :]).float()
    mixed = torch.einsum("nwhij,nwjhd->nwihd", scores.softmax(dim=-1), v).flatten(-2)
    parts = linear(mixed, weights, f"{name}.proj").reshape(count, down, across, WINDOW, WINDOW, depth)
    x = parts.transpose(2, 3).reshape(count, rows, columns, depth).roll((shift, shift), dims=(1, 2))
    return x[:, :height, :width]


def regions(rows: int, columns: int, shift: int) -> torch.Tensor:
    """Number the parts of a shifted map that were neighbours before: the last windows are cut in two."""

    def bands(length: int) -> torch.Tensor:
        places = torch.arange(length)
        return (places >= length - WINDOW).long() + (places >= length - shift).long()

    return 3 * bands(rows)[:, None] + bands(columns)[None, :]


def relative_index() -> torch.Tensor:
    """Row of the bias table for each pair of places in a window, (area, area)."""
    places = torch.cartesian_prod(torch.arange(WINDOW), torch.arange(WINDOW))
    distance = places[:, None] - places[None, :] + WINDOW - 1
    return distance[..., 0] * (2 * WINDOW - 1) + distance[..., 1]


def merged(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    return linear(normed(torch.cat(parts, dim=-1), weights, f"{name}.norm"), weights, f"{name}.reduction")


def normed(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def linear(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
