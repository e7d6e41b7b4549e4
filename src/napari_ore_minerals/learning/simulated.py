"""Tile samples of simulated micrographs, cached on disk.

Simulating takes a second or two a picture, so it is done once, in several
processes, and kept as plain ``.npy`` files that are read as memory maps.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError, JobError
from napari_ore_minerals.images import simulation
from napari_ore_minerals.images.simulated_camera import Laboratory, draw_laboratory
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.progress import Progress, Steps

from .dataset import TileSamples, masked_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ARRAYS = ("tiles", "fractions", "groups", "dense")
_ENDED = (
    "a process that simulates pictures ended: memory may have run out; a script of yours that asks for this must "
    'do it under `if __name__ == "__main__":`, since these processes import it'
)


@dataclass(frozen=True)
class SimulatedPictures:
    """Which simulated pictures to cut into tiles.

    Attributes
    ----------
    first_seed, count : int
        Pictures are made from the seeds ``first_seed`` to ``first_seed + count - 1``.
    picture_px, tile_px, input_px : int
        Sides of a picture, of its tiles, and of the tiles as they are kept.
    """

    first_seed: int
    count: int
    picture_px: int = 1024
    tile_px: int = 256
    input_px: int = 224

    def key(self) -> str:
        """Name that changes with these settings and with the code of the simulation."""
        folder = Path(simulation.__file__).parent
        files = [Path(__file__), *sorted(folder.glob("simulat*.py"))]
        code = b"".join(path.read_bytes() for path in files)
        return hashlib.sha256(repr(self).encode() + code).hexdigest()[:16]


def simulated_samples_steps(
    pictures: SimulatedPictures, cache: Path, *, workers: int | None = None
) -> Steps[TileSamples]:
    """Simulate pictures and cut them into tiles, or read them from the cache.

    Parameters
    ----------
    pictures
        Which ones.
    cache
        Folder that holds one folder for each set of pictures.
    workers
        Processes to simulate in; None for as many as there are processors.

    Yields
    ------
    Progress
        One per picture, in ``"pictures"``.

    Returns
    -------
    TileSamples
        All whole tiles, as read-only memory maps; `groups` is the seed of the picture.
        When sent True, those of the pictures made so far, which are not kept.
    """
    folder = cache / pictures.key()
    if not folder.is_dir():
        staging = cache / f".staging-{uuid.uuid4().hex}"
        staging.mkdir(parents=True)
        try:
            done = yield from _fill(pictures, staging, workers or os.cpu_count() or 1)
            if done < pictures.count:
                return _opened(staging, done * _tiles_each(pictures), memory=True)
            os.rename(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return _opened(folder, pictures.count * _tiles_each(pictures), memory=False)


def _fill(pictures: SimulatedPictures, folder: Path, workers: int) -> Steps[int]:
    each, classes = _tiles_each(pictures), len(DEFAULT_MINERALS)
    total = each * pictures.count
    arrays: dict[str, NDArray[np.generic]] = {}
    for number, samples in enumerate(_simulated(pictures, workers)):
        if not arrays:
            arrays = {name: _new(folder / f"{name}.npy", getattr(samples, name), total) for name in _ARRAYS}
        if samples.fractions.shape != (each, classes):
            raise DatasetError(f"simulated picture {number} has {len(samples)} tiles, not {each}")
        for name, array in arrays.items():
            array[number * each : (number + 1) * each] = getattr(samples, name)
        if (yield Progress(number + 1, pictures.count, "pictures", "simulating")):
            return number + 1
    return pictures.count


def _simulated(pictures: SimulatedPictures, workers: int) -> Iterator[TileSamples]:
    seeds = iter(range(pictures.first_seed, pictures.first_seed + pictures.count))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[TileSamples]] = deque(
            pool.submit(simulated_tiles, pictures, seed) for seed in islice(seeds, 2 * workers)
        )
        try:
            while waiting:
                samples = waiting.popleft().result()
                waiting.extend(pool.submit(simulated_tiles, pictures, seed) for seed in islice(seeds, 1))
                yield samples
        except BrokenProcessPool as error:
            raise JobError(_ENDED) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def simulated_tiles(pictures: SimulatedPictures, seed: int) -> TileSamples:
    """Simulate one picture and cut it into tiles."""
    side = pictures.picture_px
    picture = simulation.simulate(
        seed,
        simulation.SimulationOptions(height_px=side, width_px=side),
        laboratory=usual_laboratory(np.random.default_rng([seed, 2])),
    )
    return masked_samples(
        picture.rgb,
        picture.mask,
        DEFAULT_MINERALS,
        tile_px=pictures.tile_px,
        input_px=pictures.input_px,
        group=seed,
    )


def usual_laboratory(random: np.random.Generator) -> Laboratory:
    """Draw a laboratory to learn from: nearly all are set up alike, as good practice and one house do.

    One tile of pyrite alone shows neither lamp nor white balance, and pyrite, arsenopyrite and
    chalcopyrite differ in little but hue: a model that must expect every white balance cannot tell
    them apart in any.  The usual ones are a little warm and pale, exposed so that pyrite is bright
    and gold just not clipped, with a tone curve near sRGB; chosen so that the medians of pyrite and
    chalcopyrite fit those of the training part of LumenStone S1 and S2 (Khvostikov et al. 2021).
    Three in a hundred are any.
    """
    drawn = draw_laboratory(random)
    if random.random() < 0.03:
        return drawn
    warmth, tint = random.normal(0.1, 0.016), random.normal(0.0, 0.008)
    return replace(
        drawn,
        exposure=float(random.triangular(0.5, 0.74, 0.9)),
        white_balance=(
            float(np.exp(warmth + tint)),
            float(np.exp(-tint)),
            float(np.exp(-1.3 * warmth + tint)),
        ),
        saturation=float(random.uniform(0.63, 0.85)),
        gamma=float(random.uniform(1.9, 2.3)),
        contrast=float(random.uniform(0.0, 0.15)),
    )


def _tiles_each(pictures: SimulatedPictures) -> int:
    return (pictures.picture_px // pictures.tile_px) ** 2


def _new(path: Path, example: NDArray[np.generic], total: int) -> NDArray[np.generic]:
    array: NDArray[np.generic] = np.lib.format.open_memmap(
        path, mode="w+", dtype=example.dtype, shape=(total, *example.shape[1:])
    )
    return array


def _opened(folder: Path, count: int, *, memory: bool) -> TileSamples:
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode=None if memory else "r", allow_pickle=False)[:count]
        for name in _ARRAYS
    }
    return TileSamples(
        arrays["tiles"], arrays["fractions"], arrays["groups"], DEFAULT_MINERALS, arrays["dense"]
    )
