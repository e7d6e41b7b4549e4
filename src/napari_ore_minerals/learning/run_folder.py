"""A run folder: what a training on a dataset writes, so that it can be seen, repeated and gone on with."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from napari_ore_minerals.errors import OptionError, TrainingError
from napari_ore_minerals.models.store import save_model

from .checkpoints import Checkpoints, read_course, replace_file, sweep
from .event_log import EventLog

if TYPE_CHECKING:
    from torch import nn

    from napari_ore_minerals.models.card import ModelCard

    from .course import Course, EpochRecord

RUN_NAME = "run.json"
FREE_OPTIONS = {"device", "checkpoint_minutes"}  # may be others when a run is gone on with
COLUMNS = {
    "epoch": "epoch",
    "loss": "loss",
    "accuracy": "training_accuracy",
    "validation_loss": "validation_loss",
    "validation_accuracy": "accuracy",
    "validation_balanced_accuracy": "balanced_accuracy",
    "seconds": "seconds",
    "learning_rate": "learning_rate",
}


class RunFolder:
    """The folder of one run; of several processes only one writes.

    Attributes
    ----------
    path : Path
    facts : dict
        What the run is: dataset, architecture, weights, options, versions, device; written to ``run.json``.
    writer : bool
        Whether this process writes.
    checkpoints : Checkpoints
    notices : list of str
        What the user should be told.
    """

    def __init__(self, path: Path, facts: dict[str, Any], *, writer: bool = True) -> None:
        self.path, self.facts, self.writer = Path(path), facts, writer
        self.checkpoints = Checkpoints(self.path / "checkpoint", facts["options"]["checkpoint_minutes"])
        self.notices: list[str] = []
        self._history: list[EpochRecord] = []
        self._log: EventLog | None = None

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.path / "model"

    def finished(self) -> bool:
        """Tell whether this very run is done.

        Raises
        ------
        OptionError
            If the folder holds something else.
        """
        found = self._found()
        return found is not None and found["state"] == "finished"

    def begun(self) -> bool:
        """Tell whether there is a checkpoint to go on from."""
        return self._course() is not None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the folder while training.

        Raises
        ------
        TrainingError
            If another process trains in it, or the disk refuses.
        """
        course = self._course()
        self._history = list(course.history) if course else []
        if not self.writer:
            yield
            return
        with self._held():
            for folder in (self.path, self.path / "checkpoint"):
                sweep(folder)
            self._write_facts("unfinished")
            self._log = EventLog(self.path / "tensorboard", self._history)
            self.notices += self._log.notices
            self._write_history()
            try:
                yield
            finally:
                self._log.close()

    def record(self, epoch: EpochRecord) -> None:
        """Write down an epoch."""
        self._history.append(epoch)
        if self._log is not None:
            self._log.record(epoch)
            self._write_history()

    def finish(self, card: ModelCard, network: nn.Module, *, stopped: bool) -> ModelCard:
        """Write the model and, unless the run was stopped and may go on, remove the checkpoints."""
        if not self.writer:
            return card
        shutil.rmtree(self.model, ignore_errors=True)  # of this run, when it was stopped earlier
        written = save_model(self.model, card, network)
        self._write_facts("stopped" if stopped else "finished", metrics=written.metrics)
        if not stopped and self.checkpoints.folder:
            shutil.rmtree(self.checkpoints.folder, ignore_errors=True)
        return written

    def _course(self) -> Course | None:
        return read_course(self.checkpoints.folder) if self.checkpoints.folder else None

    def _found(self) -> dict[str, Any] | None:
        """Return ``run.json`` if the folder holds this run, None if it holds nothing to go on with."""
        if self.path.exists() and not self.path.is_dir():
            raise OptionError(f"{self.path} is a file: name another place for the run folder")
        if not self.path.is_dir() or all(path.name.startswith(".") for path in self.path.iterdir()):
            return None
        try:
            found: dict[str, Any] = json.loads((self.path / RUN_NAME).read_text(encoding="utf-8"))
            differing = _differences(found, self.facts)
            known = found["state"] in ("unfinished", "stopped", "finished")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OptionError(f"{self.path} exists and is no run folder: name another") from error
        if known and found["state"] == "unfinished" and not self.begun():
            return None
        if differing or not known:
            raise OptionError(
                f"{self.path} holds a run with other settings ({'; '.join(differing)}): name another folder, "
                "or give the same settings to go on with it"
            )
        return found

    @contextmanager
    def _held(self) -> Iterator[None]:
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise TrainingError(
                f"another process is training in {self.path}: wait for it, or name another folder"
            ) from error
        except OSError as error:
            raise TrainingError(f"{self.path} cannot be written to: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def _write_history(self) -> None:
        if self._history:
            replace_file(self.path / "epochs.csv", epochs_csv(self._history).encode())
            replace_file(self.path / "curves.png", draw_curves(self._history))

    def _write_facts(self, state: str, **more: Any) -> None:
        content = json.dumps({"state": state} | self.facts | more, indent=2, default=str) + "\n"
        replace_file(self.path / RUN_NAME, content.encode())


def epochs_csv(history: Sequence[EpochRecord]) -> str:
    """One row an epoch, as ``epochs.csv`` has it."""
    import pandas as pd

    rows = [{column: getattr(epoch, name) for column, name in COLUMNS.items()} for epoch in history]
    return pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False)


def draw_curves(history: Sequence[EpochRecord]) -> bytes:
    """Loss and accuracy over the epochs, as the PNG file ``curves.png``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    epochs = [epoch.epoch for epoch in history]
    curves = {
        "loss": {"training": "loss", "validation": "validation_loss"},
        "accuracy": {
            "training": "training_accuracy",
            "validation": "accuracy",
            "validation, balanced": "balanced_accuracy",
        },
    }
    for axes, (title, lines) in zip(figure.subplots(1, 2), curves.items(), strict=True):
        for label, name in lines.items():
            axes.plot(epochs, [getattr(epoch, name) for epoch in history], marker=".", label=label)
        axes.set(xlabel="epoch", ylabel=title)
        axes.grid(alpha=0.3)
        axes.legend()
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    older, newer = _settings(found), _settings(wanted)
    return [
        f"{name}: {older.get(name)}, now {value}" for name, value in newer.items() if older.get(name) != value
    ]


def _settings(facts: dict[str, Any]) -> dict[str, Any]:
    """What makes a run the same run."""
    options = {name: value for name, value in facts["options"].items() if name not in FREE_OPTIONS}
    weights = {f"weights {name}": value for name, value in facts["weights"].items()}
    return {
        "dataset": facts["dataset"]["sha256"][:12],
        "architecture": facts["architecture"],
        **weights,
        **options,
    }
