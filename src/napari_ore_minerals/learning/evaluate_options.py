"""How to evaluate: declared once, for the command line and for comparisons; loads nothing heavy."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from napari_ore_minerals.models.devices import DeviceName, Precision

WANTED_PRECISION = 0.95


class EvaluateOptions(BaseModel):
    """How to evaluate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wanted_precision: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        WANTED_PRECISION,
        title="Wanted precision",
        description="Share of named tiles to be right, from which the least confidence is chosen",
    )
    device: DeviceName = Field("auto", title="Device", description="Where to compute")
    precision: Precision = Field("auto", title="Precision", description="Number format of the network")
    batch_size: Annotated[int, Field(ge=1, le=4096)] = Field(
        32, title="Batch size", description="Tiles per step"
    )
