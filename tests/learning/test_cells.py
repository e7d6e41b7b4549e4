"""A classifier of cells from a dataset: learnt, kept, measured, and used on whole photographs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ore_minerals import cli
from napari_ore_minerals.errors import DatasetError, ModelError, OptionError, ResultError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning import cell_learning
from napari_ore_minerals.learning.anchored import AnchoredOptions, means_of_tiles, train_anchored
from napari_ore_minerals.learning.cell_files import CELL_CARD, CELL_WEIGHTS, load_cells
from napari_ore_minerals.learning.cell_labels import MaskedLabels, shares_of_tiles
from napari_ore_minerals.learning.cell_learning import (
    cell_colours,
    cells_of_tiles,
    evaluate_cells_steps,
    pictures_of,
    train_cells_steps,
)
from napari_ore_minerals.learning.cell_maps import map_cells_steps, map_of_cells
from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.splitting import SplitOptions, split
from napari_ore_minerals.learning.tiling import TileOptions, tile_steps
from napari_ore_minerals.maps.files import read_result
from napari_ore_minerals.models.classifier import softmax
from napari_ore_minerals.progress import run

QUICK = AnchoredOptions(crops=2, networks=2, hidden=16, epochs=20)
LEVELS = {1: 80.0, 4: 130.0, 6: 25.0}  # arsenopyrite, pyrite, gangue
TILE, CELL = 64, 16


def write_photograph(folder: Path, number: int) -> None:
    """4 x 5 tiles, two of them half one mineral and half another; the light differs between photographs."""
    random = np.random.default_rng(number)
    codes = random.permutation(np.resize(np.array(list(LEVELS)), 20)).reshape(4, 5)
    mask = np.kron(codes, np.ones((TILE, TILE), int)).astype(np.uint8)
    mask[:TILE, : TILE // 2], mask[:TILE, TILE : TILE + TILE // 2] = 4, 1
    mask[:TILE, TILE // 2 : TILE], mask[:TILE, TILE + TILE // 2 : 2 * TILE] = 6, 4
    table = np.zeros(256)
    table[list(LEVELS)] = list(LEVELS.values())
    light = 0.7 + 0.9 * (number % 7) / 6.0
    rgb = table[mask][..., None] * light + random.normal(0, 2, (*mask.shape, 3))
    Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(folder / f"p{number:02d}.png")
    Image.fromarray(mask).save(folder / f"p{number:02d}-mask.png")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells") / "photographs"
    folder.mkdir()
    for number in range(15):
        write_photograph(folder, number)
    return folder


@pytest.fixture(scope="module")
def ores(photographs: Path) -> TileDataset:
    tiled = run(tile_steps(photographs, photographs.parent / "ores", TileOptions(tile_px=TILE)))
    found = split(tiled, SplitOptions())
    found.write(overwrite=True)
    return found


@pytest.fixture(scope="module")
def model(ores: TileDataset, photographs: Path) -> Path:
    folder = photographs.parent / "cells-model"
    run(train_cells_steps(ores, folder, QUICK))
    return folder


def call(*arguments: object) -> int:
    """What the shell would see as the exit code."""
    before, sys.argv = sys.argv, ["ore-minerals", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def test_a_classifier_is_read_back_as_it_was_trained(ores: TileDataset, model: Path):
    labels = MaskedLabels.of(ores, None, ())
    photographs = [
        cell_learning._labelled(ores, picture, CELL, labels)
        for picture in pictures_of(ores, "training", CELL)
    ]
    again = train_anchored(photographs, QUICK)
    card, kept = load_cells(model)
    for photograph in photographs[:2]:
        np.testing.assert_array_equal(
            again.probabilities(photograph.colours), kept.probabilities(photograph.colours)
        )
    assert card.cell_px == CELL
    assert card.options == QUICK
    assert card.minerals == ores.minerals.minerals
    assert card.photographs == len(ores.photographs("training")) == 9
    assert card.command.startswith("ore-minerals cells train ores --out CELLS --crops 2")
    assert 0.0 <= card.min_confidence < 1.0


def test_cells_of_tiles_that_hold_several_minerals_are_learnt_from(ores: TileDataset):
    labels = MaskedLabels.of(ores, None, ())
    picture = next(pictures_of(ores, "training", CELL))
    shares = cell_learning._labelled(ores, picture, CELL, labels).shares
    assert shares.shape == (16, 20, 3)
    np.testing.assert_allclose(shares.sum(axis=2), 1.0)
    by_tiles = shares_of_tiles(picture.tiles, (16, 20), CELL, ores.minerals)
    assert (by_tiles[:4, :8] == 0.0).all()  # nobody has named these
    np.testing.assert_array_equal(shares[4:], by_tiles[4:])
    names = [mineral.name for mineral in ores.minerals]
    assert names[int(shares[0, 0].argmax())] == "pyrite"
    assert names[int(shares[0, 2].argmax())] == "gangue"


def test_a_tile_is_named_by_the_mean_of_its_cells(ores: TileDataset, model: Path):
    report = run(evaluate_cells_steps(ores, "test", model))
    assert report.evaluation.accuracy > 0.95
    assert report.predictions["tile"].tolist() == ores.tiles("test")["tile"].tolist()
    _, classifier = load_cells(model)
    picture = next(pictures_of(ores, "test", CELL, only=ores.tiles("test")))
    cells = classifier.probabilities(picture.colours)
    row, column = (int(picture.tiles[name].iloc[-1]) // CELL for name in ("row_px", "column_px"))
    of_tile = report.probabilities[len(picture.tiles) - 1]
    np.testing.assert_allclose(
        of_tile, cells[row : row + 4, column : column + 4].mean(axis=(0, 1)), atol=1e-6
    )
    assert means_of_tiles(cells, 4).shape == (4, 5, 3)


def test_evaluation_that_is_stopped_is_of_what_was_done(ores: TileDataset, model: Path):
    report = run(evaluate_cells_steps(ores, "training", model), lambda step: step.done >= 2)
    assert report.predictions["photograph"].nunique() == 2
    assert report.notices[0].startswith("stopped after 2 of 9 pictures")


def test_training_that_is_stopped_writes_nothing(ores: TileDataset, tmp_path: Path):
    for when in (1, 12):
        assert (
            run(train_cells_steps(ores, tmp_path / "out", QUICK), lambda step, at=when: step.done >= at)
            is None
        )
    assert list(tmp_path.iterdir()) == []


def test_masks_that_say_something_else_than_the_dataset_are_refused(ores: TileDataset, tmp_path: Path):
    with pytest.raises(DatasetError, match="give the --masks and --codes that the dataset was made with"):
        run(
            train_cells_steps(ores, tmp_path / "out", QUICK, codes=("1=pyrite", "4=arsenopyrite", "6=gangue"))
        )
    with pytest.raises(DatasetError, match="no folder of masks"):
        run(train_cells_steps(ores, tmp_path / "out", QUICK, masks=tmp_path / "nowhere"))
    assert not (tmp_path / "out").exists()


def test_masks_of_another_size_are_refused(ores: TileDataset, photographs: Path, tmp_path: Path):
    for path in photographs.glob("*-mask.png"):
        Image.open(path).crop((0, 0, 128, 128)).save(tmp_path / path.name)
    with pytest.raises(DatasetError, match="128 x 128 px, its picture 320 x 256"):
        run(train_cells_steps(ores, tmp_path / "out", QUICK, masks=tmp_path))


def test_without_masks_the_cells_of_labelled_tiles_are_learnt_from(ores: TileDataset, tmp_path: Path):
    (tmp_path / "masks").mkdir()
    told: list[str] = []
    steps = train_cells_steps(ores, tmp_path / "out", QUICK, masks=tmp_path / "masks")
    card = run(steps, lambda step: told.append(step.notice) and None)
    assert "12 of 12 pictures have no mask" in "".join(told)
    assert "masks of 0 of its 12 pictures" in card.provenance
    assert run(evaluate_cells_steps(ores, "test", tmp_path / "out")).evaluation.accuracy > 0.9


def test_a_picture_that_has_changed_is_refused(photographs: Path, tmp_path: Path):
    for number in range(15):
        write_photograph(tmp_path, number)
    dataset = split(run(tile_steps(tmp_path, tmp_path / "ores", TileOptions(tile_px=TILE))), SplitOptions())
    name = dataset.photographs("training")[0]
    Image.open(tmp_path / f"{name}.png").rotate(180).save(tmp_path / f"{name}.png")
    with pytest.raises(DatasetError, match="has changed since the dataset was made"):
        run(train_cells_steps(dataset, tmp_path / "out", QUICK))


@pytest.mark.parametrize("tile_px", [32, 100, 72])
def test_tiles_that_are_not_cut_into_cells_are_refused(tile_px: int):
    assert cells_of_tiles(256) == 64
    with pytest.raises(DatasetError, match=f"tiles of {tile_px} px are not cut"):
        cells_of_tiles(tile_px)


def test_a_dataset_without_a_split_is_refused(photographs: Path, tmp_path: Path):
    dataset = run(tile_steps(photographs, tmp_path / "ores", TileOptions(tile_px=TILE)))
    with pytest.raises(DatasetError, match="no labelled and sure tile in its part 'training'"):
        run(train_cells_steps(dataset, tmp_path / "out", QUICK))


def test_what_is_no_classifier_of_cells_is_refused(model: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="no classifier of cells"):
        load_cells(tmp_path)
    card, weights = (model / CELL_CARD).read_text(), (model / CELL_WEIGHTS).read_bytes()
    (tmp_path / CELL_CARD).write_text(card)
    (tmp_path / CELL_WEIGHTS).write_bytes(weights[:-4] + b"\0\0\0\1")
    with pytest.raises(ModelError, match="sha256 differs"):
        load_cells(tmp_path)
    (tmp_path / CELL_WEIGHTS).write_bytes(weights)
    changed = json.loads(card)
    changed["options"]["hidden"] = 17
    (tmp_path / CELL_CARD).write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="does not fit its card"):
        load_cells(tmp_path)
    changed["cell_px"] = 15
    (tmp_path / CELL_CARD).write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="cell_px"):
        load_cells(tmp_path)


def test_a_map_covers_the_picture_and_its_evidence_gives_its_probabilities(model: Path, tmp_path: Path):
    rgb = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "odd.png")
    card, classifier = load_cells(model)
    found = map_of_cells(Micrograph.open(tmp_path / "odd.png"), card, classifier, min_confidence=0.0)
    assert found.grid.shape == found.labels.shape == (5, 6)
    assert found.grid.cell_area_px().sum() == 70 * 90
    assert set(np.unique(found.labels)) <= set(card.mineral_table.codes)
    given = softmax(np.moveaxis(found.class_maps.astype(np.float32), 0, -1).reshape(-1, 3), 1.0)
    np.testing.assert_allclose(given, found.probabilities.reshape(-1, 3), atol=2e-3)
    sure = map_of_cells(Micrograph.open(tmp_path / "odd.png"), card, classifier, min_confidence=1.0)
    assert (sure.labels[sure.confidence < 1.0] == 0).all()


def test_pictures_become_results_and_a_damaged_one_does_not_stop_the_others(
    model: Path, photographs: Path, tmp_path: Path
):
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    pictures = [tmp_path / "damaged.png", photographs / "p03.png"]
    outcomes = run(map_cells_steps(pictures, model, out=tmp_path / "results", um_per_px=0.5))
    assert [bool(outcome.problem) for outcome in outcomes] == [True, False]
    kept = read_result(outcomes[1].folder)
    mask = np.asarray(Image.open(photographs / "p03-mask.png"))[8::16, 8::16]
    named = kept.labels > 0
    assert named.mean() > 0.7
    assert (kept.labels == mask)[named].mean() > 0.9
    assert kept.model.architecture == "anchored cells"
    assert kept.um_per_px == 0.5
    again = run(map_cells_steps(pictures[1:], model, out=tmp_path / "results"))
    assert "exists" in again[0].problem


def test_a_picture_that_is_too_large_is_refused(photographs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cell_learning, "MOST_PX", 1000)
    with pytest.raises(OptionError, match="cut it into parts"):
        cell_colours(Micrograph.open(photographs / "p00.png"), CELL)


def test_the_commands(
    ores: TileDataset, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    quick = ("--crops", 2, "--networks", 2, "--hidden", 16, "--epochs", 20)
    assert call("cells", "train", ores.folder, "--out", tmp_path / "cells", *quick) == 0
    assert "cells of 16 px of 9 photographs: arsenopyrite, pyrite, gangue" in capsys.readouterr().out
    assert call("cells", "train", ores.folder, "--out", tmp_path / "cells") == 1
    assert "never overwritten" in capsys.readouterr().err
    assert call("cells", "evaluate", tmp_path / "cells", ores.folder, "--out", tmp_path / "evaluation") == 0
    printed = capsys.readouterr().out
    assert "cells on 54 test tiles of 3 photographs" in printed
    assert "Note: the tiles are of 3 photographs only" in printed
    places = {path.name for path in (tmp_path / "evaluation").iterdir()}
    assert places == {"figures.csv", "predictions.csv", "confusion.csv", "confusion.png", "evaluation.json"}
    assert call("cells", "evaluate", tmp_path / "cells", ores.folder, "--out", tmp_path / "evaluation") == 1
    assert (
        call("cells", "classify", tmp_path / "cells", photographs / "p00.png", "--out", tmp_path / "maps")
        == 0
    )
    assert "pyrite" in capsys.readouterr().out
    assert (tmp_path / "maps" / "p00.png.oremap").is_dir()
    assert call("classify", photographs / "p00.png", "--model", tmp_path / "cells", "--out", tmp_path) == 1
    assert "ore-minerals cells classify" in capsys.readouterr().err


def test_nothing_half_written_remains_where_the_disk_refuses(
    ores: TileDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(ResultError, match="No space left on device"):
        run(train_cells_steps(ores, tmp_path / "out", QUICK))
    assert list(tmp_path.iterdir()) == []
