"""How pictures become tiles, and tiles parts: declared once, for the command line and the record of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DOMINANT = 0.8
"""A tile is clear, or of one mineral, where that covers at least this share."""

SplitBy = Literal["deposit", "photograph"]
_Share = Annotated[int, Field(ge=1, le=1000)]


class TileOptions(BaseModel):
    """How pictures become tiles."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tile_px: Annotated[int, Field(ge=16, le=4096)] = Field(
        256, title="Tile", description="Side of a tile in pixels of the picture"
    )
    labels: Literal["auto", "folders", "masks", "results", "none"] = Field(
        "auto",
        title="Labels",
        description="Where they are from; auto takes masks, else .oremap results, else folders, else none",
    )
    masks: Path | None = Field(
        None,
        title="Masks",
        description="Folder of masks named as the pictures; else NAME-mask.png beside them",
    )
    codes: tuple[str, ...] = Field(
        (),
        title="Codes",
        description="What the codes of masks stand for: 6=pyrite, 7= to leave out; or a JSON file",
    )
    results: Path | None = Field(
        None, title="Results", description="Folder of .oremap results; else those beside the pictures"
    )
    dominant: Annotated[float, Field(gt=0.5, le=1.0)] = Field(
        DOMINANT, title="Dominant", description="Least share of a tile that its mineral covers"
    )
    deposits: Path | None = Field(
        None, title="Deposits", description="CSV table with the columns photograph and deposit"
    )
    deposit_from: Literal["folder"] | None = Field(
        None, title="Deposit from", description="folder: the uppermost folder of a picture is its deposit"
    )
    photograph_pattern: str | None = Field(
        None,
        title="Photograph pattern",
        description="For pictures that were cut before: regular expression whose first group is the photograph",
    )
    minerals: tuple[str, ...] = Field(
        (), title="Minerals", description="Names to sort by hand into, beside those of the labels"
    )
    name: str | None = Field(None, title="Name", description="Of the dataset; by default that of its folder")


class SplitOptions(BaseModel):
    """How a dataset is split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: _Share = Field(3, title="Training", description="Share of tiles to learn from")
    validation: _Share = Field(1, title="Validation", description="Share of tiles to choose the epoch with")
    test: _Share = Field(1, title="Test", description="Share of tiles to measure on")
    by: SplitBy = Field(
        "deposit",
        title="By",
        description="deposit: test tiles are from deposits that training never saw; photograph: deposits do not matter",
    )
    leave_out: tuple[str, ...] = Field(
        (), title="Leave out", description="Minerals whose tiles are taken out of the dataset"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, title="Seed", description="Of all randomness")
