"""How to train a classifier of cells: declared once, for the command line and the card; loads nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Look = Literal["anchored", "absolute", "both"]  # images.anchoring.Look, without what it loads


class AnchoredOptions(BaseModel):
    """How to train an `AnchoredClassifier`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    look: Look = Field(
        "both", title="Look", description="Cells beside their photograph, as they are, or both"
    )
    crops: Annotated[int, Field(ge=0, le=100)] = Field(
        8, title="Parts", description="Parts of each photograph shown as photographs, beside the whole"
    )
    exposure: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.1, title="Exposure", description="Standard deviation of the logarithm of the light on the parts"
    )
    balance: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.03, title="White balance", description="The same for red and blue against green"
    )
    most: Annotated[int, Field(ge=5)] = Field(
        60, title="Cells", description="Of one mineral from a whole photograph; a fifth of it from each part"
    )
    pure: Annotated[float, Field(gt=0.5, le=1.0)] = Field(
        0.95, title="Pure", description="Least share of one mineral in a cell to learn from"
    )
    networks: Annotated[int, Field(ge=1, le=100)] = Field(
        4, title="Networks", description="Whose answers are averaged"
    )
    hidden: Annotated[int, Field(ge=1, le=10_000)] = Field(
        64, title="Hidden values", description="Of each network"
    )
    epochs: Annotated[int, Field(ge=1, le=10_000)] = Field(
        15, title="Epochs", description="Passes over the cells"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, title="Seed", description="Of all randomness")
