"""A Swin Transformer that only classifies, in bf16 on a CPU: the same weights, less memory moved.

On such a CPU the products of a small Swin take less time than what lies between them.  timm's blocks copy the
feature map up to six times to cut it into shifted windows, and go over the attention scores five times.
Here places lie in the order of a block's windows from the first pixel on, and are put into that of the next block by
one gather, or as four become one; and what never changes (position bias and mask, the scale of queries, the norm of
pixels) is put into weights once.  Where trial tiles have small scores, as in the first stages with their many windows,
exponentials are taken as they are and weigh the values first, so that the few sums are divided and not the many
weights.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from timm.models.swin_transformer import PatchMerging, SwinTransformer
from torch import nn
from torch.nn import functional

from .places import Gather, in_fours, in_windows, in_windows_of, row_by_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timm.models.swin_transformer import SwinTransformerBlock

SMALL_SCORE = 47.0  # the largest of a place, on trial tiles: on real ones it was up to 1.7 times as large
LARGEST_SCORE = (
    80.0  # what is beyond, in blocks of small scores, counts as 80: bf16 ends at e to the power of 88
)
MIDDLE = 128  # of pixels: what is near 0 is the more exact in bf16
WORD, BYTES_OF_WORD = torch.int32, 4
MIDDLE_OF_WORD = int.from_bytes(bytes([MIDDLE] * BYTES_OF_WORD), "little", signed=True)
_ONEDNN = torch.ops.mkldnn
_FUSED_LINEAR = getattr(_ONEDNN, "_linear_pointwise", None)
if _FUSED_LINEAR is not None and not _ONEDNN._is_mkldnn_bf16_supported():
    _FUSED_LINEAR = None
_LAID_OUT = None if _FUSED_LINEAR is None else getattr(_ONEDNN, "_reorder_linear_weight", None)


def quick_swin(
    network: nn.Module, mean: Sequence[float], std: Sequence[float], trial_tiles: torch.Tensor
) -> QuickSwin | None:
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
    QuickSwin or None
        Takes (n, s, s, 3) uint8 tensors, s as the network was built for; None for a network that is no Swin.
    """
    if not isinstance(network, SwinTransformer):
        return None
    quick = QuickSwin(network, mean, std).eval().requires_grad_(False)
    with torch.inference_mode():
        quick.forward_features(trial_tiles)
    for part in quick.modules():
        if isinstance(part, QuickBlock):
            part.settle()
    return quick


class QuickSwin(nn.Module):
    """Patches, then blocks and what merges places between them; places lie as the next block wants them."""

    def __init__(self, network: SwinTransformer, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        stages = [[QuickBlock(block) for block in stage.blocks] for stage in network.layers]
        self.patches = QuickPatches(network.patch_embed, mean, std, stages[0][0].plain_windows)
        here, self.shape = self.patches.places, stages[0][0].shape
        self.steps = nn.Sequential()
        for stage, blocks in zip(network.layers, stages, strict=True):
            if isinstance(stage.downsample, PatchMerging):
                fours = in_fours(self.shape)[blocks[0].wanted]
                self.steps.append(QuickMerging(stage.downsample, Gather(here, fours.flatten())))
                here, self.shape = blocks[0].wanted, blocks[0].shape
            for block in blocks:
                self.steps.append(Gather(here, block.wanted)).append(block)
                here = block.wanted
        self.norm = _in_bf16(network.norm)
        self.steps.append(Gather(here, row_by_row(self.shape).flatten()))

    def forward_features(self, tiles: torch.Tensor) -> torch.Tensor:
        """Last feature map, (n, s, s, 3) uint8 to (n, h, w, d)."""
        features: torch.Tensor = self.norm(self.steps(self.patches(tiles)))
        return features.view(len(tiles), *self.shape, -1)


class QuickPatches(nn.Module):
    """The first layer, which takes pixels as they are: its patches do not overlap, so that it is linear."""

    def __init__(
        self, layer: nn.Module, mean: Sequence[float], std: Sequence[float], windows: tuple[int, int] | None
    ) -> None:
        super().__init__()
        projection: nn.Conv2d = layer.proj  # type: ignore[assignment]
        self.side = projection.kernel_size[0]
        self.rows, self.columns = layer.grid_size  # type: ignore[misc]
        self.windows = windows or (1, self.columns)
        self.places = in_windows(row_by_row((self.rows, self.columns)), self.windows)
        middle, spread = (255 * torch.tensor(values).view(3, 1, 1) for values in (mean, std))
        weight = projection.weight.detach().float() / spread
        shift = (weight * (MIDDLE - middle)).sum(dim=(1, 2, 3))
        bias = shift if projection.bias is None else shift + projection.bias.detach()
        self.projection = QuickLinear(weight.permute(0, 2, 3, 1).flatten(1), bias)
        self.norm = _in_bf16(layer.get_submodule("norm"))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Embed patches, (n, s, s, 3) uint8 to (n, l, d); bf16 has all whole numbers up to 256."""
        (height, width), side = self.windows, self.side
        signed = tiles.flatten(2).view(WORD).bitwise_xor(MIDDLE_OF_WORD)  # each byte less 128
        cut = signed.view(
            len(tiles),
            self.rows // height,
            height,
            side,
            self.columns // width,
            width,
            side * 3 // BYTES_OF_WORD,
        ).permute(0, 1, 4, 2, 5, 3, 6)
        pixels = cut.reshape(len(tiles), self.rows * self.columns, -1).view(torch.int8).bfloat16()
        embedded: torch.Tensor = self.norm(self.projection(pixels))
        return embedded


class QuickLinear(nn.Module):
    """A linear layer; bias, GELU and what is added in the same pass where this torch has oneDNN's own.

    Its weights are laid out once as oneDNN wants them.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        weight = weight.detach().bfloat16().contiguous()
        self.weight = weight if _LAID_OUT is None else _LAID_OUT(weight)
        self.bias = None if bias is None else bias.detach().bfloat16()

    def forward(
        self, values: torch.Tensor, activation: str = "none", *, beside: torch.Tensor | None = None
    ) -> torch.Tensor:
        """From (..., d) to (..., e); what is `beside`, of that shape, is added."""
        found: torch.Tensor
        if _FUSED_LINEAR is None:
            found = functional.linear(values, self.weight, self.bias)
            found = functional.gelu(found) if activation == "gelu" else found
            return found if beside is None else found + beside
        if beside is None:
            found = _FUSED_LINEAR(values, self.weight, self.bias, activation, [], "none")
        else:
            found = _FUSED_LINEAR.binary(values, beside, self.weight, self.bias, "add")
        return found


class QuickMerging(nn.Module):
    """Four places of a map become one of the next."""

    def __init__(self, layer: PatchMerging, fours: Gather) -> None:
        super().__init__()
        self.fours = fours
        self.norm = _in_bf16(layer.norm)
        self.reduction = QuickLinear(layer.reduction.weight, None)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Merge, (n, l, d) to (n, about l / 4, 2 d)."""
        fours = self.fours(tokens).view(len(tokens), -1, 4 * tokens.shape[2])
        merged: torch.Tensor = self.reduction(self.norm(fours))
        return merged


class QuickBlock(nn.Module):
    """What a block of timm's Swin does, in either convention of `models.windows`; without gradients.

    Attributes
    ----------
    wanted : (l,) int64 tensor
        Places of the map, row by row, in the order in which this block takes and gives them: that of its windows,
        or the map's own where windows reach beyond it.
    plain_windows : tuple of int or None
        Rows and columns of its windows, where they cut the map without shift and rest.
    """

    def __init__(self, block: SwinTransformerBlock) -> None:
        super().__init__()
        self.shape: tuple[int, int] = block.input_resolution
        windows, places = in_windows_of(block), row_by_row(self.shape).flatten()
        filled = len(windows) > len(places)
        self.wanted = places if filled else windows
        self.plain_windows = None if filled or any(block.shift_size) else block.window_size
        self.cut, self.join = Gather(self.wanted, windows), Gather(windows, self.wanted)
        attention, mlp = block.attn, block.mlp
        self.norm1, self.norm2 = _in_bf16(block.norm1), _in_bf16(block.norm2)
        self.proj, self.fc1, self.fc2 = (
            QuickLinear(layer.weight, layer.bias) for layer in (attention.proj, mlp.fc1, mlp.fc2)
        )
        self.heads, self.area = attention.num_heads, attention.window_area
        width = attention.qkv.out_features // 3
        scale = torch.ones(3 * width)
        scale[:width] = attention.scale
        bias = attention.qkv.bias
        self.qkv = QuickLinear(
            attention.qkv.weight.float() * scale[:, None], None if bias is None else bias.float() * scale
        )
        shift = attention._get_rel_pos_bias().float()
        if block.attn_mask is not None:
            shift = shift + block.attn_mask.float().unsqueeze(1)
        self.score_shift = (
            shift  # (windows or 1, heads, area, area); where scores are large, fp32 is faster too
        )
        self.small_scores: bool | None = None  # not known before trial tiles have been seen
        self.largest_score = float("inf")

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Attend in windows, then mix channels: (n, l, d) to (n, l, d)."""
        seen = self.cut(self.norm1(tokens))
        found = self._attended(seen.view(-1, self.area, seen.shape[2])).reshape(seen.shape)
        tokens = self.proj(self.join(found), beside=tokens)
        mixed = self.fc1(self.norm2(tokens), "gelu")
        added: torch.Tensor = self.fc2(mixed, beside=tokens)
        return added

    def settle(self) -> None:
        """Choose how softmax is taken, from what was seen until now."""
        self.small_scores = self.largest_score < SMALL_SCORE
        if self.small_scores:
            self.score_shift = self.score_shift.transpose(-2, -1).contiguous().bfloat16()

    def _attended(self, windows: torch.Tensor) -> torch.Tensor:
        """Multi-head attention within each window, before the last projection: (m, area, d) to (m, area, d)."""
        count, area, heads = len(windows), self.area, self.heads
        parts = self.qkv(windows).view(count, area, 3, heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind(0)
        width = queries.shape[3]
        queries, keys = queries.reshape(-1, area, width), keys.reshape(-1, area, width)
        if self.small_scores:
            scores = torch.empty(len(keys), area, area, dtype=keys.dtype)
            scores.view(-1, *self.score_shift.shape).copy_(self.score_shift)
            scores.baddbmm_(keys, queries.transpose(1, 2))
            means = _means_by_sums(scores, values)
        else:
            scores = torch.bmm(queries, keys.transpose(1, 2)).view(-1, *self.score_shift.shape)
            exact = scores + self.score_shift
            if self.small_scores is None:
                self.largest_score = float(exact.amax(dim=-1).abs().max())
            weights = exact.softmax(dim=-1).bfloat16().view(-1, area, area)
            means = torch.bmm(weights, values.reshape(-1, area, width))
            means = means.view(count, heads, area, width).transpose(1, 2)
        return means.reshape(count, area, heads * width)


def _means_by_sums(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Means of the (m, heads, area, d) values that each place attends to: (m, area, heads, d).

    The (m * heads, area, area) scores have a column for each place that looks; they are spent.  The values get a
    column of ones, whose weighted sum is the sum of weights.
    """
    count, heads, area, width = values.shape
    weights = scores.clamp_(-LARGEST_SCORE, LARGEST_SCORE).exp_()
    widened = functional.pad(values, (0, 1), value=1.0).view(-1, area, width + 1)
    sums = torch.bmm(widened.transpose(1, 2), weights).view(count, heads, width + 1, area)
    return (sums[:, :, :width] * sums[:, :, width:].reciprocal()).permute(0, 3, 1, 2)


def _in_bf16(layer: nn.Module) -> nn.Module:
    return copy.deepcopy(layer).bfloat16()
