"""What the documentation tells the reader to type is typed here.

A ```` ```console ```` block runs if the line above it is ``<!-- runs -->``; lines that begin with ``$ `` are
commands, the others are what they print.  Every ```` ```python ```` block runs.  The blocks of a page run in
their order, in one empty folder, in which ``PS-07.tif`` is a photograph.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import tifffile

from napari_ore_minerals.images.simulation import SimulationOptions, simulate

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^(<!-- runs -->\n+)?```(console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = {
    "ore-minerals": [sys.executable, "-m", "napari_ore_minerals"],
    "python": [sys.executable],
}


class Block(NamedTuple):
    kind: str  # "console" or "python"
    code: str


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page that are to be run."""
    return [Block(kind, code) for mark, kind, code in BLOCK.findall(text) if mark or kind == "python"]


def commands(code: str) -> list[list[str]]:
    """Return the commands of a console block; a line that ends in a backslash goes on in the next."""
    joined = code.replace("\\\n", " ")
    return [shlex.split(line[2:], comments=True) for line in joined.splitlines() if line.startswith("$ ")]


def processes(block: Block) -> list[list[str]]:
    """Return what to start for a block."""
    if block.kind == "python":
        return [[sys.executable, "-c", block.code]]
    return [[*COMMANDS[name], *arguments] for name, *arguments in commands(block.code)]


def test_commands_are_found_and_others_left_alone():
    page = (
        "```console\n$ ore-minerals never\n```\n\n<!-- runs -->\n```console\n$ ore-minerals a \\\n    --b 'c d'  # why\n"
        "printed\n$ ore-minerals e\n```\n```python\nx = 1\n```\n"
    )
    found = blocks(page)
    assert [block.kind for block in found] == ["console", "python"]
    assert commands(found[0].code) == [["ore-minerals", "a", "--b", "c d"], ["ore-minerals", "e"]]


@pytest.mark.parametrize("name", ["reproduce-the-paper.md", "train-your-own.md"])
def test_the_two_guides_have_commands_that_run(name: str):
    path = ROOT / "docs" / name
    if not path.exists():
        pytest.skip("not written yet")
    text = path.read_text(encoding="utf-8")
    assert sum(len(commands(block.code)) for block in blocks(text) if block.kind == "console") >= 3
    assert any(block.kind == "python" for block in blocks(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page.read_text(encoding="utf-8"))], ids=lambda page: page.stem
)
def test_what_a_page_tells_to_type_works(
    page: Path, tmp_path: Path, remember_processor: Callable[[Path], None]
):
    work = tmp_path / "work"
    work.mkdir()
    micrograph = simulate(7, SimulationOptions(height_px=512, width_px=512))
    tifffile.imwrite(work / "PS-07.tif", micrograph.rgb, photometric="rgb")
    places = {name: str(tmp_path / name) for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    remember_processor(Path(places["XDG_CACHE_HOME"]))
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment = os.environ | places | nowhere | one_thread | {"MPLBACKEND": "Agg", "PYTHONUTF8": "1"}
    for block in blocks(page.read_text(encoding="utf-8")):
        for process in processes(block):
            done = subprocess.run(
                process,
                cwd=work,
                env=environment,
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=250,
            )
            assert done.returncode == 0, (
                f"{shlex.join(process)[:500]}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
            )
