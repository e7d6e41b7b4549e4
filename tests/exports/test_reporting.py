"""Reports of many results, as the library and as a user of the command line calls it."""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from area_support import map_of, patches
from export_support import shown_of
from PIL import Image

from napari_ore_minerals import cli
from napari_ore_minerals.cli.report import report_classified
from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.exports import made_of
from napari_ore_minerals.exports.formats import FORMATS, Format, export
from napari_ore_minerals.exports.names import names_of, titles_of
from napari_ore_minerals.exports.reporting import Reported, ReportOptions
from napari_ore_minerals.exports.summing_up import summary_of
from napari_ore_minerals.exports.together import facts_together
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import ReadOptions, Window
from napari_ore_minerals.maps.files import read_result, write_result
from napari_ore_minerals.maps.measuring import TOGETHER, Asked, measure
from napari_ore_minerals.maps.records import PictureRecord


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


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two results with their photographs, and a folder that is none."""
    for seed in range(2):
        classes = patches(seed, rows=6, columns=6)
        path = tmp_path / "photographs" / f"PS-{seed}.png"
        path.parent.mkdir(exist_ok=True)
        colours = (40 * classes[..., None] + [10, 20, 30]).astype("uint8")
        Image.fromarray(colours.repeat(4, axis=0).repeat(4, axis=1)).save(path)
        found = map_of(classes, stride_px=16)
        record = PictureRecord.of(Micrograph.open(path))
        write_result(replace(found, picture=record), tmp_path / "results" / f"{path.name}.oremap")
    (tmp_path / "results" / "broken.oremap").mkdir()
    return tmp_path / "results"


def test_a_report_for_each_and_one_summary_with_pooled_rows(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert (
        call("report", results, "--out", out, "--formats", "csv, html,json", "--of", "ore", "--grains") == 2
    )
    printed = capsys.readouterr()
    assert "broken.oremap: " in printed.err
    assert "1 of 3 reports failed" in printed.err
    names = [f"{name}-minerals" for name in ("PS-0", "PS-1", "summary")]
    expected = [f"{name}.{kind}" for name in names for kind in ("csv", "html", "json")][:-1]
    assert sorted(path.name for path in out.iterdir()) == expected
    assert len(printed.out.split()) == len(expected)
    table = pd.read_csv(out / "summary-minerals.csv")
    assert list(dict.fromkeys(table["measured"])) == ["PS-0.png", "PS-1.png", "pooled"]
    assert table.groupby("measured")["fraction"].sum().tolist() == pytest.approx([1] * 3)
    assert set(table["model sha256"].astype(str)) == {"1" * 64}
    assert table.loc[table["mineral"] == "gangue", "fraction"].isna().all()
    page = (out / "summary-minerals.html").read_text(encoding="utf-8")
    assert 'href="PS-1-minerals.html"' in page
    assert "broken.oremap" in page
    one = json.loads((out / "PS-1-minerals.json").read_text(encoding="utf-8"))
    assert one["tables"]["grains"]
    alone = pd.read_csv(out / "PS-1-minerals.csv")["fraction"]
    assert alone.equals(table.loc[table["measured"] == "PS-1.png", "fraction"].reset_index(drop=True))


def test_nothing_is_replaced_unless_asked(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = results / "PS-0.png.oremap"
    assert call("report", one, "--formats", "csv") == 0
    capsys.readouterr()
    assert call("report", one, "--formats", "csv") == 2
    assert "PS-0-minerals.csv exists" in capsys.readouterr().err
    assert call("report", one, "--formats", "csv", "--overwrite", "--json") == 0
    assert json.loads(capsys.readouterr().out)["reports"][0]["error"] == ""


def test_photographs_that_were_moved(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = (tmp_path / "photographs").rename(tmp_path / "elsewhere")
    one = results / "PS-0.png.oremap"
    assert call("report", one, "--formats", "csv", "--grains") == 2
    assert "say where photographs are; grains cannot be found without it" in capsys.readouterr().err
    assert call("report", one, "--formats", "grains.csv", "--grains", "--pictures", moved) == 0
    (moved / "PS-1.png").replace(moved / "PS-0.png")
    assert call("report", one, "--formats", "json", "--grains", "--pictures", moved) == 2
    assert "is not the photograph that was classified" in capsys.readouterr().err
    told = json.loads((results / "PS-0-minerals.json").read_text(encoding="utf-8"))
    assert told["tables"]["areas"]  # all that needs no photograph
    assert call("report", one, "--formats", "json", "--pictures", moved, "--overwrite") == 0


def test_a_picture_with_a_damaged_chunk_has_its_report_and_grains(tmp_path: Path) -> None:
    colours = (40 * patches(1, rows=6, columns=6)[..., None] + [10, 20, 30]).astype("uint8")
    colours = colours.repeat(4, axis=0).repeat(4, axis=1)
    array = zarr.create_array(tmp_path / "m.zarr", shape=colours.shape, chunks=(32, 32, 3), dtype="u1")
    array[:] = colours
    (tmp_path / "m.zarr" / array.metadata.encode_chunk_key((1, 1, 0))).write_bytes(b"not zstd")
    picture = Micrograph.open(tmp_path / "m.zarr", options=ReadOptions(salvage=True))
    found = replace(map_of(patches(1, rows=6, columns=6), stride_px=16), picture=PictureRecord.of(picture))
    write_result(found, tmp_path / "m.zarr.oremap")
    assert call("report", tmp_path / "m.zarr.oremap", "--formats", "html,json,grains.csv", "--grains") == 0
    told = json.loads((tmp_path / "m-minerals.json").read_text(encoding="utf-8"))
    assert told["tables"]["grains"]
    assert not any("photograph" in note for note in told["notes"])


def test_what_needs_no_photograph_is_written_where_it_cannot_be_read(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(_picture: Micrograph, _window: Window | None = None) -> None:
        raise PictureError("pixels cannot be read")

    monkeypatch.setattr(Micrograph, "read", damaged)
    one = results / "PS-0.png.oremap"
    known = read_result(one).picture.fingerprint
    monkeypatch.setattr(Micrograph, "fingerprint", lambda _picture: known)
    assert call("report", one, "--formats", "csv,html,json,grains.csv", "--grains", "--json") == 2
    (told,) = json.loads(capsys.readouterr().out)["reports"]
    assert [Path(file).suffix for file in told["files"]] == [".csv", ".html", ".json"]
    assert told["error"].endswith("grains cannot be found without it")
    notes = json.loads((results / "PS-0-minerals.json").read_text(encoding="utf-8"))["notes"]
    assert any(note.startswith("grains were asked for") for note in notes)
    assert any("photograph was not here or could not be read" in note for note in notes)


def test_regions_have_their_own_figures(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, mask = results / "PS-0.png.oremap", tmp_path / "regions.png"
    height, width = read_result(one).grid.height_px, read_result(one).grid.width_px
    values = np.zeros((height, width), np.uint8)
    values[: height // 2], values[height // 2 :, : width // 2] = 1, 2
    Image.fromarray(values).save(mask)
    assert call("report", one, "--region", mask, "--formats", "csv,html,json", "--grains") == 0
    table = pd.read_csv(results / "PS-0-minerals.csv")
    assert list(dict.fromkeys(table["measured"])) == ["region 1", "region 2", TOGETHER]
    for column in ("fraction", "fraction_by_grains"):
        assert table.groupby("measured")[column].sum().tolist() == pytest.approx([1] * 3)
    capsys.readouterr()
    assert call("areas", one, "--region", mask, "--json") == 0
    measured = json.loads(capsys.readouterr().out)["measured"]
    told = [row["fraction"] for part in measured for row in part["areas"]]
    assert table["fraction"].tolist() == pytest.approx(told)
    marks = {made_of.asked_in_words(Asked(), None, path) for path in (None, mask, one / "run.json")}
    assert len(marks) == 3
    assert call("report", results, "--region", mask) == 1
    assert "--region is for one result, 3 were named" in capsys.readouterr().err


def test_what_cannot_be_is_said_at_once(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for formats, message in (
        ("doc", "does not say what to write"), ("", "no form of report was named"),
        ("grains.csv", "which are not to be found"), ("x.csv", ".x.csv is no form of report, .csv is"),
    ):  # fmt: skip
        assert call("report", results, "--formats", formats) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(OptionError, match="no form"):
        ReportOptions(suffixes=())


def test_names_of_reports_differ_and_are_not_those_of_photographs() -> None:
    folders = [Path("a/PS.tif.oremap"), Path("a/PS.png.oremap"), Path("a/other.tif.oremap")]
    assert names_of(folders) == ["PS.tif-minerals", "PS.png-minerals", "other-minerals"]
    folders = [Path("a/PS.tif.oremap"), Path("b/c/PS.tif.oremap"), Path("b/summary.tif.oremap")]
    assert titles_of(folders) == ["a/PS.tif", "b/c/PS.tif", "summary.tif"]
    assert names_of(folders) == ["PS-minerals", "PS-minerals", "summary.tif-minerals"]
    apart = ["a-PS.tif-minerals", "b-c-PS.tif-minerals", "summary.tif-minerals"]
    assert names_of(folders, Path("out")) == apart


def test_pictures_of_one_name_in_two_folders_are_told_apart(results: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (results / "PS-1.png.oremap").rename(tmp_path / "b" / "PS-0.png.oremap")
    folders = [results / "PS-0.png.oremap", tmp_path / "b" / "PS-0.png.oremap", results / "PS-0.png.oremap"]
    out = tmp_path / "out"
    assert call("report", *folders, "--out", out, "--formats", "html,csv") == 0
    table = pd.read_csv(out / "summary-minerals.csv")
    assert list(dict.fromkeys(table["measured"])) == ["results/PS-0.png", "b/PS-0.png", "pooled"]
    assert table.loc[table["measured"] == "pooled", "pictures"].max() == 2
    page = (out / "summary-minerals.html").read_text(encoding="utf-8")
    assert 'href="results-PS-0.png-minerals.html"' in page
    assert 'href="b-PS-0.png-minerals.html"' in page
    assert ">html</a> " in page


def test_classify_with_report_and_grains(
    micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colours = patches(1, rows=8, columns=8)[..., None] * 40 + [10, 20, 30]
    path = tmp_path / "PS-1.png"
    Image.fromarray(colours.astype("uint8").repeat(8, axis=0).repeat(8, axis=1)).save(path)
    arguments = ("classify", path, "--model", micro_model, "--device", "cpu", "--report", "--grains")
    assert call(*arguments) == 0
    assert "PS-1-minerals.html" in capsys.readouterr().out
    before = (tmp_path / "PS-1-minerals.html").read_bytes()
    assert b"Who touches whom" in before
    assert call(*arguments) == 0  # what is there is kept
    assert (tmp_path / "PS-1-minerals.html").read_bytes() == before
    capsys.readouterr()
    assert call(*arguments[:-1]) == 2  # it has grains
    told = capsys.readouterr().err
    assert "PS-1-minerals.html, PS-1-minerals.xlsx kept, but made of another result or with" in told
    assert (tmp_path / "PS-1-minerals.html").read_bytes() == before
    again = (*arguments[:-2], "--stride-px", 32, "--overwrite")
    assert call(*again) == 0
    assert call(*arguments[:-2], "--stride-px", 32, "--report", "--grains") == 2  # of the older result
    assert call("report", tmp_path / "PS-1.png.oremap", "--grains", "--overwrite") == 0
    assert call(*arguments[:-2], "--stride-px", 32, "--report", "--grains") == 0


def test_a_summary_always_covers_the_pictures_of_the_command(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def summed(name: str = "summary-minerals.xlsx") -> list[str]:
        return list(dict.fromkeys(pd.read_excel(results / name, sheet_name="areas")["measured"]))

    folders = [results / f"PS-{number}.png.oremap" for number in range(2)]
    assert report_classified(folders[:1], grains=False, overwrite=False, quiet=True) == 0
    assert not (results / "summary-minerals.xlsx").exists()
    assert report_classified(folders, grains=False, overwrite=False, quiet=True) == 0
    assert summed() == ["PS-0.png", "PS-1.png", "pooled"]
    before = (results / "summary-minerals.xlsx").read_bytes()
    assert report_classified(folders, grains=False, overwrite=False, quiet=True) == 0
    assert (results / "summary-minerals.xlsx").read_bytes() == before
    shutil.copytree(folders[0], results / "PS-2.png.oremap")
    folders.append(results / "PS-2.png.oremap")
    assert report_classified(folders, grains=False, overwrite=False, quiet=True) == 0
    assert summed() == ["PS-0.png", "PS-1.png", "PS-2.png", "pooled"]
    (results / "summary-minerals.html").write_text("my own", encoding="utf-8")
    assert report_classified(folders[:2], grains=False, overwrite=False, quiet=True) == 0
    assert (results / "summary-minerals.html").read_text(encoding="utf-8") == "my own"
    assert "PS-1.png" in (results / "summary-minerals-2.html").read_text(encoding="utf-8")
    assert report_classified(folders[:1], grains=False, overwrite=False, quiet=True) == 0
    assert "summary-minerals.html is of an earlier command" in capsys.readouterr().err


def test_a_summary_shows_what_is_to_be_minded_of_its_pictures_and_of_pooling(results: Path) -> None:
    folders = [results / f"PS-{number}.png.oremap" for number in range(2)]
    assert call("report", *folders, "--formats", "html,csv", "--out", results / "out") == 0
    page = (results / "out" / "summary-minerals.html").read_text(encoding="utf-8")
    assert "2 pictures say little of how pictures differ" in page
    alone = (results / "out" / "PS-1-minerals.html").read_text(encoding="utf-8")
    minded = re.findall("Mind: (.*?)[.]</p>", alone)
    assert minded
    assert all(note in page for note in minded)
    assert "(PS-0.png, PS-1.png)" in page
    table = pd.read_csv(results / "out" / "summary-minerals.csv")
    assert table["notes"].iloc[-1].startswith("2 pictures say little")
    assert minded[-1] in html.escape(table["notes"][0])


def test_pooled_rows_and_pages_say_where_they_come_from_also_where_pictures_differ(results: Path) -> None:
    other = read_result(results / "PS-1.png.oremap")
    labels = other.labels.copy()
    labels[0, :3] = 3
    model = other.model.model_copy(update={"name": "another", "weights_sha256": "2" * 64})
    shutil.rmtree(results / "PS-1.png.oremap")
    changed = replace(other, model=model, um_per_px=0.25, um_per_px_source="the file", labels=labels)
    write_result(changed, results / "PS-1.png.oremap")
    folders = [results / f"PS-{number}.png.oremap" for number in range(2)]
    assert call("report", *folders, "--formats", "html,csv,xlsx", "--out", results / "out") == 0
    assert call("areas", *folders, "--pool", "--out", results / "areas.csv") == 0
    page = html.unescape((results / "out" / "summary-minerals.html").read_text(encoding="utf-8"))
    about = pd.read_excel(results / "out" / "summary-minerals.xlsx", sheet_name="about").set_index("what")[
        "is"
    ]
    cells = 2 * other.labels.size
    for path in (results / "out" / "summary-minerals.csv", results / "areas.csv"):
        table = pd.read_csv(path)
        last = table[table["measured"] == "pooled"].iloc[-1]
        assert last["model sha256"] == f"{'1' * 64} | {'2' * 64}"
        assert "version 1" in last["model"]
        assert "another version 1" in last["model"]
        assert "0.25 um/px (the file)" in last["scale"]
        assert last["corrections"] == f"3 of {cells} cells of 2 pictures given or confirmed by a user"
        assert last["intervals from"] == "how 2 pictures differ"
        for name in ("model", "model sha256", "scale", "corrections", "options"):
            assert last[name] in page
            assert about[name] == last[name]


def test_what_differs_in_many_pictures_is_told_shortly() -> None:
    measured = [measure(map_of(patches(1)))] * 8
    told = [{"scale": f"{number} um/px", "picture": str(number), "program": "p"} for number in range(8)]
    found = facts_together(told, measured)
    assert found == {
        "scale": " | ".join([*(f"{number} um/px" for number in range(5)), "and 3 more"]),
        "program": "p",
    }
    assert facts_together(told[:1], measured[:1]) == told[0]
    assert facts_together([], []) == {}


def test_notes_of_many_pictures_are_short(results: Path) -> None:
    measured = measure(map_of(patches(1)))
    many = [
        Reported(Path(f"{number}.oremap"), measured=replace(measured, name=str(number)), notes=("mind this",))
        for number in range(12)
    ]
    assert "mind this (0, 1, 2, 3, 4 and 7 more)" in summary_of(many).notes
    each = [replace(one, notes=tuple(f"{one.folder} {number}" for number in range(10))) for one in many]
    assert len(summary_of(each).notes) == 51
    assert "70 more notes stand in the reports of the pictures" in summary_of(each).notes


def test_a_summary_that_exists_is_told_before_the_work(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "summary-minerals.csv").write_text("my own", encoding="utf-8")
    assert call("report", results, "--out", out, "--formats", "csv") == 1
    assert "summary-minerals.csv exists" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["summary-minerals.csv"]


@pytest.mark.parametrize("one", [one for one in FORMATS if one.suffix != ".html"], ids=lambda one: one.suffix)
def test_every_form_holds_what_it_was_made_of(tmp_path: Path, one: Format) -> None:
    known = made_of.mark(made_of.REPORT, ["µ", "result"])
    path = export(replace(shown_of(name="µ.tif"), made_of=known), tmp_path / f"a{one.suffix}")
    assert made_of.holds(path, known)
    assert not made_of.holds(path, known[:-1] + ("0" if known[-1] != "0" else "1"))
    assert not made_of.holds(tmp_path / "no.xlsx", known)
