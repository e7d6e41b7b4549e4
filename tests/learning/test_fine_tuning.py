"""What was painted makes a better model: repeatable, measured before and after, and the parent stays what it was."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_ore_minerals.errors import DatasetError, ModelError, TrainingError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning.before_after import UNKNOWN, Figure, Scores, figures_of_model, verdict
from napari_ore_minerals.learning.corrected_tiles import corrected_tiles, held_back
from napari_ore_minerals.learning.corrections import Correction, with_mineral, without_mineral
from napari_ore_minerals.learning.fine_tuning import (
    CorrectedPicture,
    FineTuneOptions,
    fine_tune_steps,
    keep_version,
)
from napari_ore_minerals.learning.replay import read_tiles
from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable
from napari_ore_minerals.models.card import ModelCard, ReplayRecord, read_card
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.exchange import export_model, import_model
from napari_ore_minerals.models.store import load_network, save_model, save_version
from napari_ore_minerals.models.versions import ModelStore
from napari_ore_minerals.progress import run

QUICK = FineTuneOptions(
    epochs=2,
    samples_per_epoch=32,
    replay_pictures=0,
    depth="all",
    learning_rate=1e-3,
    device="cpu",
    precision="fp32",
)
COLOURS = {1: (200, 200, 210), 2: (190, 160, 60), 4: (220, 210, 150), 6: (60, 60, 60)}


def sections(count: int = 1, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures of 6 x 8 cells of 64 px, each of one colour, and the code of each cell."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        codes = random.choice(list(COLOURS), (6, 8))
        cells = np.array([COLOURS[code] for code in codes.ravel()]).reshape(6, 8, 3)
        pixels = cells.repeat(64, axis=0).repeat(64, axis=1) + random.normal(0, 8, (384, 512, 3))
        made.append((np.clip(pixels, 0, 255).astype(np.uint8), codes))
    return made


def taught(
    pixels: np.ndarray, codes: np.ndarray, cells: int = 48, *, only: int | None = None, stride_px: int = 64
) -> CorrectedPicture:
    """What a user says of the first cells of a picture, or of those of one mineral only."""
    micrograph = Micrograph.from_array(pixels)
    said = [(r, c) for r, c in np.ndindex(6, 8) if only in (None, codes[r, c])][:cells]
    corrections = tuple(
        Correction(
            picture=micrograph.fingerprint(),
            row=r * 64 // stride_px,
            column=c * 64 // stride_px,
            tile_px=64,
            stride_px=stride_px,
            height_px=384,
            width_px=512,
            code=int(codes[r, c]),
            kind="corrected",
            time="t",
            model="0" * 64,
        )
        for r, c in said
    )
    return CorrectedPicture(micrograph, corrections, DEFAULT_MINERALS)


def weights(network: torch.nn.Module) -> str:
    tensors = [tensor.numpy().tobytes() for tensor in network.state_dict().values()]
    return hashlib.sha256(b"".join(tensors)).hexdigest()


@pytest.fixture
def pictures() -> list[CorrectedPicture]:
    return [taught(*section) for section in sections(4)]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.mark.slow
def test_it_learns_is_repeatable_and_leaves_the_parent_as_it_was(
    micro_model: Path, pictures: list[CorrectedPicture], store: ModelStore, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in micro_model.iterdir()}
    options = QUICK.model_copy(update={"epochs": 6, "samples_per_epoch": 128})
    result, again = (
        run(fine_tune_steps(micro_model, given, options, cache=tmp_path))
        for given in (pictures, pictures[::-1])
    )
    assert {path.name: path.read_bytes() for path in micro_model.iterdir()} == before
    assert weights(result.network) == weights(again.network)
    assert result.keep, result.why
    assert result.after.balanced_accuracy.value > result.before.balanced_accuracy.value + 0.2
    assert result.before.cells == result.after.cells >= 40
    parent = read_card(micro_model)
    version = keep_version(result, store, name="my-mine", note="first try", activate=True)
    assert store.current().version == version
    assert version.card.parent == parent.weights_sha256
    assert version.card.name == "my-mine"
    loaded = load_network(version.folder)[1]
    assert weights(loaded) == weights(result.network)


@pytest.mark.fault("T4")
def test_minerals_are_matched_by_name_added_and_left_out(
    micro_model: Path, store: ModelStore, tmp_path: Path
) -> None:
    ((pixels, codes),) = sections()
    picture = taught(pixels, codes, 12)
    table = without_mineral(picture.minerals, 5)
    table = with_mineral(table, name="galena", symbol="Gn", colour="#112233")
    renumbered = MineralTable.of(
        [mineral.model_copy(update={"code": mineral.code + 10}) for mineral in table]
    )
    said = [one.model_copy(update={"code": one.code + 10}) for one in picture.corrections]
    galena = renumbered.by_name("galena").code
    said[0] = said[0].model_copy(update={"code": galena})
    moved = CorrectedPicture(picture.micrograph, tuple(said), renumbered)
    result = run(fine_tune_steps(micro_model, [moved], QUICK, cache=tmp_path))
    names = [mineral.name for mineral in result.card.minerals]
    assert names == [mineral.name for mineral in table if mineral.name != "galena"] + ["galena"]
    codes_of = {mineral.name: mineral.code for mineral in DEFAULT_MINERALS}
    assert all(
        mineral.code == codes_of[mineral.name] for mineral in result.card.minerals if mineral.name in codes_of
    )
    version = keep_version(result, store, activate=False)
    assert store.current().version is None
    assert len(Classifier.load(version.folder, device="cpu").card.minerals) == len(names)


def test_a_version_remembers_what_it_was_taught_and_hands_it_on(
    micro_model: Path, store: ModelStore, tmp_path: Path
) -> None:
    (first, one), (second, two) = sections(2)
    options = QUICK.model_copy(update={"memory_tiles": 3})
    result = run(fine_tune_steps(micro_model, [taught(first, one)], options, cache=tmp_path))
    child = keep_version(result, store, activate=False)
    kept = read_tiles(child.folder, child.card)
    assert kept is not None
    assert max(np.bincount(kept.labels)) <= 3
    assert set(kept.labels) == set(np.searchsorted([1, 2, 3, 4, 5, 6], list(COLOURS)))
    archive = export_model(child.folder, tmp_path / "model.zip")
    other = import_model(ModelStore(tmp_path / "other"), archive)
    assert (other.folder / "memory.safetensors").read_bytes() == (
        child.folder / "memory.safetensors"
    ).read_bytes()
    assert str(tmp_path).encode() not in archive.read_bytes()
    grandchild = run(fine_tune_steps(child.folder, [taught(second, two, 10)], options, cache=tmp_path))
    assert grandchild.card.parent == child.card.weights_sha256
    calibrated = save_version(tmp_path / "calibrated", child.folder, {"temperature": 1.5})
    again = read_tiles(tmp_path / "calibrated", calibrated)
    assert again is not None
    assert np.array_equal(again.tiles, kept.tiles)
    damaged = bytearray((child.folder / "memory.safetensors").read_bytes())
    damaged[-1] ^= 1
    (child.folder / "memory.safetensors").write_bytes(damaged)
    with pytest.raises(ModelError, match="sha256"):
        run(fine_tune_steps(child.folder, [taught(second, two, 10)], options, cache=tmp_path))


@pytest.mark.fault("T2", "T3")
def test_what_cannot_be_learnt_is_refused_with_counts(micro_model: Path, tmp_path: Path) -> None:
    ((pixels, codes),) = sections()
    picture = taught(pixels, codes, 6)
    other = CorrectedPicture(
        Micrograph.from_array(pixels[::-1].copy()), picture.corrections, picture.minerals
    )
    for given, told in (
        ([], "no corrections to learn from on 0 pictures"),
        ([CorrectedPicture(picture.micrograph, (), picture.minerals)], "no corrections to learn from on 1"),
        ([CorrectedPicture(picture.micrograph, picture.corrections[:1], picture.minerals)], "one correction"),
        ([taught(pixels, codes, only=2)], f"all corrections are of one mineral \\({(codes == 2).sum()} chalcopyrite"),
        ([other], "6 of 6 corrections are of another picture"),
        ([CorrectedPicture(picture.micrograph, (picture.corrections[0].model_copy(update={"code": 99}),), picture.minerals)], "1 of 1 corrections of .* name codes \\[99\\]"),
    ):  # fmt: skip
        with pytest.raises(DatasetError, match=told):
            run(fine_tune_steps(micro_model, given, QUICK, cache=tmp_path))


@pytest.mark.fault("T1")
def test_a_loss_that_is_not_finite_ends_it(micro_model: Path, tmp_path: Path) -> None:
    ((pixels, codes),) = sections()
    options = QUICK.model_copy(update={"learning_rate": 1.0, "epochs": 400})
    before = (micro_model / "model.safetensors").read_bytes()
    network = load_network(micro_model)[1]
    with torch.no_grad():
        network.get_classifier().weight.mul_(1e37)
    huge = tmp_path / "huge"
    save_model(huge, read_card(micro_model), network)
    with pytest.raises(TrainingError, match="learning rate"):
        run(fine_tune_steps(huge, [taught(pixels, codes, 6)], options, cache=tmp_path))
    assert (micro_model / "model.safetensors").read_bytes() == before


def test_what_is_stopped_or_not_saved_leaves_everything_as_it_was(
    micro_model: Path,
    pictures: list[CorrectedPicture],
    store: ModelStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {path.name: path.read_bytes() for path in micro_model.iterdir()}
    steps = fine_tune_steps(micro_model, pictures[:1], QUICK, cache=tmp_path)
    next(steps)
    steps.close()
    stopped = run(
        fine_tune_steps(micro_model, pictures[:1], QUICK, cache=tmp_path), lambda at: at.unit == "batches"
    )
    assert len(stopped.history) == 0
    first = keep_version(stopped, store, activate=True)
    files = sorted((path.name, path.stat().st_mtime_ns) for path in store.root.iterdir() if path.is_dir())

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_ore_minerals.models.store.write_synced", refuse)
    with pytest.raises(ModelError, match="No space left"):
        keep_version(stopped, store, name="lost", activate=True)
    assert store.current().version == first
    now = sorted((path.name, path.stat().st_mtime_ns) for path in store.root.iterdir() if path.is_dir())
    assert now == files
    assert {path.name: path.read_bytes() for path in micro_model.iterdir()} == before


def test_a_stop_before_it_began_to_learn_is_said(micro_model: Path, tmp_path: Path) -> None:
    parent = simulated_parent(micro_model, tmp_path / "parent")
    ((pixels, codes),) = sections()
    options = QUICK.model_copy(update={"replay_pictures": 1})
    with pytest.raises(TrainingError, match="nothing was learnt"):
        run(fine_tune_steps(parent, [taught(pixels, codes)], options, cache=tmp_path), lambda _: True)


def test_pictures_or_regions_are_held_back_and_no_mineral_whole(pictures: list[CorrectedPicture]) -> None:
    samples = corrected_tiles(pictures, DEFAULT_MINERALS, 32)
    back = held_back(samples, 0.25, 0)
    numbers = samples.groups // 1_000_000
    assert 0.15 <= back.mean() <= 0.35
    assert not set(numbers[back]) & set(numbers[~back])
    alone = corrected_tiles(pictures[:1], DEFAULT_MINERALS, 32)
    back = held_back(alone, 0.25, 0)
    assert 0.1 <= back.mean() <= 0.35
    assert not set(alone.groups[back]) & set(alone.groups[~back])
    assert set(alone.labels[~back]) == set(alone.labels)
    assert not held_back(alone.select(np.arange(5)), 0.25, 0).any()
    turned = corrected_tiles(pictures[::-1], DEFAULT_MINERALS, 32)
    back, found = held_back(samples, 0.25, 0), held_back(turned, 0.25, 0)
    assert set(samples.groups[back]) == set(turned.groups[found])


@pytest.mark.fault("T4")
def test_minerals_written_otherwise_are_the_same_and_their_order_does_not_matter() -> None:
    ((pixels, codes),) = sections()
    picture = taught(pixels, codes)
    table = MineralTable.of(
        [one.model_copy(update={"name": one.name.upper()}) for one in reversed(DEFAULT_MINERALS.minerals)]
    )
    same = CorrectedPicture(picture.micrograph, picture.corrections, table)
    one, other = (corrected_tiles([given], DEFAULT_MINERALS, 32) for given in (picture, same))
    assert np.array_equal(one.labels, other.labels)
    assert other.minerals == DEFAULT_MINERALS


def test_cells_smaller_than_a_tile_are_taken_with_what_surrounds_them() -> None:
    ((pixels, codes),) = sections()
    picture = taught(pixels, codes, stride_px=32)
    samples = corrected_tiles([picture], DEFAULT_MINERALS, 32)
    assert len(samples) == 48
    assert samples.tiles.shape == (48, 32, 32, 3)


def scores(held_out: float, earlier: float, cells: int = 10) -> Scores:
    taught_figure = Figure(held_out, 0.0, 1.0) if cells else UNKNOWN
    return Scores(cells, taught_figure, taught_figure, 50, Figure(earlier, 0.0, 1.0))


@pytest.mark.fault("T5")
@pytest.mark.parametrize(
    ("before", "after", "keep", "told"),
    [
        (scores(0.5, 0.9), scores(0.8, 0.89), True, "rises, 0.500 to 0.800"),
        (scores(0.5, 0.9), scores(0.8, 0.87), False, "it forgets"),
        (scores(0.5, 0.9), scores(0.4, 0.95), False, "it is worse"),
        (scores(0, 0.9, 0), scores(0, 0.9, 0), True, "too few corrections"),
    ],
)
def test_the_verdict(before: Scores, after: Scores, keep: bool, told: str) -> None:
    found, why = verdict(before, after)
    assert found == keep
    assert told in why


def simulated_parent(model: Path, folder: Path) -> Path:
    """The same model with a card that says that it learnt from simulated micrographs."""
    fields = read_card(model).model_dump() | {"replay": ReplayRecord(simulated=True)}
    save_model(folder, ModelCard.model_validate(fields), load_network(model)[1])
    return folder


@pytest.mark.slow
def test_what_was_simulated_is_learnt_again_and_handed_on(micro_model: Path, tmp_path: Path) -> None:
    parent = simulated_parent(micro_model, tmp_path / "parent")
    ((pixels, codes),) = sections()
    options = QUICK.model_copy(update={"replay_pictures": 1})
    result = run(fine_tune_steps(parent, [taught(pixels, codes, only=2)], options, cache=tmp_path / "cache"))
    assert result.before.replay_cells > 5
    assert result.card.replay is not None
    assert result.card.replay.simulated
    assert result.card.replay.memory_sha256 == hashlib.sha256(result.memory).hexdigest()


@pytest.mark.fault("T5")
@pytest.mark.slow
def test_one_mineral_taught_for_many_rounds_does_not_drive_out_the_others(
    micro_model: Path, pictures: list[CorrectedPicture], store: ModelStore, tmp_path: Path
) -> None:
    options = QUICK.model_copy(update={"epochs": 6, "samples_per_epoch": 128})
    knowing = keep_version(
        run(fine_tune_steps(micro_model, pictures, options, cache=tmp_path)), store, activate=True
    )
    ((pixels, codes),) = sections(1, seed=7)
    many = options.model_copy(update={"epochs": 30, "patience": 0, "samples_per_epoch": 64})
    result = run(fine_tune_steps(knowing.folder, [taught(pixels, codes, only=2)], many, cache=tmp_path))
    fell = result.before.replay_macro_f1.value - result.after.replay_macro_f1.value
    assert result.before.replay_macro_f1.value > 0.8
    assert fell <= 0.02 or not result.keep
    whole = corrected_tiles([taught(pixels, codes)], result.card.mineral_table, 32)
    older, newer = (
        figures_of_model(model, whole)["accuracy"].value
        for model in (
            Classifier.load(knowing.folder, device="cpu"),
            Classifier(result.card, result.network, device="cpu"),
        )
    )
    assert newer >= older - 0.05
