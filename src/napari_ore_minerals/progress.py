"""One contract for slow work: a generator that yields `Progress` and returns its result.

The command line draws a bar from it, a test stops after two steps, the viewer
gets progress and cancel from the same yields.  Sending ``True`` into such a
generator asks it to stop early and to return what it has so far.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """A step of a long task.

    Attributes
    ----------
    done, total : int
        Work finished so far and work in all, in `unit`; ``total`` is 0 while unknown.
    unit : str
        What is counted, in the plural: ``"tiles"``, ``"pictures"``, ``"epochs"``.
    stage : str
        What is being done now, in a few plain words.
    notice : str
        Something that the user should be told, such as a halved batch; empty for most steps.
    update : object
        What became known in this step, as its task documents it; None for most tasks.
    """

    done: int
    total: int
    unit: str = "steps"
    stage: str = ""
    notice: str = ""
    update: object = None


Steps = Generator[Progress, bool | None, Result]


def mapped(steps: Steps[Result], change: Callable[[Progress], Progress]) -> Steps[Result]:
    """Pass steps on, each `Progress` as `change` returns it."""
    asked: bool | None = None
    with closing(steps):
        while True:
            try:
                progress = steps.send(asked)
            except StopIteration as end:
                result: Result = end.value
                return result
            asked = yield change(progress)


def run(steps: Steps[Result], on_progress: Callable[[Progress], object] | None = None) -> Result:
    """Drain `steps` and return its result.

    Parameters
    ----------
    steps : generator of Progress
        The task.
    on_progress : callable, optional
        Called with each `Progress`; if it returns True, the task is asked to stop
        early and its result is what was computed so far.
    """
    stop = False
    while True:
        try:
            progress = steps.send(True) if stop else next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        stop = bool(on_progress is not None and on_progress(progress) is True)
