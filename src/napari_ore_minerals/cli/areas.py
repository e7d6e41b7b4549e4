"""Command of ``ore-minerals``: areas, with their errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_ore_minerals.cli.console import SOME_FAILED, fail, sentence, tell
from napari_ore_minerals.cli.measured import Found, as_json, print_found, print_pooled, table_of
from napari_ore_minerals.cli.models import model_named
from napari_ore_minerals.cli.named import results_named
from napari_ore_minerals.errors import ModelError, OptionError, OreMineralsError

if TYPE_CHECKING:
    import pandas as pd
    from cyclopts import App

    from napari_ore_minerals.maps.adjusting import Reference
    from napari_ore_minerals.maps.measuring import Asked, Measurement
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.card import ModelCard


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
        Take all results as pictures of one section or deposit; not with regions, which are no pictures.
    out
        CSV file to write with all rows; it must not exist.
    json_output
        Print JSON instead of tables.
    """
    from napari_ore_minerals.maps.files import write_areas

    folders = results_named(results)
    if not folders:
        return fail("no result folders (.oremap) were found in what was named")
    wrong = _wrong(len(folders), region=region, checked=checked, pool=pool, out=out)
    if wrong:
        return fail(wrong)
    reference_of = reference_for(model)
    found: list[Found] = []
    failed: dict[str, str] = {}
    for folder in folders:
        try:
            one = _measured(
                folder, lambda it: asked_for(it.minerals, of, without), reference_of, region, checked
            )
        except (OreMineralsError, OSError, MemoryError) as error:
            failed[str(folder)] = sentence(error)
            tell(f"{folder.name}: {sentence(error)}")
            continue
        found.append(one)
        if not json_output:
            print_found(one)
    if not found:
        return fail("nothing was measured")
    parts = [part for one in found for part in one.parts]
    pooled, apart = _pooled(parts) if pool else (None, "")
    for what in sorted({one.reference.what for one in found if one.reference is not None}):
        tell(f"the classifier's error is that on {what}")
    if json_output:
        print(json.dumps(as_json(found, pooled, failed), indent=2))
    elif pooled is not None:
        print_pooled(pooled, len(parts))
    if out is not None:
        write_areas(table_of(found, pooled), out)
        tell(f"areas: {out}")
    if failed:
        tell(f"{len(failed)} of {len(folders)} results failed")
    if apart:
        tell(f"the pictures were not pooled: {apart}")
    return SOME_FAILED if failed or apart else 0


def register(app: App, _models_app: App) -> None:
    """Add the command."""
    app.command(areas)


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


def _wrong(results: int, *, region: Path | None, checked: Path | None, pool: bool, out: Path | None) -> str:
    """Say in one sentence what cannot be asked for together; empty where all can."""
    if out is not None and out.exists():
        return f"{out} exists: name another file for the table"
    if results > 1 and (region is not None or checked is not None):
        return f"--region and --checked are for one result, {results} were named"
    if pool and region is not None:
        return "--pool takes pictures together and --region measures parts of one: give one of the two"
    return ""


def _measured(
    folder: Path,
    choose: Callable[[MineralMap], Asked],
    reference_of: Callable[[MineralMap], Reference | None],
    region: Path | None,
    checked: Path | None,
) -> Found:
    """Measure a result: the whole of it, or its regions."""
    from napari_ore_minerals.maps.files import SUFFIX, read_result
    from napari_ore_minerals.maps.measuring import measure, measure_regions
    from napari_ore_minerals.maps.region_files import measure_checked, read_regions

    mineral_map = read_result(folder)
    reference = reference_of(mineral_map)
    asked = replace(choose(mineral_map), name=folder.name.removesuffix(SUFFIX))
    if region is None:
        parts: tuple[Measurement, ...] = (measure(mineral_map, asked, reference),)
    else:
        parts = measure_regions(mineral_map, read_regions(mineral_map, region), asked, reference)
    cells = None if checked is None else measure_checked(mineral_map, checked)
    return Found.of(mineral_map, parts, reference, cells)


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


def _pooled(found: list[Measurement]) -> tuple[pd.DataFrame | None, str]:
    """Pictures pooled, or a sentence that says why they do not fit together."""
    from napari_ore_minerals.maps.pooling import pool

    try:
        return pool(found), ""
    except OptionError as error:
        return None, str(error)
