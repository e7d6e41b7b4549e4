"""The report of a comparison: the paper's tables and figures, ours beside them, in one HTML page."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from napari_ore_minerals import __version__
from napari_ore_minerals.markup import (
    Markup,
    figure_markup,
    number,
    page,
    paragraph,
    ranged,
    safe,
    section_markup,
    table_markup,
)

from .intervals import FIGURES


@dataclass(frozen=True)
class Comparison:
    """What the report shows.

    Attributes
    ----------
    dataset, part : str
    tables : mapping of str to DataFrame
        As `comparison_files.tables_of` makes them.
    figures : mapping of str to Path
        PNG files by name.
    facts : mapping of str to str
        What is needed to repeat it.
    notices : tuple of str
        What the reader should mind.
    """

    dataset: str
    part: str
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, Path]
    facts: Mapping[str, str]
    notices: tuple[str, ...] = ()


def report_page(comparison: Comparison) -> str:
    """Return the whole page."""
    sections = (
        _summary,
        _headlines,
        _table2,
        _table3,
        _curves,
        _confusions,
        _mistakes,
        _transfer,
        _heatmaps,
        _calibration,
        _repeat,
    )
    title = f"Classifiers of ore minerals, compared on {comparison.dataset}"
    return page(title, [section(comparison) for section in sections])


def _summary(comparison: Comparison) -> Markup:
    table = comparison.tables["headlines"]
    when = datetime.datetime.now(datetime.UTC).strftime("%d %B %Y, %H:%M UTC")
    lines = [paragraph(f"napari-ore-minerals {__version__}, {when}", "faint")]
    order = table.sort_values("balanced accuracy", ascending=False)
    networks, forests = (order[order["network"] == wanted] for wanted in (True, False))
    for what, rows in (("Best network", networks), ("Baseline", forests)):
        for row in rows[rows["not trained"] == ""].head(1).to_dict("records"):
            lines.append(
                paragraph(
                    f"{what} on the {comparison.part} tiles: {row['model']}, accuracy {_words(row, 'accuracy')}, "
                    f"balanced accuracy {_words(row, 'balanced accuracy')}.",
                    "lead",
                )
            )
    lines += [_beside_the_forest(row) for row in networks.dropna(subset=["gain"]).head(1).to_dict("records")]
    failed = table[table["not trained"] != ""]
    for name, why in zip(failed["model"], failed["not trained"], strict=True):
        lines.append(paragraph(f"{name} was not trained: {why}", "note"))
    lines += [paragraph(f"Mind: {notice}.", "note") for notice in comparison.notices]
    return Markup("\n".join(lines))


def _beside_the_forest(row: Mapping[Hashable, float]) -> Markup:
    difference, low, high = (row[f"gain{end}"] for end in ("", " low", " high"))
    found = f"{difference:+.2f}" + ("" if pd.isna(low) else f" (95 % {low:+.2f} to {high:+.2f})")
    if low > 0:
        return paragraph(f"The network is better than the colour forest: balanced accuracy {found}.", "lead")
    return paragraph(
        f"The network is not shown to be better than a forest that knows colours alone: balanced accuracy {found}. "
        "More photographs, more epochs or ImageNet weights may help.",
        "note",
    )


def _headlines(comparison: Comparison) -> Markup:
    decimals = {"cross entropy": 3, "calibration error": 3}
    figures = ("accuracy", "balanced accuracy", "macro precision", "macro F1", *decimals)
    rows = []
    for row in comparison.tables["headlines"].to_dict("records"):
        shown = [ranged(row, name, decimals.get(name, 2)) for name in figures]
        shown.insert(1, _paper(row["paper accuracy"]))
        cost = [number(row["epochs"], 0), number(row["minutes"], 1)]
        rows.append([row["model"], _weights(row["weights"]), *shown, ranged(row, "gain"), *cost])
    columns = ["model", "weights", "accuracy", "paper", "balanced accuracy", "macro precision", "macro F1"]
    columns += ["cross entropy", "calibration error", "above forest", "epochs", "minutes"]
    return section_markup(
        "Every model on the same tiles",
        table_markup(
            columns,
            rows,
            "Below each figure its 95 % interval, by the bootstrap over photographs. Balanced accuracy is the mean "
            "recall of the minerals. “Above forest” is balanced accuracy less that of the colour forest, a "
            "random forest that knows the colours of a tile and nothing of shape, drawn together with it.",
            texts=2,
        ),
    )


def _table2(comparison: Comparison) -> Markup:
    parts = []
    for name, caption in (
        ("table2", f"Tiles of {comparison.dataset} that were learnt from, chosen with and measured on."),
        ("table2-paper", "The paper's tiles (2,713 to learn from became 18,991 by augmentation)."),
    ):
        table = comparison.tables[name]
        rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
        parts.append(table_markup([str(column) for column in table.columns], rows, caption))
    return section_markup("Table 2: the tiles", *parts)


def _table3(comparison: Comparison) -> Markup:
    table = comparison.tables["table3"]
    rows = []
    for row in table.to_dict("records"):
        shown: list[object] = [row["model"], row["mineral"], row["tiles"], row["photographs"]]
        for name in FIGURES:
            shown += [ranged(row, name), _paper(row[f"{name} paper"])]
        rows.append(shown)
    columns = ["model", "mineral", "tiles", "photographs"]
    for name in FIGURES:
        columns += [name, "paper"]
    caption = (
        "Ours with 95 % intervals over photographs (none where one photograph alone shows the mineral); in blue what "
        "the paper printed for the same network begun with ImageNet weights, on its own 906 tiles."
    )
    return section_markup(
        "Table 3: precision, recall and F1", table_markup(columns, rows, caption, texts=2, groups=True)
    )


def _curves(comparison: Comparison) -> Markup:
    caption = (
        "Figure 6. Accuracy and loss after every epoch: solid on validation tiles, dashed while learning."
    )
    return section_markup(
        "Figure 6: learning curves", figure_markup(comparison.figures.get("figure6-curves"), caption)
    )


def _confusions(comparison: Comparison) -> Markup:
    caption = "Figure 7. True mineral by row, named mineral by column; numbers are tiles, colour the share of a row."
    return section_markup(
        "Figure 7: confusion matrices", figure_markup(comparison.figures.get("figure7-confusion"), caption)
    )


def _mistakes(comparison: Comparison) -> Markup:
    prefix = "figure8-mistakes-"
    parts = []
    for name, path in comparison.figures.items():
        if name.startswith(prefix):
            model = name.removeprefix(prefix)
            picture = figure_markup(
                path,
                f"Figure 8, {model}. The tile, what spoke for the answer (red most), what spoke for the truth.",
            )
            parts.append(Markup(f"<details open><summary>{safe(model)}</summary>{picture}</details>"))
    return section_markup("Figure 8: the worst mistakes", *parts)


def _transfer(comparison: Comparison) -> Markup:
    table = comparison.tables["figure9-transfer"]
    rows = [
        [
            row["model"],
            _weights(row["weights"]),
            number(row["first epoch"]),
            _paper(row["first epoch paper"]),
            number(row["best epoch"]),
            _paper(row["best epoch paper"]),
        ]
        for row in table.to_dict("records")
    ]
    columns = ["model", "weights", "first epoch", "paper", "best epoch", "paper"]
    parts = [
        figure_markup(
            comparison.figures.get("figure9-transfer"), "Figure 9. With and without transfer learning."
        ),
        table_markup(
            columns, rows, "Accuracy on validation tiles, after the first and the best epoch.", texts=2
        ),
    ]
    return section_markup("Figure 9: transfer learning", *(parts if rows else []))


def _heatmaps(comparison: Comparison) -> Markup:
    caption = (
        "Figure 10. What spoke for the answer in tiles drawn by lot, one of each mineral: red most, blue least, scaled "
        "for each tile alone. Class activation maps (Zhou et al. 2016) over the tile in grey."
    )
    return section_markup(
        "Figure 10: what the models looked at",
        figure_markup(comparison.figures.get("figure10-heatmaps"), caption),
    )


def _calibration(comparison: Comparison) -> Markup:
    table = comparison.tables["calibration"]
    if table.empty:
        return Markup("")
    names = ("cross entropy", "calibration error", "share named", "precision of the named")
    rows: list[list[object]] = []
    for row in table[table["scaling"] != "of the card"].to_dict("records"):
        figures = [ranged(row, name, 3) for name in names]
        cells = [number(row["temperature"]), number(row["min_confidence"]), *figures]
        rows.append([row["model"], row["scaling"], *cells])
    caption = (
        "Temperature scaling (Guo et al. 2017) and the least confidence for the wanted precision, both fitted on "
        "validation tiles and stored in the models of this comparison; measured on the others. Calibration error: "
        "mean distance of confidence from accuracy over 15 bins."
    )
    columns = ["model", "scaling", "temperature", "least confidence", *names]
    pictures = [
        figure_markup(
            path, f"{name.removeprefix('calibration-')}: confidence beside the share that is right."
        )
        for name, path in comparison.figures.items()
        if name.startswith("calibration-")
    ]
    return section_markup(
        "Calibration",
        table_markup(columns, rows, caption, texts=2, groups=True),
        Markup("<details><summary>Reliability diagrams</summary>" + "".join(pictures) + "</details>"),
    )


def _repeat(comparison: Comparison) -> Markup:
    facts = [[name, value] for name, value in comparison.facts.items() if value and name != "command"]
    commands = []
    rows = []
    for row in comparison.tables["runs"].to_dict("records"):
        commands.append(f"# {row['model']}\n{row['command']}" if row["command"] else "")
        if not row["not trained"]:
            rows.append([row["model"], row["architecture"], row["began with"], row["weights sha256"]])
    return section_markup(
        "To repeat this",
        Markup(f"<pre>{safe(comparison.facts.get('command', ''))}</pre>"),
        table_markup(
            ["", ""], facts, "The same on a CPU with the same versions and threads, bit for bit.", texts=2
        ),
        table_markup(
            ["model", "architecture", "began with", "sha256 of its weights"], rows, "The models.", texts=4
        ),
        paragraph("Each model by itself:"),
        Markup(f"<pre>{safe(chr(10).join(filter(None, commands)))}</pre>"),
    )


def _words(row: Mapping[Hashable, float], name: str) -> str:
    low = row[f"{name} low"]
    ends = "" if pd.isna(low) else f" (95 % {low:.2f} to {row[f'{name} high']:.2f})"
    return f"{row[name]:.2f}{ends}"


def _paper(value: float) -> Markup:
    return Markup(f'<span class="paper">{number(value)}</span>' if not pd.isna(value) else "–")


def _weights(weights: str) -> str:
    return {"imagenet": "ImageNet", "none": "from scratch", "": "–"}.get(weights, weights)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value == value else "–"  # noqa: PLR0124 - NaN
    return f"{value:,}" if isinstance(value, int) else str(value)
