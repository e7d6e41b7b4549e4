"""Model folders on disk: written once, hashed, whole or not at all.

A model is ``card.json`` + ``model.safetensors``.  Weights are read into memory,
hashed and checked before anything runs (so a file that changes meanwhile can do
no harm), and only safetensors is read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_ore_minerals.errors import ModelError

from .architectures import build_network
from .card import CARD_NAME, ModelCard, read_card, without_duplicates
from .durable import rename_synced, sync_folder, write_synced

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS_NAME, MEMORY_NAME = "model.safetensors", "memory.safetensors"
MAX_MEMORY_BYTES = 1 << 30
_MAX_HEADER_BYTES = 1 << 20
_MAX_TENSORS = 5_000
_DTYPES = {"F32", "F16", "BF16", "I64"}


def save_model(folder: Path, card: ModelCard, network: nn.Module, *, half: bool = False) -> ModelCard:
    """Write a model folder.

    Parameters
    ----------
    folder
        Must not exist; its parent is made.
    card
        Its ``weights_sha256`` is replaced by that of the weights written here, its
        ``swin_convention`` by that of the network, since names and shapes of weights do not show it.
    network
        Of the card's architecture, with one output per mineral.
    half
        Store float16 weights (half the size) instead of float32.

    Returns
    -------
    ModelCard
        As it stands in the folder.

    Raises
    ------
    ModelError
        If the folder exists, the weights are not finite or do not fit the card, or the disk refuses.
    """
    refuse_existing(Path(folder))
    card, weights = packed(card, network, half=half)
    return _write_folder(Path(folder), card, weights)


def save_version(folder: Path, source: Path, changes: Mapping[str, Any]) -> ModelCard:
    """Write a new version of a model: the same weights and memory, byte by byte, under a changed card.

    Parameters
    ----------
    folder
        Must not exist; its parent is made.
    source
        Model folder; it is not changed.
    changes
        Fields of the new card.  Version, parent and the weights' hash follow from the older one.

    Returns
    -------
    ModelCard
        As it stands in the new folder.

    Raises
    ------
    ModelError
        If the folder exists, the source must not be used, a field is not valid, or the disk refuses.
    """
    refuse_existing(Path(folder))
    older, network = load_network(source)
    weights, memory = read_weights(Path(source), older, network), read_memory(Path(source), older)
    kept = {"version": older.version + 1, "parent": older.weights_sha256}
    try:
        card = ModelCard.model_validate(older.model_dump() | dict(changes) | kept)
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(
            f"a new version of {source} needs a valid {first['loc'][0]}: {first['msg']}"
        ) from error
    return _write_folder(Path(folder), card, weights, memory)


def load_network(folder: Path) -> tuple[ModelCard, nn.Module]:
    """Read and check a model folder.

    Returns
    -------
    card : ModelCard
    network : torch.nn.Module
        In evaluation mode, float32, on the CPU.

    Raises
    ------
    ModelError
        If hash, keys, shapes, types or finiteness of the weights are not what the card promises.
    """
    folder = Path(folder)
    card = read_card(folder)
    path = folder / WEIGHTS_NAME
    network = network_of(card)
    weights = read_weights(folder, card, network)
    network.load_state_dict(checked_weights(weights, card, where=str(path)), strict=True)
    return card, network.eval()


def network_of(card: ModelCard) -> nn.Module:
    """Build the untrained network that a card describes."""
    return build_network(
        card.architecture,
        len(card.minerals),
        swin_convention=card.swin_convention,
        input_px=card.input_px,
    )


def checked_weights(weights: bytes, card: ModelCard, *, where: str) -> dict[str, torch.Tensor]:
    """Check the bytes of a safetensors file against a card and return its tensors.

    Raises
    ------
    ModelError
        One sentence that names what does not fit.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    if hashlib.sha256(weights).hexdigest() != card.weights_sha256:
        raise ModelError(f"{where} is not the file that its card describes (sha256 differs): fetch it again")
    _check_header(weights, where=where)
    try:
        tensors: dict[str, torch.Tensor] = load(weights)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{where} is no valid safetensors file: {error}") from error
    with torch.device("meta"):
        wanted = network_of(card).state_dict()
    if odd := sorted(set(wanted) ^ set(tensors)):
        raise ModelError(
            f"{where} does not fit {card.architecture}: {len(odd)} tensors are missing or unknown, "
            f"such as {odd[0]!r}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise ModelError(
                f"{where}: {name!r} has shape {tuple(tensor.shape)}, "
                f"{card.architecture} for {len(card.minerals)} minerals needs {tuple(wanted[name].shape)}"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{where}: {name!r} holds values that are not finite")
    return tensors


def refuse_existing(folder: Path) -> None:
    """Refuse to write where something is already; `ModelError`."""
    if folder.exists():
        raise ModelError(f"{folder} exists; a model is never overwritten: choose another name or remove it")


def _write_folder(folder: Path, card: ModelCard, weights: bytes, memory: bytes | None = None) -> ModelCard:
    checked_weights(weights, card, where=str(folder / WEIGHTS_NAME))
    staging = folder.parent / f".staging-{uuid.uuid4().hex}"
    try:
        write_staging(staging, card, weights, memory)
        rename_synced(staging, folder)
    except OSError as error:
        raise ModelError(f"the model could not be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return card


def write_staging(staging: Path, card: ModelCard, weights: bytes, memory: bytes | None = None) -> None:
    """Write card, weights and memory into a new folder that is to be renamed, all of it synced; `OSError`."""
    staging.mkdir(parents=True)
    write_synced(staging / WEIGHTS_NAME, weights)
    if memory is not None:
        write_synced(staging / MEMORY_NAME, memory)
    write_synced(staging / CARD_NAME, card.to_json().encode())
    sync_folder(staging)


def try_out(folder: Path) -> None:
    """Read a model folder back and let it answer for a tile; `ModelError` if it must not be used."""
    import torch

    card, network = load_network(folder)
    with torch.inference_mode():
        answer = network(torch.zeros(1, 3, card.input_px, card.input_px))
    if answer.shape != (1, len(card.minerals)) or not bool(torch.isfinite(answer).all()):
        raise ModelError(f"the model {card.name} computes values that are not finite, so it was not saved")


def packed(card: ModelCard, network: nn.Module, *, half: bool = False) -> tuple[ModelCard, bytes]:
    """Return the weights of a network as safetensors, and the card with their hash and convention."""
    from safetensors.torch import save

    from .windows import convention_of

    weights = save(_state_to_store(network, half=half))
    facts = {"weights_sha256": hashlib.sha256(weights).hexdigest(), "swin_convention": convention_of(network)}
    return card.model_copy(update=facts), weights


def most_bytes(network: nn.Module) -> int:
    """Return the size that a weights file of a network cannot exceed."""
    numbers: int = sum(tensor.numel() for tensor in network.state_dict().values())
    return 8 * numbers + _MAX_HEADER_BYTES


def read_weights(folder: Path, card: ModelCard, network: nn.Module) -> bytes:
    """Return the bytes of the weights of a model folder, not checked; `ModelError` if they cannot be read."""
    path = folder / WEIGHTS_NAME
    try:
        size = path.stat().st_size
        if size > most_bytes(network):
            raise ModelError(f"{path} has {size} bytes, more than a {card.architecture} can have")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


def read_memory(folder: Path, card: ModelCard) -> bytes | None:
    """Return the bytes of a model's memory, whose hash is that of its card; None if it has none.

    Raises
    ------
    ModelError
        If it is not there, too large, or not what the card describes.
    """
    if card.replay is None or card.replay.memory_sha256 is None:
        return None
    path = folder / MEMORY_NAME
    try:
        if path.stat().st_size > MAX_MEMORY_BYTES:
            raise ModelError(f"{path} is larger than any memory of this program")
        memory = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    return checked_memory(memory, card, where=str(path))


def checked_memory(memory: bytes, card: ModelCard, *, where: str) -> bytes:
    """Refuse a memory that is not the one that the card describes; `ModelError`."""
    if card.replay is None or hashlib.sha256(memory).hexdigest() != card.replay.memory_sha256:
        raise ModelError(f"{where} is not the file that its card describes (sha256 differs): fetch it again")
    return memory


def _check_header(weights: bytes, *, where: str) -> None:
    length = int.from_bytes(weights[:8], "little") if len(weights) >= 8 else -1
    if not 2 <= length <= min(_MAX_HEADER_BYTES, len(weights) - 8):
        raise ModelError(f"{where} is no valid safetensors file: its header has an impossible length")
    try:
        header = json.loads(weights[8 : 8 + length], object_pairs_hook=without_duplicates)
        dtypes = {entry["dtype"] for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{where} is no valid safetensors file: {str(error)[:200]}") from error
    if len(header) > _MAX_TENSORS or not dtypes or not dtypes <= _DTYPES:
        raise ModelError(f"{where}: number or types of its tensors are not those of a classifier")


def _state_to_store(network: nn.Module, *, half: bool) -> dict[str, torch.Tensor]:
    import torch

    state: dict[str, torch.Tensor] = {}
    for name, tensor in network.state_dict().items():
        kept = tensor.detach().cpu().contiguous()
        if kept.is_floating_point():
            kept = kept.to(torch.float16 if half else torch.float32)
        state[name] = kept
    return state
