"""A classifier of cells on disk: ``cells.json`` and ``cells.safetensors``, whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.maps.whole import whole_folder
from napari_ore_minerals.minerals import Mineral, MineralTable
from napari_ore_minerals.models.card import CELL_CARD_NAME

from .anchored_options import AnchoredOptions

if TYPE_CHECKING:
    from .anchored import AnchoredClassifier

CELL_CARD, CELL_WEIGHTS = CELL_CARD_NAME, "cells.safetensors"
CELLS_PER_TILE = 4  # along one side
_MOST_BYTES = 1 << 28


class CellCard(BaseModel):
    """Everything about a classifier of cells but its weights.

    Attributes
    ----------
    cell_px : int
        Side of a cell in pixels of the photographs that it has learnt from, and of those that it is shown.
    min_confidence : float
        Least probability from which 95 % of the pure cells of the validation photographs are named rightly; 0
        where there are none, or no confidence reaches that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["napari-ore-minerals cells 1"] = "napari-ore-minerals cells 1"
    name: Annotated[str, Field(min_length=1, max_length=200)]
    created: str
    minerals: Annotated[tuple[Mineral, ...], Field(min_length=2)]
    cell_px: Annotated[int, Field(ge=16, le=2048, multiple_of=8)]
    options: AnchoredOptions
    min_confidence: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    weights_sha256: str = ""
    photographs: int
    dataset: dict[str, str]
    software: dict[str, str]
    command: str
    provenance: str

    @property
    def mineral_table(self) -> MineralTable:
        """The minerals as a table."""
        return MineralTable.of(self.minerals)


def save_cells(folder: Path, card: CellCard, classifier: AnchoredClassifier) -> CellCard:
    """Write a classifier of cells into a folder that must not exist; returns the card with the weights' hash.

    Raises
    ------
    ResultError
        If the folder exists, or the disk refuses; nothing half-written remains.
    """
    from safetensors.torch import save

    weights = save(classifier.tensors())
    card = card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    with whole_folder(folder, mark=CELL_CARD) as staging:
        (staging / CELL_WEIGHTS).write_bytes(weights)
        (staging / CELL_CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def load_cells(folder: Path) -> tuple[CellCard, AnchoredClassifier]:
    """Read and check a classifier of cells.

    Raises
    ------
    ModelError
        If the folder is none, or its weights are not what the card promises.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from .anchored import AnchoredClassifier

    card, weights = _read_card(folder), _read(folder / CELL_WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != card.weights_sha256:
        raise ModelError(f"{folder / CELL_WEIGHTS} is not the file that its card describes (sha256 differs)")
    try:
        tensors = load(weights)
        classifier = AnchoredClassifier.of_tensors(tensors, card.options, len(card.minerals))
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ModelError(f"{folder / CELL_WEIGHTS} does not fit its card: {reason}") from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise ModelError(f"{folder / CELL_WEIGHTS} holds values that are not finite")
    return card, classifier


def _read_card(folder: Path) -> CellCard:
    text: Any = _read(folder / CELL_CARD)
    try:
        return CellCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelError(
            f"{folder / CELL_CARD} is no card of a classifier of cells: {where}: {first['msg']}"
        ) from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ModelError(
            f"{path.parent} is no classifier of cells, a folder with {CELL_CARD} and {CELL_WEIGHTS} that "
            f"ore-minerals cells train makes ({error.strerror or error})"
        ) from error
    if len(content) > _MOST_BYTES:
        raise ModelError(f"{path} is too large for a classifier of cells")
    return content
