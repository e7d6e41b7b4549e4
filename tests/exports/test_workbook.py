"""Excel workbooks, opened again with openpyxl."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from export_support import FORMULAS, shown_of

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.exports import workbook
from napari_ore_minerals.exports.formats import export
from napari_ore_minerals.exports.shown import facts
from napari_ore_minerals.exports.tables import tables


def test_one_sheet_per_table_with_numbers_as_numbers(tmp_path: Path) -> None:
    shown = shown_of()
    book = openpyxl.load_workbook(export(shown, tmp_path / "a.xlsx"))
    assert book.sheetnames == [*tables(shown), "about"]
    for name, table in tables(shown).items():
        read = pd.read_excel(tmp_path / "a.xlsx", sheet_name=name)
        pd.testing.assert_frame_equal(read, table.replace(float("inf"), float("nan")), check_dtype=False)
    areas = book["areas"]
    heads = [cell.value for cell in areas[1]]
    formats = {head: areas.cell(2, column).number_format for column, head in enumerate(heads, 1)}
    assert formats["fraction"] == formats["high"] == "0.00%"
    assert formats["area_px"] == "#,##0.00"
    assert formats["cells"] == "#,##0"
    about = {row[0].value: row[1].value for row in book["about"].iter_rows()}
    assert about.items() >= facts(shown).items()


def test_text_is_never_a_formula(tmp_path: Path) -> None:
    shown = shown_of(minerals=FORMULAS, name="=1+1\x07.tif")
    book = openpyxl.load_workbook(export(shown, tmp_path / "a.xlsx"))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert "=cmd|' /C calc'!A0" in {cell.value for cell in cells}
    assert {cell.data_type for cell in cells} <= {"s", "n", "b"}
    assert all(cell.quotePrefix for cell in cells if cell.data_type == "s")


def test_too_many_rows_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workbook, "MOST_ROWS", 3)
    with pytest.raises(OptionError, match=r"rows, a sheet of Excel holds 3: write CSV"):
        export(shown_of(), tmp_path / "a.xlsx")
    assert list(tmp_path.iterdir()) == []
