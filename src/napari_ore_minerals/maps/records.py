"""What a run was asked to do and where its result comes from: options and records, declared once.

Command-line flags, the dock's form and ``run.json`` are made from these models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from napari_ore_minerals.images.pixels import PictureAnswers
from napari_ore_minerals.models.architectures import SwinConvention
from napari_ore_minerals.models.devices import DeviceName, Precision

if TYPE_CHECKING:
    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.models.card import ModelCard

_RECORD = ConfigDict(extra="forbid", frozen=True)


class ClassifyOptions(BaseModel):
    """How a picture is classified; None leaves a choice to the model's card or to the program."""

    model_config = _RECORD

    tile_px: int | None = Field(
        None,
        ge=16,
        le=4096,
        title="Tile",
        description="Side of a tile in pixels of the picture; by default the physical size of the model's training.",
    )
    stride_px: int | None = Field(
        None,
        ge=1,
        le=4096,
        title="Stride",
        description="Distance between tiles in pixels; it divides the tile. By default tiles do not overlap.",
    )
    min_confidence: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        title="Least confidence",
        description="Cells whose best probability is below it are left unclassified; by default that of the model.",
    )
    device: DeviceName = Field(
        "auto",
        title="Device",
        description="Where to compute: auto takes CUDA, MPS, XPU or the CPU, in this order.",
    )
    precision: Precision = Field(
        "auto", title="Precision", description="auto takes bf16 where the hardware gains from it, else fp32."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=4096,
        title="Batch",
        description="Tiles in one forward pass; by default the fastest size is found while working.",
    )


class PictureRecord(BaseModel):
    """The picture that a map was made from; ``guesses`` were assumed in reading it, ``answers`` were given."""

    model_config = _RECORD

    name: str
    path: str | None = None
    height_px: int
    width_px: int
    fingerprint: str
    guesses: tuple[str, ...] = ()
    answers: PictureAnswers = PictureAnswers()

    @classmethod
    def of(cls, micrograph: Micrograph, *, fingerprint: str | None = None) -> Self:
        """Return what a result remembers of a picture; its fingerprint is computed unless it is given."""
        return cls(
            name=micrograph.name,
            path=None if micrograph.path is None else str(micrograph.path),
            height_px=micrograph.height_px,
            width_px=micrograph.width_px,
            fingerprint=micrograph.fingerprint() if fingerprint is None else fingerprint,
            guesses=tuple(map(str, micrograph.guesses)),
            answers=micrograph.answers,
        )


class ModelRecord(BaseModel):
    """The model that made a map; ``swin_convention`` as in its card, since the weights do not show it."""

    model_config = _RECORD

    name: str
    version: int
    architecture: str
    weights_sha256: str
    swin_convention: SwinConvention = "timm"

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        """Return what a result remembers of a model."""
        return cls.model_validate(card.model_dump(include=set(cls.model_fields)))


class RunRecord(BaseModel):
    """How, where and when a map was made; ``complete`` is False after a cancel, chunks are those of the picture."""

    model_config = _RECORD

    options: ClassifyOptions
    min_confidence: float
    temperature: float
    device: str
    precision: Literal["fp32", "bf16"]
    batch_size: int
    tiles: int
    seconds: float
    created: str
    complete: bool
    missing_chunks: int = 0
    damaged_chunks: int = 0
    notices: tuple[str, ...] = ()
    software: dict[str, str] = {}
