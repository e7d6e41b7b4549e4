"""Tables of an export, and CSV and JSON files of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_ore_minerals.exports.grain_areas import areas_by_grains
from napari_ore_minerals.exports.shown import POOLED, facts, notes
from napari_ore_minerals.maps.files import write_areas

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.maps.measuring import Measurement

JSON_FORMAT = "napari-ore-minerals export 1"


def tables(shown: Shown) -> dict[str, pd.DataFrame]:
    """All tables by name: areas, then those of grains, where there are grains."""
    found = {"areas": long_table(shown.measured, shown.pooled)}
    if shown.grains is not None:
        found["areas by grains"] = areas_by_grains(shown)
    if shown.grain_tables is not None:
        found["grain sizes"] = shown.grain_tables.sizes
        association = shown.grain_tables.association.rename_axis("boundary, px").reset_index()
        found["who touches whom"] = association
        found["liberation"] = shown.grain_tables.liberation
        found["grains"] = shown.grain_tables.grains
    return found


def long_table(measured: Sequence[Measurement], pooled: pd.DataFrame | None = None) -> pd.DataFrame:
    """Rows of all that was measured below each other, what it is of in the first column, pooled rows last."""
    parts = [one.table.assign(notes="; ".join(one.warnings)) for one in measured]
    names = [one.name for one in measured]
    if pooled is not None:
        parts, names = [*parts, pooled.copy()], [*names, POOLED]
    for part, name in zip(parts, names, strict=True):
        part.insert(0, "measured", name)
    return pd.concat(parts, ignore_index=True)


def with_facts(table: pd.DataFrame, shown: Shown) -> pd.DataFrame:
    """A table with where it comes from in its last columns, the same in every row."""
    return table.assign(**{name: text for name, text in facts(shown).items() if name not in table})


def write_csv(shown: Shown, path: Path) -> None:
    """Write areas as CSV, a row for each mineral of the picture, or of each region or plane; facts come last."""
    write_areas(with_facts(tables(shown)["areas"], shown), path)


def write_grains_csv(shown: Shown, path: Path) -> None:
    """Write a row for each grain as CSV, its facts in the last columns."""
    write_areas(with_facts(tables(shown)["grains"], shown), path)


def write_json(shown: Shown, path: Path) -> None:
    """Write facts, notes, records and all tables as JSON; what is missing is null."""
    mineral_map = shown.mineral_map
    content: dict[str, Any] = {
        "format": JSON_FORMAT,
        "facts": facts(shown),
        "notes": list(notes(shown)),
        "um_per_px": mineral_map.um_per_px,
        "um_per_px_source": mineral_map.um_per_px_source,
        "picture": mineral_map.picture.model_dump(mode="json", exclude={"path"}),
        "model": mineral_map.model.model_dump(mode="json"),
        "run": mineral_map.run.model_dump(mode="json"),
        "minerals": [mineral.model_dump(mode="json") for mineral in mineral_map.minerals],
        "corrected_cells": shown.corrections,
        "tables": {name: _rows(table) for name, table in tables(shown).items()},
    }
    with path.open("x", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def _rows(table: pd.DataFrame) -> Any:
    return json.loads(table.replace([np.inf, -np.inf], np.nan).to_json(orient="records", double_precision=15))
