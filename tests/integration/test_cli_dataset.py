"""ore-minerals dataset, as a user calls it."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ore_minerals import cli
from napari_ore_minerals.learning.collection import TileDataset, TileLabel
from napari_ore_minerals.learning.sorting import Change
from napari_ore_minerals.learning.sorting_journal import SortingJournal, read_journal


def call(*arguments: object) -> int:
    """What the shell would see as the exit code."""
    before = sys.argv
    sys.argv = ["ore-minerals", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two minerals from three deposits, two photographs of four tiles each."""
    random = np.random.default_rng(0)
    for deposit in ("north", "south", "east"):
        for mineral in ("gold", "pyrite"):
            for number in range(2):
                folder = tmp_path / "photographs" / deposit / mineral
                folder.mkdir(parents=True, exist_ok=True)
                rgb = random.integers(0, 200, (64, 64, 3)).astype(np.uint8)
                Image.fromarray(rgb).save(folder / f"{number}.png")
    return tmp_path / "photographs"


def test_from_photographs_to_an_enlarged_set(photographs: Path, tmp_path: Path, capsys):
    ores = tmp_path / "ores"
    assert (
        call("dataset", "tile", photographs, "--out", ores, "--tile-px", 32, "--deposit-from", "folder") == 0
    )
    assert "48 tiles of 32 px from 12 photographs and 3 deposits" in capsys.readouterr().out
    assert call("dataset", "split", ores, "--seed", 1) == 0
    printed = capsys.readouterr().out
    assert "training  validation  test" in printed
    table = TileDataset.open(ores).table2()
    assert (table[["training", "validation", "test"]] > 0).all(axis=None)
    assert table.loc["all", "test deposits"] == 1
    assert call("dataset", "augment", ores, "--out", tmp_path / "enlarged") == 0
    count = table.loc["all", "training"]
    assert f"training: {count} tiles became {7 * count}" in capsys.readouterr().out
    assert call("dataset", "preview", ores, "--out", tmp_path / "sheet.png", "--rows", 2) == 0
    assert (tmp_path / "sheet.png").is_file()


def test_masks_with_codes_of_their_own(tmp_path: Path, capsys):
    random = np.random.default_rng(1)
    for number, code in enumerate((6, 0)):
        rgb = random.integers(0, 200, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(rgb).save(tmp_path / f"{number}.png")
        Image.fromarray(np.full((64, 64), code, np.uint8)).save(tmp_path / f"{number}-mask.png")
    tiled = ("dataset", "tile", tmp_path, "--out", tmp_path / "ores", "--tile-px", 32)
    assert call(*tiled) == 0
    assert call(*tiled, "--codes", "6=pyrite") == 1
    assert "holds a dataset" in capsys.readouterr().err
    assert call(*tiled, "--overwrite", "--codes", "6=pyrite", "0=gangue") == 0
    assert set(TileDataset.open(tmp_path / "ores").table["mineral"]) == {"pyrite", "gangue"}


def test_what_goes_wrong_is_said_in_a_sentence(photographs: Path, tmp_path: Path, capsys):
    (photographs / "north" / "gold" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert call("dataset", "tile", photographs, "--out", tmp_path / "ores", "--tile-px", 32) == 2
    assert "left out: 1 pictures that cannot be read" in capsys.readouterr().out
    (tmp_path / "none").mkdir()
    assert call("dataset", "tile", tmp_path / "none", "--out", tmp_path / "x") == 1
    assert "no picture" in capsys.readouterr().err
    assert call("dataset", "split", tmp_path / "none") == 1
    assert "is no dataset" in capsys.readouterr().err


def test_a_split_that_leaks_can_be_made_anew(photographs: Path, tmp_path: Path, capsys):
    ores = tmp_path / "ores"
    assert call("dataset", "tile", photographs, "--out", ores, "--tile-px", 32) == 0
    table = (ores / "tiles.csv").read_text().splitlines()
    parts = [
        line.replace(",True,,", f",True,{'test' if number % 2 else 'training'},")
        for number, line in enumerate(table)
    ]
    (ores / "tiles.csv").write_text("\n".join(parts) + "\n")
    assert call("dataset", "preview", ores, "--out", tmp_path / "sheet.png") == 1
    assert "the split leaks" in capsys.readouterr().err
    assert call("dataset", "split", ores) == 0
    TileDataset.open(ores)


def test_what_was_sorted_is_told_when_split_and_put_aside_when_cut_anew(
    photographs: Path, tmp_path: Path, capsys
):
    ores = tmp_path / "ores"
    tiled = ("dataset", "tile", photographs, "--out", ores, "--overwrite")
    assert call(*tiled, "--tile-px", 32) == 0
    tile = TileDataset.open(ores).table["tile"].iloc[0]
    with closing(SortingJournal(ores)) as journal:
        journal.write([Change(tile, TileLabel("gold"), TileLabel("stibnite"))])
        assert call(*tiled, "--tile-px", 16) == 1
        assert "is being sorted in another viewer" in capsys.readouterr().err
    assert TileDataset.open(ores).tile_px == 32
    assert call("dataset", "split", ores) == 0
    assert "1 tiles that were sorted by hand are not saved yet" in capsys.readouterr().err
    decided = (ores / "sorting.jsonl").read_bytes()
    assert call(*tiled, "--tile-px", 16) == 0
    assert "put aside, as older-1-sorting.jsonl" in capsys.readouterr().err
    assert (ores / "older-1-sorting.jsonl").read_bytes() == decided
    assert not read_journal(ores).labels
    assert call("dataset", "split", ores) == 0
    assert "not saved" not in capsys.readouterr().err
