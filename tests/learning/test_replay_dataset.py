"""A model that was trained on a dataset names it, and is fine-tuned beside its tiles, read where they lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning.collection import TileDataset, TileLabel, with_labels
from napari_ore_minerals.learning.corrections import Correction
from napari_ore_minerals.learning.fine_tuning import (
    CorrectedPicture,
    FineTuneOptions,
    FineTuneResult,
    fine_tune_steps,
)
from napari_ore_minerals.learning.options import TrainOptions
from napari_ore_minerals.learning.replay_dataset import parts_of, reference_to
from napari_ore_minerals.learning.runs import train_dataset_steps
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.exchange import export_model, import_model
from napari_ore_minerals.models.versions import ModelStore
from napari_ore_minerals.progress import Progress, run


@pytest.fixture
def own(dataset: TileDataset, tmp_path: Path) -> TileDataset:
    """A copy that may be moved and changed."""
    shutil.copytree(dataset.folder.parent, tmp_path / "own")
    return TileDataset.open(tmp_path / "own" / "dataset")


@pytest.fixture
def model(own: TileDataset, tmp_path: Path) -> Path:
    options = TrainOptions(
        epochs=6, learning_rate=3e-3, batch_size=16, augmentation="none", device="cpu", precision="fp32"
    )
    steps = train_dataset_steps(own, tmp_path / "run", options, architecture="ore_swin_micro", weights="none")
    run(steps)
    return tmp_path / "run" / "model"


def taught(model: Path) -> CorrectedPicture:
    """Eight cells of one mineral, in a colour that is none of the dataset's."""
    minerals = read_card(model).mineral_table
    pixels = np.random.default_rng(1).integers(110, 130, (64, 128, 3), dtype=np.uint8)
    micrograph = Micrograph.from_array(pixels)
    said = [
        Correction(picture=micrograph.fingerprint(), row=row, column=column, tile_px=32, stride_px=32,
                   height_px=64, width_px=128, code=minerals.codes[0], kind="corrected", time="t", model="0" * 64)
        for row, column in np.ndindex(2, 4)
    ]  # fmt: skip
    return CorrectedPicture(micrograph, tuple(said), minerals)


def fine_tuned(model: Path, notices: list[str]) -> FineTuneResult:
    options = FineTuneOptions(
        epochs=2, samples_per_epoch=32, learning_rate=1e-3, device="cpu", precision="fp32"
    )

    def listen(progress: Progress) -> None:
        notices.extend([progress.notice] if progress.notice else [])

    return run(fine_tune_steps(model, [taught(model)], options), listen)


def test_the_card_names_the_dataset_and_fine_tuning_learns_and_measures_beside_it(
    own: TileDataset, model: Path
) -> None:
    card, notices = read_card(model), list[str]()
    assert card.replay is not None
    assert card.replay.dataset == reference_to(own)
    assert not (model / "memory.safetensors").exists(), "it is referred to, not copied"
    result = fine_tuned(model, notices)
    assert notices == []
    assert result.before.replay_cells == 16, "four of nine photographs of the validation part"
    assert result.before.replay_macro_f1.value > 0.8
    assert result.after.replay_macro_f1.value > 0.8
    assert result.card.replay is not None
    assert result.card.replay.dataset == card.replay.dataset, "and the next version is guarded as well"


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_dataset_that_is_gone_or_changed_is_a_notice(own: TileDataset, model: Path, how: str) -> None:
    if how == "gone":
        shutil.move(own.folder, own.folder.with_name("elsewhere"))
    else:
        tile = own.table["tile"].iloc[0]
        with_labels(own, {tile: TileLabel("", several=True)}).write(overwrite=True)
    notices: list[str] = []
    with pytest.raises(DatasetError, match="all corrections are of one mineral"):
        fine_tuned(model, notices)
    assert len(notices) == 1
    assert f"the dataset three-minerals that this model was trained on is not {'here' if how == 'gone' else 'what it was'}" in notices[0]  # fmt: skip
    assert "may forget" in notices[0]


def test_photographs_that_choose_do_not_measure(own: TileDataset) -> None:
    learnt, chosen, checked = parts_of(reference_to(own), input_px=32)
    assert len(learnt) == 36
    assert set(chosen.labels) == set(checked.labels) == {0, 1, 2}
    assert not set(chosen.groups) & set(checked.groups)


def test_an_exported_model_does_not_tell_where_the_dataset_lies(
    own: TileDataset, model: Path, tmp_path: Path
) -> None:
    version = import_model(ModelStore(tmp_path / "store"), export_model(model, tmp_path / "a.zip"))
    assert version.card.replay is not None
    assert version.card.replay.dataset is not None
    assert (version.card.replay.dataset.name, version.card.replay.dataset.folder) == ("three-minerals", "")
    with pytest.raises(DatasetError, match=r"is not here$"):
        parts_of(version.card.replay.dataset, input_px=32)
