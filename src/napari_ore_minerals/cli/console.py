"""What the command line writes: bars, tables, JSON, sentences and pictures."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from napari_ore_minerals.errors import ResultError

if TYPE_CHECKING:
    import pandas as pd
    from cyclopts import CycloptsError

    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.progress import Progress, Steps

Result = TypeVar("Result")
SOME_FAILED = 2  # exit code
STOPS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Somebody asked this process to end, by Ctrl+C or, as clusters do, by SIGTERM.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def with_bar(
    steps: Steps[Result],
    title: str = "",
    *,
    update: Callable[[Any], None] | None = None,
    keeping: str = "",
) -> Result:
    """Drain steps with a bar on standard error.

    With `update` it is the end of a part that is told: each part has a bar of its own, and `update` is called
    with what the part gave.  Steps in the unit `keeping` keep where they are when they are asked to stop: a
    Ctrl+C there waits for that.
    """
    from tqdm import tqdm

    from napari_ore_minerals.progress import run

    with _held_stop() as asked, tqdm(desc=title, unit=" steps", leave=False, disable=None) as bar:
        stopping: list[int] = []

        def show_step(progress: Progress) -> bool:
            if asked and progress.unit != keeping:
                raise Stopped(asked[0])
            if asked and not stopping:
                stopping.append(asked[0])
                bar.write("stopping: what was learnt is kept; once more ends at once", file=sys.stderr)
            if progress.notice:
                bar.write(progress.notice, file=sys.stderr)
            if update is not None and progress.update is not None:
                bar.clear()
                update(progress.update)
                bar.reset()
                return bool(stopping)
            if progress.done < bar.n:
                bar.reset()
            if update is not None:
                bar.set_description(progress.stage, refresh=False)
            bar.total, bar.unit = progress.total, f" {progress.unit}"
            bar.update(progress.done - bar.n)
            return bool(stopping)

        result = run(steps, show_step)
        if stopping:
            raise Stopped(stopping[0])
        return result


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl+C does: what is half-written is tidied up."""

    def stop(number: int, _frame: object) -> None:
        raise Stopped(number)

    with _handled(stop, signal.SIGTERM):
        yield


@contextmanager
def _held_stop() -> Iterator[list[int]]:
    """Hold the first Ctrl+C or SIGTERM until the next step, since Python loses one that hits a destructor.

    The second acts at once.
    """
    held: list[int] = []
    usual = {number: signal.getsignal(number) for number in STOPS}

    def hold(asked: int, _frame: object) -> None:
        held.append(asked)
        for number, handler in usual.items():
            signal.signal(number, handler)

    with _handled(hold, *STOPS):
        yield held


@contextmanager
def _handled(handler: Callable[[int, object], None], *numbers: signal.Signals) -> Iterator[None]:
    """Let a function take signals; in another thread than the main one nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, older in usual.items():
            signal.signal(number, older)


def print_areas(mineral_map: MineralMap, truth: Any = None) -> None:
    """Print areas by soft evidence, the plain count of cells beside them, and the warnings.

    `truth` is a mask of true mineral codes, where it is known.
    """
    from napari_ore_minerals.maps.areas import areas
    from napari_ore_minerals.maps.measuring import doubts_of_cells

    table: pd.DataFrame = areas(mineral_map)
    shown = table[["mineral", "symbol", "cells"]].copy()
    for title, name in (
        ("% of picture", "fraction_of_picture"),
        ("% of ore", "fraction_of_ore"),
        ("% by cells", "fraction_by_cells"),
    ):
        shown[title] = (100 * table[name]).map("{:.1f}".format).where(table[name].notna(), "")
    if truth is not None:
        shown["true % of picture"] = [f"{100 * (truth == code).mean():.1f}" for code in table["code"]]
    if mineral_map.um_per_px is not None:
        shown["area, mm2"] = (table["area_um2"] / 1e6).map("{:.4g}".format)
    print(shown.to_string(index=False))
    for warning in (*mineral_map.warnings, *doubts_of_cells(mineral_map)):
        print(f"Note: {warning}")


def as_json(mineral_map: MineralMap, path: Path, folder: Path) -> dict[str, Any]:
    """What ``--json`` prints of one picture."""
    from napari_ore_minerals.exports.shown import origin
    from napari_ore_minerals.maps.areas import areas

    return {
        "picture": str(path),
        "result": str(folder),
        "areas": json.loads(areas(mineral_map).to_json(orient="records")),
        "um_per_px": mineral_map.um_per_px,
        "model": mineral_map.model.model_dump(),
        "seconds": mineral_map.run.seconds,
        "warnings": list(mineral_map.warnings),
        "facts": origin(mineral_map),
    }


def write_png(path: Path, values: Any, *, replace: bool = True) -> None:
    """Write uint8 values as PNG; `ResultError` if the file exists and is not to be replaced."""
    from PIL import Image

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb" if replace else "xb") as file:
            Image.fromarray(values).save(file, "PNG")
    except FileExistsError as error:
        raise ResultError(
            f"{error.filename} exists and is not replaced: choose another folder or seed"
        ) from error
    except OSError as error:
        raise ResultError(f"{path} could not be written: {error.strerror or error}") from error


def sentence(error: BaseException) -> str:
    """What went wrong, never empty."""
    return str(error) or type(error).__name__


def wrong_call(error: CycloptsError) -> str:
    """What is wrong with a call, in one sentence: the flag, what was given and what is expected."""
    if not isinstance(error.__cause__, ValidationError):
        return " ".join(str(error).split())
    found = error.__cause__.errors()[0]
    if not found["loc"]:  # of several flags together
        return found["msg"].removeprefix("Value error, ")
    expected = found["msg"].partition(" should ")[2] or found["msg"]
    return f"--{str(found['loc'][0]).replace('_', '-')} must {expected}, not {found['input']}"


def tell(text: str) -> None:
    """Say something on standard error."""
    print(text, file=sys.stderr)


def fail(text: str) -> int:
    """Say what went wrong; returns the exit code."""
    tell(f"ore-minerals: {text}")
    return 1
