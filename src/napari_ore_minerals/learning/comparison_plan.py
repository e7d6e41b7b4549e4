"""What is compared: the models, what they begin with, and how they are trained and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.models.architectures import Architecture

from .evaluate_options import EvaluateOptions
from .options import TrainOptions
from .weights import Weights, architecture_named, name_of, weights_named

FROM_SCRATCH = "-from-scratch"


class CompareOptions(BaseModel):
    """What to compare, and how."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    models: tuple[str, ...] = Field(
        ("swin_base", "resnet50", "mobilenetv2"), min_length=1, title="Models", description="Architectures"
    )
    also_from_scratch: bool = Field(
        False, title="Also from scratch", description="Train each model a second time, with random weights"
    )
    weights: tuple[str, ...] = Field(
        ("imagenet",),
        title="Weights",
        description="imagenet, none, or MODEL=FILE for one of the models, where FILE may be bundled",
    )
    training: TrainOptions = TrainOptions.preset("paper")
    evaluation: EvaluateOptions = EvaluateOptions()
    part: Literal["test", "validation"] = Field(
        "test", title="Part", description="Tiles that the models are measured on"
    )
    command: str = Field(
        "", title="Command", description="What to write in the report as the way to repeat it"
    )


@dataclass(frozen=True)
class PlannedRun:
    """One model to train."""

    name: str
    architecture: Architecture
    weights: Weights

    @property
    def shown_weights(self) -> str:
        """What it begins with, without the folders of this computer."""
        return name_of(self.weights)


def planned_runs(options: CompareOptions) -> tuple[PlannedRun, ...]:
    """List the models to train, in their order.

    Raises
    ------
    OptionError
        If a model or weights are not known, or a model is named twice.
    """
    common, own = _weights(options.weights)
    if strangers := sorted(set(own) - set(options.models)):
        raise OptionError(f"weights are given for {', '.join(strangers)}, which is not among the models")
    plan: list[PlannedRun] = []
    for name in options.models:
        architecture, weights = architecture_named(name), own.get(name, common)
        plan.append(PlannedRun(name, architecture, weights))
        if options.also_from_scratch and weights != "none":
            plan.append(PlannedRun(name + FROM_SCRATCH, architecture, "none"))
    if len({run.name for run in plan}) < len(plan):
        raise OptionError(f"a model is named twice: {', '.join(options.models)}")
    return tuple(plan)


def _weights(given: Sequence[str]) -> tuple[Weights, dict[str, Weights]]:
    """Weights for all models, and those of single ones."""
    common: Weights = "imagenet"
    own: dict[str, Weights] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals:
            own[name] = weights_named(value)
        elif text in ("imagenet", "none"):
            common = text  # type: ignore[assignment]
        else:
            raise OptionError(f"weights must be imagenet, none or MODEL=FILE, not {text!r}")
    return common, own
