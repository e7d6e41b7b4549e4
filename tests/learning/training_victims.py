"""Processes for `test_checkpoints`: a training that is killed again and again, and goes on each time.

python training_victims.py FOLDER KILLS     # prints the number of kills and whether the weights are the same
"""

from __future__ import annotations

import os
import random
import signal
import sys
from functools import cache
from pathlib import Path

import torch
from conftest import coloured_picture

from napari_ore_minerals.learning.checkpoints import Checkpoints
from napari_ore_minerals.learning.dataset import TileSamples, joined, masked_samples
from napari_ore_minerals.learning.options import TrainOptions
from napari_ore_minerals.learning.training import train_steps
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.progress import run

OPTIONS = TrainOptions(epochs=12, batch_size=16, learning_rate=1e-2, device="cpu", precision="fp32")


@cache
def samples(seeds: range) -> TileSamples:
    """Tiles of pictures of their own."""
    pictures = [coloured_picture(seed) for seed in seeds]
    return joined(
        [
            masked_samples(rgb, mask, DEFAULT_MINERALS, tile_px=32, input_px=32, group=seed)
            for seed, (rgb, mask) in zip(seeds, pictures, strict=True)
        ]
    )


def trained(checkpoints: Checkpoints | None, at: tuple[int, bool] | None = None) -> torch.nn.Module:
    """Train; with `at` until a number of steps, or into the checkpoint after it, and no further."""
    torch.manual_seed(0)
    parts = samples(range(5)), samples(range(5, 6))
    steps = train_steps(build_network("ore_swin_micro", 6), *parts, OPTIONS, checkpoints=checkpoints)
    if at is None:
        return run(steps).network
    count, writing = at
    for _ in range(count):
        try:
            next(steps)
        except StopIteration as end:
            return end.value.network
    if writing:
        os.fsync = lambda _: die()
        next(steps)
    die()
    raise RuntimeError("nobody lives here")


def die() -> None:
    """End at once, as with kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed(folder: Path, at: tuple[int, bool]) -> bool:
    """Whether a training that goes on from a folder's checkpoint was killed, not finished."""
    child = os.fork()
    if child == 0:
        trained(Checkpoints(folder, 0.0), at)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder: Path, most: int) -> None:
    """Kill a training, let it end, and compare it with one that nobody killed."""
    torch.set_num_threads(1)
    whole = trained(None).state_dict()  # first, so that no victim has to load anything
    chance, kills = random.Random(4), 0
    while kills < most and killed(folder, (chance.choice((1, 2, 2, 3)), chance.random() < 0.5)):
        kills += 1
    broken = trained(Checkpoints(folder)).state_dict()
    print(kills, all(torch.equal(whole[name], broken[name]) for name in whole))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
