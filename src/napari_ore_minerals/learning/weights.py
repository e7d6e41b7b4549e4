"""The weights that a training begins with: those of ImageNet, of a file, of another model, or random ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_ore_minerals.errors import ModelError, OptionError
from napari_ore_minerals.models.architectures import ARCHITECTURES, Architecture, build_network
from napari_ore_minerals.models.card import CARD_NAME, ModelCard, read_card

from .imagenet import IMAGENET, file_sha256, imagenet_file

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_ore_minerals.minerals import MineralTable

Weights = Literal["imagenet", "none"] | Path
BUNDLED = "bundled"
LARGEST_HEAD_BYTES = 200_000_000  # 21,841 classes of ImageNet-22k on 2,048 features


def architecture_named(name: str) -> Architecture:
    """Return the architecture of this name, or the only one with it in its name, such as ``"swin_base"``.

    Raises
    ------
    OptionError
        If there is none, or more than one.
    """
    found = [name] if name in ARCHITECTURES else [key for key in ARCHITECTURES if name in key]
    if len(found) != 1:
        raise OptionError(
            f"no single architecture is named {name!r}: choose one of {', '.join(ARCHITECTURES)}"
        )
    return found[0]  # type: ignore[return-value]


def weights_named(text: str) -> Weights:
    """Read what is to be begun with: imagenet, none, bundled for the model that is shipped, or a path."""
    if text == BUNDLED:
        from napari_ore_minerals.models.classifier import bundled

        return bundled()
    return text if text in ("imagenet", "none") else Path(text)  # type: ignore[return-value]


def name_of(weights: Weights) -> str:
    """Name weights without the folders of this computer, so that `weights_named` finds them where it can."""
    if not isinstance(weights, Path):
        return weights
    return BUNDLED if weights.is_dir() and weights == weights_named(BUNDLED) else weights.name


def initial_network(
    architecture: Architecture, classes: int, weights: Weights, *, minerals: MineralTable | None = None
) -> nn.Module:
    """Build a network to train.

    Parameters
    ----------
    architecture
        A key of `ARCHITECTURES`.
    classes
        Number of outputs.
    weights
        ``"imagenet"``, ``"none"``, a safetensors file of the same architecture with any number of
        outputs, or a model folder.
    minerals
        Of the outputs; those that the model of a model folder knows by name keep its outputs.

    Returns
    -------
    torch.nn.Module
        What is random in it, such as the head, is from torch's global generator.

    Raises
    ------
    ModelError
        If the weights cannot be had or do not fit; the message says what to fetch and where to put it.
    OptionError
        If there are no ImageNet weights of the architecture, or a model is of another one.
    """
    network = build_network(architecture, classes)
    if weights == "none":
        return network
    path = imagenet_file(architecture) if weights == "imagenet" else Path(weights)
    if not path.is_dir():
        load_body(network, _read(path, network), where=str(path))
        return network
    from napari_ore_minerals.models.store import load_network

    _check_model(path, architecture)
    card, trained = load_network(path)
    if minerals is not None:
        _keep_outputs(network, trained, card, minerals)
    head = head_name(network)
    trained.set_submodule(head, network.get_submodule(head))
    return trained


def identity(architecture: Architecture, weights: Weights) -> dict[str, str]:
    """Say which weights these are, for the record of a run; nothing is fetched for it."""
    if weights == "none":
        return {"kind": "none"}
    if weights == "imagenet":
        if architecture not in IMAGENET:
            imagenet_file(architecture)  # which says so
        known = IMAGENET[architecture]
        return {
            "kind": "imagenet",
            "name": known.name,
            "revision": known.revision,
            "sha256": known.sha256 or "",
        }
    path = Path(weights)
    if path.is_dir():
        card = _check_model(path, architecture)
        return {"kind": "model", "name": card.name, "sha256": card.weights_sha256}
    return {"kind": "file", "name": path.name, "sha256": file_sha256(path)}


def load_body(network: nn.Module, tensors: dict[str, torch.Tensor], *, where: str) -> None:
    """Load everything but the classifier into a network.

    Raises
    ------
    ModelError
        If a tensor is missing, unknown, of another shape or not finite.
    """
    given = _of_today(network, tensors, where=where)
    head = head_name(network) + "."
    own = network.state_dict()
    wanted = {key: tensor for key, tensor in own.items() if not key.startswith(head)}
    given = {key: tensor for key, tensor in given.items() if not key.startswith(head)}
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}
    if odd := sorted((set(wanted) ^ set(given)) - optional):
        raise ModelError(
            f"{where} does not hold weights of this architecture: {len(odd)} of its {len(wanted)} tensors are "
            f"missing or unknown, such as {odd[0]!r}"
        )
    for key, tensor in given.items():
        _check_tensor(key, tensor, wanted[key], where=where)
    network.load_state_dict(own | given, strict=True)


def head_name(network: nn.Module) -> str:
    """Name of the last linear layer, such as ``"head.fc"``."""
    head = network.get_classifier()  # type: ignore[operator]
    return next(str(name) for name, module in network.named_modules() if module is head)


def _read(path: Path, network: nn.Module) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    if path.suffix != ".safetensors":
        raise ModelError(
            f"{path} is no safetensors file, the only one that is read as weights; `ore-minerals models import` "
            "converts a .pth file that you trust"
        )
    largest = sum(tensor.numel() * 8 for tensor in network.state_dict().values()) + LARGEST_HEAD_BYTES
    try:
        if (size := path.stat().st_size) > largest:
            raise ModelError(f"{path} has {size} bytes, more than weights of this architecture can have")
        tensors: dict[str, torch.Tensor] = load(path.read_bytes())
    except OSError as error:
        raise ModelError(f"the weights {path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is no valid safetensors file: {error}") from error
    return tensors


def _of_today(network: nn.Module, tensors: dict[str, torch.Tensor], *, where: str) -> dict[str, torch.Tensor]:
    """Rename the tensors of a Swin as timm names them now; other networks never changed."""
    from timm.models.swin_transformer import SwinTransformer, checkpoint_filter_fn

    if not isinstance(network, SwinTransformer):
        return tensors
    own = network.state_dict()
    for key, tensor in tensors.items():  # timm would resize these
        if key in own and key.endswith(("relative_position_bias_table", "patch_embed.proj.weight")):
            _check_tensor(key, tensor, own[key], where=where)
    found: dict[str, torch.Tensor] = checkpoint_filter_fn(tensors, network)
    return found


def _check_tensor(key: str, given: torch.Tensor, wanted: torch.Tensor, *, where: str) -> None:
    import torch

    if given.shape != wanted.shape:
        raise ModelError(
            f"{where}: {key!r} has shape {tuple(given.shape)}, this architecture needs {tuple(wanted.shape)}"
        )
    if given.is_floating_point() and not bool(torch.isfinite(given).all()):
        raise ModelError(f"{where}: {key!r} holds values that are not finite")


def _check_model(folder: Path, architecture: Architecture) -> ModelCard:
    if not (folder / CARD_NAME).exists():
        raise ModelError(f"{folder} is neither a weights file nor a model folder: it has no {CARD_NAME}")
    card = read_card(folder)
    if card.architecture != architecture:
        raise OptionError(
            f"the model {card.name} is a {card.architecture}: choose that architecture to begin with it"
        )
    return card


def _keep_outputs(network: nn.Module, trained: nn.Module, card: ModelCard, minerals: MineralTable) -> None:
    """Copy the outputs of the minerals that a model knows to their places in a new head."""
    import torch

    older = {mineral.name: index for index, mineral in enumerate(card.minerals)}
    new, old = (one.get_classifier() for one in (network, trained))  # type: ignore[operator]
    with torch.no_grad():
        for index, mineral in enumerate(minerals):
            if mineral.name in older:
                new.weight[index] = old.weight[older[mineral.name]]
                new.bias[index] = old.bias[older[mineral.name]]
