"""Commands of ``ore-minerals``: train."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, Field, create_model

from napari_ore_minerals.cli.console import with_bar
from napari_ore_minerals.learning.options import Preset, TrainOptions
from napari_ore_minerals.progress import mapped, run

if TYPE_CHECKING:
    from cyclopts import App

    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.progress import Progress, Steps


def _changes() -> type[BaseModel]:
    """Every field of `TrainOptions`, to be given or left to the preset."""
    paper, fast = TrainOptions.preset("paper"), TrainOptions.preset("fast")
    fields: dict[str, Any] = {}
    for name, field in TrainOptions.model_fields.items():
        values = f"paper: {_shown(getattr(paper, name))}, fast: {_shown(getattr(fast, name))}"
        described = Field(None, description=f"{field.description} [{values}]")
        fields[name] = (field.rebuild_annotation() | None, described)
    return create_model("Changes", __config__=ConfigDict(extra="forbid", frozen=True), **fields)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


Changes = _changes()
_NONE = Changes()


def train(
    dataset: Path,
    /,
    *,
    out: Path,
    architecture: str = "swin_tiny",
    weights: str = "imagenet",
    preset: Preset = "fast",
    changes: Annotated[Changes, Parameter(name="*")] = _NONE,  # type: ignore[valid-type]
) -> int:
    """Train a classifier on a dataset.

    Example: ore-minerals train ores --out runs/swin --architecture swin_base --preset paper

    A run that was interrupted goes on when the same command is given again.

    Parameters
    ----------
    dataset
        Dataset folder, made by `ore-minerals dataset tile` and divided by `ore-minerals dataset split`.
    out
        Run folder: the model, epochs.csv, curves.png, run.json and logs for TensorBoard.
    architecture
        swin_base, swin_small, swin_tiny, resnet50, mobilenetv2, efficientnet, ore_swin_compact or ore_swin_micro.
    weights
        What to begin with: imagenet, none, bundled for the model that is shipped (an ore_swin_compact), a
        safetensors file of the same architecture, or a model folder.
    preset
        Options of the paper, or quicker ones; the flags below change single ones.
    """
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.learning.collection import TileDataset
    from napari_ore_minerals.learning.runs import train_dataset_steps
    from napari_ore_minerals.learning.weights import architecture_named, weights_named

    given = {name: value for name, value in changes.model_dump().items() if value is not None}  # type: ignore[attr-defined]
    options = TrainOptions.preset(preset).changed(given)
    card = _drained(
        train_dataset_steps(
            TileDataset.open(dataset),
            out,
            options,
            architecture=architecture_named(architecture),
            weights=weights_named(weights),
        )
    )
    if _main_process():
        for name, value in card.metrics.items():
            print(f"{name:52} {value:.4g}")
        print(f"\nmodel {out / 'model'}\ncurves {out / 'curves.png'}")
    return 0


def register(app: App, models_app: App) -> None:
    """Add the commands."""
    app.command(train)


def _main_process() -> bool:
    """Tell whether this is the process of several that speaks."""
    return os.environ.get("RANK", "0") == "0"


def _drained(steps: Steps[ModelCard]) -> ModelCard:
    """Drain steps; of several processes one speaks, and none waits for others that were stopped."""
    if not _main_process():
        return run(steps)
    keeping = "batches" if os.environ.get("WORLD_SIZE", "1") == "1" else ""
    return with_bar(mapped(steps, with_epoch), "train", keeping=keeping)


def with_epoch(progress: Progress) -> Progress:
    """Say how an epoch went."""
    from napari_ore_minerals.learning.course import EpochRecord

    if not isinstance(epoch := progress.update, EpochRecord):
        return progress
    sentence = (
        f"{progress.stage}: loss {epoch.loss:.3f}; validation: loss {epoch.validation_loss:.3f}, "
        f"accuracy {epoch.accuracy:.3f}, balanced {epoch.balanced_accuracy:.3f}; {epoch.seconds:.1f} s"
    )
    return replace(progress, notice="\n".join(filter(None, [progress.notice, sentence])))
