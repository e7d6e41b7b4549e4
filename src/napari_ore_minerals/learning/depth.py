"""How much of a network learns: all of it, its last stage, or the last layer alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .options import Depth

if TYPE_CHECKING:
    from torch import nn

_STAGES = ("layers", "layer4", "blocks")  # of Swin, ResNet and the two MobileNets in timm


def freeze(network: nn.Module, depth: Depth) -> nn.Module:
    """Let only a part of a network learn; the last stage takes all that comes after it along."""
    network.requires_grad_(depth == "all")
    head = network.get_classifier()  # type: ignore[operator]
    learning = [head] if depth == "head" else _last_stage(network) if depth == "last stage" else []
    for module in learning:
        module.requires_grad_(True)
    return network


def teach_mode(network: nn.Module) -> None:
    """Set to training what learns, and to inference what does not: statistics of a frozen part stay."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(one.requires_grad for one in parameters):
            module.eval()


def _last_stage(network: nn.Module) -> list[nn.Module]:
    children = list(network.named_children())
    start = max(number for number, (name, _) in enumerate(children) if name in _STAGES)
    _, stages = children[start]
    name = children[start][0]
    last = stages if name == "layer4" else list(stages.children())[-1]
    return [last, *(module for _, module in children[start + 1 :])]
