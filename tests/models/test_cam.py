"""Class maps add up to the logits and are those of pytorch-grad-cam."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.models.architectures import ARCHITECTURES, build_network
from napari_ore_minerals.models.cam import EXPLAIN_METHODS, class_maps, explain

LARGE = {"swin_base_patch4_window7_224", "swin_small_patch4_window7_224"}
CHOICES = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in ARCHITECTURES]


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


@pytest.mark.parametrize("architecture", ["ore_swin_micro", "mobilenetv2_100", "resnet50"])
@pytest.mark.parametrize("method", EXPLAIN_METHODS)
def test_every_method_explains_and_leaves_the_network_as_it_was(architecture: str, method: str) -> None:
    if method == "scorecam" and architecture != "ore_swin_micro":
        pytest.skip("a forward pass for each of a thousand channels")
    network, tiles = network_and_tiles(architecture)
    network.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    heat = explain(network, tiles[1], method=method)
    assert heat.dtype == np.float32
    assert heat.shape == tuple(tiles.shape[-2:])
    assert 0.0 <= heat.min() <= heat.max() <= 1.0 + 1e-6
    assert heat.std() > 0.01
    assert not any(
        parameter.requires_grad or parameter.grad is not None for parameter in network.parameters()
    )
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_unknown_method_names_the_known_ones() -> None:
    network, tiles = network_and_tiles("ore_swin_micro")
    with pytest.raises(OptionError, match="layercam"):
        explain(network, tiles[0], method="guess")  # type: ignore[arg-type]
