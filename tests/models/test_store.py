"""Model folders: bit-equal, whole or not at all, and nothing runs that was not checked."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models import store
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import MAX_CARD_BYTES, ModelCard, parse_card, read_card
from napari_ore_minerals.models.store import load_network, save_model, save_version

CARD = ModelCard(name="m", architecture="ore_swin_micro", minerals=DEFAULT_MINERALS.minerals, input_px=32)


def test_weights_are_read_back_bit_equal(tmp_path: Path) -> None:
    network = build_network("ore_swin_micro", 6)
    card = save_model(tmp_path / "m", CARD, network)
    again, loaded = load_network(tmp_path / "m")
    assert again == card
    assert (
        card.weights_sha256 == hashlib.sha256((tmp_path / "m" / "model.safetensors").read_bytes()).hexdigest()
    )
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
    assert not loaded.training


def test_half_weights_are_half_as_large(tmp_path: Path) -> None:
    network = build_network("ore_swin_micro", 6)
    save_model(tmp_path / "full", CARD, network)
    save_model(tmp_path / "half", CARD, network, half=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.65 * sizes[0]
    name, value = next(iter(load_network(tmp_path / "half")[1].state_dict().items()))
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value, network.state_dict()[name], rtol=1e-3, atol=1e-6)


def test_a_model_is_never_overwritten(tmp_path: Path) -> None:
    save_model(tmp_path / "m", CARD, build_network("ore_swin_micro", 6))
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="never overwritten"):
        save_model(tmp_path / "m", CARD, build_network("ore_swin_micro", 6))
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before


@pytest.mark.fault("D1")
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_synced", full)
    with pytest.raises(ModelError, match="No space left"):
        save_model(tmp_path / "m", CARD, build_network("ore_swin_micro", 6))
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    network = build_network("ore_swin_micro", 6)
    with torch.no_grad():
        network.get_classifier().weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        save_model(tmp_path / "m", CARD, network)
    assert list(tmp_path.iterdir()) == []


def _resigned(folder: Path, weights: bytes) -> None:
    """Put other weights into a model folder, with a card that vouches for them."""
    (folder / "model.safetensors").write_bytes(weights)
    card = json.loads((folder / "card.json").read_text())
    card["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def _without_one(weights: bytes) -> bytes:
    tensors = load(weights)
    tensors.pop(sorted(tensors)[0])
    return save(tensors)


def _other_shape(weights: bytes) -> bytes:
    tensors = load(weights)
    tensors["head.fc.weight"] = tensors["head.fc.weight"][:4]
    return save(tensors)


def _nan(weights: bytes) -> bytes:
    tensors = load(weights)
    tensors["head.fc.weight"][0, 0] = float("nan")
    return save(tensors)


def _duplicate_key(weights: bytes) -> bytes:
    length = int.from_bytes(weights[:8], "little")
    header = weights[8 : 8 + length].rstrip()
    entry = json.dumps({"head.fc.bias": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}})
    header = header[:-1] + b"," + entry[1:].encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + weights[8 + length :]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "seven bytes": lambda weights: weights[:7],
    "truncated": lambda weights: weights[: len(weights) // 2],
    "trailing": lambda weights: weights + b"x",
    "header of 2**63 bytes": lambda weights: (2**63).to_bytes(8, "little") + weights[8:],
    "header of 2 MiB": lambda weights: (2**21).to_bytes(8, "little") + b" " * 2**21 + weights,
    "no JSON": lambda weights: weights[:8] + b"x" + weights[9:],
    "not UTF-8": lambda weights: weights[:9] + b"\xff" + weights[10:],
    "deep JSON": lambda weights: (100_000).to_bytes(8, "little") + b"[" * 100_000 + weights,
    "nothing in it": lambda _: save({}),
    "a tensor missing": _without_one,
    "another shape": _other_shape,
    "another type": lambda weights: save({name: value.double() for name, value in load(weights).items()}),
    "not finite": _nan,
    "a key twice": _duplicate_key,
    "a pickle": lambda _: b"\x80\x04\x95" + b"A" * 100,
}


@pytest.mark.fault("D6")
@pytest.mark.parametrize("damage", BROKEN)
def test_broken_weights_are_refused_in_one_sentence(tmp_path: Path, micro_model: Path, damage: str) -> None:
    folder = tmp_path / "m"
    shutil.copytree(micro_model, folder)
    _resigned(folder, BROKEN[damage]((folder / "model.safetensors").read_bytes()))
    with pytest.raises(ModelError) as caught:
        load_network(folder)
    assert "model.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.fault("T4")
def test_weights_that_the_card_does_not_describe_are_refused(tmp_path: Path, micro_model: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(micro_model, folder)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelError, match="sha256"):
        load_network(folder)


@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
def test_a_folder_without_its_files_is_no_model(tmp_path: Path, micro_model: Path, name: str) -> None:
    shutil.copytree(micro_model, tmp_path / "m")
    (tmp_path / "m" / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_network(tmp_path / "m")


CHANGES = {
    "unknown field": {"extra": 1},
    "name with a path": {"name": "../x"},
    "name with a dot at the end": {"name": "x."},
    "no such architecture": {"architecture": "hf-hub:evil/model"},
    "one mineral": {"minerals": [{"code": 1, "name": "gold", "symbol": "Au", "colour": "#ffffff"}]},
    "input of another size": {"input_px": 224},
    "std of 0": {"std": [0.0, 0.2, 0.2]},
    "text for a number": {"tile_px": "256"},
    "tiles too large": {"tile_px": 10**6},
    "a wrong hash": {"weights_sha256": "0"},
    "temperature 0": {"temperature": 0.0},
}


@pytest.mark.parametrize("change", CHANGES)
def test_cards_that_are_not_valid_are_refused(change: str) -> None:
    fields = json.loads(CARD.to_json()) | CHANGES[change]
    with pytest.raises(ModelError, match="card"):
        parse_card(json.dumps(fields).encode(), where="card")


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b"\xff", b"{" * 100_000, b'{"name": NaN}', b'{"a": 1, "a": 2}', b"1" * 5000]
    + [b" " * (MAX_CARD_BYTES + 1)],
)
def test_what_is_no_card_is_refused(text: bytes) -> None:
    with pytest.raises(ModelError, match="somewhere"):
        parse_card(text, where="somewhere")


def test_a_card_of_a_later_schema_asks_for_an_update() -> None:
    fields = json.loads(CARD.to_json()) | {"schema_version": 2}
    with pytest.raises(ModelError, match="newer"):
        parse_card(json.dumps(fields).encode(), where="card")


def test_a_card_is_read_back_equal(micro_model: Path) -> None:
    card = read_card(micro_model)
    assert parse_card(card.to_json().encode(), where="card") == card


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_card_or_a_model_error(text: bytes) -> None:
    with pytest.raises(ModelError):
        parse_card(text, where="card")


def test_a_new_version_has_the_same_weights_and_names_its_parent(tmp_path: Path) -> None:
    older = save_model(tmp_path / "m", CARD, build_network("ore_swin_micro", 6), half=True)
    before = {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()}
    newer = save_version(tmp_path / "m2", tmp_path / "m", {"temperature": 1.7, "min_confidence": 0.8})
    assert (newer.version, newer.parent) == (older.version + 1, older.weights_sha256)
    assert (newer.temperature, newer.min_confidence) == (1.7, 0.8)
    assert load_network(tmp_path / "m2")[0] == newer
    assert (tmp_path / "m2" / "model.safetensors").read_bytes() == before["model.safetensors"]
    assert {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()} == before


def test_a_new_version_is_never_written_over_another_nor_with_a_wrong_card(tmp_path: Path) -> None:
    save_model(tmp_path / "m", CARD, build_network("ore_swin_micro", 6))
    with pytest.raises(ModelError, match="never overwritten"):
        save_version(tmp_path / "m", tmp_path / "m", {"temperature": 2.0})
    with pytest.raises(ModelError, match="valid temperature"):
        save_version(tmp_path / "m2", tmp_path / "m", {"temperature": -1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
