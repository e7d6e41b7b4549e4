"""Logs for TensorBoard, where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ore_minerals.errors import TrainingError

if TYPE_CHECKING:
    from .course import EpochRecord


class EventLog:
    """Writes epochs for TensorBoard.

    Attributes
    ----------
    notices : list of str
        Says so where TensorBoard is not installed.
    """

    def __init__(self, folder: Path, history: Sequence[EpochRecord]) -> None:
        self.notices: list[str] = []
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.notices.append(
                "no logs for TensorBoard are written: pip install 'napari-ore-minerals[tensorboard]' to have them"
            )
            return
        shutil.rmtree(folder, ignore_errors=True)  # a process that was killed may have left half of an epoch
        self._writer = SummaryWriter(str(folder))
        for epoch in history:
            self.record(epoch)

    def record(self, epoch: EpochRecord) -> None:
        """Write an epoch."""
        if self._writer is None:
            return
        values = {
            "loss/training": epoch.loss,
            "loss/validation": epoch.validation_loss,
            "accuracy/training": epoch.training_accuracy,
            "accuracy/validation": epoch.accuracy,
            "accuracy/validation, balanced": epoch.balanced_accuracy,
            "learning rate": epoch.learning_rate,
        }
        try:
            for name, value in values.items():
                self._writer.add_scalar(name, value, epoch.epoch)
            self._writer.flush()
        except OSError as error:
            raise TrainingError(
                f"TensorBoard's logs could not be written to {self._writer.log_dir}: {error.strerror or error}; put "
                "the disk right and run the same command again, which goes on from the last checkpoint"
            ) from error

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
