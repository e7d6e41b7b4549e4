"""A Swin Transformer that only classifies, in bf16 on a CPU: the same weights, less memory moved.

On such a CPU the products of a small Swin take less time than what lies between them.  timm's blocks copy the
feature map up to six times to cut it into shifted windows, and go over the attention scores five times.
Here windows are cut by one gather; and what never changes (position bias and mask, the scale of queries, the norm of
pixels) is put into weights once.  Where trial tiles have small scores, as in the first stages with their many windows,
exponentials are taken as they are and weigh the values first, so that the few sums are divided and not the many
weights.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torch.nn import functional

from .windows import PadThenShiftBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timm.models.swin_transformer import SwinTransformerBlock

SMALL_SCORE = 47.0  # the largest of a place, on trial tiles: on real ones it was up to 1.7 times as large
LARGEST_SCORE = (
    80.0  # what is beyond, in blocks of small scores, counts as 80: bf16 ends at e to the power of 88
)
MIDDLE = 128  # of pixels: what is near 0 is the more exact in bf16
SUMS = 8  # columns of ones beside the values, whose weighted mean is the sum of weights; products of eights are fast
_ONEDNN = torch.ops.mkldnn
_FUSED_LINEAR = getattr(_ONEDNN, "_linear_pointwise", None)
if _FUSED_LINEAR is not None and not _ONEDNN._is_mkldnn_bf16_supported():
    _FUSED_LINEAR = None


def quick_swin(
    network: nn.Module, mean: Sequence[float], std: Sequence[float], trial_tiles: torch.Tensor
) -> nn.Module | None:
    """Copy a Swin for inference on a CPU in bf16.

    Parameters
    ----------
    network
        One of `models.architectures`, in evaluation mode; it is not changed, and later changes of it do not
        reach the copy.
    mean, std
        Of red, green and blue, 0 to 1, by which the network's tiles are normalised.
    trial_tiles : (n, s, s, 3) uint8 tensor
        What attention scores are looked at on, once.

    Returns
    -------
    torch.nn.Module or None
        Takes (n, s, s, 3) uint8 tensors, s as the network was built for, and has ``forward_features``;
        None for a network that is no Swin.
    """
    if not isinstance(network, SwinTransformer):
        return None
    copied: nn.Module = copy.deepcopy(network).bfloat16()
    copied.patch_embed = QuickPatches(network.patch_embed, mean, std)
    blocks: list[QuickBlock] = []
    for stage in copied.get_submodule("layers").children():
        quick = [QuickBlock(block) for block in stage.get_submodule("blocks").children()]
        stage.blocks = nn.Sequential(*quick)
        blocks += quick
    copied.eval().requires_grad_(False)
    with torch.inference_mode():
        copied.forward_features(trial_tiles)  # type: ignore[operator]
    for block in blocks:
        block.settle()
    return copied


class QuickPatches(nn.Module):
    """The first layer, which takes pixels as they are: its patches do not overlap, so that it is linear."""

    def __init__(self, layer: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        projection: nn.Conv2d = layer.proj  # type: ignore[assignment]
        self.side = projection.kernel_size[0]
        middle, spread = (255 * torch.tensor(values).view(3, 1, 1) for values in (mean, std))
        weight = projection.weight.detach().float() / spread
        shift = (weight * (MIDDLE - middle)).sum(dim=(1, 2, 3))
        self.bias = (shift if projection.bias is None else shift + projection.bias.detach()).bfloat16()
        self.weight = weight.permute(0, 2, 3, 1).flatten(1).bfloat16()
        self.norm: nn.Module = copy.deepcopy(layer.get_submodule("norm")).bfloat16()

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Embed patches, (n, s, s, 3) uint8 to (n, h, w, d); bf16 has all whole numbers up to 256."""
        count, side, patch = len(tiles), tiles.shape[1], self.side
        signed = tiles.bitwise_xor(MIDDLE).view(torch.int8)  # less 128
        patches = signed.view(count, side // patch, patch, side // patch, patch * 3).transpose(2, 3)
        pixels = patches.contiguous().flatten(3).bfloat16()
        embedded: torch.Tensor = self.norm(_linear(pixels, self.weight, self.bias))
        return embedded


class QuickBlock(nn.Module):
    """What a block of timm's Swin does, in either convention of `models.windows`; without gradients."""

    def __init__(self, block: SwinTransformerBlock) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mlp, self.proj = block.norm1, block.norm2, block.mlp, block.attn.proj
        self.order, self.back, self.padded = _windows(block)
        attention = block.attn
        self.heads, self.area = attention.num_heads, attention.window_area
        width = attention.qkv.out_features // 3
        scale = torch.ones(3 * width)
        scale[:width] = attention.scale
        self.qkv_weight = (attention.qkv.weight.float() * scale[:, None]).bfloat16()
        bias = attention.qkv.bias
        self.qkv_bias = None if bias is None else (bias.float() * scale).bfloat16()
        shift = attention._get_rel_pos_bias().float()
        if block.attn_mask is not None:
            shift = shift + block.attn_mask.float().unsqueeze(1)
        self.score_shift = (
            shift  # (windows or 1, heads, area, area); where scores are large, fp32 is faster too
        )
        self.small_scores: bool | None = None  # not known before trial tiles have been seen
        self.largest_score = float("inf")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Attend in windows, then mix channels: (n, h, w, d) to (n, h, w, d)."""
        tokens = features.flatten(1, 2)
        seen = self.norm1(tokens)
        if self.padded:
            seen = functional.pad(seen, (0, 0, 0, 1))
        windows = seen.index_select(1, self.order).view(-1, self.area, seen.shape[2])
        attended = self._attended(windows).view(len(seen), len(self.order), -1)
        tokens = tokens + attended.index_select(1, self.back)
        mixed = _linear(self.norm2(tokens), self.mlp.fc1.weight, self.mlp.fc1.bias, "gelu")
        tokens += _linear(mixed, self.mlp.fc2.weight, self.mlp.fc2.bias)
        return tokens.view(features.shape)

    def settle(self) -> None:
        """Choose how softmax is taken, from what was seen until now."""
        self.small_scores = self.largest_score < SMALL_SCORE
        if self.small_scores:
            self.score_shift = self.score_shift.transpose(-2, -1).contiguous().bfloat16()

    def _attended(self, windows: torch.Tensor) -> torch.Tensor:
        """Multi-head attention within each window: (m, area, d) to (m, area, d)."""
        count, area, heads = len(windows), self.area, self.heads
        parts = _linear(windows, self.qkv_weight, self.qkv_bias).view(count, area, 3, heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind(0)
        width = queries.shape[3]
        queries, keys = queries.reshape(-1, area, width), keys.reshape(-1, area, width)
        if self.small_scores:
            scores = torch.bmm(keys, queries.transpose(1, 2))
            scores.view(-1, *self.score_shift.shape).add_(self.score_shift)
            means = _means_by_sums(scores, values)
        else:
            scores = torch.bmm(queries, keys.transpose(1, 2)).view(-1, *self.score_shift.shape)
            exact = scores + self.score_shift
            if self.small_scores is None:
                self.largest_score = float(exact.amax(dim=-1).abs().max())
            weights = exact.softmax(dim=-1).bfloat16().view(-1, area, area)
            means = torch.bmm(weights, values.reshape(-1, area, width))
            means = means.view(count, heads, area, width).transpose(1, 2)
        return _linear(means.reshape(count, area, heads * width), self.proj.weight, self.proj.bias)


def _means_by_sums(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Means of the (m, heads, area, d) values that each place attends to: (m, area, heads, d).

    The (m * heads, area, area) scores have a column for each place that looks; they are spent.  The values get
    columns of ones, whose weighted sums are the sums of weights.
    """
    count, heads, area, width = values.shape
    weights = scores.clamp_(-LARGEST_SCORE, LARGEST_SCORE).exp_()
    widened = functional.pad(values, (0, SUMS), value=1.0).view(-1, area, width + SUMS)
    sums = torch.bmm(widened.transpose(1, 2), weights).view(count, heads, width + SUMS, area)
    return (sums[:, :, :width] * sums[:, :, width : width + 1].reciprocal()).permute(0, 3, 1, 2)


def _windows(block: SwinTransformerBlock) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """Which place of the map each place of the windows is, and back; and whether some are beyond the map's edge."""
    (rows, columns), (height, width) = block.input_resolution, block.window_size
    beyond = rows * columns
    places = torch.arange(beyond).view(rows, columns)
    margins = (0, -columns % width, 0, -rows % height)
    shifts = [-shift for shift in block.shift_size]
    if isinstance(block, PadThenShiftBlock):
        places = functional.pad(places, margins, value=beyond).roll(shifts, (0, 1))
    else:
        places = functional.pad(places.roll(shifts, (0, 1)), margins, value=beyond)
    order = places.view(places.shape[0] // height, height, -1, width).transpose(1, 2).flatten()
    back = torch.argsort(order, stable=True)[:beyond]
    return order, back, len(order) > beyond


def _linear(
    values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, activation: str = "none"
) -> torch.Tensor:
    """A linear layer; bias and GELU in the same pass where this torch has oneDNN's own."""
    if _FUSED_LINEAR is not None:
        found: torch.Tensor = _FUSED_LINEAR(values, weight, bias, activation, [], "none")
        return found
    found = functional.linear(values, weight, bias)
    return functional.gelu(found) if activation == "gelu" else found
