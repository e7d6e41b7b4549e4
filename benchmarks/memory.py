"""How much memory a large picture takes: 20,000 x 20,000 pixels against 2,000 x 2,000.

Run ``python benchmarks/memory.py``.  Each picture is a tiled TIFF that is classified from file to
result folder by a process of its own, with a tiny untrained model so that the pictures count and not
the network; the largest resident memory of the two processes is compared.  The exit code is 1 if
the large picture takes more than `LIMIT_MB` above the small one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL_PX, LARGE_PX = 2_000, 20_000
LIMIT_MB = 400
TILE_PX = 512
CHILD = """
import json, re, resource, sys, time
from pathlib import Path
from napari_ore_minerals.models.devices import prepare_process
prepare_process()
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.files import write_result
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.models.classifier import Classifier
def peak_mb():
    try:  # ru_maxrss of a new process begins with its parent's on Linux
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 2**10
    except OSError:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
picture, model = map(Path, sys.argv[1:])
begun = time.perf_counter()
micrograph = Micrograph.open(picture)
mineral_map = classify(micrograph, Classifier.load(model, device="cpu"))
mapped = peak_mb()
write_result(mineral_map, picture.with_suffix(".oremap"), micrograph=micrograph)
print(json.dumps({"map_mb": mapped, "peak_mb": peak_mb(), "tiles": mineral_map.run.tiles,
                  "seconds": time.perf_counter() - begun}))
"""


def write_model(folder: Path) -> Path:
    """Write a tiny untrained model for tiles of 256 px."""
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.minerals import DEFAULT_MINERALS
    from napari_ore_minerals.models.architectures import build_network
    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.models.store import save_model

    card = ModelCard(
        name="micro",
        architecture="ore_swin_micro",
        minerals=DEFAULT_MINERALS.minerals,
        tile_px=256,
        input_px=32,
    )
    save_model(folder, card, build_network("ore_swin_micro", len(DEFAULT_MINERALS)))
    return folder


def write_picture(path: Path, side_px: int) -> Path:
    """Write a square tiled TIFF of coloured grains with noise; its tiles are few different ones."""
    random = np.random.default_rng(0)
    kinds = [_grains(random) for _ in range(8)]

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for number in range((-(-side_px // TILE_PX)) ** 2):
            yield kinds[number * 5 % len(kinds)]

    shape = (side_px, side_px, 3)
    tifffile.imwrite(
        path,
        tiles(),
        shape=shape,
        dtype=np.uint8,
        photometric="rgb",
        tile=(TILE_PX, TILE_PX),
        compression="zlib",
        compressionargs={"level": 1},
    )
    return path


def peak(picture: Path, model: Path) -> dict[str, Any]:
    """Classify a picture in a process of its own; what it took."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, picture, model], capture_output=True, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def difference_mb(small_px: int, large_px: int, folder: Path) -> float:
    """Print the peaks of a small and of a large picture, and return by how much they differ."""
    model = write_model(folder / "model")
    found = []
    for side in (small_px, large_px):
        taken = peak(write_picture(folder / f"{side}.tif", side), model)
        print(
            f"{side:6} x {side:<6} {taken['peak_mb']:6.0f} MB at most ({taken['map_mb']:.0f} MB up to the map), "
            f"{taken['tiles']} tiles in {taken['seconds']:.0f} s"
        )
        found.append(float(taken["peak_mb"]))
    return found[1] - found[0]


def main() -> int:
    """Measure and print; 1 if the limit is passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", type=int, default=SMALL_PX)
    parser.add_argument("--large", type=int, default=LARGE_PX)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        difference = difference_mb(arguments.small, arguments.large, Path(folder))
    met = difference <= LIMIT_MB
    print(
        f"the large picture takes {difference:.0f} MB more; target at most {LIMIT_MB} MB "
        f"{'reached' if met else 'NOT reached'}"
    )
    return int(not met)


def _grains(random: np.random.Generator) -> NDArray[np.uint8]:
    coarse = random.integers(30, 230, (8, 8, 3), dtype=np.uint8)
    grains: NDArray[np.uint8] = coarse.repeat(TILE_PX // 8, axis=0).repeat(TILE_PX // 8, axis=1)
    return grains + random.integers(0, 12, grains.shape, dtype=np.uint8)


if __name__ == "__main__":
    sys.exit(main())
