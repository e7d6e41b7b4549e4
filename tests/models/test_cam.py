"""Class maps add up to the logits and are those of pytorch-grad-cam."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.models.architectures import ARCHITECTURES, build_network, is_swin
from napari_ore_minerals.models.cam import EXPLAIN_METHODS, class_maps, explain, feature_map

LARGE = {"swin_base_patch4_window7_224", "swin_small_patch4_window7_224"}
CHOICES = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in ARCHITECTURES]

SMALL_TILES = [
    pytest.param(name, marks=() if name == "ore_swin_micro" else pytest.mark.slow)
    for name in ARCHITECTURES
    if name
    not in ("swin_small_patch4_window7_224", "swin_base_patch4_window7_224")  # built as Swin-T is; minutes
]


def network_and_tiles(architecture: str) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(3)
    network = build_network(architecture, 5).eval()
    with torch.no_grad():
        network.get_classifier().bias.normal_()
        network.get_classifier().weight.mul_(5)
    side = ARCHITECTURES[architecture].input_px
    return network, torch.randn(2, 3, side, side)


@pytest.mark.parametrize("architecture", CHOICES)
def test_the_mean_of_a_class_map_is_the_logit(architecture: str) -> None:
    network, tiles = network_and_tiles(architecture)
    with torch.no_grad():
        logits, maps = class_maps(network, tiles)
        reference = network(tiles)
    side = ARCHITECTURES[architecture].input_px
    assert maps.shape == (2, 5, *((7, 7) if side == 224 else (4, 4)))
    scale = float(reference.abs().max())
    torch.testing.assert_close(logits, reference, atol=1e-5 * max(1.0, scale), rtol=0)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), logits, atol=1e-5 * max(1.0, scale), rtol=0)
    assert maps.std() > 1e-4


@pytest.mark.parametrize("architecture", CHOICES)
def test_class_maps_are_those_of_pytorch_grad_cam(architecture: str) -> None:
    network, tiles = network_and_tiles(architecture)
    for class_index in (0, 4):
        ours = explain(network, tiles[0], class_index=class_index, method="cam")
        reference = explain(network, tiles[0], class_index=class_index, method="gradcam")
        assert ours.shape == reference.shape == tuple(tiles.shape[-2:])
        assert float(reference.max()) > 0.5
        np.testing.assert_allclose(ours, reference, atol=1e-4)


def unchanged(network: torch.nn.Module, before: dict[str, torch.Tensor]) -> bool:
    """Whether a network is as it was before something was explained: weights, mode, nothing to be trained."""
    trained = any(values.requires_grad or values.grad is not None for values in network.parameters())
    same = all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    return same and not trained and not network.training


def plausible(heat: np.ndarray, side: int) -> bool:
    """Whether it is a heatmap of a tile: 0 to 1, and not the same everywhere."""
    in_range = 0.0 <= heat.min() <= heat.max() <= 1.0 + 1e-6
    return heat.dtype == np.float32 and heat.shape == (side, side) and in_range and heat.std() > 0.01


@pytest.mark.parametrize("architecture", CHOICES)
def test_every_method_explains_every_architecture_and_leaves_it_as_it_was(architecture: str) -> None:
    network, tiles = network_and_tiles(architecture)
    network.requires_grad_(False)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    for method in set(EXPLAIN_METHODS) - {"scorecam"}:
        heat = explain(network, tiles[1], method=method)  # type: ignore[arg-type]
        assert plausible(heat, tiles.shape[-1]), method
        assert unchanged(network, before), method


@pytest.mark.parametrize("architecture", SMALL_TILES)
def test_scorecam_explains_every_kind_of_architecture(architecture: str) -> None:
    """A forward pass for each of up to 2,048 channels: with tiles of 64 px, which a Swin takes as the paper's does."""
    torch.manual_seed(3)
    convention = "pad-then-shift" if is_swin(architecture) else "timm"  # type: ignore[arg-type]
    network = build_network(architecture, 5, swin_convention=convention, input_px=64).eval()  # type: ignore[arg-type]
    network.requires_grad_(False)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    heat = explain(network, torch.randn(3, 64, 64), class_index=2, method="scorecam")
    assert plausible(heat, 64)
    assert unchanged(network, before)


def stretched(maps: np.ndarray, side: int) -> np.ndarray:
    """The positive part of a small map as a heatmap, as pytorch-grad-cam enlarges it."""
    positive = np.maximum(maps, 0)
    small = (positive - positive.min()) / (np.ptp(positive) + 1e-7)
    large = cv2.resize(small, (side, side))
    return (large - large.min()) / (np.ptp(large) + 1e-7)


@pytest.mark.parametrize("architecture", CHOICES)
def test_methods_are_what_their_papers_say_of_the_last_feature_map(architecture: str) -> None:
    """The gradient of a logit is the same at every place: weight by number of places (Zhou et al. 2016).

    So HiResCAM is CAM, LayerCAM takes the positive weights alone, and EigenCAM the first principal component.
    """
    network, tiles = network_and_tiles(architecture)
    side = tiles.shape[-1]
    with torch.no_grad():
        features = feature_map(network, tiles[:1])[0].double().numpy()
    weights = network.get_classifier().weight[1].detach().double().numpy()
    flat = (features - features.mean(axis=(0, 1))).reshape(-1, features.shape[-1])
    component = np.linalg.svd(flat, full_matrices=False)[2][0]
    projected = (flat @ component).reshape(features.shape[:2])
    found = {
        method: explain(network, tiles[0], class_index=1, method=method)  # type: ignore[arg-type]
        for method in ("cam", "hirescam", "layercam", "eigencam")
    }
    np.testing.assert_allclose(found["hirescam"], found["cam"], atol=1e-4)
    layered = (np.maximum(weights, 0) * features).sum(axis=-1)
    np.testing.assert_allclose(found["layercam"], stretched(layered, side), atol=1e-3)
    eigen = [stretched(sign * projected, side) for sign in (1, -1)]  # a component has no sign
    assert min(np.abs(found["eigencam"] - one).max() for one in eigen) < 1e-2


def test_an_unknown_method_names_the_known_ones() -> None:
    network, tiles = network_and_tiles("ore_swin_micro")
    with pytest.raises(OptionError, match="layercam"):
        explain(network, tiles[0], method="guess")  # type: ignore[arg-type]
