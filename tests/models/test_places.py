"""Places of a feature map in other orders: as timm cuts windows and joins fours, and back."""

from __future__ import annotations

import pytest
import torch
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock, window_partition
from torch.nn import functional

from napari_ore_minerals.models.places import (
    NOWHERE,
    Gather,
    in_fours,
    in_windows,
    in_windows_of,
    row_by_row,
)


def some(shape: tuple[int, int]) -> torch.Tensor:
    """Tokens of a map, none of which is zero: (2, rows, columns, 3)."""
    return torch.rand(2, *shape, 3, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("shape", [(8, 12), (9, 10)])
def test_windows_are_those_of_timm_and_join_again(shape: tuple[int, int], shift: int) -> None:
    block = SwinTransformerBlock(3, shape, num_heads=1, window_size=4, shift_size=shift)
    tokens = some(shape)
    rolled = tokens.roll((-shift, -shift), (1, 2))
    whole = functional.pad(rolled, (0, 0, 0, -shape[1] % 4, 0, -shape[0] % 4))
    expected = window_partition(whole, (4, 4)).reshape(2, -1, 3)
    rows, windows = row_by_row(shape).flatten(), in_windows_of(block)
    cut = Gather(rows, windows)(tokens.flatten(1, 2))
    assert torch.equal(cut, expected)
    assert (windows == NOWHERE).sum() == whole[0, ..., 0].numel() - len(rows)
    assert torch.equal(Gather(windows, rows)(cut), tokens.flatten(1, 2))


@pytest.mark.parametrize("shape", [(8, 12), (9, 11)])
def test_fours_are_those_of_timm_from_any_order(shape: tuple[int, int]) -> None:
    merging = PatchMerging(3)
    merging.norm = torch.nn.Identity()
    merging.reduction = torch.nn.Identity()
    tokens = some(shape)
    shuffled = torch.randperm(shape[0] * shape[1], generator=torch.Generator().manual_seed(1))
    found = Gather(shuffled, in_fours(shape).flatten())(tokens.flatten(1, 2)[:, shuffled])
    assert torch.equal(found.view(2, -1, 12), merging(tokens).flatten(1, 2))


def test_an_order_that_is_wanted_already_is_left_alone() -> None:
    order = in_windows(row_by_row((4, 4)), (2, 2))
    tokens = torch.rand(1, 16, 3)
    assert Gather(order, order)(tokens) is tokens
