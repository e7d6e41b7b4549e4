"""``ore-minerals areas`` as a user calls it."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_ore_minerals import cli
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.files import write_result
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import BUNDLED


def call(*arguments: object) -> int:
    before = sys.argv
    sys.argv = ["ore-minerals", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def some_map(seed: int, sha256: str) -> MineralMap:
    """Map of 8 x 10 cells with gold in gangue."""
    random = np.random.default_rng(seed)
    maps = random.normal(0, 1, (6, 32, 40))
    maps[2] += 8 * (random.random((16, 20)) < 0.3).repeat(2, axis=0).repeat(2, axis=1)
    maps[5] += 4
    logits = maps.reshape(6, 8, 4, 10, 4).mean(axis=(2, 4))
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    return MineralMap(
        grid=TileGrid(256, 320, 32, 32), labels=(logits.argmax(axis=0) + 1).astype(np.uint8),
        probabilities=np.moveaxis(shares, 0, -1).astype(np.float32), class_maps=maps.astype(np.float16),
        processed=np.ones((8, 10), bool), minerals=DEFAULT_MINERALS, um_per_px=0.5, um_per_px_source="given by the user",
        picture=PictureRecord(name="PS-07.tif", height_px=256, width_px=320, fingerprint="0" * 64),
        model=ModelRecord(name="m", version=1, architecture="ore_swin_compact", weights_sha256=sha256),
        run=RunRecord(
            options=ClassifyOptions(), min_confidence=0.0, temperature=1.0, device="cpu", precision="fp32", batch_size=1,
            tiles=80, seconds=1.0, created="2026-11-23T12:00:00+00:00", complete=True,
        ),
    )  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results – größer"
    sha256 = read_card(next(BUNDLED.glob("*/card.json")).parent).weights_sha256
    for seed in range(3):
        write_result(some_map(seed, sha256), folder / f"={seed}.tif.oremap")
    return folder


def test_results_are_measured_and_pooled(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # folders whose names a spreadsheet would take for formulas
    table = tmp_path / "areas.csv"
    assert call("areas", results, "--of", "ore", "--pool", "--out", table) == 0
    printed = capsys.readouterr()
    assert "Pooled: 3 pictures" in printed.out
    assert "simulated pictures that the model has not learnt from" in printed.err
    rows = pd.read_csv(table)
    assert rows["measured"].unique().tolist() == ["'=0.tif", "'=1.tif", "'=2.tif", "pooled"]
    assert rows[rows["measured"] == "pooled"]["fraction"].sum() == pytest.approx(1)
    assert rows.groupby("measured")["fraction"].sum().tolist() == pytest.approx([1, 1, 1, 1])
    assert rows.loc[rows["mineral"] == "gangue", "fraction"].isna().all()
    assert (rows.loc[rows["mineral"] == "gold", "classifier_error"] > 0).all()
    assert (rows["scale"] == "0.5 um/px (given by the user)").all()
    for name in ("program", "model", "model sha256", "options", "corrections"):
        assert rows[name].notna().all(), name
    assert call("areas", results, "--out", table) == 1
    assert "exists: name another file" in capsys.readouterr().err


def test_results_in_folders_below_are_told(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    below = tmp_path / "all" / "mine"
    below.parent.mkdir()
    shutil.copytree(results, below)
    assert call("areas", tmp_path / "all") == 1
    assert (
        f"results in folders below are not taken ({below}): name these folders too" in capsys.readouterr().err
    )
    assert call("areas", tmp_path / "all", below) == 0
    assert "not taken" not in capsys.readouterr().err


def test_json_holds_what_the_tables_hold(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("areas", results / "=0.tif.oremap", "--without", "Py", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (measured,) = found["measured"]
    fractions = {row["mineral"]: row["fraction"] for row in measured["areas"]}
    assert fractions["pyrite"] is None
    assert sum(value or 0 for value in fractions.values()) == pytest.approx(1)
    assert found["pooled"] is None
    assert measured["facts"]["scale"] == "0.5 um/px (given by the user)"
    assert "pyrite" not in measured["facts"]["fractions of"].split(", ")


def test_what_cannot_be_pooled_is_measured_and_written(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "areas.csv"
    without = replace(some_map(4, "1" * 64), um_per_px=None, um_per_px_source="")
    write_result(without, results / "=4.tif.oremap")
    assert call("areas", results, "--pool", "--out", table) == 2
    told = capsys.readouterr()
    assert "the pictures were not pooled: um/px of =4.tif is not known" in told.err
    assert "Pooled" not in told.out
    assert pd.read_csv(table)["measured"].unique().tolist() == [f"'={seed}.tif" for seed in (0, 1, 2, 4)]
    assert call("areas", results, "--pool", "--json") == 2
    assert json.loads(capsys.readouterr().out)["pooled"] is None


def test_regions_and_checked_cells(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    regions, checked = tmp_path / "regions.csv", tmp_path / "checked.csv"
    corners = [(0, 0), (0, 100), (200, 100), (200, 0)]
    lines = [
        f"{index},polygon,{n},{row},{column + 150 * index}"
        for index in (0, 1)
        for n, (row, column) in enumerate(corners)
    ]
    regions.write_text("\n".join(["index,shape-type,vertex-index,axis-0,axis-1", *lines]))
    checked.write_text("mapped,true,cells\ngold,gold,9\ngold,gangue,1\ngangue,gangue,10\n")
    one = results / "=1.tif.oremap"
    assert call("areas", one, "--region", regions, "--checked", checked) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if "region" in line] == [
        "region 1",
        "region 2",
        "all regions",
    ]
    assert "Olofsson et al. 2014" in printed
    assert "Note: fewer than 2 cells mapped as" not in printed
    table = tmp_path / "checked-areas.csv"
    assert call("areas", one, "--checked", checked, "--out", table, "--json") == 0
    rows, (told,) = pd.read_csv(table), json.loads(capsys.readouterr().out)["checked"]
    rows = rows[rows["measured"] == "PS-07.tif, adjusted by checked cells"]
    for column, key in (
        ("fraction_by_cells", "fraction_by_cells"), ("fraction_adjusted_by_checked", "fraction_adjusted"),
        ("checked_error", "error"), ("checked_low", "low"), ("checked_high", "high"),
    ):  # fmt: skip
        assert rows[column].tolist() == pytest.approx([row[key] for row in told])
    assert rows["model sha256"].notna().all()
    checked.write_text("mapped,true,cells\ngold,gold,9\ngold,gangue,1\ngangue,gangue,1\n")
    assert call("areas", one, "--checked", checked) == 0
    assert "Note: fewer than 2 cells mapped as gangue were checked" in capsys.readouterr().out
    checked.write_text("mapped,true,cells\ngold,gold,9\ngangue,gangue,10\n")
    assert call("areas", one, "--checked", checked) == 0
    assert "stibnite, gangue or adds to it: these intervals have no width" in capsys.readouterr().out
    assert call("areas", one, "--region", regions, "--pool") == 1
    assert "give one of the two" in capsys.readouterr().err
    assert call("areas", results, "--region", regions) == 1
    assert "are for one result, 3 were named" in capsys.readouterr().err


def test_what_cannot_be_measured_is_said(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert call("areas", empty) == 1
    assert "no result folders" in capsys.readouterr().err
    assert call("areas", results, "--without", "galena") == 1
    assert "no mineral 'galena'; known: arsenopyrite" in capsys.readouterr().err
    unknown = replace(some_map(0, "f" * 64))
    folder = write_result(unknown, tmp_path / "unknown.oremap")
    assert call("areas", folder) == 0
    assert "does not say how it errs" in capsys.readouterr().out


def test_a_result_that_cannot_be_read_does_not_stop_the_others(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, broken = tmp_path / "areas.csv", results / "=0.tif.oremap"
    (broken / "run.json").write_text("{", encoding="utf-8")
    assert call("areas", results, "--pool", "--out", table) == 2
    printed = capsys.readouterr()
    assert "Pooled: 2 pictures" in printed.out
    assert [line for line in printed.err.splitlines() if line.startswith("=0.tif.oremap: ")]
    assert "1 of 3 results failed" in printed.err
    assert pd.read_csv(table)["measured"].unique().tolist() == ["'=1.tif", "'=2.tif", "pooled"]
    assert call("areas", results, "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["measured"]] == ["=1.tif", "=2.tif"]
    assert found["failed"][0]["result"] == str(broken)
    assert call("areas", broken) == 1
