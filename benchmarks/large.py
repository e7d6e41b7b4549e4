"""Very large pictures: memory, time, and going on after kill -9 with the same bytes.

Run ``python benchmarks/large.py --side 32768 65536 --kill --grains``.  Each picture is a Zarr folder of coloured
grains whose chunks are a few different ones under many names (hard links), so that 3 GB of pixels take a few
megabytes of disk; ``--format tiff`` writes a tiled TIFF instead.  A process of its own classifies it from
folder to result folder, another one measures the result with its intervals, a third one refines it to grains
where ``--grains`` asks for it; printed is the largest resident memory of each.

By default a tiny untrained model answers for tiles of 256 px, so that the pictures count and not the network;
``--model bundled --tile-px 1024`` takes the bundled one with larger tiles, hence fewer.  The exit code is 1 if
a limit is passed or bytes differ.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from memory import write_model, write_picture

LIMITS_MB = {2**30: 1_500, 2**32: 1_650}  # by pixels
CHUNK_PX, KINDS = 512, 8
START = """
import json, re, resource, sys, time
from pathlib import Path
from napari_ore_minerals.models.devices import prepare_process
prepare_process()
from napari_ore_minerals.images.micrograph import Micrograph, ReadOptions
from napari_ore_minerals.maps.files import read_result, result_folder
from napari_ore_minerals.progress import run
def peak_mb():
    try:  # ru_maxrss of a new process begins with its parent's on Linux
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 2**10
    except OSError:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
def report(**found):
    print(json.dumps({"peak_mb": peak_mb(), "seconds": time.perf_counter() - begun} | found), flush=True)
begun = time.perf_counter()
picture, out = map(Path, sys.argv[1:3])
"""
CLASSIFY = """
from napari_ore_minerals.maps.batch import batch_steps
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.classifier import Classifier, bundled
model, tile, stop = sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
options = ClassifyOptions(tile_px=tile or None, device="cpu", precision="fp32")
classifier = Classifier.load(bundled() if model == "bundled" else model, device="cpu", precision="fp32")
told = [""]
def step(at):
    told[0] = told[0] or at.notice
    if stop and at.done > stop * at.total:
        print("half", flush=True)
        time.sleep(600)
(outcome,) = run(batch_steps([picture], classifier, options, out=out), step)
if outcome.problem:
    sys.exit(outcome.problem)
report(tiles=read_result(outcome.folder).run.tiles, told=told[0])
"""
MEASURE = """
from napari_ore_minerals.maps.measuring import measure
found = measure(read_result(result_folder(picture, out)))
report(blocks=found.blocks)
"""
GRAINS = """
from napari_ore_minerals.maps.grain_tables import grain_tables
from napari_ore_minerals.maps.grains import grain_map
mineral_map = read_result(result_folder(picture, out))
grains = grain_map(mineral_map, Micrograph.open(picture, options=ReadOptions(salvage=True)))
mapped = peak_mb()
tables = grain_tables(grains)
report(codes=list(grains.codes.shape), mapped=mapped, grains=len(tables.grains))
"""


def write_mosaic(folder: Path, side_px: int) -> Path:
    """Write a square Zarr picture of side_px x side_px whose chunks are links to a few."""
    random = np.random.default_rng(0)
    array = zarr.create_array(folder, shape=(side_px, side_px, 3), chunks=(CHUNK_PX, CHUNK_PX, 3), dtype="u1")
    count = -(-side_px // CHUNK_PX)
    kinds = []
    for number in range(min(KINDS, count)):
        coarse = random.integers(30, 230, (8, 8, 3), dtype=np.uint8)
        grains = coarse.repeat(CHUNK_PX // 8, axis=0).repeat(CHUNK_PX // 8, axis=1)
        array[:CHUNK_PX, number * CHUNK_PX : (number + 1) * CHUNK_PX] = grains + random.integers(
            0, 12, grains.shape, dtype=np.uint8
        )
        kinds.append(folder / array.metadata.encode_chunk_key((0, number, 0)))
    for number in range(count, count**2):
        path = folder / array.metadata.encode_chunk_key((number // count, number % count, 0))
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(kinds[number * 5 % len(kinds)], path)
    for number in range(len(kinds), count):
        path = folder / array.metadata.encode_chunk_key((0, number, 0))
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(kinds[number * 5 % len(kinds)], path)
    return folder


def child(script: str, *arguments: object) -> dict[str, Any]:
    """What a process of its own reports."""
    command = [sys.executable, "-c", START + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def classified(picture: Path, out: Path, arguments: argparse.Namespace, model: str) -> float:
    """Classify, measure and, if asked for, refine; print and return the largest memory of classifying and measuring."""
    taken = child(CLASSIFY, picture, out, model, arguments.tile_px, 0)
    pixels = f"{arguments.now:6} x {arguments.now:<6}"
    print(
        f"{pixels} classified: {taken['peak_mb']:5.0f} MB at most, {taken['tiles']} tiles in {taken['seconds']:.0f} s"
    )
    measured = child(MEASURE, picture, out)
    print(
        f"{pixels} measured:   {measured['peak_mb']:5.0f} MB at most, {measured['blocks']} blocks in "
        f"{measured['seconds']:.0f} s"
    )
    if arguments.grains:
        grains = child(GRAINS, picture, out)
        print(
            f"{pixels} grains:     {grains['peak_mb']:5.0f} MB at most, {grains['mapped']:.0f} MB before counting, "
            f"{grains['grains']} grains on {grains['codes'][0]} x {grains['codes'][1]} in {grains['seconds']:.0f} s"
        )
    return float(max(taken["peak_mb"], measured["peak_mb"]))


def same_after_kill(
    picture: Path, whole: Path, folder: Path, arguments: argparse.Namespace, model: str
) -> bool:
    """Kill a classification half-way by SIGKILL, go on, and compare all files but the times in run.json."""
    script = [sys.executable, "-c", START + CLASSIFY, str(picture), str(folder), model]
    with subprocess.Popen(
        [*script, str(arguments.tile_px), "0.5"], stdout=subprocess.PIPE, text=True
    ) as killed:
        if killed.stdout is None or killed.stdout.readline().strip() != "half":
            raise SystemExit("the classification ended before it could be killed")
        killed.send_signal(signal.SIGKILL)
    kept = sum(file.stat().st_size for file in folder.rglob("*.part"))
    taken = child(CLASSIFY, picture, folder, model, arguments.tile_px, 0)
    name = f"{picture.name}.oremap"
    files = sorted(path.name for path in (whole / name).iterdir())
    other_files = {path.name for path in (folder / name).iterdir()}
    different = sorted(set(files) ^ other_files)
    for file in sorted(set(files) & other_files):
        one, other = ((root / name / file).read_bytes() for root in (whole, folder))
        if file == "run.json":
            one, other = (_without_times(content) for content in (one, other))
        different += [file] * (one != other)
    left = ", ".join(path.name for path in folder.iterdir())
    told = "the same bytes" if not different else f"of which {', '.join(different)} DIFFER"
    print(
        f"{arguments.now:6} x {arguments.now:<6} killed at half with {kept / 2**20:.1f} MB kept; {taken['told']}; then "
        f"{taken['seconds']:.0f} s; {len(files)} files {told}; left: {left}"
    )
    return not different


def _without_times(content: bytes) -> bytes:
    record = json.loads(content)
    record["run"] |= {"seconds": 0, "created": ""}
    return json.dumps(record).encode()


def main() -> int:
    """Measure and print; 1 if a limit is passed or bytes differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, nargs="+", default=[16_384, 32_768])
    parser.add_argument("--format", choices=("zarr", "tiff"), default="zarr")
    parser.add_argument(
        "--model", default="", help="bundled, or a model folder; by default a tiny untrained one"
    )
    parser.add_argument("--tile-px", type=int, default=0, help="by default that of the model")
    parser.add_argument("--grains", action="store_true", help="follow grains too, and measure them")
    parser.add_argument("--kill", action="store_true", help="kill it at half, go on, compare")
    arguments = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = arguments.model or str(write_model(folder / "model"))
        for side in arguments.side:
            arguments.now = side
            if arguments.format == "zarr":
                picture = write_mosaic(folder / f"{side}.zarr", side)
            else:
                picture = write_picture(folder / f"{side}.tif", side)
            peak = classified(picture, folder / "whole", arguments, model)
            limit = next((limit for pixels, limit in LIMITS_MB.items() if side**2 <= pixels), None)
            if limit is not None:
                met = met and peak <= limit
                print(f"{side:6} x {side:<6} limit {limit} MB {'kept' if peak <= limit else 'PASSED'}")
            if arguments.kill:
                met = (
                    same_after_kill(picture, folder / "whole", folder / f"killed-{side}", arguments, model)
                    and met
                )
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
