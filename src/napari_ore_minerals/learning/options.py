"""How to train: declared once, for the command line, the dock, the run record and the card."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_ore_minerals.models.devices import DeviceName, Precision

Augmentation = Literal["none", "paper", "laboratory"]  # the keys of augmentation.TRANSFORMS, without torch
Preset = Literal["paper", "fast"]
Depth = Literal["head", "last stage", "all"]


class TrainOptions(BaseModel):
    """How to train."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    epochs: Annotated[int, Field(ge=1, le=10_000)] = Field(
        10, title="Epochs", description="Passes over the training samples"
    )
    samples_per_epoch: Annotated[int, Field(ge=1)] | None = Field(
        None, title="Samples per epoch", description="Tiles drawn per epoch; empty for as many as there are"
    )
    minutes: Annotated[float, Field(gt=0.0)] | None = Field(
        None,
        title="Minutes",
        description="Time to be done in, with fewer steps if need be; such a training is not repeatable",
    )
    patience: Annotated[int, Field(ge=0, le=10_000)] = Field(
        0,
        title="Patience",
        description="Epochs without a smaller validation loss after which training ends; 0 for never",
    )
    batch_size: Annotated[int, Field(ge=1, le=4096)] = Field(
        32, title="Batch size", description="Tiles per step, of all processes together"
    )
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1e-3, title="Learning rate", description="The largest of the schedule"
    )
    optimizer: Literal["adam", "adamw"] = Field("adamw", title="Optimizer", description="Adam or AdamW")
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.05, title="Weight decay", description="Of AdamW"
    )
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", title="Schedule", description="Learning rate after the warm-up"
    )
    warm_up: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.05, title="Warm-up", description="Share of the steps in which the learning rate grows"
    )
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0,
        title="Layer-wise decay",
        description="Learning rate of each layer as a part of that of the layer behind it; 1 for one rate",
    )
    gradient_norm: Annotated[float, Field(ge=0.0)] = Field(
        1.0, title="Gradient norm", description="Longer gradients are shortened to it; 0 for no limit"
    )
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.05, title="Label smoothing", description="Share of each target given to all classes alike"
    )
    dense_weight: Annotated[float, Field(ge=0.0, le=100.0)] = Field(
        1.0, title="Weight of class maps", description="Of the loss at every cell against that of the tile"
    )
    averaging: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, title="Weight averaging", description="Decay of a moving average of the weights; 0 for none"
    )
    balanced: bool = Field(True, title="Balance classes", description="Draw rare classes more often")
    augmentation: Augmentation = Field("laboratory", title="Augmentation", description="Which set of changes")
    depth: Depth = Field("all", title="Depth", description="How much of the network learns")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, title="Seed", description="Of all randomness")
    device: DeviceName = Field("auto", title="Device", description="Where to compute")
    precision: Precision = Field("auto", title="Precision", description="Number format of the network")
    checkpoint_minutes: Annotated[float, Field(ge=0.0)] = Field(
        5.0,
        title="Checkpoint minutes",
        description="Time between checkpoints within an epoch; there is one at its end as well",
    )

    @classmethod
    def preset(cls, name: Preset) -> TrainOptions:
        """Return the options of the paper (Adam, 1e-6, batches of 16, 20 epochs), or quick ones."""
        return _PRESETS[name]

    def changed(self, changes: dict[str, Any]) -> TrainOptions:
        """Return these options with some values changed, checked like any others."""
        return TrainOptions.model_validate(self.model_dump() | changes)

    def flags(self) -> str:
        """Return what to write after ``ore-minerals train`` to get these options."""
        base = TrainOptions.preset("fast").model_dump()
        chosen = {name: value for name, value in self.model_dump().items() if value != base[name]}
        return " ".join(["--preset fast", *(_flag(name, value) for name, value in chosen.items())])


_PRESETS: dict[Preset, TrainOptions] = {
    "paper": TrainOptions(
        epochs=20,
        batch_size=16,
        learning_rate=1e-6,
        optimizer="adam",
        weight_decay=0.0,
        schedule="constant",
        warm_up=0.0,
        gradient_norm=0.0,
        label_smoothing=0.0,
        balanced=False,
        augmentation="paper",
        dense_weight=0.0,
        precision="fp32",
    ),
    "fast": TrainOptions(
        epochs=15,
        batch_size=16,
        learning_rate=1e-3,
        warm_up=0.1,
        label_smoothing=0.1,
    ),  # early stopping, weight averaging and layer-wise decay were not worth it: benchmarks/presets.py
}


def _flag(name: str, value: object) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value!r}" if isinstance(value, str) and " " in value else f"--{flag} {value}"
