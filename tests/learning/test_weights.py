from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_ore_minerals.errors import ModelError, OptionError
from napari_ore_minerals.learning import imagenet
from napari_ore_minerals.learning.dataset import TileSamples, grouped_split, joined, masked_samples
from napari_ore_minerals.learning.imagenet import IMAGENET, Published, imagenet_file, normalisation_of
from napari_ore_minerals.learning.options import TrainOptions
from napari_ore_minerals.learning.training import train_steps
from napari_ore_minerals.learning.weights import (
    architecture_named,
    head_name,
    identity,
    initial_network,
    load_body,
    name_of,
    weights_named,
)
from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable
from napari_ore_minerals.models.architectures import ARCHITECTURES, build_network
from napari_ore_minerals.models.classifier import bundled
from napari_ore_minerals.models.store import load_network
from napari_ore_minerals.progress import run

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from lite0 import lite0_tensors, lite0_weights

MICRO = "ore_swin_micro"


@pytest.fixture
def trained(tmp_path) -> Path:
    """Weights of a micro Swin with ten outputs."""
    torch.manual_seed(7)
    path = tmp_path / "trained.safetensors"
    save_file(dict(build_network(MICRO, 10).state_dict()), path)
    return path


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Where weights are kept in these tests."""
    monkeypatch.setattr(imagenet, "weights_folder", lambda: tmp_path / "data" / "weights")
    return tmp_path / "data" / "weights"


@pytest.fixture
def hub(tmp_path, trained, monkeypatch) -> Iterator[list[str]]:
    """A stand-in of the hub with one file; gives the paths that were asked for."""
    folder = tmp_path / "hub" / "timm" / "micro.in1k" / "resolve" / ("a" * 40)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(trained.read_bytes())
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "hub")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


def publish(monkeypatch, sha256: str | None) -> None:
    monkeypatch.setitem(IMAGENET, MICRO, Published("micro.in1k", "a" * 40, sha256, 0.1))


def body(network) -> dict[str, torch.Tensor]:
    head = head_name(network)
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(head)}


def test_random_weights_follow_the_seed():
    torch.manual_seed(3)
    first = initial_network(MICRO, 6, "none")
    torch.manual_seed(3)
    second = initial_network(MICRO, 6, "none")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_file_gives_everything_but_the_head(trained):
    network = initial_network(MICRO, 6, trained)
    assert network.get_classifier().weight.shape[0] == 6
    given = load_file(trained)
    assert body(network)
    assert all(torch.equal(tensor, given[name]) for name, tensor in body(network).items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("norm.weight"), "does not hold weights of this architecture: 1 of"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "missing or unknown, such as 'extra'"),
        (lambda tensors: tensors.update({"norm.weight": torch.zeros(3)}), r"'norm.weight' has shape \(3,\)"),
        (lambda tensors: tensors["norm.weight"].fill_(float("nan")), "not finite"),
        (
            lambda tensors: tensors.update(
                {"layers.0.blocks.0.attn.relative_position_bias_table": torch.zeros(9, 1)}
            ),
            r"has shape \(9, 1\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(trained, change, words):
    tensors = load_file(trained)
    change(tensors)
    save_file(tensors, trained)
    with pytest.raises(ModelError, match=words):
        initial_network(MICRO, 6, trained)


def test_files_that_are_no_weights_are_refused(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"x")
    (tmp_path / "a.safetensors").write_bytes(b"x" * 30)
    with pytest.raises(ModelError, match="no safetensors file, the only one"):
        initial_network(MICRO, 6, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="no valid safetensors file"):
        initial_network(MICRO, 6, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"cannot be read: No such file"):
        initial_network(MICRO, 6, tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="neither a weights file nor a model folder"):
        initial_network(MICRO, 6, tmp_path)


def test_a_model_folder_keeps_the_outputs_of_the_minerals_it_knows(micro_model):
    gold, pyrite = DEFAULT_MINERALS.by_name("gold"), DEFAULT_MINERALS.by_name("pyrite")
    minerals = MineralTable.of([pyrite.model_copy(update={"name": "unheard-of", "symbol": "Uh"}), gold])
    _, old = load_network(micro_model)
    network = initial_network(MICRO, 2, micro_model, minerals=minerals)
    row = DEFAULT_MINERALS.minerals.index(gold)
    assert torch.equal(network.get_classifier().weight[1], old.get_classifier().weight[row])
    assert not torch.equal(network.get_classifier().weight[0], old.get_classifier().weight[3])
    assert all(torch.equal(tensor, body(old)[name]) for name, tensor in body(network).items())
    with pytest.raises(OptionError, match="is a ore_swin_micro"):
        initial_network("ore_swin_compact", 2, micro_model)


def test_weights_of_old_swins_are_renamed():
    """Published Swins have their downsampling at the end of a stage, and buffers among the weights."""
    torch.manual_seed(0)
    network = build_network(MICRO, 6)
    old = {
        name.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc", "head"): tensor
        for name, tensor in network.state_dict().items()
    }
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
    other = build_network(MICRO, 3)
    load_body(other, old, where="old weights")
    assert all(torch.equal(tensor, body(network)[name]) for name, tensor in body(other).items())


def test_every_pin_is_complete_and_of_an_architecture():
    assert set(IMAGENET) == {name for name in ARCHITECTURES if not name.startswith("ore_")}
    for architecture, published in IMAGENET.items():
        assert published.name.startswith(architecture)
        if published.sha256 is not None:
            assert len(published.sha256) == 64
            assert len(published.revision) == 40
        with torch.device("meta"):
            weights = sum(
                t.numel() * t.element_size() for t in build_network(architecture, 1000).state_dict().values()
            )
        assert 1.0 <= 1e6 * published.megabytes / weights < 1.02, "a file holds the weights and little else"


def test_imagenet_weights_are_fetched_once_and_held_to_their_hash(hub, home, trained, monkeypatch):
    publish(monkeypatch, hashlib.sha256(trained.read_bytes()).hexdigest())
    network = initial_network(MICRO, 6, "imagenet")
    assert torch.equal(body(network)["norm.weight"], load_file(trained)["norm.weight"])
    initial_network(MICRO, 6, "imagenet")
    assert len(hub) == 1
    assert [path.name for path in home.iterdir()] == ["micro.in1k.safetensors"]


def test_other_bytes_are_refused_and_nothing_is_left(hub, home, monkeypatch):
    publish(monkeypatch, "0" * 64)
    with pytest.raises(ModelError, match="could not be fetched"):
        imagenet_file(MICRO)
    assert hub
    assert not list(home.glob("*.safetensors"))


def test_a_file_put_there_by_hand_is_used_and_checked(home, trained, monkeypatch):
    publish(monkeypatch, hashlib.sha256(trained.read_bytes()).hexdigest())
    home.mkdir(parents=True)
    (home / "micro.in1k.safetensors").write_bytes(trained.read_bytes())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert imagenet_file(MICRO).read_bytes() == trained.read_bytes()
    (home / "micro.in1k.safetensors").write_bytes(trained.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match=r"is not the file micro\.in1k"):
        imagenet_file(MICRO)


def test_an_unknown_hash_is_noted_when_first_seen(hub, home, monkeypatch):
    publish(monkeypatch, None)
    path = imagenet_file(MICRO)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in path.with_suffix(".json").read_text()
    assert imagenet_file(MICRO) == path
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="is not the file"):
        imagenet_file(MICRO)


def test_out_of_reach_the_sentence_says_what_to_fetch_and_where_to_put_it(home, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ModelError) as caught:
        initial_network("resnet50", 6, "imagenet")
    message = str(caught.value)
    pinned = IMAGENET["resnet50"]
    assert (
        f"/timm/resnet50.a1_in1k/resolve/{pinned.revision}/model.safetensors (102 MB, sha256 {pinned.sha256})"
        in message
    )
    assert f"put it at {home / 'resnet50.a1_in1k.safetensors'}" in message
    assert "\n" not in message
    assert not list(home.glob("*"))


def test_networks_of_our_own_have_no_imagenet_weights():
    for ask in (initial_network, lambda name, _, weights: identity(name, weights)):
        with pytest.raises(OptionError, match="no ImageNet weights for ore_swin_compact"):
            ask("ore_swin_compact", 6, "imagenet")


def test_identities(trained, micro_model):
    assert identity(MICRO, "none") == {"kind": "none"}
    assert identity("resnet50", "imagenet")["sha256"] == IMAGENET["resnet50"].sha256
    assert identity(MICRO, trained)["sha256"] == hashlib.sha256(trained.read_bytes()).hexdigest()
    assert identity(MICRO, micro_model)["name"] == "micro"


def test_architectures_by_a_part_of_their_name():
    assert architecture_named("swin_base") == "swin_base_patch4_window7_224"
    assert architecture_named("resnet50") == "resnet50"
    assert architecture_named("mobilenetv2") == "mobilenetv2_100"
    assert architecture_named("efficientnet") == "tf_efficientnet_lite0"
    for name in ("swin", "vgg16", ""):
        with pytest.raises(OptionError, match="no single architecture"):
            architecture_named(name)


def test_weights_by_name_and_their_names_without_folders(tmp_path):
    for name in ("imagenet", "none", "bundled"):
        assert name_of(weights_named(name)) == name
    assert weights_named("bundled") == bundled()
    assert weights_named("mine/lite0.safetensors") == Path("mine/lite0.safetensors")
    assert name_of(tmp_path / "mine.safetensors") == "mine.safetensors"
    assert identity("ore_swin_compact", weights_named("bundled"))["kind"] == "model"


def test_the_wheel_holds_imagenet_weights_of_lite0():
    """They tell a cat (classes 281 to 285) when loaded under timm's names."""
    from skimage import data
    from skimage.transform import resize

    network = build_network("tf_efficientnet_lite0", 1000)
    network.load_state_dict(lite0_tensors())
    picture = resize(data.chelsea()[:, 75:375], (224, 224), anti_aliasing=True)
    mean, std = (
        torch.tensor(values).reshape(3, 1, 1) for values in normalisation_of("tf_efficientnet_lite0")
    )
    tile = (torch.from_numpy(picture).permute(2, 0, 1).float() - mean) / std
    with torch.inference_mode():
        assert int(network.eval()(tile[None]).argmax()) in range(281, 286)


def test_another_file_than_the_wheels_is_not_opened(tmp_path):
    (tmp_path / "lite0.pth").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="not the file that is known here"):
        lite0_tensors(tmp_path / "lite0.pth")


@pytest.mark.slow
def test_transfer_from_imagenet_learns_sooner_than_from_nothing(tmp_path):
    """Colours are random, so that only texture tells these four classes apart: 0.94 against 0.28 of 1."""
    samples = textured_samples()
    kept, held = grouped_split(samples.groups, 0.34, np.random.default_rng(0))
    options = TrainOptions(
        epochs=6,
        batch_size=16,
        learning_rate=1e-3,
        augmentation="none",
        dense_weight=0.0,
        device="cpu",
        precision="fp32",
    )
    accuracy = []
    for weights in (lite0_weights(tmp_path / "lite0.safetensors"), "none"):
        torch.manual_seed(0)
        network = initial_network("tf_efficientnet_lite0", len(samples.minerals), weights)
        training = train_steps(
            network,
            samples.select(kept),
            samples.select(held),
            options,
            normalisation=normalisation_of("tf_efficientnet_lite0"),
        )
        accuracy.append(max(epoch.accuracy for epoch in run(training).history))
    with_transfer, from_nothing = accuracy
    assert with_transfer > 0.8
    assert from_nothing < 0.6


def textured_samples() -> TileSamples:
    """Tiles of 64 px of stripes in four directions, in random colours, of six photographs."""
    parts = []
    rows, columns = np.mgrid[:256, :256]
    for group in range(6):
        random = np.random.default_rng(group)
        mask = np.kron(random.permutation(np.arange(16) % 4 + 1).reshape(4, 4), np.ones((64, 64))).astype(
            np.uint8
        )
        along = np.choose(mask - 1, [rows, columns, rows + columns, rows - columns])
        wave = np.sin(along / 3.0)[..., None] * random.uniform(20, 50, 3)
        rgb = np.clip(random.uniform(60, 190, 3) + wave + random.normal(0, 12, (256, 256, 3)), 0, 255)
        minerals = MineralTable.of(DEFAULT_MINERALS.minerals[:4])
        parts.append(
            masked_samples(rgb.astype(np.uint8), mask, minerals, tile_px=64, input_px=64, group=group)
        )
    return joined(parts)
