"""A foreign checkpoint becomes a model folder with the same answers, or a sentence that says why not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_swin import published_logits, published_names
from safetensors.torch import save_file

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.minerals import DEFAULT_MINERALS, PAPER_MINERALS
from napari_ore_minerals.models import importing
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.foreign import plain_tensors
from napari_ore_minerals.models.importing import ImportOptions, Tensors, fitted, import_checkpoint
from napari_ore_minerals.models.store import load_network

MICRO = ImportOptions(architecture="ore_swin_micro")
RESNET = ImportOptions(architecture="resnet50")


def micro(classes: int = 6) -> Tensors:
    torch.manual_seed(2)
    return dict(build_network("ore_swin_micro", classes).state_dict())


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A safetensors file, which needs neither trust nor a process."""
    path = tmp_path / "foreign.safetensors"
    save_file(micro(), path)
    return path


@pytest.fixture
def pth_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read checkpoints in this process, which is quicker; tests/models/test_foreign.py has the other one."""

    def read(path: Path, *, trusted: bool) -> Any:
        assert trusted
        content = torch.load(path, weights_only=True)  # noqa: TID251 - these tests wrote it
        return plain_tensors(content, path.stat().st_size)

    monkeypatch.setattr(importing, "foreign_tensors", read)


def test_the_model_has_the_weights_of_the_file_and_says_where_they_are_from(
    written: Path, tmp_path: Path
) -> None:
    card, notices = import_checkpoint(written, tmp_path / "mine", DEFAULT_MINERALS, MICRO)
    again, network = load_network(tmp_path / "mine")
    assert again == card
    assert notices == ()
    assert all(torch.equal(value, micro()[name]) for name, value in network.state_dict().items())
    assert (card.name, card.minerals, card.swin_convention) == ("mine", DEFAULT_MINERALS.minerals, "timm")
    assert hashlib.sha256(written.read_bytes()).hexdigest() in card.provenance
    assert str(tmp_path) not in card.to_json()  # no folders of this computer in a file that travels
    assert card.metrics == {}


@pytest.mark.usefixtures("pth_is_read_here")
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "backbone."])
def test_wrappers_and_prefixes_are_undone(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state: dict[str, Any] = {prefix + name: value for name, value in micro().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "c.pth")
    import_checkpoint(tmp_path / "c.pth", tmp_path / "m", DEFAULT_MINERALS, MICRO, trusted=True)
    assert torch.equal(load_network(tmp_path / "m")[1].state_dict()["norm.weight"], micro()["norm.weight"])


@pytest.mark.parametrize("head", ["head", "fc", "classifier", "classifier.1"])
def test_other_names_of_the_head_are_known(head: str) -> None:
    state = {name.replace("head.fc", head): value for name, value in micro().items()}
    network = build_network("ore_swin_micro", 6)
    assert fitted(state, network, MICRO, where="c.pth").keys() == network.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize("input_px", [224, 256])
def test_the_papers_network_answers_as_its_own_code(tmp_path: Path, input_px: int) -> None:
    torch.manual_seed(5)
    state = published_names(build_network("swin_tiny_patch4_window7_224", 5).state_dict())
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "c.pth")
    options = ImportOptions(
        architecture="swin_tiny_patch4_window7_224", shift_convention="pad-then-shift", input_px=input_px
    )
    card, notices = import_checkpoint(
        tmp_path / "c.pth", tmp_path / "swin", PAPER_MINERALS, options, trusted=True
    )
    assert (card.swin_convention, card.input_px, notices) == ("pad-then-shift", input_px, ())
    classifier = Classifier.load(tmp_path / "swin", device="cpu", precision="fp32")
    tiles = np.random.default_rng(1).integers(0, 256, (2, input_px, input_px, 3), dtype=np.uint8)
    wanted = published_logits(state, classifier.normalised(tiles)).numpy()
    np.testing.assert_allclose(classifier.predict(tiles).logits, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("pth_is_read_here")
def test_names_of_code_that_pads_first_are_noticed(tmp_path: Path) -> None:
    state = published_names(build_network("swin_tiny_patch4_window7_224", 5).state_dict())
    torch.save(state, tmp_path / "c.pth")
    options = ImportOptions(architecture="swin_tiny_patch4_window7_224")
    _, notices = import_checkpoint(
        tmp_path / "c.pth", tmp_path / "swin", PAPER_MINERALS, options, trusted=True
    )
    assert ["--shift-convention pad-then-shift" in notice for notice in notices] == [True]


def test_networks_of_torchvision_answer_the_same() -> None:
    """ResNet50 by its names; MobileNetV2, whose names are others, in the order of the file."""
    from torchvision import models

    tiles = torch.randn(1, 3, 96, 96)
    for theirs, options in (
        (models.resnet50(num_classes=5), RESNET),
        (models.mobilenet_v2(num_classes=5), ImportOptions(architecture="mobilenetv2_100", match="order")),
    ):
        network = build_network(options.architecture, 5)
        network.load_state_dict(fitted(dict(theirs.state_dict()), network, options, where="c.pth"))
        with torch.inference_mode():
            torch.testing.assert_close(network.eval()(tiles), theirs.eval()(tiles), rtol=1e-4, atol=1e-5)


def test_a_match_by_order_is_advised_only_where_all_shapes_fit() -> None:
    strange = {f"layer{number}": value for number, value in enumerate(micro().values())}
    network = build_network("ore_swin_micro", 6)
    with pytest.raises(ModelError, match="--match order would take it"):
        fitted(strange, network, MICRO, where="c.pth")
    strange["layer3"] = torch.zeros(7)
    with pytest.raises(ModelError) as caught:
        fitted(strange, network, MICRO, where="c.pth")
    assert "--match order" not in str(caught.value)
    by_order = MICRO.model_copy(update={"match": "order"})
    with pytest.raises(ModelError, match="has shape"):
        fitted(strange, network, by_order, where="c.pth")
    with pytest.raises(ModelError, match="does not keep the order"):
        fitted(strange, network, by_order, where="c.safetensors")
    with pytest.raises(ModelError, match="do not fit in order"):
        fitted({"a": torch.zeros(1)}, network, by_order, where="c.pth")


def test_keys_that_do_not_fit_are_named() -> None:
    state = micro()
    state.pop("norm.bias")
    state["aux.weight"] = torch.zeros(1)
    with pytest.raises(ModelError) as caught:
        fitted(state, build_network("ore_swin_micro", 6), MICRO, where="c.pth")
    assert "1 of the" in str(caught.value)
    assert "'norm.bias'" in str(caught.value)
    assert "1 are not known to it ('aux.weight')" in str(caught.value)


def test_another_number_of_minerals_is_explained(written: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has 6 outputs and 5 minerals were named.*--new-head"):
        import_checkpoint(written, tmp_path / "m", PAPER_MINERALS, MICRO)
    assert not (tmp_path / "m").exists()


def test_a_new_head_says_nothing_yet(written: Path, tmp_path: Path) -> None:
    options = MICRO.model_copy(update={"new_head": True})
    card, _ = import_checkpoint(written, tmp_path / "m", PAPER_MINERALS, options)
    classifier = Classifier.load(tmp_path / "m", device="cpu", precision="fp32")
    tiles = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    shares = classifier.probabilities(classifier.predict(tiles).logits)
    np.testing.assert_allclose(shares, 0.2)
    assert shares.max() < card.min_confidence  # every cell stays unclassified
    assert "must be trained" in card.provenance
    assert torch.equal(classifier.network.state_dict()["norm.weight"], micro()["norm.weight"])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda state: state["norm.weight"].fill_(float("nan")), "not finite"),
        (lambda state: state.update({"norm.weight": torch.zeros(3)}), "has shape"),
        (lambda state: state.update({"module.norm.weight": torch.zeros(3)}), "would stand twice"),
    ],
)
def test_wrong_values_are_refused_and_nothing_is_written(tmp_path: Path, damage: Any, sentence: str) -> None:
    state = micro()
    damage(state)
    save_file(state, tmp_path / "c.safetensors")
    with pytest.raises(ModelError, match=sentence):
        import_checkpoint(tmp_path / "c.safetensors", tmp_path / "m", DEFAULT_MINERALS, MICRO)
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_wrong_options_are_refused_before_the_file_is_read(tmp_path: Path) -> None:
    absent = tmp_path / "absent.pth"
    with pytest.raises(ModelError, match="letters, digits, dots"):
        import_checkpoint(absent, tmp_path / "no name!", DEFAULT_MINERALS, MICRO)
    with pytest.raises(ModelError, match="takes tiles of 32 px, not 64"):
        import_checkpoint(absent, tmp_path / "m", DEFAULT_MINERALS, MICRO.model_copy(update={"input_px": 64}))
    with pytest.raises(ModelError, match="resnet50 has no windows"):
        import_checkpoint(
            absent,
            tmp_path / "m",
            DEFAULT_MINERALS,
            RESNET.model_copy(update={"shift_convention": "pad-then-shift"}),
        )
    (tmp_path / "m").mkdir()
    with pytest.raises(ModelError, match="never overwritten"):
        import_checkpoint(absent, tmp_path / "m", DEFAULT_MINERALS, MICRO)


def test_missing_counters_of_batches_are_no_fault() -> None:
    network = build_network("resnet50", 5)
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    assert fitted(state, network, RESNET, where="c.pth").keys() == network.state_dict().keys()


def test_half_and_double_weights_become_single(tmp_path: Path) -> None:
    save_file({name: value.double() for name, value in micro().items()}, tmp_path / "c.safetensors")
    card, _ = import_checkpoint(tmp_path / "c.safetensors", tmp_path / "m", DEFAULT_MINERALS, MICRO)
    assert json.loads((tmp_path / "m" / "card.json").read_text())["weights_sha256"] == card.weights_sha256
    assert all(value.dtype == torch.float32 for value in load_network(tmp_path / "m")[1].parameters())
