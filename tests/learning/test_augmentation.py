from __future__ import annotations

import math

import pytest
import torch
from torchvision.transforms.v2 import functional as vision

from napari_ore_minerals.learning.augmentation import (
    PAPER_SIX,
    TRANSFORMS,
    Batch,
    augment,
    automatic_gamma,
    class_cells,
    random_erasing,
    random_flips,
    random_quarter_turns,
    random_zoom,
)
from napari_ore_minerals.learning.dataset import UNKNOWN


def name_of(transform) -> str:
    return getattr(transform, "func", transform).__name__


TRANSFORM_LIST = sorted({t for kinds in TRANSFORMS.values() for t in kinds}, key=name_of)


def batch_of(samples, count: int = 16) -> Batch:
    return Batch(
        torch.from_numpy(samples.tiles[:count]).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(samples.fractions[:count]),
        torch.from_numpy(samples.dense[:count]),
    )


def striped(count: int = 32) -> Batch:
    """Tiles whose red tells the class index of each cell: 0.0, 0.2 ... 1.0."""
    generator = torch.Generator().manual_seed(3)
    dense = torch.randint(0, 6, (count, 4, 4), generator=generator).to(torch.uint8)
    red = (dense.float() / 5).repeat_interleave(8, 1).repeat_interleave(8, 2)
    tiles = torch.stack([red, torch.zeros_like(red), torch.zeros_like(red)], dim=1)
    return Batch(tiles, class_cells(dense, 6).mean(dim=(2, 3)), dense)


@pytest.mark.parametrize("transform", TRANSFORM_LIST, ids=name_of)
def test_shapes_and_ranges_stay(samples, transform):
    batch = batch_of(samples)
    before = [value.clone() for value in batch]
    changed = transform(batch, torch.Generator().manual_seed(0))
    assert changed.tiles.shape == batch.tiles.shape
    assert float(changed.tiles.min()) >= 0.0
    assert float(changed.tiles.max()) <= 1.0
    assert changed.dense.shape == batch.dense.shape
    assert changed.dense.dtype == torch.uint8
    torch.testing.assert_close(changed.fractions.sum(dim=1), torch.ones(len(batch.tiles)))
    for value, copy in zip(batch, before, strict=True):
        assert torch.equal(value, copy), "the batch that was given is changed"


@pytest.mark.parametrize("kind", ["none", "paper", "laboratory"])
def test_the_same_seed_gives_the_same_batch(samples, kind):
    first, second = (augment(batch_of(samples), kind, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.tiles, second.tiles)
    assert torch.equal(first.dense, second.dense)


@pytest.mark.parametrize("transform", [random_flips, random_quarter_turns])
def test_dense_targets_move_with_the_pixels(transform):
    batch = striped()
    changed = transform(batch, torch.Generator().manual_seed(0))
    read = (changed.tiles[:, 0, 4::8, 4::8] * 5).round().to(torch.uint8)
    assert torch.equal(read, changed.dense)
    assert not torch.equal(changed.dense, batch.dense)


def test_zoom_moves_dense_targets_and_shares_with_the_pixels():
    batch = striped()
    changed = random_zoom(batch, torch.Generator().manual_seed(0), smallest=0.4, largest=0.6)
    read = changed.tiles[:, 0, 4::8, 4::8] * 5
    inside = (read - read.round()).abs() < 0.01  # cell centres that do not lie on an edge
    assert inside.float().mean() > 0.4
    agree = (read.round().to(torch.uint8) == changed.dense)[inside].float().mean()
    assert agree > 0.97
    torch.testing.assert_close(changed.fractions, class_cells(changed.dense, 6).mean(dim=(2, 3)))


def test_tiles_without_dense_targets_keep_their_shares():
    batch = striped()._replace(dense=None)
    changed = augment(batch, "laboratory", torch.Generator().manual_seed(0))
    assert changed.dense is None
    assert torch.equal(changed.fractions, batch.fractions)


def test_erased_places_become_unknown():
    batch = striped()
    changed = random_erasing(batch, torch.Generator().manual_seed(0), chance=1.0)
    touched = (changed.tiles != batch.tiles).any(dim=1).reshape(-1, 4, 8, 4, 8).any(dim=4).any(dim=2)
    assert (changed.dense[touched] == UNKNOWN).all()


def test_automatic_gamma_is_that_of_the_paper_worked_by_hand():
    """S = R^gamma brings the average of brightness to the middle: 0.25 ** (log 0.5 / log 0.25) = 0.5."""
    tile = torch.full((1, 3, 8, 8), 0.25)
    changed = automatic_gamma(Batch(tile, torch.eye(6)[:1]), torch.Generator(), chance=1.0).tiles
    torch.testing.assert_close(changed, torch.full_like(tile, 0.5))


def test_automatic_gamma_is_the_gamma_of_torchvision(samples):
    batch = batch_of(samples)
    changed = automatic_gamma(batch, torch.Generator(), chance=1.0).tiles
    for before, after in zip(batch.tiles, changed, strict=True):
        gamma = math.log(0.5) / math.log(min(max(float(before.mean()), 0.02), 0.95))
        torch.testing.assert_close(after, vision.adjust_gamma(before.clamp(min=1e-4), gamma))


def test_automatic_gamma_leaves_most_tiles_as_they_are(samples):
    batch = batch_of(samples, 64)
    changed = automatic_gamma(batch, torch.Generator().manual_seed(0))
    same = (changed.tiles - batch.tiles).abs().amax(dim=(1, 2, 3)) < 2e-4
    assert 0.6 < same.float().mean() < 0.9


def test_flips_are_those_of_torchvision(samples):
    batch = batch_of(samples)
    changed = random_flips(batch, torch.Generator().manual_seed(1)).tiles
    for before, after in zip(batch.tiles, changed, strict=True):
        across, down = vision.horizontal_flip(before), vision.vertical_flip(before)
        choices = (before, across, down, vision.vertical_flip(across))
        assert any(torch.equal(after, choice) for choice in choices)


@pytest.mark.parametrize("name", PAPER_SIX)
def test_each_of_the_six_changes_every_tile(samples, name):
    batch = batch_of(samples, 32)
    changed = PAPER_SIX[name](batch, torch.Generator().manual_seed(0))
    assert (changed.tiles != batch.tiles).flatten(1).any(dim=1).all()


def test_the_six_are_those_of_the_paper():
    assert list(PAPER_SIX) == ["erasing", "flip", "gamma", "zoom", "contrast", "saturation"]
    assert {name_of(one) for one in PAPER_SIX.values()} == {name_of(one) for one in TRANSFORMS["paper"]}
