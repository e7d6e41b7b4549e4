"""Where the shifted windows of a Swin lie: two conventions that take the same weights.

timm shifts a feature map cyclically and pads the shifted map to whole windows; a map
that fits in one window is not shifted.  Other published code, the paper's among it,
pads first, shifts the padded map, and shifts in every odd block.  Names and shapes of
the weights are the same, the logits are not: with random weights Swin-T differs by
about 0.01 at 224 px and more at 256 px, where windows of 7 do not divide the maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch.nn import functional

if TYPE_CHECKING:
    from torch import nn

    from .architectures import SwinConvention


class PadThenShiftBlock(SwinTransformerBlock):  # type: ignore[misc]
    """A block of timm's Swin that is given whole windows, so that it shifts what is padded already."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Attend in windows, then mix channels: (n, h, w, d) to (n, h, w, d)."""
        _, rows, columns, _ = tokens.shape
        below, right = -rows % self.window_size[0], -columns % self.window_size[1]
        whole = functional.pad(self.norm1(tokens), (0, 0, 0, right, 0, below))
        tokens = tokens + self.drop_path1(self._attn(whole)[:, :rows, :columns])
        mixed: torch.Tensor = tokens + self.drop_path2(self.mlp(self.norm2(tokens)))
        return mixed


def pad_then_shift(network: nn.Module) -> nn.Module:
    """Make the blocks of a Swin, built with ``always_partition``, pad before they shift; returns it."""
    for block in _blocks(network):
        block.__class__ = PadThenShiftBlock  # survives copies, which a replaced method would not
    return network


def convention_of(network: nn.Module) -> SwinConvention:
    """Tell which convention a network follows; ``"timm"`` for all that are no Swin."""
    return "pad-then-shift" if any(isinstance(b, PadThenShiftBlock) for b in _blocks(network)) else "timm"


def _blocks(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, SwinTransformerBlock)]
