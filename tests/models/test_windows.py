"""Windows of published code: the same logits as a plain reference, everywhere a network goes."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from published_swin import published_logits, published_names
from sharp_attention import sharpened
from torch import nn

from napari_ore_minerals.learning.dataset import TileSamples
from napari_ore_minerals.learning.training import TrainOptions, train_steps
from napari_ore_minerals.minerals import PAPER_MINERALS
from napari_ore_minerals.models.architectures import SwinConvention, build_network
from napari_ore_minerals.models.cam import class_maps, explain
from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.store import load_network, save_model
from napari_ore_minerals.models.windows import convention_of
from napari_ore_minerals.progress import run

SWIN_T = "swin_tiny_patch4_window7_224"
NOISE = 1e-5  # of logits up to about 1, in float32


def swin(input_px: int, convention: SwinConvention = "pad-then-shift") -> nn.Module:
    """Build a Swin-T whose random attention is sharp, so that it matters which places it sees."""
    torch.manual_seed(3)
    return sharpened(build_network(SWIN_T, 5, swin_convention=convention, input_px=input_px))


def card(input_px: int = 224) -> ModelCard:
    return ModelCard(
        name="published",
        architecture=SWIN_T,
        swin_convention="pad-then-shift",
        minerals=PAPER_MINERALS.minerals,
        input_px=input_px,
    )


def tiles(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize(("input_px", "least_difference"), [(224, 0.009), (256, 0.03)])
def test_logits_are_those_of_the_reference_and_not_those_of_timm(
    input_px: int, least_difference: float
) -> None:
    network = swin(input_px)
    plain = build_network(SWIN_T, 5).eval()
    plain.set_input_size(img_size=input_px, window_size=7)
    plain.load_state_dict(network.state_dict())
    pictures = torch.randn(2, 3, input_px, input_px, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = published_logits(published_names(network.state_dict()), pictures)
        torch.testing.assert_close(network(pictures), wanted, rtol=NOISE, atol=NOISE)
        logits, maps = class_maps(network, pictures)
        torch.testing.assert_close(logits, wanted, rtol=NOISE, atol=NOISE)
        torch.testing.assert_close(maps.mean(dim=(2, 3)), wanted, rtol=NOISE, atol=NOISE)
        assert float((plain(pictures) - wanted).abs().max()) > least_difference


def test_in_double_precision_nothing_is_left_of_the_difference() -> None:
    network = swin(256).double()
    pictures = torch.randn(1, 3, 256, 256, dtype=torch.float64)
    with torch.inference_mode():
        wanted = published_logits(published_names(network.state_dict()), pictures)
        torch.testing.assert_close(network(pictures), wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("input_px", [224, 256])
def test_a_saved_model_answers_as_the_reference(tmp_path: Path, input_px: int) -> None:
    network = swin(input_px)
    saved = save_model(tmp_path / "m", card(input_px), network)
    assert saved.swin_convention == "pad-then-shift"
    again, loaded = load_network(tmp_path / "m")
    assert (again, convention_of(loaded)) == (saved, "pad-then-shift")
    classifier = Classifier.load(tmp_path / "m", device="cpu", precision="fp32")
    assert any(getattr(module, "fused_attn", False) for module in classifier.network.modules())
    pictures = tiles(2, input_px)
    evidence = classifier.predict(pictures)
    wanted = published_logits(published_names(network.state_dict()), classifier.normalised(pictures)).detach()
    np.testing.assert_allclose(evidence.logits, wanted.numpy(), rtol=NOISE, atol=NOISE)
    np.testing.assert_allclose(evidence.class_maps.mean(axis=(2, 3)), wanted.numpy(), rtol=NOISE, atol=NOISE)
    assert classifier.explain(pictures[0]).shape == (input_px, input_px)


@pytest.mark.slow
def test_the_card_follows_the_network_whatever_it_said(tmp_path: Path) -> None:
    forgetful = card().model_copy(update={"swin_convention": "timm"})
    assert save_model(tmp_path / "m", forgetful, swin(224)).swin_convention == "pad-then-shift"
    assert save_model(tmp_path / "t", card(), swin(224, "timm")).swin_convention == "timm"


def test_old_cards_mean_timm_and_other_networks_have_no_windows() -> None:
    older = card().model_dump(exclude={"swin_convention"})
    assert ModelCard.model_validate(older).swin_convention == "timm"
    assert convention_of(build_network("resnet50", 5)) == "timm"
    with pytest.raises(ValueError, match="resnet50 has no windows"):
        ModelCard.model_validate(older | {"architecture": "resnet50", "swin_convention": "pad-then-shift"})
    with pytest.raises(ValueError, match="multiple of 32"):
        ModelCard.model_validate(older | {"input_px": 250, "swin_convention": "pad-then-shift"})
    with pytest.raises(ValueError, match="takes tiles of 224 px, not 256"):
        ModelCard.model_validate(older | {"input_px": 256})


@pytest.mark.slow
def test_training_from_such_a_parent_keeps_its_windows(tmp_path: Path) -> None:
    save_model(tmp_path / "parent", card(), swin(224))
    parent_card, parent = load_network(tmp_path / "parent")
    samples = TileSamples.of_labels(tiles(2, 224), [1, 2], [0, 1], PAPER_MINERALS)
    options = TrainOptions(
        epochs=1, batch_size=2, learning_rate=1e-4, device="cpu", precision="fp32", averaging=0.9
    )
    trained = run(train_steps(parent, samples, samples, options)).network
    assert convention_of(trained) == "pad-then-shift"
    child = save_model(
        tmp_path / "child", parent_card.model_copy(update={"parent": parent_card.weights_sha256}), trained
    )
    _, loaded = load_network(tmp_path / "child")
    pictures = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        wanted = published_logits(published_names(loaded.state_dict()), pictures)
        torch.testing.assert_close(loaded(pictures), wanted, rtol=NOISE, atol=NOISE)
    assert child.weights_sha256 != parent_card.weights_sha256


@pytest.mark.slow
def test_a_copy_keeps_the_windows_and_shares_nothing() -> None:
    network = swin(256)
    twin = copy.deepcopy(network)
    pictures = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        before = network(pictures)
        for value in twin.parameters():
            value.zero_()
        assert torch.equal(network(pictures), before)
    assert convention_of(twin) == "pad-then-shift"


def test_gradients_reach_every_weight() -> None:
    network = swin(256)
    network(torch.randn(1, 3, 256, 256)).square().sum().backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in network.parameters())


def test_heatmaps_of_other_methods_work() -> None:
    network = swin(224)
    heat = explain(network, torch.randn(3, 224, 224), class_index=1, method="layercam")
    assert heat.shape == (224, 224)
