"""ModelCard: everything about a model but its weights.

A model is a folder with ``card.json`` and ``model.safetensors``.  The card is
untrusted input: it is small, strict JSON, and every field is bounded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.minerals import Mineral, MineralTable

from .architectures import ARCHITECTURES, Architecture, SwinConvention, is_swin
from .confusion import ConfusionRecord

CARD_NAME = "card.json"
CELL_CARD_NAME = "cells.json"  # of `learning.cell_files`, whose folders are no models of tiles
MAX_CARD_BYTES = 256 * 1024
NO_WEIGHTS = "0" * 64

ModelName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9]$|^[A-Za-z0-9]$")
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=20_000)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
RGBStatistic = tuple[Unit, Unit, Unit]

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TrainingRecord(BaseModel):
    """How the weights were made, enough to make them again."""

    model_config = _STRICT

    options: dict[str, str | int | float | bool | None]
    command: Text = ""
    samples: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=0)] = 0
    minutes: Annotated[float, Field(ge=0.0)] = 0.0
    device: Text = ""
    software: dict[str, str] = {}


class DatasetReference(BaseModel):
    """Which dataset a model was trained on.

    Attributes
    ----------
    name : str
    folder : str
        Where it lay, on this computer; empty in a model that was exported.
    sha256 : str
        Of its tiles, labels and parts.
    """

    model_config = _STRICT

    name: Text
    folder: Text
    sha256: Sha256


class ReplayRecord(BaseModel):
    """How what a model learnt from is had again, so that whoever trains it further can keep it from forgetting.

    Attributes
    ----------
    simulated : bool
        It learnt from simulated micrographs, which are made again from their seeds.
    memory_sha256 : str or None
        Of ``memory.safetensors`` beside the weights: some of the tiles that it was taught by its user.
    dataset : DatasetReference or None
        It learnt from this dataset, which is read again where it lies.
    """

    model_config = _STRICT

    simulated: bool = False
    memory_sha256: Sha256 | None = None
    dataset: DatasetReference | None = None


class ModelCard(BaseModel):
    """Everything about a model but its weights.

    Attributes
    ----------
    name, version, parent
        ``parent`` is the sha256 of the weights this version was trained from, or None.
    architecture
        One of `models.architectures.ARCHITECTURES`.
    swin_convention
        How a Swin lays its shifted windows: ``"timm"``, or ``"pad-then-shift"`` for weights trained
        with code that pads before it shifts, such as the paper's (see `models.windows`).
    minerals
        In the order of the network's outputs.
    tile_px, input_px
        Side of a tile in the picture, and the side it is resized to for the network.
    um_per_px
        Micrometres per picture pixel in training; None where the training pictures varied.
    mean, std
        Normalisation per channel of RGB in 0 to 1.
    temperature
        Logits are divided by it before the softmax (calibration; Guo et al. 2017).
    min_confidence
        Cells whose best probability is below it are left unclassified.
    replay
        How what it learnt from is had again; None if it is not.
    metrics
        Figures measured on held-out data, each named in words.
    provenance
        What the model has seen and what it has not.
    confusion
        What it answers where the truth is known; areas take their error from it.
    weights_sha256
        Of the bytes of ``model.safetensors``; `NO_WEIGHTS` in a card that was not saved yet.
    """

    model_config = _STRICT

    schema_version: Literal[1] = 1
    name: ModelName
    version: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    parent: Sha256 | None = None
    created: Text = ""
    architecture: Architecture
    swin_convention: SwinConvention = "timm"
    minerals: Annotated[tuple[Mineral, ...], Field(min_length=2, max_length=255)]
    tile_px: Annotated[int, Field(ge=16, le=1024)] = 256
    input_px: Annotated[int, Field(ge=32, le=512)] = 224
    um_per_px: Annotated[float, Field(ge=0.001, le=1000.0)] | None = None
    mean: RGBStatistic = (0.485, 0.456, 0.406)
    std: RGBStatistic = (0.229, 0.224, 0.225)
    temperature: Annotated[float, Field(ge=0.01, le=100.0)] = 1.0
    min_confidence: Unit = 0.5
    training: TrainingRecord | None = None
    replay: ReplayRecord | None = None
    metrics: dict[str, float] = {}
    provenance: Text = ""
    confusion: ConfusionRecord | None = None
    weights_sha256: Sha256 = NO_WEIGHTS

    @model_validator(mode="after")
    def _fits(self) -> ModelCard:
        MineralTable.of(self.minerals)
        if min(self.std) <= 0.0:
            raise ValueError("std must be above 0 in every channel")
        if self.confusion is not None and self.confusion.classes != len(self.minerals):
            raise ValueError(
                f"the confusion record is of {self.confusion.classes} minerals, the model has {len(self.minerals)}"
            )
        wanted = ARCHITECTURES[self.architecture].input_px
        if self.swin_convention == "timm":
            if self.input_px != wanted:
                raise ValueError(f"{self.architecture} takes tiles of {wanted} px, not {self.input_px}")
        elif not is_swin(self.architecture):
            raise ValueError(f"{self.architecture} has no windows: its swin_convention must be 'timm'")
        elif self.input_px % 32:
            raise ValueError(
                f"a Swin that pads its maps takes tiles of a multiple of 32 px, not {self.input_px}"
            )
        return self

    @property
    def mineral_table(self) -> MineralTable:
        """The minerals as a table."""
        return MineralTable.of(self.minerals)

    def to_json(self) -> str:
        """Return the card as it is written to ``card.json``."""
        return self.model_dump_json(indent=2) + "\n"


def parse_card(text: bytes, *, where: str) -> ModelCard:
    """Read a card from untrusted bytes.

    Parameters
    ----------
    text : bytes
        UTF-8 JSON, at most 256 KiB, without duplicate keys.
    where : str
        What to call it in the error.

    Raises
    ------
    ModelError
        If it is no card of a schema that this version knows.
    """
    if len(text) > MAX_CARD_BYTES:
        raise ModelError(f"{where} has {len(text)} bytes; a model card has at most {MAX_CARD_BYTES}")
    try:
        fields = json.loads(
            text.decode("utf-8"), object_pairs_hook=without_duplicates, parse_constant=_no_constant
        )
        if isinstance(fields, dict) and fields.get("schema_version", 1) != 1:
            raise ModelError(
                f"{where} has schema version {str(fields['schema_version'])[:20]}, this program reads 1: "
                "install a newer napari-ore-minerals"
            )
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the card"
        raise ModelError(f"{where} is no valid model card: {field}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{where} is no valid model card: {str(error)[:200]}") from error


def read_card(folder: Path) -> ModelCard:
    """Read ``card.json`` of a model folder; `ModelError` if it is absent or invalid."""
    path = Path(folder) / CARD_NAME
    if path.with_name(CELL_CARD_NAME).is_file():
        raise ModelError(
            f"{folder} is a classifier of cells: use it with ore-minerals cells classify or cells evaluate"
        )
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CARD_BYTES + 1)
    except OSError as error:
        raise ModelError(
            f"{folder} is no model: a model is a folder with {CARD_NAME} and model.safetensors "
            f"({error.strerror or error})"
        ) from error
    return parse_card(text, where=str(path))


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse JSON objects with a key twice; to be given to ``json.loads`` as its hook."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
