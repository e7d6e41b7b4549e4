"""How long ``import napari_ore_minerals`` takes, and that it loads neither torch nor Qt nor napari.

Run ``python benchmarks/import_time.py``; the exit code is 1 if the limit is passed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

LIMIT_S = 0.2
REPEATS = 7
HEAVY = ("torch", "napari", "qtpy", "PyQt6", "PyQt5", "PySide6")
CODE = """
import json, sys, time
start = time.perf_counter()
import napari_ore_minerals
print(json.dumps({"seconds": time.perf_counter() - start, "modules": sorted(sys.modules)}))
"""


def measure() -> tuple[float, list[str]]:
    """Median import time in fresh processes, in seconds, and the heavy modules that came with it."""
    runs = [
        json.loads(
            subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, text=True).stdout
        )
        for _ in range(REPEATS)
    ]
    loaded = {name.split(".")[0] for run in runs for name in run["modules"]}
    return statistics.median(run["seconds"] for run in runs), sorted(loaded.intersection(HEAVY))


def main() -> int:
    """Print the figures; 1 if the import is too slow or too heavy."""
    seconds, heavy = measure()
    print(f"import napari_ore_minerals: {seconds:.4f} s, {seconds / LIMIT_S:.2f} of the limit of {LIMIT_S} s")
    if heavy:
        print(f"it also loads {', '.join(heavy)}")
    return int(seconds >= LIMIT_S or bool(heavy))


if __name__ == "__main__":
    sys.exit(main())
