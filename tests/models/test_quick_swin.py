"""The Swin that only classifies says what timm's Swin says, as exactly as bf16 can."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sharp_attention import sharpened
from torch import nn

from napari_ore_minerals.models import quick_swin as module
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.cam import class_maps, evidence_of
from napari_ore_minerals.models.classifier import Classifier, bundled
from napari_ore_minerals.models.quick_swin import QuickBlock, QuickSwin, quick_swin
from napari_ore_minerals.models.store import load_network, network_of

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
NETWORKS = {
    "compact": ("ore_swin_compact", "timm", 224),
    "micro": ("ore_swin_micro", "timm", 32),
    "micro, maps that windows and merging leave a rest of": ("ore_swin_micro", "pad-then-shift", 36),
    "Swin-T": ("swin_tiny_patch4_window7_224", "timm", 224),
    "Swin-T, windows filled up, then shifted": ("swin_tiny_patch4_window7_224", "pad-then-shift", 256),
}


def sharp(name: str) -> tuple[nn.Module, int]:
    """Build a network whose random attention is sharp, so that it matters which places it sees."""
    architecture, convention, side = NETWORKS[name]
    torch.manual_seed(3)
    return sharpened(build_network(architecture, 5, swin_convention=convention, input_px=side)), side


def tiles(count: int, side: int, seed: int = 7) -> torch.Tensor:
    """Grains of some colours on a dark ground."""
    random = np.random.default_rng(seed)
    small = random.integers(20, 256, (count, 4, 4, 3), dtype=np.uint8)
    return torch.from_numpy(small.repeat(side // 4, axis=1).repeat(side // 4, axis=2))


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def maps_of(quick: QuickSwin | None, network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    assert quick is not None
    with torch.inference_mode():
        return evidence_of(network, quick.forward_features(pixels))[1]


def errors(network: nn.Module, quick: QuickSwin | None, pixels: torch.Tensor) -> tuple[float, float]:
    """Root mean square errors against fp32: of the quick one, and of timm's with autocast."""
    with torch.inference_mode():
        exact = class_maps(network, normalised(pixels))[1]
        with torch.autocast("cpu", torch.bfloat16):
            usual = class_maps(network, normalised(pixels))[1].float()
    found = maps_of(quick, network, pixels)
    assert found.shape == exact.shape
    spread = float(exact.std())
    return float((found - exact).square().mean().sqrt()) / spread, float(
        (usual - exact).square().mean().sqrt()
    ) / spread


@pytest.mark.parametrize("sums", [True, False], ids=["small scores", "large scores"])
@pytest.mark.parametrize("name", NETWORKS)
def test_maps_are_as_exact_as_with_autocast(name: str, sums: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_SCORE", 1e9 if sums else 0.0)
    network, side = sharp(name)
    quick = quick_swin(network, MEAN, STD, tiles(2, side, seed=1))
    blocks = [part for part in quick.modules() if isinstance(part, QuickBlock)]  # type: ignore[union-attr]
    assert blocks
    assert all(block.small_scores is sums for block in blocks)
    own, usual = errors(network, quick, tiles(3, side))
    assert own < 2 * usual + 1e-3, (own, usual)
    assert own < 0.05


def test_other_windows_make_another_network() -> None:
    """The error of a network with the same weights and other windows is far more than rounding."""
    network, side = sharp("Swin-T")
    other = build_network("swin_tiny_patch4_window7_224", 5, swin_convention="pad-then-shift", input_px=side)
    other.load_state_dict(network.state_dict())
    own, usual = errors(network, quick_swin(other.eval(), MEAN, STD, tiles(2, side, seed=1)), tiles(3, side))
    assert own > 4 * usual


def test_scores_that_bf16_has_no_exponential_of_give_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trial tiles may have been calmer than what comes later."""
    monkeypatch.setattr(module, "SMALL_SCORE", 1e9)
    network, side = sharp("micro")
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.endswith("qkv.weight"):
                value.mul_(30)
    quick = quick_swin(network, MEAN, STD, tiles(2, side, seed=1))
    assert max(block.largest_score for block in quick.modules() if isinstance(block, QuickBlock)) > 100  # type: ignore[union-attr]
    assert torch.isfinite(maps_of(quick, network, tiles(3, side))).all()


def test_tiles_do_not_depend_on_their_company() -> None:
    """A result is the same for any size of batches, to the bit."""
    network, side = sharp("compact")
    pixels = tiles(5, side)
    quick = quick_swin(network, MEAN, STD, tiles(2, side, seed=1))
    together = maps_of(quick, network, pixels)
    for index in range(len(pixels)):
        assert torch.equal(maps_of(quick, network, pixels[index : index + 1])[0], together[index])


def test_the_network_itself_is_not_changed() -> None:
    network, side = sharp("micro")
    before = copy.deepcopy(network.state_dict())
    quick = quick_swin(network, MEAN, STD, tiles(2, side))
    maps_of(quick, network, tiles(3, side))
    for key, value in network.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])


def test_other_networks_are_left_to_autocast() -> None:
    assert quick_swin(build_network("mobilenetv2_100", 5), MEAN, STD, tiles(1, 224)) is None


def test_weights_that_are_replaced_are_answered_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "napari_ore_minerals.models.classifier.choose_precision", lambda device, precision: ("bf16", "")
    )
    classifier = Classifier.load(device="cpu")
    assert classifier.precision == "bf16"
    pixels = tiles(2, 224).numpy()
    before = classifier.predict(pixels).logits
    card, other = load_network(bundled())
    torch.manual_seed(1)
    other.load_state_dict(
        {key: value + 0.02 * torch.randn_like(value) for key, value in other.state_dict().items()}
    )
    classifier.replace_weights(other.state_dict())
    assert np.abs(classifier.predict(pixels).logits - before).max() > 0.1
    expected = Classifier(card, other, device="cpu").predict(pixels).logits
    np.testing.assert_array_equal(classifier.predict(pixels).logits, expected)
    with pytest.raises(RuntimeError):
        classifier.replace_weights(
            network_of(card.model_copy(update={"minerals": card.minerals[:2]})).state_dict()
        )


def test_other_weights_may_agree_where_the_first_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "napari_ore_minerals.models.classifier.choose_precision", lambda device, precision: ("bf16", "")
    )
    monkeypatch.setattr("napari_ore_minerals.models.classifier.LARGEST_DIFFERENCE", 0.0)
    classifier = Classifier.load(device="cpu")
    assert classifier.precision == "fp32"
    monkeypatch.setattr("napari_ore_minerals.models.classifier.LARGEST_DIFFERENCE", 0.1)
    classifier.replace_weights(classifier.network.state_dict())
    assert classifier.precision == "bf16"
    assert not [notice for notice in classifier.notices if "bf16" in notice]
