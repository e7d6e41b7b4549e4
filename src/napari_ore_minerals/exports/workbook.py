"""Excel workbooks: one sheet per table, numbers as numbers, and text that cannot become a formula."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.exports.shown import facts, notes
from napari_ore_minerals.exports.tables import tables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from xlsxwriter.format import Format as CellFormat
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

    from napari_ore_minerals.exports.shown import Shown

MOST_ROWS = 1_048_575  # of a sheet of Excel, without the heading
WIDEST = 60
_OPTIONS = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "in_memory": True,
}
_SHARES = ("fraction", "low", "high", "picture_", "sampling_error", "classifier_error", "fraction_", "mean_confidence",
           "point_count_error", "between_pictures", "within_pictures", "liberation")  # fmt: skip
_WHOLE = ("code", "cells", "corrected_cells", "grains", "whole", "pictures")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # not allowed in XML


def write_workbook(shown: Shown, path: Path) -> None:
    """Write facts, notes and all tables as an Excel workbook, each table on its own sheet.

    Raises
    ------
    OptionError
        If a table has more rows than a sheet can hold.
    OSError
        If the disk refuses.
    """
    write_sheets(path, tables(shown), facts(shown), notes(shown))


def write_sheets(
    path: Path, sheets: Mapping[str, pd.DataFrame], about: Mapping[str, str], doubts: tuple[str, ...] = ()
) -> None:
    """Write tables as sheets, and last where they come from; see `write_workbook`."""
    for name, table in sheets.items():
        if len(table) > MOST_ROWS:
            raise OptionError(
                f"the table of {name} has {len(table):,} rows, a sheet of Excel holds {MOST_ROWS:,}: write CSV instead"
            )
    notes_table = pd.DataFrame({"what": "note", "is": list(doubts)})
    about_table = pd.concat([pd.DataFrame({"what": list(about), "is": list(about.values())}), notes_table])
    workbook = xlsxwriter.Workbook(str(path), _OPTIONS)
    try:
        formats = _formats(workbook)
        for name, table in {**sheets, "about": about_table}.items():
            _fill(workbook.add_worksheet(name[:31]), table, formats)
        workbook.close()
    except XlsxWriterException as error:  # stands for what the disk said
        raise OSError(str(error)) from error


def _formats(workbook: Workbook) -> dict[str, CellFormat]:
    """Of text (with a mark that keeps it text when it is edited), of headings, and of numbers."""
    return {
        "text": workbook.add_format({"quote_prefix": True, "valign": "top"}),
        "head": workbook.add_format({"bold": True, "bottom": 1, "quote_prefix": True}),
        "share": workbook.add_format({"num_format": "0.00%"}),
        "whole": workbook.add_format({"num_format": "#,##0"}),
        "number": workbook.add_format({"num_format": "#,##0.00"}),
        "small": workbook.add_format({"num_format": "0.000000"}),
    }


def _fill(sheet: Worksheet, table: pd.DataFrame, formats: Mapping[str, CellFormat]) -> None:
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(map(str, table.columns)):
        sheet.write_string(0, column, _plain(name), formats["head"])
        kind, values = formats[_kind(name)], table.iloc[:, column].tolist()
        for row, value in enumerate(values, 1):
            _write(sheet, (row, column), value, kind, formats["text"])
        widest = max([len(name), *(len(value) for value in values if isinstance(value, str)), 8])
        sheet.set_column(column, column, min(widest + 2, WIDEST))


def _write(sheet: Worksheet, place: tuple[int, int], value: Any, kind: CellFormat, text: CellFormat) -> None:
    if isinstance(value, str):
        sheet.write_string(*place, _plain(value), text)
    elif isinstance(value, bool | np.bool_):
        sheet.write_boolean(*place, bool(value))
    elif value is not None and np.isfinite(value):
        sheet.write_number(*place, float(value), kind)


def _kind(name: str) -> str:
    if name in _WHOLE:
        return "whole"
    if name.startswith(_SHARES) or "%" in name:
        return "share"
    return "small" if name.endswith("_mm2") else "number"


def _plain(text: str) -> str:
    return _CONTROLS.sub(" ", text)[:32_767]
