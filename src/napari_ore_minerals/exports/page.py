"""The report of a map as one HTML page that needs nothing from elsewhere and runs nothing."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from PIL import Image

from napari_ore_minerals.exports.figures import (
    areas_figure,
    ground_of,
    heatmaps_figure,
    jpeg_of,
    neighbours_figure,
    percent,
    png_of,
    sheet_of,
)
from napari_ore_minerals.exports.grain_areas import areas_by_grains
from napari_ore_minerals.exports.method import citations, method, whole_in_words
from napari_ore_minerals.exports.shown import PROGRAM, facts, notes, scale_in_words
from napari_ore_minerals.markup import (
    Markup,
    figure_markup,
    number,
    page,
    paragraph,
    safe,
    section_markup,
    table_markup,
)
from napari_ore_minerals.plots import any_script

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from napari_ore_minerals.exports.shown import Shown

PICTURE_WIDTH_PX = 880


def write_page(shown: Shown, path: Path) -> None:
    """Write the report: picture, map, tables, plots, heatmaps, method, citations and facts."""
    with path.open("x", encoding="utf-8") as file:
        file.write(report_page(shown))


@any_script()
def report_page(shown: Shown) -> str:
    """Return the whole page."""
    ground = ground_of(shown)
    return page(
        f"Minerals of {shown.name}",
        [
            _summary(shown),
            _map(shown, ground),
            _areas(shown),
            _grains(shown),
            _heatmaps(shown, ground),
            _method(shown),
            _facts(shown),
        ],
    )


def _summary(shown: Shown) -> Markup:
    table = shown.together
    ordered = table[table["fraction"].notna() & (table["kind"] == "ore")]
    ordered = ordered.sort_values("fraction", ascending=False)
    named = [f"{row['mineral']} {percent(row)}" for row in ordered.head(3).to_dict("records")]
    picture = shown.mineral_map.picture
    size = f"{picture.width_px:,} x {picture.height_px:,} px, {scale_in_words(shown.mineral_map)}"
    lines = [paragraph(f"{PROGRAM}, classified {shown.mineral_map.run.created[:10]}; {size}", "faint")]
    if named:
        lines.append(paragraph(f"Most common ore minerals by area: {'; '.join(named)}.", "lead"))
    lines += [paragraph(f"Mind: {note}.", "note") for note in notes(shown)]
    return Markup("\n".join(lines))


def _map(shown: Shown, ground: NDArray[np.uint8] | None) -> Markup:
    parts = []
    where = "" if shown.pooled is None else f", {shown.seen.name}"
    if ground is not None:
        parts.append(
            figure_markup(
                jpeg_of(Image.fromarray(ground)),
                f"The photograph {shown.name}{where}.",
                width_px=PICTURE_WIDTH_PX,
            )
        )
    what = "Grains" if shown.grains is not None else "Cells"
    caption = f"{what} by mineral{where}" + (", over the photograph." if ground is not None else ".")
    corrected = f" {shown.corrections:,} cells were named or confirmed by hand." if shown.corrections else ""
    parts.append(
        figure_markup(jpeg_of(sheet_of(shown, ground)), caption + corrected, width_px=PICTURE_WIDTH_PX + 120)
    )
    return section_markup("The map", *parts)


def _areas(shown: Shown) -> Markup:
    parts = [
        figure_markup(png_of(areas_figure(shown)), "Bars are fractions of area, whiskers 95 % intervals.")
    ]
    for one in shown.measured:
        title = (
            f"{one.name}: 95 % intervals from {one.blocks} blocks of {one.block_px:.0f} px, grains of about "
            f"{one.grain_px:.0f} px. “This picture” is the interval for what the picture shows, the other for the "
            "section that it is a part of."
        )
        parts.append(_area_table(one.table, title))
    if shown.pooled is not None:
        parts.append(_area_table(shown.pooled, "All planes together, with what differs between them."))
    return section_markup("How much of each mineral", *parts)


def _area_table(table: pd.DataFrame, caption: str) -> Markup:
    has = [name for name in _COLUMNS if name in table]
    rows = []
    for row in table.to_dict("records"):
        cells: list[object] = [row["mineral"], row["symbol"]]
        cells += [_shown(name, row) for name in has]
        rows.append(cells)
    return table_markup(["mineral", "", *(_COLUMNS[name] for name in has)], rows, caption, texts=2)


_COLUMNS = {
    "fraction": "area %",
    "picture_low": "this picture",
    "fraction_adjusted": "adjusted %",
    "fraction_by_cells": "by cells %",
    "fraction_by_grains": "by grains %",
    "fraction_of_ore": "of ore %",
    "area_mm2": "mm²",
    "cells": "cells",
    "corrected_cells": "by hand",
    "mean_confidence": "confidence",
    "effective_n": "effective n",
    "between_pictures": "between pictures %",
}


def _shown(name: str, row: Mapping[Hashable, Any]) -> object:
    value = float(row[name])
    if name == "fraction" and not math.isnan(value):
        low, high = float(row["low"]), float(row["high"])
        ends = "" if math.isnan(low) else f'<span class="range">{100 * low:.1f} to {100 * high:.1f}</span>'
        return Markup(f"{100 * value:.1f}{ends}")
    if name == "picture_low":
        return "–" if math.isnan(value) else f"{100 * value:.1f} to {100 * float(row['picture_high']):.1f}"
    if name in ("cells", "corrected_cells", "effective_n"):
        return f"{value:,.0f}" if math.isfinite(value) else "–"
    if name == "area_mm2":
        return "–" if math.isnan(value) else f"{value:.4g}"
    return number(value) if name == "mean_confidence" else number(100 * value, 1)


def _grains(shown: Shown) -> Markup:
    if shown.grains is None or shown.grain_tables is None:
        return Markup("")
    unit = "px" if shown.mineral_map.um_per_px is None else "um"
    title = "px" if unit == "px" else "µm"
    by_grains = areas_by_grains(shown)
    shares = dict(zip(by_grains["code"], by_grains["fraction"], strict=True))
    rows: list[list[object]] = []
    for row in shown.grain_tables.sizes.to_dict("records"):
        sizes = [number(row[f"{name}_{unit}"], 1) for name in ("d10", "d50", "d90", "d50_by_area")]
        area = number(100 * shares.get(row["code"], math.nan), 1)
        counts = [f"{row['grains']:,}", f"{row['whole']:,}"]
        rows.append([row["mineral"], area, *counts, *sizes, number(row["mean_aspect"])])
    heads = ["mineral", "area %", "grains", "not cut", f"d10, {title}", f"d50, {title}", f"d90, {title}"]
    sizes_table = table_markup(
        [*heads, f"d50 by area, {title}", "aspect"],
        rows,
        "Grains are connected areas of one mineral, "
        f"{'of the whole picture, not of the regions' if shown.of_regions else 'of the picture'}; their areas are "
        f"fractions of {whole_in_words(shown.seen)}. Diameters are of circles of the same area, of grains that are not "
        "cut by the edge, by number and by area.",
    )
    return section_markup("Grains", sizes_table, _neighbours(shown), _association(shown), _liberation(shown))


def _neighbours(shown: Shown) -> Markup:
    figure = neighbours_figure(shown)
    if figure is None:
        return Markup("")
    return figure_markup(png_of(figure), "Who touches whom, and how free each ore mineral is.")


def _association(shown: Shown) -> Markup:
    if shown.grain_tables is None:
        return Markup("")
    table = shown.grain_tables.association
    rows: list[list[object]] = []
    for name, line, length in zip(table.index, table.to_numpy(float), table.sum(axis=1), strict=True):
        rows.append([name, *(number(100 * value / length if length else math.nan, 1) for value in line)])
    return table_markup(
        ["", *map(str, table.columns)],
        rows,
        "Who touches whom: per cent of the boundary of the mineral on the left.",
    )


def _liberation(shown: Shown) -> Markup:
    if shown.grain_tables is None or shown.grain_tables.liberation.empty:
        return Markup("")
    table = shown.grain_tables.liberation
    classes = [name for name in table.columns if "%" in str(name)]
    rows: list[list[object]] = [
        [
            row["mineral"],
            number(100 * row["liberation"], 1),
            *(number(100 * row[name], 1) for name in classes),
        ]
        for row in table.to_dict("records")
    ]
    return table_markup(
        ["mineral", "liberation %", *map(str, classes)],
        rows,
        "Liberation by area: mean share of its particle that the mineral makes up, and how its area is spread over "
        "classes of that share.",
    )


def _heatmaps(shown: Shown, ground: NDArray[np.uint8] | None) -> Markup:
    caption = (
        "Class activation maps (Zhou et al. 2016): red where most speaks for the mineral, blue where nothing does, all "
        "on one scale."
    )
    return section_markup(
        "What the classifier looked at", figure_markup(png_of(heatmaps_figure(shown, ground)), caption)
    )


def _method(shown: Shown) -> Markup:
    cited = "".join(f"<li>{safe(source)}</li>" for source in citations(shown))
    return section_markup(
        "Method", *(paragraph(text) for text in method(shown)), Markup(f"<p>Please cite:</p><ul>{cited}</ul>")
    )


def _facts(shown: Shown) -> Markup:
    rows = [[name, Markup(f'<span class="long">{safe(text)}</span>')] for name, text in facts(shown).items()]
    return section_markup("Where this comes from", table_markup(["", ""], rows, "", texts=2))
