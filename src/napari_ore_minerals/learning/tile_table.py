"""The table of a dataset: one row a tile, as pandas reads it, checked before it is used."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.minerals import MineralTable

from .tile_options import SplitBy

PARTS = ("training", "validation", "test")
ORIGINS = ("folder", "mask", "oremap", "hand")
COLUMNS = (
    "tile",
    "photograph",
    "picture",
    "picture_sha256",
    "row_px",
    "column_px",
    "tile_px",
    "deposit",
    "mineral",
    "fraction",
    "origin",
    "sure",
    "part",
    "sha256",
)
_WHOLE_NUMBERS = ("row_px", "column_px", "tile_px")
_LISTED = 3


def listed(names: object) -> str:
    """Write the first few of several names, and how many there are more."""
    found = [str(name) for name in names]  # type: ignore[attr-defined]
    rest = len(found) - _LISTED
    return ", ".join(found[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def read_table(path: Path) -> pd.DataFrame:
    """Read ``tiles.csv``; a spreadsheet may have changed how it writes numbers and truth values.

    Raises
    ------
    DatasetError
        If it is no table of tiles.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"{path} cannot be read as a table of tiles ({why})") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DatasetError(f"{path} is no table of tiles: it lacks {', '.join(missing)}")
    for name in _WHOLE_NUMBERS:
        table[name] = _numbers(table[name], path).astype("int64")
    table["fraction"] = _numbers(table["fraction"], path).astype("float64")
    truth = table["sure"].str.casefold()
    _refuse(table[~truth.isin(["true", "false"])], "sure must be True or False")
    table["sure"] = truth == "true"
    return table


def table_text(table: pd.DataFrame) -> str:
    """Write a table as the text of ``tiles.csv``."""
    text: str = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    return text


def check_table(table: pd.DataFrame, minerals: MineralTable, tile_px: int) -> None:
    """Refuse a table whose values make no sense.

    Raises
    ------
    DatasetError
        For the first thing that is wrong, with the number of tiles.
    """
    names = [mineral.name for mineral in minerals]
    checks = (
        (table["tile"].duplicated(), "have the name of another tile"),
        (table["tile"] == "", "have no name"),
        (table["photograph"] == "", "have no photograph"),
        (table["picture"] == "", "have no picture"),
        (table["tile_px"] != tile_px, f"are not of {tile_px} px as the dataset says"),
        ((table["row_px"] < 0) | (table["column_px"] < 0), "lie outside their picture"),
        (~table["mineral"].isin(["", *names]), f"have a mineral that is none of {', '.join(names)}"),
        (~table["fraction"].between(0.0, 1.0), "have a fraction that is not within 0 and 1"),
        (~table["origin"].isin(["", *ORIGINS]), f"have an origin that is none of {', '.join(ORIGINS)}"),
        (~table["part"].isin(["", *PARTS]), f"have a part that is none of {', '.join(PARTS)}"),
        (~table["sha256"].str.fullmatch("[0-9a-f]{64}"), "have no SHA-256 of their pixels"),
        (table["sha256"].duplicated(), "have the same pixels as another tile"),
    )
    for wrong, what in checks:
        _refuse(table[wrong], what)


def check_split(table: pd.DataFrame, *, by: SplitBy = "deposit") -> None:
    """Refuse a split that leaks: what was learnt from must not be what is measured on.

    Parameters
    ----------
    table
        Of tiles.
    by
        "deposit" refuses test tiles from a known deposit that training saw; "photograph" lets them be.

    Raises
    ------
    DatasetError
        If a photograph, a picture or the pixels of a tile are in more than one part, or a test deposit
        is in training.
    """
    parted = table[table["part"] != ""]
    for column, what in (
        ("photograph", "photographs"),
        ("picture_sha256", "pictures"),
        ("sha256", "tiles of the same pixels"),
    ):
        parts = parted.groupby(column, sort=True)["part"].nunique()
        leaking = parts.index[parts > 1]
        if len(leaking):
            raise DatasetError(
                f"the split leaks: {len(leaking)} of {len(parts)} {what} are in more than one part "
                f"({listed(leaking)}): split the dataset anew"
            )
    if by == "deposit":
        known = parted[parted["deposit"] != ""]
        learnt = set(known.loc[known["part"] == "training", "deposit"])
        both = sorted(learnt & set(known.loc[known["part"] == "test", "deposit"]))
        if both:
            raise DatasetError(
                f"the split leaks: {len(both)} of {known['deposit'].nunique()} deposits are in training and in test "
                f"({listed(both)}): split the dataset anew, or ask for a split by photograph"
            )


def _numbers(values: pd.Series[str], path: Path) -> pd.Series[float]:
    try:
        return pd.to_numeric(values, errors="raise")
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{path}: {values.name} must be numbers ({error})") from error


def _refuse(wrong: pd.DataFrame, what: str) -> None:
    if len(wrong):
        raise DatasetError(f"{len(wrong)} tiles {what}: {listed(wrong['tile'])}")
