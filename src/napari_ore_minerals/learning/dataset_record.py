"""What is known of a dataset as a whole: ``dataset.json``."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.minerals import Mineral

from .tile_options import DOMINANT, SplitBy

RECORD_NAME = "dataset.json"
_MAX_RECORD_BYTES = 4 << 20


class Making(BaseModel):
    """How a dataset was made.

    Attributes
    ----------
    created : str
        When, ISO 8601.
    command : str
        What was asked for.
    dominant : float
        Least share of a mineral in a tile that takes its name.
    split_by : "deposit" or "photograph"
        What is kept together in a split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    created: str = ""
    command: str = ""
    dominant: Annotated[float, Field(gt=0.5, le=1.0)] = DOMINANT
    split_by: SplitBy = "deposit"

    @classmethod
    def now(cls, command: str, *, dominant: float = DOMINANT) -> Making:
        """Begin the record of a dataset that is made now."""
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return cls(created=created, command=command, dominant=dominant)


class DatasetRecord(BaseModel):
    """What ``dataset.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=200)]
    tile_px: Annotated[int, Field(ge=8, le=8192)]
    minerals: Annotated[tuple[Mineral, ...], Field(min_length=1)]
    dropped: dict[str, Annotated[int, Field(ge=0)]]
    making: Making


def read_record(folder: Path) -> DatasetRecord:
    """Read ``dataset.json`` of a dataset folder.

    Raises
    ------
    DatasetError
        If it is not there or makes no sense.
    """
    path = folder / RECORD_NAME
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_RECORD_BYTES + 1)
    except OSError as error:
        raise DatasetError(
            f"{folder} is no dataset: its {RECORD_NAME} cannot be read ({error.strerror or error}); "
            "ore-minerals dataset tile makes one"
        ) from error
    if len(text) > _MAX_RECORD_BYTES:
        raise DatasetError(f"{path} is too large to be the record of a dataset")
    try:
        return DatasetRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DatasetError(f"{path} is no record of a dataset: {where}: {first['msg']}") from error
