"""A picture larger than one wants in memory is read window by window in little of it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

SIDE = 20_000
BLOCK = np.random.default_rng(3).integers(0, 256, (512, 512, 3), dtype=np.uint8)

WALK = textwrap.dedent("""
    import json, sys
    import numpy as np, psutil
    from napari_ore_minerals.images.micrograph import Micrograph, Window
    process = psutil.Process()
    before = process.memory_info().rss
    picture = Micrograph.open(sys.argv[1])
    block = np.random.default_rng(3).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    peak, wrong = 0, 0
    for row in range(0, picture.height_px - 224, 224):
        for column in range(0, picture.width_px - 224, 224):
            rgb = picture.read(Window(row, column, 224, 224)).rgb
            wrong += bool((rgb[0, 0] != block[row % 512, column % 512]).any())
        peak = max(peak, process.memory_info().rss)
    json.dump({"above_mb": (peak - before) / 2**20, "wrong": wrong}, sys.stdout)
""")


def tiles() -> Iterator[np.ndarray]:
    for _ in range((-(-SIDE // 512)) ** 2):
        yield BLOCK


def bands() -> Iterator[np.ndarray]:
    band = np.tile(BLOCK, (1, SIDE // 512 + 1, 1))[:, :SIDE]
    for row in range(0, SIDE, 16):
        yield band[row % 512 : row % 512 + 16]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiles", "bands of the whole width", "one uncompressed strip"])
def test_memory_stays_bounded(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mosaic.tif"
    how: dict[str, object] = {
        "shape": (SIDE, SIDE, 3),
        "dtype": np.uint8,
        "photometric": "rgb",
        "bigtiff": True,
    }
    if kind == "tiles":
        tifffile.imwrite(path, tiles(), tile=(512, 512), compression="zstd", **how)
    elif kind == "bands of the whole width":
        tifffile.imwrite(path, bands(), tile=(16, SIDE), compression="zstd", **how)
    else:
        mapped = tifffile.memmap(path, **how)
        for row in range(0, SIDE, 512):
            band = np.tile(BLOCK, (1, SIDE // 512 + 1, 1))[:, :SIDE]
            mapped[row : row + 512] = band[: SIDE - row]
        del mapped
    found = subprocess.run([sys.executable, "-c", WALK, path], capture_output=True, check=True, text=True)
    result = json.loads(found.stdout)
    assert result["wrong"] == 0
    assert result["above_mb"] < 200
