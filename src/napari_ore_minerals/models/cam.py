"""Class activation maps: what the classifier looked at.

Every architecture of the allow-list ends in *global mean, then linear*.  Mean
and linear commute, so the classifier applied to every cell of the last feature
map gives, in the same forward pass and for all classes, maps whose spatial mean
is the logit (Zhou et al. 2016, CVPR, 2921-2929: class activation mapping).
The other methods are those of pytorch-grad-cam, for one tile at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_ore_minerals.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ExplainMethod = Literal["cam", "gradcam", "gradcam++", "layercam", "eigencam", "scorecam", "hirescam"]
EXPLAIN_METHODS: tuple[str, ...] = get_args(ExplainMethod)


def feature_map(network: nn.Module, tiles: torch.Tensor) -> torch.Tensor:
    """Last feature map, channels last.

    Parameters
    ----------
    network
        One of `models.architectures`.
    tiles : (n, 3, s, s) float tensor
        Normalised tiles.

    Returns
    -------
    (n, h, w, d) tensor
        timm's Swin gives it so; convolutional networks give (n, d, h, w) and are turned.
    """
    features: torch.Tensor = network.forward_features(tiles)  # type: ignore[operator]
    return features if _channels_last(network) else features.permute(0, 2, 3, 1)


def class_maps(network: nn.Module, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and class maps of all classes in one forward pass.

    Parameters
    ----------
    network
        One of `models.architectures`, in evaluation mode.
    tiles : (n, 3, s, s) float tensor
        Normalised tiles.

    Returns
    -------
    logits : (n, classes) float32 tensor
    maps : (n, classes, h, w) float32 tensor
        Evidence of each class at each place, bias included: its mean over h and w is the logit.
    """
    return evidence_of(network, feature_map(network, tiles))


def evidence_of(network: nn.Module, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and class maps, as `class_maps` gives them, of the (n, h, w, d) last feature map."""
    linear = classifier_layer(network)
    maps = functional.linear(features.float(), linear.weight.float(), _bias(linear))
    return maps.mean(dim=(1, 2)), maps.permute(0, 3, 1, 2)


def classifier_layer(network: nn.Module) -> nn.Linear:
    """Return the last linear layer of a network of the allow-list."""
    layer = network.get_classifier()  # type: ignore[operator]
    if not isinstance(layer, nn.Linear):
        raise OptionError(
            f"class maps need a network that ends in a linear layer, not {type(layer).__name__}"
        )
    return layer


def explain(
    network: nn.Module,
    tile: torch.Tensor,
    *,
    class_index: int | None = None,
    method: ExplainMethod = "gradcam",
) -> NDArray[np.float32]:
    """Heatmap of one tile by one of several published methods.

    Parameters
    ----------
    network
        One of `models.architectures`, in evaluation mode; its parameters are not changed.
    tile : (3, s, s) or (1, 3, s, s) float tensor
        A normalised tile.
    class_index
        Output to explain; None for the predicted one.
    method
        ``"cam"`` is `class_maps` without the bias; the others are those of
        pytorch-grad-cam (Gildenblat and contributors 2021).

    Returns
    -------
    (s, s) float32 array
        0 to 1; zero everywhere if nothing speaks for the class.

    Raises
    ------
    OptionError
        If the method is unknown.
    """
    if method not in EXPLAIN_METHODS:
        raise OptionError(f"unknown method {method!r}; choose one of {', '.join(EXPLAIN_METHODS)}")
    batch = tile.reshape(1, *tile.shape[-3:])
    if class_index is None:
        with torch.no_grad():
            class_index = int(class_maps(network, batch)[0].argmax())
    if method == "cam":
        with torch.no_grad():
            evidence = class_maps(network, batch)[1][:, class_index : class_index + 1]
        bias = _bias(classifier_layer(network))
        without_bias = evidence if bias is None else evidence - bias.detach()[class_index]
        return _scaled(without_bias, size=int(batch.shape[-1]))
    return _grad_cam(network, batch, class_index, method)


def _grad_cam(network: nn.Module, batch: torch.Tensor, class_index: int, method: str) -> NDArray[np.float32]:
    import pytorch_grad_cam as grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kinds = {
        "gradcam": grad_cam.GradCAM,
        "gradcam++": grad_cam.GradCAMPlusPlus,
        "layercam": grad_cam.LayerCAM,
        "eigencam": grad_cam.EigenCAM,
        "scorecam": grad_cam.ScoreCAM,
        "hirescam": grad_cam.HiResCAM,
    }
    needed_gradients = [parameter.requires_grad for parameter in network.parameters()]
    options: dict[str, Any] = {"model": network, "target_layers": [last_spatial_layer(network)]}
    if _channels_last(network):
        options["reshape_transform"] = _channels_first
    try:
        network.requires_grad_(True)
        with torch.enable_grad(), kinds[method](**options) as method_object:
            heat = method_object(
                input_tensor=batch.clone().requires_grad_(True), targets=[ClassifierOutputTarget(class_index)]
            )
    finally:
        for parameter, needed in zip(network.parameters(), needed_gradients, strict=True):
            parameter.requires_grad_(needed)
            parameter.grad = None
    return np.nan_to_num(np.asarray(heat[0], dtype=np.float32))


def last_spatial_layer(network: nn.Module) -> nn.Module:
    """Return the layer whose output is the last feature map.

    Swin: the final norm, (n, h, w, d).  ResNet50: the last stage.  MobileNetV2 and
    EfficientNet: the norm and activation after the last 1 x 1 convolution.
    """
    for name in ("norm", "bn2", "layer4"):
        layer = getattr(network, name, None)
        if isinstance(layer, nn.Module):
            return layer
    raise OptionError(f"no spatial layer is known for {type(network).__name__}")


def _channels_last(network: nn.Module) -> bool:
    return getattr(network, "output_fmt", "NCHW") == "NHWC"


def _channels_first(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 3, 1, 2)


def _bias(linear: nn.Linear) -> torch.Tensor | None:
    return None if linear.bias is None else linear.bias.float()


def _scaled(maps: torch.Tensor, *, size: int) -> NDArray[np.float32]:
    """Turn a (1, 1, h, w) map into a heatmap as pytorch-grad-cam does.

    The positive part, stretched to 0..1, enlarged bilinearly and stretched again.
    """
    large = functional.interpolate(
        _stretched(maps.clamp(min=0)), size=(size, size), mode="bilinear", align_corners=False
    )
    heat: NDArray[np.float32] = _stretched(large)[0, 0].cpu().numpy().astype(np.float32)
    return heat


def _stretched(values: torch.Tensor) -> torch.Tensor:
    from_zero = values - values.amin()
    return from_zero / (from_zero.amax() + 1e-7)
