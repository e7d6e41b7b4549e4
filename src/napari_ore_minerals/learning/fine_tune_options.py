"""How to fine-tune a model on corrections: declared once, for the command line, the dock and the card."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from napari_ore_minerals.models.devices import DeviceName, Precision

from .options import Augmentation, Depth, TrainOptions

MEASURED_TILES = 60  # earlier ones of a mineral, at most
VALIDATED_TILES = 12  # of these after each epoch


class FineTuneOptions(BaseModel):
    """How to fine-tune a model on corrections."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    depth: Depth = Field(
        "last stage", title="Depth", description="How much of the network learns: more takes longer"
    )
    epochs: Annotated[int, Field(ge=1, le=1000)] = Field(
        8, title="Epochs", description="Passes over what is learnt from"
    )
    patience: Annotated[int, Field(ge=0, le=1000)] = Field(
        3, title="Patience", description="Epochs without getting better after which it ends; 0 for never"
    )
    batch_size: Annotated[int, Field(ge=2, le=1024)] = Field(
        16, title="Batch size", description="Tiles per step"
    )
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        3e-4, title="Learning rate", description="The largest; it rises at first and falls to the end"
    )
    samples_per_epoch: Annotated[int, Field(ge=1)] = Field(
        256,
        title="Samples per epoch",
        description="Tiles drawn per epoch, corrections and earlier ones alike",
    )
    replay_pictures: Annotated[int, Field(ge=0, le=10_000)] = Field(
        48,
        title="Earlier pictures",
        description="Simulated again to learn from; as many others each choose and measure",
    )
    memory_tiles: Annotated[int, Field(ge=0, le=1000)] = Field(
        24,
        title="Memory",
        description="Tiles of each mineral that the new version keeps of what it was taught",
    )
    held_out: Annotated[float, Field(ge=0.0, le=0.8)] = Field(
        0.25, title="Held back", description="Share of the pictures or regions that only measure"
    )
    augmentation: Augmentation = Field("laboratory", title="Augmentation", description="Which set of changes")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, title="Seed", description="Of all randomness")
    device: DeviceName = Field("auto", title="Device", description="Where to compute")
    precision: Precision = Field("auto", title="Precision", description="Number format of the network")

    def training(self) -> TrainOptions:
        """Return the options of the training that does it."""
        shared = self.model_dump(
            exclude={"replay_pictures", "memory_tiles", "held_out"},
        )
        return TrainOptions(**shared, warm_up=0.1, label_smoothing=0.05, dense_weight=0.5, averaging=0.98)

    def flags(self) -> list[str]:
        """Return what to write after ``ore-minerals learn`` to get these options."""
        usual = FineTuneOptions().model_dump()
        changed = {name: value for name, value in self.model_dump().items() if value != usual[name]}
        return [
            text for name, value in changed.items() for text in (f"--{name.replace('_', '-')}", str(value))
        ]
