"""Take protections away, one by one, in a copy of this tree, and see their tests fail.

python tests/faults/take_away.py [W1 D7 ...]      # needs a POSIX system; the viewer's need a screen (xvfb-run)

What all tests need is imported once; each protection has a process of its own, which sees a package without it.
That the tests pass as long as the protections are there is what the suite shows.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest
from protections import PROTECTIONS, Protection

ROOT = Path(__file__).parents[2]
PACKAGE = "src/napari_ore_minerals"
HEAVY = ("torch", "timm", "accelerate", "sklearn.metrics", "tifffile", "zarr", "pandas")
FRONT_END = ("napari.components", "napari._qt.qt_main_window")


def fails(tree: Path, test: str) -> tuple[bool, str]:
    """Whether a test fails with the package of a tree, in a child of this process, and its output."""
    log = tree / "log.txt"
    child = os.fork()
    if child == 0:
        os.chdir(tree)
        os.environ["PYTHONPATH"] = str(tree / "src")
        sys.path.insert(0, str(tree / "src"))
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xvfb", test])
            sys.stdout.flush()
            os._exit(int(code))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = log.read_text(errors="replace")
    if code in (2, 3, 4, 5):
        raise SystemExit(f"{test} could not be run:\n{said}")
    return code != 0, said


def tried(tree: Path, row: Protection) -> str:
    """Take a protection away, run its test, and put it back; gives what happened."""
    path = tree / PACKAGE / row.file
    text = path.read_text(encoding="utf-8")
    begun = time.monotonic()
    path.write_text(text.replace(row.line, row.without), encoding="utf-8")
    try:
        failed, said = fails(tree, row.test)
    finally:
        path.write_text(text, encoding="utf-8")
    took = time.monotonic() - begun
    return f"seen to fail: {reason(said)} ({took:.0f} s)" if failed else "NOT SEEN TO FAIL"


def reason(said: str) -> str:
    """Return the first error of a test's output."""
    lines = [line for line in said.splitlines() if line.startswith("E  ")]
    return lines[0].removeprefix("E").strip()[:150] if lines else "the process ended"


def main(wanted: list[str]) -> None:
    """Try the protections of these faults, or all."""
    rows = [row for row in PROTECTIONS if not wanted or row.fault in wanted]
    for name in HEAVY + (FRONT_END if any("/gui/" in row.test for row in rows) else ()):
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        tree.chmod(0o755)  # some tests give up their rights
        for name in ("src", "tests", "pyproject.toml"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, tree / name)
        for row in rows:
            print(f"{row.fault:4} {row.file:28} {tried(tree, row)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
