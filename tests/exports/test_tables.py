"""Exports: the forms, what stands in all of them, and what must never happen to a user's files."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from export_support import FORMULAS, shown_of, shown_of_planes

from napari_ore_minerals.errors import OptionError, ResultError
from napari_ore_minerals.exports import figures, formats
from napari_ore_minerals.exports.figures import percent, sheet_of
from napari_ore_minerals.exports.formats import FORMATS, Format, export, format_of
from napari_ore_minerals.exports.grain_areas import areas_by_grains, disagreement
from napari_ore_minerals.exports.method import method
from napari_ore_minerals.exports.shown import Shown, facts, notes
from napari_ore_minerals.exports.tables import tables
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.measuring import Asked, measure, measure_regions, ore_only
from napari_ore_minerals.maps.overlay import Sheet

QUICK = [one for one in FORMATS if one.suffix not in (".pdf", ".html")]  # these take a second or two


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_facts_name_model_scale_corrections_and_whole() -> None:
    found = facts(shown_of())
    assert found["model sha256"] == "1" * 64
    assert found["model"] == "micro version 1 (ore_swin_micro)"
    assert found["scale"] == "0.5 um/px (given by the user)"
    assert found["corrections"].startswith("2 of 48 cells")
    assert found["fractions of"].startswith("arsenopyrite, chalcopyrite")
    assert "tile_px" not in found["options"]  # None is what was left to the program
    assert facts(shown_of(um_per_px=None))["scale"] == "not known"


def test_csv_has_its_facts_in_every_row(tmp_path: Path) -> None:
    shown = shown_of()
    export(shown, tmp_path / "new" / "areas.csv")
    with (tmp_path / "new" / "areas.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mineral"] for row in rows] == list(shown.measured[0].table["mineral"])
    assert sum(float(row["fraction"]) for row in rows) == pytest.approx(1.0)
    for name, text in facts(shown).items():
        assert {row[name] for row in rows} == {text}


@pytest.mark.parametrize("suffix", [".csv", ".grains.csv"])
def test_text_cells_cannot_become_formulas(tmp_path: Path, suffix: str) -> None:
    path = export(shown_of(minerals=FORMULAS, name="=1+1.tif"), tmp_path / f"a{suffix}")
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert rows
    for cell in [*head, *(cell for row in rows for cell in row)]:
        if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
            float(cell)  # a number below 0 is no formula
    assert any("'=cmd|" in cell for row in rows for cell in row)


def test_json_is_strict_and_holds_every_table(tmp_path: Path) -> None:
    shown = shown_of(um_per_px=None)
    path = export(shown, tmp_path / "a.json")

    def refuse(text: str) -> None:
        raise AssertionError(text)

    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert content["facts"] == facts(shown)
    assert content["notes"] == list(notes(shown))
    assert set(content["tables"]) == set(tables(shown))
    assert content["tables"]["areas"][0]["area_um2"] is None
    areas = [row["area_px"] for row in content["tables"]["areas"]]
    assert areas == pytest.approx(list(shown.measured[0].table["area_px"]))


def test_areas_by_grains_are_those_of_the_grain_map() -> None:
    shown = shown_of()
    table = tables(shown)["areas by grains"].set_index("code")
    assert shown.grains is not None
    assert table["area_px"].to_dict() == shown.grains.area_px()
    assert table["fraction"].sum() == pytest.approx(1.0)
    gone = shown.mineral_map.processed.copy()
    gone[-1] = False  # below row 160 of 190, where the last 8 rows have no grain
    labels = np.where(gone, shown.mineral_map.labels, 0).astype(np.uint8)
    partial = replace(shown, mineral_map=replace(shown.mineral_map, processed=gone, labels=labels))
    assert areas_by_grains(partial)["area_px"].sum() == 182 * 250


def test_areas_by_grains_are_fractions_of_the_same_as_the_areas() -> None:
    shown = shown_of()
    ore = measure(shown.mineral_map, Asked(without=ore_only(shown.mineral_map.minerals)))
    table = tables(replace(shown, measured=(ore,)))["areas by grains"].set_index("mineral")
    assert table["fraction"].isna().to_dict()["gangue"]
    assert table["fraction"].isna().to_dict()["unclassified"]
    assert table["fraction"].sum() == pytest.approx(1.0)
    assert table["area_px"].sum() == 190 * 250


def test_grains_of_the_whole_picture_are_said_to_be_so_where_regions_are_measured() -> None:
    shown = shown_of()
    left = np.zeros(shown.mineral_map.class_maps.shape[1:])
    left[:, :16] = 1
    for regions in ({"left": left}, {"left": left, "right": 1 - left}):
        of_regions = replace(shown, measured=measure_regions(shown.mineral_map, regions))
        assert facts(of_regions)["grains"].endswith(", of the whole picture")
        assert "tables and pictures of grains are of the whole picture, not of the regions" in notes(
            of_regions
        )
        assert "not in the regions alone" in method(of_regions)[-1]
    assert "whole picture" not in facts(shown)["grains"]
    assert not any("whole picture" in note for note in notes(shown))


def test_grains_that_disagree_with_the_map_are_told() -> None:
    shown = shown_of()
    assert shown.grains is not None
    table = shown.seen.table.assign(picture_low=0.0, picture_high=1.0)
    shares = areas_by_grains(shown).set_index("code")["fraction"]
    same = table.assign(fraction=[shares[code] for code in table["code"]])
    assert disagreement(replace(shown, measured=(replace(shown.seen, table=same),))) == ""
    for off, half_width, wanted in ((0.009, 0.0, False), (0.05, 0.03, True), (0.05, 0.06, False)):
        fraction = same["fraction"] + [off, *[0.0] * (len(same) - 1)]
        one = same.assign(fraction=fraction, relative_accuracy=100 * half_width / fraction)
        found = notes(replace(shown, measured=(replace(shown.seen, table=one),)))
        assert any("the grains give other fractions" in note for note in found) is wanted
        assert any("arsenopyrite" in note and "against" in note for note in found) is wanted


def test_the_legend_of_grains_has_their_fractions(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Sheet] = []
    monkeypatch.setattr(figures, "drawn", drawn.append)
    shown = shown_of()
    sheet_of(shown, None)
    assert drawn[0].legend_title == "area by grains"
    shares = areas_by_grains(shown)["fraction"]
    assert [text.rpartition("  ")[2] for _, text in drawn[0].legend] == [f"{share:.1%}" for share in shares]


def test_the_longest_suffix_chooses() -> None:
    assert format_of(Path("A.GRAINS.CSV")).suffix == ".grains.csv"
    assert format_of(Path("a.b.csv")).suffix == ".csv"
    with pytest.raises(OptionError, match=r"a\.doc does not say what to write: end its name in \.csv"):
        format_of(Path("a.doc"))
    assert len({one.suffix for one in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize("one", QUICK, ids=lambda one: one.suffix)
def test_nothing_is_replaced_unasked_and_everything_when_asked(tmp_path: Path, one: Format) -> None:
    shown, path = shown_of(), tmp_path / f"a{one.suffix}"
    export(shown, path)
    before = (
        {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        if one.folder
        else path.read_bytes()
    )
    with pytest.raises(ResultError, match="exists"):
        export(shown, path)
    after = (
        {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        if one.folder
        else path.read_bytes()
    )
    assert before == after
    assert export(shown, path, overwrite=True) == path
    assert leftovers(tmp_path) == [path.name]


@pytest.mark.parametrize("one", QUICK, ids=lambda one: one.suffix)
def test_a_failure_leaves_nothing(tmp_path: Path, one: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(shown: Shown, path: Path) -> None:
        one.write(shown, path)
        raise OSError(28, "No space left on device")

    broken = Format(one.suffix, "", fail, folder=one.folder)
    monkeypatch.setattr(formats, "FORMATS", (broken,))
    with pytest.raises(ResultError, match="could not be written: No space left"):
        export(shown_of(), tmp_path / f"a{one.suffix}")
    assert leftovers(tmp_path) == []


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be written without grains"):
        export(shown_of(grains=False), tmp_path / "a.grains.csv")
    shown = shown_of()
    with pytest.raises(OptionError, match="there is nothing to export"):
        Shown(shown.mineral_map, ())
    with pytest.raises(OptionError, match=r"the map is of 190 x 250 px, .* is of 10 x 10"):
        Shown.of(shown.mineral_map, micrograph=shown_of_size(10))


def shown_of_size(side: int) -> Micrograph:
    return Micrograph.from_array(np.zeros((side, side, 3), np.uint8), name="small")


def test_exports_load_neither_torch_nor_napari() -> None:
    code = "import sys, napari_ore_minerals.exports.formats as f; f.FORMATS; sys.exit(bool({'torch', 'napari'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_planes_have_their_names_and_the_map_its_own_figures(tmp_path: Path) -> None:
    shown = shown_of_planes()
    for name in ("a.csv", "a.json", "a.html"):
        export(shown, tmp_path / name)
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(dict.fromkeys(table["measured"])) == ["plane 1", "plane 2", "pooled"]
    assert set(table["planes"]) == {"plane 1, plane 2; map, fingerprint and corrections are of plane 1"}
    assert "regions" not in table
    assert any("shows one of 2 planes, plane 1" in note for note in notes(shown))
    assert "Each of 2 planes" in " ".join(method(shown))
    assert "regions" not in " ".join(method(shown))
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "All planes together" in page
    assert "Cells by mineral, plane 1" in page
    assert shown.pooled is not None
    for fraction in shown.pooled["fraction"]:
        assert f">{100 * fraction:.1f}<" in page


def test_the_legend_of_a_plane_is_that_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Sheet] = []
    monkeypatch.setattr(figures, "drawn", drawn.append)
    shown = shown_of_planes()
    sheet_of(shown, None)
    assert drawn[0].legend_title.endswith(": plane 1")
    assert [text.rpartition("  ")[2] for _, text in drawn[0].legend] == [
        percent(row) for row in shown.measured[0].table.to_dict("records")
    ]
