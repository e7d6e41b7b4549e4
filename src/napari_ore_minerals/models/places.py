"""The order in which the places of a feature map lie in memory: row by row, or window by window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from .windows import PadThenShiftBlock

if TYPE_CHECKING:
    from timm.models.swin_transformer import SwinTransformerBlock

NOWHERE = -1  # beyond the edge of the map


class Gather(nn.Module):
    """Puts places into another order; those that are nowhere become zeros.

    Parameters
    ----------
    here : (l,) int64 tensor
        Places as they come, each once.
    wanted : (k,) int64 tensor
        Places as they are to lie.
    """

    def __init__(self, here: torch.Tensor, wanted: torch.Tensor) -> None:
        super().__init__()
        now = torch.full((int(here.max()) + 2,), len(here))  # the last one is where NOWHERE is found
        there = here != NOWHERE
        now[here[there]] = torch.arange(len(here))[there]
        self.found = now[wanted]
        self.moves = not torch.equal(here, wanted)
        self.fills = bool((self.found == len(here)).any())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """From (n, l, d) to (n, k, d)."""
        if self.fills:
            tokens = functional.pad(tokens, (0, 0, 0, 1))
        return tokens.index_select(1, self.found) if self.moves else tokens


def row_by_row(shape: tuple[int, int]) -> torch.Tensor:
    """Number the places of a map: (rows, columns) int64."""
    return torch.arange(shape[0] * shape[1]).view(shape)


def in_windows(places: torch.Tensor, windows: tuple[int, int]) -> torch.Tensor:
    """Put the places of a map, which windows of so many rows and columns fill, into the order of windows: (l,)."""
    height, width = windows
    return places.view(places.shape[0] // height, height, -1, width).transpose(1, 2).flatten()


def in_windows_of(block: SwinTransformerBlock) -> torch.Tensor:
    """Places as the windows of a block cut the map, shifted and filled up, in either convention of `models.windows`."""
    (rows, columns), (height, width) = block.input_resolution, block.window_size
    places = row_by_row((rows, columns))
    margins = (0, -columns % width, 0, -rows % height)
    shifts = [-shift for shift in block.shift_size]
    if isinstance(block, PadThenShiftBlock):
        places = functional.pad(places, margins, value=NOWHERE).roll(shifts, (0, 1))
    else:
        places = functional.pad(places.roll(shifts, (0, 1)), margins, value=NOWHERE)
    return in_windows(places, (height, width))


def in_fours(shape: tuple[int, int]) -> torch.Tensor:
    """Which places of a map patch merging joins, for each place of the next map: (l, 4) int64."""
    rows, columns = shape
    places = functional.pad(row_by_row(shape), (0, columns % 2, 0, rows % 2), value=NOWHERE)
    return places.view(places.shape[0] // 2, 2, -1, 2).permute(0, 2, 3, 1).reshape(-1, 4)
