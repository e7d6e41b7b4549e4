"""Command of ``ore-minerals``: areas, with their errors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_ore_minerals.cli.console import fail, tell
from napari_ore_minerals.cli.models import model_named
from napari_ore_minerals.errors import ModelError, OptionError

if TYPE_CHECKING:
    import pandas as pd
    from cyclopts import App

    from napari_ore_minerals.maps.adjusting import Reference
    from napari_ore_minerals.maps.measuring import Asked, Measurement
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.card import ModelCard

_NAMES = ("mineral", "cells")
_PERCENT = {
    "%": "fraction",
    "adjusted": "fraction_adjusted",
    "by cells": "fraction_by_cells",
}


def areas(  # noqa: PLR0913 - a command's flags
    results: list[Path],
    /,
    *,
    of: Literal["picture", "ore"] = "picture",
    without: tuple[str, ...] = (),
    region: Path | None = None,
    model: str | None = None,
    checked: Path | None = None,
    pool: bool = False,
    out: Path | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Measure areas with their errors in results of ``classify``, and pool them.

    Example: ore-minerals areas results --of ore --pool --out areas.csv

    Parameters
    ----------
    results
        Result folders (.oremap), or folders of them.
    of
        What fractions are of: all that was measured, or the ore minerals alone.
    without
        Names of further minerals, or "unclassified", to leave out of what fractions are of; may be given several
        times.
    region
        Shapes saved by napari as CSV, or a mask picture of the same size; each shape or value is a region.
    model
        Whose card says how it errs: a model folder, the number of a version of yours, or "bundled"; by default
        the model that made the map, if it is here.
    checked
        CSV file with the columns mapped, true, cells: cells drawn at random in each mapped class and looked at.
    pool
        Take all results as pictures of one section or deposit.
    out
        CSV file to write with all rows; it must not exist.
    json_output
        Print JSON instead of tables.
    """
    from napari_ore_minerals.exports.tables import long_table
    from napari_ore_minerals.maps.files import SUFFIX, read_result, write_areas

    folders = list(result_folders(results))
    if not folders:
        return fail("no result folders (.oremap) were found in what was named")
    if out is not None and out.exists():
        return fail(f"{out} exists: name another file for the table")
    if len(folders) > 1 and (region is not None or checked is not None):
        return fail(f"--region and --checked are for one result, {len(folders)} were named")
    reference_of = reference_for(model)
    found: list[Measurement] = []
    checks: list[pd.DataFrame] = []
    sources: set[str] = set()
    for folder in folders:
        mineral_map = read_result(folder)
        reference = reference_of(mineral_map)
        asked = asked_for(mineral_map.minerals, of, without)
        parts = _measured(
            mineral_map, replace(asked, name=folder.name.removesuffix(SUFFIX)), reference, region
        )
        found += parts
        sources |= set() if reference is None else {reference.what}
        if not json_output:
            _print(parts)
        if checked is not None:
            checks.append(_checked(mineral_map, checked))
            if not json_output:
                print("\nAdjusted by the cells that were checked (Olofsson et al. 2014)")
                print(checks[-1].to_string(index=False, float_format="{:.4f}".format))
    pooled = _pooled(found) if pool else None
    for what in sorted(sources):
        tell(f"the classifier's error is that on {what}")
    if json_output:
        print(json.dumps(_as_json(found, pooled, checks), indent=2))
    elif pooled is not None:
        _print_pooled(pooled, len(found))
    if out is not None:
        write_areas(long_table(found, pooled), out)
        tell(f"areas: {out}")
    return 0


def register(app: App, _models_app: App) -> None:
    """Add the command."""
    app.command(areas)


def result_folders(named: list[Path]) -> list[Path]:
    """Result folders that were named, and those in the folders that were named."""
    from napari_ore_minerals.maps.files import RUN_NAME, SUFFIX

    found = []
    for path in named:
        inside = path.is_dir() and not (path / RUN_NAME).is_file()
        found += sorted(path.glob(f"*{SUFFIX}")) if inside else [path]
    return found


def asked_for(minerals: MineralTable, of: str, without: tuple[str, ...]) -> Asked:
    """What fractions are of, as flags say it."""
    from napari_ore_minerals.maps.measuring import Asked, ore_only
    from napari_ore_minerals.minerals import UNCLASSIFIED

    codes = set(ore_only(minerals) if of == "ore" else ())
    for name in without:
        try:
            codes.add(UNCLASSIFIED if name == "unclassified" else minerals.by_name(name).code)
        except KeyError as error:
            raise OptionError(f"--without: {error.args[0]}, unclassified") from error
    return Asked(without=tuple(sorted(codes)))


def _measured(
    mineral_map: MineralMap, asked: Asked, reference: Reference | None, region: Path | None
) -> tuple[Measurement, ...]:
    from napari_ore_minerals.maps.measuring import measure, measure_regions
    from napari_ore_minerals.maps.region_files import read_regions

    if region is None:
        return (measure(mineral_map, asked, reference),)
    return measure_regions(mineral_map, read_regions(mineral_map, region), asked, reference)


def _card(folder: Path) -> ModelCard:
    from napari_ore_minerals.models.card import read_card

    return read_card(folder)


def _cards(mineral_map: MineralMap) -> list[ModelCard]:
    """Card of the model that made a map, if it is bundled or in the store."""
    from napari_ore_minerals.models.classifier import bundled
    from napari_ore_minerals.models.versions import ModelStore

    cards = [version.card for version in ModelStore().versions()]
    try:
        cards.append(_card(bundled()))
    except ModelError as error:
        tell(str(error))
    return [card for card in cards if card.weights_sha256 == mineral_map.model.weights_sha256]


def reference_for(model: str | None) -> Callable[[MineralMap], Reference | None]:
    """How the model that is named errs, or the one that made each map."""
    from napari_ore_minerals.maps.adjusting import Reference

    named = [] if model is None else [_card(model_named(model))]

    def reference_of(mineral_map: MineralMap) -> Reference | None:
        cards = named or _cards(mineral_map)
        return Reference.from_card(cards[0], mineral_map.minerals) if cards else None

    return reference_of


def _pooled(found: list[Measurement]) -> pd.DataFrame:
    from napari_ore_minerals.maps.pooling import pool

    return pool(found)


def _checked(mineral_map: MineralMap, path: Path) -> pd.DataFrame:
    from napari_ore_minerals.maps.region_files import measure_checked

    return measure_checked(mineral_map, path)


def _print(parts: tuple[Measurement, ...]) -> None:
    for part in parts:
        print(f"\n{part.name}")
        print(_shown(part.table).to_string(index=False))
        print(
            f"95 % intervals from {part.blocks} blocks of {part.block_px:.0f} px; "
            f"grains of about {part.grain_px:.0f} px"
        )
        for warning in part.warnings:
            print(f"Note: {warning}")


def _print_pooled(pooled: pd.DataFrame, pictures: int) -> None:
    from napari_ore_minerals.maps.pooling import FEW_PICTURES

    print(f"\nPooled: {pictures} pictures")
    print(_shown(pooled).to_string(index=False))
    if 1 < pictures < FEW_PICTURES:
        print(
            f"Note: {pictures} pictures say little of how pictures differ; with {FEW_PICTURES} or more "
            "the intervals become shorter"
        )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Percentages and intervals as they are printed."""
    import numpy as np

    shown = table[[name for name in _NAMES if name in table]].copy()
    for title, name in _PERCENT.items():
        if name in table:
            shown[title] = (100 * table[name]).map("{:.1f}".format).where(table[name].notna(), "")
        if title == "%":
            shown["95 % interval"] = _ends(table, "low", "high")
    if "picture_low" in table and table["picture_low"].notna().any():
        shown["this picture"] = _ends(table, "picture_low", "picture_high")
    if "effective_n" in table:
        known = np.isfinite(table["effective_n"])
        shown["effective n"] = [
            f"{n:.0f}" if there else "" for n, there in zip(table["effective_n"], known, strict=True)
        ]
    if table["area_mm2"].notna().any():
        shown["area, mm2"] = table["area_mm2"].map("{:.4g}".format)
    return shown


def _ends(table: pd.DataFrame, low: str, high: str) -> list[str]:
    return [
        "" if math.isnan(first) else f"{100 * first:.1f} to {100 * last:.1f}"
        for first, last in zip(table[low], table[high], strict=True)
    ]


def _as_json(
    found: list[Measurement], pooled: pd.DataFrame | None, checks: list[pd.DataFrame]
) -> dict[str, Any]:
    def rows(table: pd.DataFrame) -> Any:
        return json.loads(table.to_json(orient="records"))

    return {
        "measured": [
            {
                "name": one.name,
                "um_per_px": one.um_per_px,
                "grain_px": one.grain_px,
                "block_px": one.block_px,
                "blocks": one.blocks,
                "areas": rows(one.table),
                "notes": list(one.warnings),
            }
            for one in found
        ],
        "pooled": None if pooled is None else rows(pooled),
        "checked": [rows(table) for table in checks],
    }
