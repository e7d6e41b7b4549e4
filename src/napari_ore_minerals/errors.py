"""The errors of this program: what was given, what was expected, what to do.

Every leaf also inherits the builtin error it stands for, so that callers who do
not know this package can still catch it.  None inherits ``RuntimeError``: napari's
generator workers swallow that one.
"""

from __future__ import annotations


class OreMineralsError(Exception):
    """Base of every error that this package raises on purpose."""


class PictureError(OreMineralsError, ValueError):
    """A picture that cannot be read, or cannot be read without a guess."""


class ModelError(OreMineralsError, ValueError):
    """A model folder, card or weights file that must not be used."""


class OptionError(OreMineralsError, ValueError):
    """An option whose value does not fit the picture, the model or the machine."""


class DatasetError(OreMineralsError, ValueError):
    """Samples that cannot be trained on or evaluated."""


class TrainingError(OreMineralsError, ArithmeticError):
    """A training that stopped because it could not go on, such as a loss that is not finite."""


class ResultError(OreMineralsError, OSError):
    """A result folder or file that cannot be read or must not be overwritten."""


class DeviceError(OreMineralsError, OSError):
    """A computing device that is absent, or too small even for one tile at a time."""


class JobError(OreMineralsError, OSError):
    """A background job that failed or whose process ended."""
