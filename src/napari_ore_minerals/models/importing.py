"""A foreign checkpoint becomes a model folder: its tensors get the names of our architecture.

Only names and number formats are changed.  What does not fit exactly is refused, and
the sentence says which names those are.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_ore_minerals.errors import ModelError

from .architectures import ARCHITECTURES, Architecture, SwinConvention
from .card import ModelCard
from .foreign import foreign_tensors
from .store import network_of, refuse_existing, save_model

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_ore_minerals.minerals import MineralTable

Tensors = dict[str, "torch.Tensor"]

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.", "encoder.")
HEADS = ("head.fc", "head", "fc", "classifier", "classifier.1", "classifier.fc", "last_linear")
_RECOMPUTED = ("relative_position_index", "attn_mask")
_MERGING = re.compile(r"^layers\.(\d+)\.downsample\.")


class ImportOptions(BaseModel):
    """What a foreign checkpoint is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    architecture: Architecture = Field(
        title="Architecture",
        description="The network that the weights are of; nothing in the file is believed.",
    )
    shift_convention: SwinConvention = Field(
        "timm",
        title="Shift convention",
        description="Of a Swin: pad-then-shift for weights of code that pads before the cyclic shift and shifts "
        "every odd block, such as the paper's; timm for timm's and the Swin authors' own.",
    )
    tile_px: Annotated[int, Field(ge=16, le=1024)] = Field(
        256, title="Tile", description="Side in pixels of the tiles that it was trained on, before resizing."
    )
    input_px: Annotated[int, Field(ge=32, le=512)] | None = Field(
        None,
        title="Input",
        description="Side that tiles are resized to; other than the architecture's only for pad-then-shift.",
    )
    normalisation: Literal["imagenet", "half"] = Field(
        "imagenet",
        title="Normalisation",
        description="Mean and deviation that were taken off: those of ImageNet, or 0.5 of every channel.",
    )
    match: Literal["name", "order"] = Field(
        "name",
        title="Match",
        description="order: take the tensors in the order of the file, whatever their names, if all shapes fit.",
    )
    new_head: bool = Field(
        False,
        title="New head",
        description="Leave the last layer out and start it at zero: weights to train from, no classifier yet.",
    )


class Imported(NamedTuple):
    """A model folder made from a foreign checkpoint, and what its user should know."""

    card: ModelCard
    notices: tuple[str, ...]


def import_checkpoint(
    path: Path, folder: Path, minerals: MineralTable, options: ImportOptions, *, trusted: bool = False
) -> Imported:
    """Convert a checkpoint into a model folder.

    Parameters
    ----------
    path
        See `models.foreign.foreign_tensors`.
    folder
        Must not exist; its name becomes that of the model.
    minerals
        What the outputs of the network stand for, in their order.
    options
        What the checkpoint is.
    trusted
        Whether the user vouches for the file; needed for all but safetensors.

    Returns
    -------
    Imported

    Raises
    ------
    ModelError
        If the file is not vouched for, cannot be read or does not fit; nothing is written then.
    """
    path, folder = Path(path), Path(folder)
    refuse_existing(folder)
    card = _card(path, folder.name, minerals, options)
    found = foreign_tensors(path, trusted=trusted)
    network = network_of(card)
    fitting = fitted(found, network, options, where=str(path))
    network.load_state_dict(fitting, strict=True)
    card = card.model_copy(update={"provenance": _provenance(path, options)})
    return Imported(save_model(folder, card, network), tuple(_notices(found, options)))


def fitted(found: Tensors, network: nn.Module, options: ImportOptions, *, where: str) -> Tensors:
    """Give foreign tensors the names of `network`'s and check that they are all there, with its shapes.

    Raises
    ------
    ModelError
        With the names that do not fit.
    """
    wanted: Tensors = dict(network.state_dict())
    head = _head_name(network)
    renamed = {name: value for name, value in found.items() if not name.endswith(_RECOMPUTED)}
    renamed = (
        _in_order(renamed, wanted, where) if options.match == "order" else _renamed(renamed, head, where)
    )
    for name in wanted:
        if name.endswith("num_batches_tracked"):  # older checkpoints do not have it and it decides nothing
            renamed.setdefault(name, wanted[name])
    if options.new_head:
        last = (f"{head}.weight", f"{head}.bias")
        renamed |= {name: wanted[name].new_zeros(wanted[name].shape) for name in last}
    if set(renamed) != set(wanted):
        raise ModelError(_misfit(renamed, wanted, options, where))
    for name, value in renamed.items():
        if value.shape != wanted[name].shape:
            raise ModelError(_wrong_shape(name, value, wanted[name], head, where))
    return {name: value.to(wanted[name].dtype) for name, value in renamed.items()}


def _renamed(found: Tensors, head: str, where: str) -> Tensors:
    """Undo wrappers, other layouts of Swin's stages and other names of the head."""
    names = {name: re.sub(rf"^(?:{'|'.join(map(re.escape, PREFIXES))})+", "", name) for name in found}
    if any(name.startswith("layers.0.downsample.") for name in names.values()):
        names = {old: _MERGING.sub(_one_stage_later, new) for old, new in names.items()}
    present = set(names.values())
    if f"{head}.weight" not in present:
        other = next((name for name in HEADS if f"{name}.weight" in present), head)
        names = {
            old: re.sub(rf"^{re.escape(other)}\.(?=weight$|bias$)", f"{head}.", new)
            for old, new in names.items()
        }
    if twice := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise ModelError(f"{where}: without its prefixes, {twice[0]!a} would stand twice")
    return {names[name]: value for name, value in found.items()}


def _one_stage_later(found: re.Match[str]) -> str:
    """Elsewhere a stage ends with the merging of patches, in timm the next one begins with it."""
    return f"layers.{int(found[1]) + 1}.downsample."


def _in_order(found: Tensors, wanted: Tensors, where: str) -> Tensors:
    """Take tensors in the order of the file, whatever their names."""
    theirs = {name: value for name, value in found.items() if not name.endswith("num_batches_tracked")}
    ours = [name for name in wanted if not name.endswith("num_batches_tracked")]
    if Path(where).suffix.casefold() == ".safetensors":
        raise ModelError(
            f"{where} does not keep the order of its tensors, so they can only be matched by name"
        )
    if len(theirs) != len(ours):
        raise ModelError(
            f"{where} holds {len(theirs)} tensors, the network has {len(ours)}: they do not fit in order"
        )
    return dict(zip(ours, theirs.values(), strict=True))


def _misfit(renamed: Tensors, wanted: Tensors, options: ImportOptions, where: str) -> str:
    missing = [name for name in wanted if name not in renamed]
    unknown = [name for name in renamed if name not in wanted]
    parts = []
    if missing:
        parts.append(f"{len(missing)} of the {len(wanted)} tensors it needs are missing ({_some(missing)})")
    if unknown:
        parts.append(f"{len(unknown)} are not known to it ({_some(unknown)})")
    advice = ""
    theirs = [value.shape for name, value in renamed.items() if not name.endswith("num_batches_tracked")]
    if theirs == [value.shape for name, value in wanted.items() if not name.endswith("num_batches_tracked")]:
        advice = "; all shapes fit in the order of the file, so --match order would take it"
    return f"{where} does not fit {options.architecture}: {' and '.join(parts)}{advice}"


def _wrong_shape(name: str, value: torch.Tensor, wanted: torch.Tensor, head: str, where: str) -> str:
    theirs, ours = tuple(value.shape), tuple(wanted.shape)
    if name.startswith(f"{head}.") and theirs[1:] == ours[1:]:
        return (
            f"{where}: its last layer has {theirs[0]} outputs and {ours[0]} minerals were named; "
            "name all of them in the order of the outputs, or leave that layer out with --new-head"
        )
    return f"{where}: {name!a} has shape {theirs}, the network needs {ours}"


def _some(names: list[str]) -> str:
    shown = ", ".join(ascii(name)[:80] for name in names[:4])
    return shown + (" ..." if len(names) > 4 else "")


def _head_name(network: nn.Module) -> str:
    layer = network.get_classifier()  # type: ignore[operator]
    found: str = next(name for name, module in network.named_modules() if module is layer)
    return found


def _card(path: Path, name: str, minerals: MineralTable, options: ImportOptions) -> ModelCard:
    half = (0.5, 0.5, 0.5)
    statistics = {"mean": half, "std": half} if options.normalisation == "half" else {}
    try:
        return ModelCard(
            **statistics,
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            architecture=options.architecture,
            swin_convention=options.shift_convention,
            minerals=minerals.minerals,
            tile_px=options.tile_px,
            input_px=options.input_px or ARCHITECTURES[options.architecture].input_px,
        )
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"]
        if first["loc"] == ("name",):
            reason = "a model folder's name has up to 64 letters, digits, dots, dashes and underscores"
        raise ModelError(f"{path} cannot become the model {name!a}: {reason}") from error


def _provenance(path: Path, options: ImportOptions) -> str:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    head = (
        " Its last layer was left out: it must be trained before it can tell minerals."
        if options.new_head
        else ""
    )
    return (
        f"Imported from {path.name} (sha256 {sha256}), weights matched by {options.match}.{head} What it was "
        "trained on, and how well it does, is not known to this program."
    )


def _notices(found: Mapping[str, torch.Tensor], options: ImportOptions) -> list[str]:
    """Say what names cannot prove: a file without masks, but with the index, is of code that pads first."""
    indexed = any(name.endswith("relative_position_index") for name in found)
    masked = any(name.endswith("attn_mask") for name in found)
    later = any("layers.0.downsample." in name for name in found)
    if options.shift_convention != "timm" or masked or not (indexed and later):
        return []
    notice = (
        "the names in this file are those of code that usually pads before it shifts; if it is that of the "
        "paper, import it again with --shift-convention pad-then-shift, since its answers differ otherwise"
    )
    return [notice]
