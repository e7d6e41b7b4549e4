"""The course of a training: plain numbers, so that it can be written down and taken up again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    loss : float
        Mean over the batches, with label smoothing and class maps as the options have them.
    validation_loss : float
        Cross entropy on the validation samples.
    accuracy, balanced_accuracy : float
        On the validation samples that have a clear class, 0 to 1.
    seconds : float
        Time from the end of the epoch before.
    training_accuracy : float
        On the augmented batches while learning from them, 0 to 1.
    learning_rate : float
        Of the head, in the last step.
    """

    epoch: int
    loss: float
    validation_loss: float
    accuracy: float
    balanced_accuracy: float
    seconds: float
    training_accuracy: float
    learning_rate: float


@dataclass
class Course:
    """How far a training has come.

    Attributes
    ----------
    steps : int
        Done since the beginning.
    losses : list of float
        Of the batches of the epoch that is trained.
    right, seen : int
        Tiles of that epoch whose class was found, and all of them.
    seconds : float
        Since the beginning, breaks left out.
    history : list of EpochRecord
        Of the epochs that are done.
    best_epoch : int
        That with the least validation loss; 0 while there is none.
    """

    steps: int = 0
    losses: list[float] = field(default_factory=list)
    right: int = 0
    seen: int = 0
    seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def epoch(self) -> int:
        """The epoch that is trained or comes next, counted from 1."""
        return len(self.history) + 1

    @property
    def best(self) -> EpochRecord | None:
        """Record of the best epoch."""
        return self.history[self.best_epoch - 1] if self.best_epoch else None

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return len(self.history) - self.best_epoch if self.best_epoch else 0

    def end_epoch(self, record: EpochRecord) -> bool:
        """Take note of an epoch; tells whether it is the best."""
        better = self.best is None or record.validation_loss < self.best.validation_loss
        self.history.append(record)
        self.losses, self.right, self.seen = [], 0, 0
        if better:
            self.best_epoch = record.epoch
        return better

    def to_json(self) -> str:
        """Return the course as JSON; numbers are read back exactly."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Course:
        """Read what `to_json` gave."""
        values = json.loads(text)
        return cls(**values | {"history": [EpochRecord(**record) for record in values["history"]]})
