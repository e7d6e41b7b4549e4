"""Augmentation of batches: the six of the paper, and laboratories that differ.

Each transform takes a `Batch` and a generator and gives a new batch; every tile
gets values of its own.  Geometry moves the class indices inside the tiles with
the pixels.  Randomness comes from the generator alone, so the same seed gives
the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from .dataset import UNKNOWN

Augmentation = Literal["none", "paper", "laboratory"]


class Batch(NamedTuple):
    """Tiles on their way to the network.

    Attributes
    ----------
    tiles : (n, 3, s, s) float tensor
        RGB, 0 to 1.
    fractions : (n, classes) float tensor
        Share of each class.
    dense : (n, k, k) uint8 tensor or None
        Class indices inside the tile, `dataset.UNKNOWN` where nobody knows.
    """

    tiles: torch.Tensor
    fractions: torch.Tensor
    dense: torch.Tensor | None = None


Transform = Callable[[Batch, torch.Generator], Batch]


def augment(batch: Batch, kind: Augmentation, generator: torch.Generator) -> Batch:
    """Apply the transforms of `kind` in their order."""
    for transform in TRANSFORMS[kind]:
        batch = transform(batch, generator)
    return batch


def random_flips(batch: Batch, generator: torch.Generator, *, always: bool = False) -> Batch:
    """Turn each tile over rows and over columns with a chance of one half each; `always` over at least one."""
    if always:
        kinds = torch.randint(1, 4, (len(batch.tiles),), generator=generator)
        choices = [(kinds & 1) > 0, (kinds & 2) > 0]
    else:
        choices = [_chance(batch, 0.5, generator) for _ in range(2)]
    for chosen, flip in zip(choices, (vision.horizontal_flip, vision.vertical_flip), strict=True):
        batch = _moved(batch, chosen, flip)
    return batch


def random_quarter_turns(batch: Batch, generator: torch.Generator) -> Batch:
    """Turn each tile by 0, 90, 180 or 270 degrees."""
    for turns in (1, 2):
        chosen = _chance(batch, 0.5, generator)
        batch = _moved(batch, chosen, partial(torch.rot90, k=turns, dims=(-2, -1)))
    return batch


def random_zoom(
    batch: Batch, generator: torch.Generator, *, smallest: float = 0.5, largest: float = 1.15
) -> Batch:
    """Show a part of each tile, of random size and place, at the size of the tile.

    Parameters
    ----------
    batch, generator
    smallest, largest
        Side of the part in sides of the tile; above 1 the surroundings are filled by reflection.
    """
    count = len(batch.tiles)
    side = _log_uniform(count, smallest, largest, generator)
    room = (1.0 - side).abs().reshape(-1, 1)
    offset = (2.0 * torch.rand(count, 2, generator=generator) - 1.0) * room
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = offset
    theta = theta.to(batch.tiles.device)
    tiles = _sampled(batch.tiles, theta, "bilinear").clamp(0.0, 1.0)
    if batch.dense is None:
        return batch._replace(tiles=tiles)
    dense = _sampled(batch.dense[:, None].float(), theta, "nearest")[:, 0].round().to(torch.uint8)
    return Batch(tiles, fractions_of(dense, batch.fractions), dense)


def random_erasing(
    batch: Batch, generator: torch.Generator, *, chance: float = 0.25, largest: float = 0.15
) -> Batch:
    """Blank a rectangle of some tiles with a random grey (Zhong et al. 2020, AAAI 34, 13001-13008).

    Class indices under it become unknown; the shares of the tile stay those of the whole.
    """
    tiles, dense = batch.tiles.clone(), None if batch.dense is None else batch.dense.clone()
    side = tiles.shape[-1]
    cell = 0.0 if dense is None else dense.shape[-1] / side
    for number in torch.nonzero(_chance(batch, chance, generator)).flatten().tolist():
        area, aspect, top, left, grey = torch.rand(5, generator=generator).tolist()
        pixels = (0.02 + area * (largest - 0.02)) * side**2
        ratio = 0.3 ** (1.0 - 2.0 * aspect)
        height = min(max(int((pixels * ratio) ** 0.5), 1), side)
        width = min(max(int((pixels / ratio) ** 0.5), 1), side)
        row, column = int(top * (side - height + 1)), int(left * (side - width + 1))
        vision.erase(tiles[number], row, column, height, width, torch.tensor(grey), inplace=True)
        if dense is not None:
            rows, columns = (
                slice(int(start * cell), math.ceil((start + length) * cell))
                for start, length in ((row, height), (column, width))
            )
            dense[number, rows, columns] = UNKNOWN
    return batch._replace(tiles=tiles, dense=dense)


def automatic_gamma(batch: Batch, generator: torch.Generator, *, chance: float = 0.25) -> Batch:
    """Correct the brightness of some tiles, S = R^gamma (Babakhani and Zarei 2015, ACSIJ 4(6), 156-159).

    gamma = log(0.5) / log(mean of R) brings the average of brightness to the middle of the range.
    It takes away how bright a mineral is, so most tiles are left as they are.
    """
    chosen = _chance(batch, chance, generator).to(batch.tiles.device)
    mean = batch.tiles.mean(dim=(1, 2, 3)).clamp(0.02, 0.95)  # a tile of one value is not torn to noise
    gamma = math.log(0.5) / torch.log(mean)
    return batch._replace(tiles=_powered(batch.tiles, torch.where(chosen, gamma, torch.ones_like(gamma))))


def random_contrast(
    batch: Batch, generator: torch.Generator, *, strength: float = 0.2, always: bool = False
) -> Batch:
    """Stretch each tile about its mean grey by a factor within 1 ± strength; `always` at least half of that."""
    factors = _factors(batch, strength, generator, always=always)
    tiles = [
        vision.adjust_contrast(tile, factor)
        for tile, factor in zip(batch.tiles, factors.tolist(), strict=True)
    ]
    return batch._replace(tiles=torch.stack(tiles))


def random_saturation(
    batch: Batch, generator: torch.Generator, *, strength: float = 0.2, always: bool = False
) -> Batch:
    """Change the colour saturation of each tile by a factor within 1 ± strength; `always` at least half of that."""
    factors = _factors(batch, strength, generator, always=always)
    tiles = [
        vision.adjust_saturation(tile, factor)
        for tile, factor in zip(batch.tiles, factors.tolist(), strict=True)
    ]
    return batch._replace(tiles=torch.stack(tiles))


def laboratory(
    batch: Batch,
    generator: torch.Generator,
    *,
    exposure: float = 0.06,
    balance: float = 0.008,
    gamma: float = 0.04,
) -> Batch:
    """Another lamp and camera: exposure, white balance, gamma, stray light, uneven light.

    Parameters
    ----------
    batch, generator
    exposure, balance, gamma
        Standard deviations of the logarithms of exposure, of the gains of red and of
        blue against green, and of gamma.  Pyrite and arsenopyrite differ in hue by about
        15 % alone, so `balance` must stay well below that.
    """
    count, device = len(batch.tiles), batch.tiles.device
    normal = torch.randn(count, 4, generator=generator).to(device).clamp(-2.5, 2.5)
    gains = torch.exp(exposure * normal[:, :1]).repeat(1, 3)
    gains[:, 0] *= torch.exp(balance * normal[:, 1])
    gains[:, 2] *= torch.exp(balance * normal[:, 2])
    tiles = _powered(batch.tiles, torch.exp(gamma * normal[:, 3])) * gains[:, :, None, None]
    stray = 0.02 * torch.rand(count, 1, 1, 1, generator=generator).to(device)
    tilt = 0.1 * (2.0 * torch.rand(count, 2, generator=generator).to(device) - 1.0)
    ramp = torch.linspace(-1.0, 1.0, tiles.shape[-1], device=device)
    light = 1.0 + tilt[:, :1, None] * ramp[:, None] + tilt[:, 1:, None] * ramp
    return batch._replace(tiles=(tiles * light[:, None] + stray).clamp(0.0, 1.0))


def random_focus(
    batch: Batch, generator: torch.Generator, *, chance: float = 0.3, noise: float = 0.02
) -> Batch:
    """Blur some tiles a little, and give all of them sensor noise of a random amount."""
    tiles = batch.tiles
    for sigma in (0.7, 1.4):
        chosen = _chance(batch, chance / 2.0, generator)
        if bool(chosen.any()):
            tiles = tiles.clone()
            tiles[chosen] = vision.gaussian_blur(tiles[chosen], [7, 7], [sigma, sigma])
    amount = noise * torch.rand(len(tiles), 1, 1, 1, generator=generator) ** 2
    grain = torch.randn(tiles.shape, generator=generator) * amount
    return batch._replace(tiles=(tiles + grain.to(tiles.device)).clamp(0.0, 1.0))


TRANSFORMS: dict[Augmentation, tuple[Transform, ...]] = {
    "none": (),
    "paper": (
        random_flips,
        random_zoom,
        automatic_gamma,
        random_contrast,
        random_saturation,
        random_erasing,
    ),
    # Colours change less than in the paper's set: pyrite, arsenopyrite and chalcopyrite differ in little else.
    "laboratory": (
        random_flips,
        random_quarter_turns,
        random_zoom,
        laboratory,
        partial(random_contrast, strength=0.05),
        partial(random_saturation, strength=0.05),
        random_focus,
        random_erasing,
    ),
}


PAPER_SIX: dict[str, Transform] = {
    "erasing": partial(random_erasing, chance=1.0),
    "flip": partial(random_flips, always=True),
    "gamma": partial(automatic_gamma, chance=1.0),
    "zoom": random_zoom,
    "contrast": partial(random_contrast, always=True),
    "saturation": partial(random_saturation, always=True),
}
"""The six of the paper, each on every tile: 2,713 tiles became 18,991, themselves and six others each."""


def fractions_of(dense: torch.Tensor, fallback: torch.Tensor) -> torch.Tensor:
    """Shares of the classes among the known places of `dense`; those of `fallback` where none is known.

    Parameters
    ----------
    dense : (n, k, k) uint8 tensor
    fallback : (n, classes) float tensor
    """
    shares = class_cells(dense, fallback.shape[1]).mean(dim=(2, 3))
    known = shares.sum(dim=1, keepdim=True)
    return torch.where(known > 0, shares / known.clamp(min=1e-6), fallback)


def class_cells(dense: torch.Tensor, classes: int) -> torch.Tensor:
    """Turn (n, k, k) class indices into (n, classes, k, k) of 0 and 1, all 0 where unknown."""
    known = torch.arange(classes, device=dense.device, dtype=dense.dtype).reshape(1, -1, 1, 1)
    return (dense[:, None] == known).float()


def _moved(batch: Batch, chosen: torch.Tensor, move: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    chosen = chosen.to(batch.tiles.device)
    tiles = torch.where(chosen[:, None, None, None], move(batch.tiles), batch.tiles)
    dense = batch.dense
    if dense is not None:
        dense = torch.where(chosen[:, None, None], move(dense), dense)
    return batch._replace(tiles=tiles, dense=dense)


def _chance(batch: Batch, chance: float, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(len(batch.tiles), generator=generator) < chance


def _factors(batch: Batch, strength: float, generator: torch.Generator, *, always: bool) -> torch.Tensor:
    change = 2.0 * torch.rand(len(batch.tiles), generator=generator) - 1.0
    if always:
        change = 0.5 * (change + torch.where(change < 0, -1.0, 1.0))
    return 1.0 + strength * change


def _log_uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    ends = torch.log(torch.tensor([low, high]))
    return torch.exp(ends[0] + (ends[1] - ends[0]) * torch.rand(count, generator=generator))


def _powered(tiles: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    return tiles.clamp(1e-4, 1.0) ** gamma[:, None, None, None]


def _sampled(images: torch.Tensor, theta: torch.Tensor, mode: str) -> torch.Tensor:
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode=mode, padding_mode="reflection", align_corners=False)
