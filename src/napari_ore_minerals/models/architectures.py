"""The networks that a model card may name, and how to build them.

An allow-list: a card's architecture is never passed to ``timm.create_model`` as
a free string, which also accepts hub and directory names.  All of them end in
*global mean, then linear*, which `models.cam` relies on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

Architecture = Literal[
    "swin_base_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "swin_tiny_patch4_window7_224",
    "resnet50",
    "mobilenetv2_100",
    "tf_efficientnet_lite0",
    "ore_swin_compact",
    "ore_swin_micro",
]
SwinConvention = Literal["timm", "pad-then-shift"]


@dataclass(frozen=True)
class Recipe:
    """How one architecture is built.

    Attributes
    ----------
    title : str
        Plain words for lists and tooltips.
    input_px : int
        Side of the tiles it takes.
    swin : dict or None
        Arguments of timm's ``SwinTransformer`` for networks of our own; None for
        a network that timm knows by name.
    """

    title: str
    input_px: int = 224
    swin: dict[str, Any] | None = field(default=None)


ARCHITECTURES: dict[str, Recipe] = {
    "swin_base_patch4_window7_224": Recipe("Swin-B, the paper's best, 87 M parameters"),
    "swin_small_patch4_window7_224": Recipe("Swin-S, 49 M parameters"),
    "swin_tiny_patch4_window7_224": Recipe("Swin-T, 28 M parameters"),
    "resnet50": Recipe("ResNet50, 24 M parameters"),
    "mobilenetv2_100": Recipe("MobileNetV2, 2.2 M parameters"),
    "tf_efficientnet_lite0": Recipe("EfficientNet-Lite0, 3.4 M parameters"),
    "ore_swin_compact": Recipe(
        "compact Swin, 4.1 M parameters, for computers without a GPU",
        swin={
            "img_size": 224,
            "patch_size": 4,
            "window_size": 7,
            "embed_dim": 48,
            "depths": (1, 1, 4, 1),
            "num_heads": (2, 4, 8, 16),
            "drop_path_rate": 0.05,
        },
    ),
    "ore_swin_micro": Recipe(
        "micro Swin of 19 thousand parameters, for tests and tutorials",
        input_px=32,
        swin={
            "img_size": 32,
            "patch_size": 4,
            "window_size": 4,
            "embed_dim": 16,
            "depths": (1, 1),
            "num_heads": (1, 2),
            "drop_path_rate": 0.0,
        },
    ),
}


def build_network(
    architecture: Architecture,
    classes: int,
    *,
    swin_convention: SwinConvention = "timm",
    input_px: int | None = None,
) -> nn.Module:
    """Build an untrained network.

    Parameters
    ----------
    architecture
        A key of `ARCHITECTURES`.
    classes
        Number of outputs.
    swin_convention
        How a Swin lays its shifted windows, see `models.windows`; ``"timm"`` for all others.
    input_px
        Side of the tiles under another convention than timm's; None for that of the architecture.

    Returns
    -------
    torch.nn.Module
        Takes float tensors (n, 3, input_px, input_px), gives logits (n, classes).
        Its weights are random, from torch's global generator.
    """
    recipe = ARCHITECTURES[architecture]
    if swin_convention == "timm":
        return _build(architecture, classes, {})
    from .windows import pad_then_shift

    layout = {"always_partition": True, "img_size": input_px or recipe.input_px}
    return pad_then_shift(_build(architecture, classes, layout))


def is_swin(architecture: Architecture) -> bool:
    """Tell whether an architecture has windows, and so a convention for them."""
    return "swin" in architecture


def _build(architecture: Architecture, classes: int, layout: dict[str, Any]) -> nn.Module:
    recipe = ARCHITECTURES[architecture]
    if recipe.swin is not None:
        from timm.models.swin_transformer import SwinTransformer

        network: nn.Module = SwinTransformer(num_classes=classes, **(recipe.swin | layout))
        return network
    import timm

    known: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=classes, **layout)
    return known
