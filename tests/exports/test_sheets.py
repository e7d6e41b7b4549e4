"""PNG, PDF and HTML: what can be read in them, and what must not be."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from export_support import FORMULAS, SCRIPTS, shown_of, shown_of_planes
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from napari_ore_minerals import plots as drawing
from napari_ore_minerals.errors import ResultError
from napari_ore_minerals.exports import sheets
from napari_ore_minerals.exports.figures import neighbours_figure, sheet_of
from napari_ore_minerals.exports.formats import export
from napari_ore_minerals.exports.grain_plots import draw_liberation, draw_sizes, draw_touching
from napari_ore_minerals.exports.method import citations, method
from napari_ore_minerals.exports.shown import Shown, facts
from napari_ore_minerals.exports.small_print import broken
from napari_ore_minerals.maps.adjusting import Reference
from napari_ore_minerals.maps.grain_tables import grain_tables
from napari_ore_minerals.maps.measuring import Asked, measure, measure_regions
from napari_ore_minerals.minerals import DEFAULT_MINERALS


def colours_in(picture: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.asarray(picture.convert("RGB"), int).reshape(-1, 3).tolist()}


def test_png_shows_the_minerals_and_holds_its_facts(tmp_path: Path) -> None:
    shown = shown_of(picture=False)
    with Image.open(export(shown, tmp_path / "a.png")) as picture:
        for name, text in facts(shown).items():
            assert picture.text[name] == text  # type: ignore[attr-defined]
        halved = {
            tuple(round(0.45 * part) for part in mineral.rgb)
            for mineral in list(shown.mineral_map.minerals)[:2]
        }
        near = colours_in(picture)
        assert all(any(max(abs(a - b) for a, b in zip(c, d, strict=True)) <= 1 for d in near) for c in halved)


def test_the_legend_is_as_wide_as_its_longest_line() -> None:
    short, long = shown_of(picture=False, grains=False), shown_of(picture=False, grains=False)
    last = long.measured[0]
    last = replace(last, name="n" * 60)
    long = replace(long, measured=(last, last))
    assert sheet_of(long, None).width > sheet_of(short, None).width + 200


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Pages as they are written to PDF files."""
    pages: list[Figure] = []
    write = PdfPages.savefig

    def keep(file: PdfPages, figure: Figure) -> None:
        pages.append(figure)
        write(file, figure)

    monkeypatch.setattr(PdfPages, "savefig", keep)
    return pages


def plots(page: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in page.axes if axes.get_title(loc="left")]


@pytest.mark.parametrize("notes", [0, 60])
def test_nothing_is_lost_on_the_pages_of_a_pdf(tmp_path: Path, printed: list[Figure], notes: int) -> None:
    shown = replace(
        shown_of(), doubts=tuple(f"mind number {number}, {'again ' * 12}" for number in range(notes))
    )
    export(shown, tmp_path / "a.pdf")
    text = "".join(line.get_text() for page in printed for line in page.texts).replace(" ", "")
    for told in sheets.paragraphs(shown):
        assert "".join(told.split()) in text
    for name, fact in facts(shown).items():
        assert "".join(f"{name}:{fact}".split()) in text
    assert all(source in " ".join(sheets.paragraphs(shown)) for source in citations(shown))
    assert len(printed) == (2 if notes else 1)
    assert plots(printed[0]) == ["sizes of grains, by area", "who touches whom, %", "liberation, by area"]
    for page in printed:
        canvas = FigureCanvasAgg(page)
        canvas.draw()
        lines = [line.get_window_extent() for line in page.texts]
        drawn = [axes.get_tightbbox() for axes in page.axes]
        assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.bbox.x1 for box in (*lines, *drawn))
        for number, box in enumerate(lines):
            others = (*lines[number + 1 :], *drawn)
            inner = Bbox([[box.x0 + 1, box.y0 + 1], [box.x1 - 1, box.y1 - 1]])
            assert not any(inner.overlaps(other) for other in others), page.texts[number].get_text()


def test_a_pdf_of_one_mineral_has_sizes_alone_and_adjusted_fractions_stand_beside_raw_ones(
    tmp_path: Path, printed: list[Figure]
) -> None:
    shown = shown_of()
    assert shown.grains is not None
    matrices = np.stack([0.9 * np.eye(len(shown.mineral_map.minerals)) + 0.02] * 3)
    measured = measure(shown.mineral_map, reference=Reference.of(matrices))
    grains = replace(shown.grains, codes=np.full_like(shown.grains.codes, 1))
    export(Shown.of(shown.mineral_map, (measured,), grains=grains), tmp_path / "a.pdf")
    assert plots(printed[0]) == ["sizes of grains, by area"]
    written = [text.get_text() for axes in printed[0].axes for text in axes.texts]
    for share in measured.table["fraction_adjusted"].dropna():
        assert f"{share:.1%}" in written


@pytest.mark.parametrize("size_pt", [5.0, 6.5])
def test_lines_have_the_room_that_there_is(size_pt: float) -> None:
    texts = ("grains and gangue and WWW " * 40, "cells", "x" * 300)
    lines = broken(texts, size_pt)
    room = 0.415 * 8.27 * 72
    figure = Figure((0.1, 0.1), dpi=7200)  # letters of few pixels are rounded to these
    FigureCanvasAgg(figure)
    wide = [figure.text(0, 0, line, fontsize=size_pt).get_window_extent().width / 100 for line in lines]
    assert max(wide) <= room + 1
    assert max(wide) > 0.93 * room
    paragraphs = " ".join(line or "|" for line in lines).split("|")
    assert ["".join(one.split()) for one in paragraphs] == ["".join(one.split()) for one in texts]


def test_pdf_is_one_page_with_facts_where_it_holds_all(tmp_path: Path) -> None:
    content = export(shown_of(minerals=FORMULAS, grains=False), tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page ") + content.count(b"/Type /Page\n") == 1
    assert b"1" * 64 in content or ("1" * 64).encode("utf-16-be") in content
    assert export(shown_of(minerals=FORMULAS, grains=False), tmp_path / "b.pdf").read_bytes() == content


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".pdf", ".html", ".png"])
def test_names_in_other_scripts_are_drawn_with_fonts_that_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    used = []
    find = font_manager.FontManager._find_fonts_by_props

    def families(manager: font_manager.FontManager, wanted: font_manager.FontProperties, **more: Any) -> Any:
        used.append(tuple(wanted.get_family()))
        return find(manager, wanted, **more)

    monkeypatch.setattr(font_manager.FontManager, "_find_fonts_by_props", families)
    monkeypatch.setattr(drawing, "_families", lambda: ["DejaVu Sans", "STIXGeneral"])
    export(shown_of(minerals=SCRIPTS), tmp_path / f"a{suffix}")
    assert set(used) == {("DejaVu Sans", "STIXGeneral")}


class _Outside(HTMLParser):
    """Everything that a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag] * (tag in ("script", "iframe", "object", "link"))
        for name, value in attrs:
            self.found += [name] * name.startswith("on")
            if name in ("src", "href"):
                (self.pictures if (value or "").startswith("data:image/") else self.found).append(value or "")


@pytest.mark.parametrize("whole", [True, False])
def test_html_stands_alone_and_names_are_escaped(tmp_path: Path, whole: bool) -> None:
    shown = shown_of(minerals=FORMULAS, grains=whole, picture=whole, name='"><script>alert(1)</script>.tif')
    text = export(shown, tmp_path / "a.html").read_text(encoding="utf-8")
    parser = _Outside()
    parser.feed(text)
    assert parser.found == []
    assert "<b>gangue" not in text
    assert "1" * 64 in text
    assert "American Mineralogist" in text
    assert ("Who touches whom" in text) is whole
    assert len(parser.pictures) == (5 if whole else 3)
    for picture in parser.pictures:
        Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).load()


def test_html_shows_the_fractions_of_the_table(tmp_path: Path) -> None:
    shown = shown_of()
    text = export(shown, tmp_path / "a.html").read_text(encoding="utf-8")
    for fraction in shown.measured[0].table["fraction"]:
        assert re.search(rf">{100 * fraction:.1f}<", text)


@pytest.mark.parametrize(("smallest", "largest"), [(4, 9), (3, 60), (1, 900)])
def test_sizes_have_labels_with_room_and_say_what_is_not_drawn(smallest: float, largest: float) -> None:
    shown = shown_of()
    diameters = np.geomspace(smallest, largest, 6)
    frame = pd.DataFrame({"code": [1] * 6 + [3] * 4, "cut": False, "diameter_px": [*diameters, 1, 2, 3, 4]})
    frame["area_px"], frame["diameter_um"] = frame["diameter_px"] ** 2, frame["diameter_px"] / 2
    assert shown.grain_tables is not None
    shown = replace(shown, grain_tables=replace(shown.grain_tables, grains=frame))
    figure = Figure((2.4, 2))
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    assert draw_sizes(axes, shown, 60) == 1
    assert axes.get_xlabel().endswith("not drawn, fewer than 5 whole grains: gold")
    canvas.draw()
    low, high = axes.get_xlim()
    labels = [text for text in axes.get_xticklabels(which="both") if low <= text.get_position()[0] <= high]
    boxes = sorted((text.get_window_extent() for text in labels if text.get_text()), key=lambda box: box.x0)
    assert len(boxes) >= 2
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_neighbours_and_liberation_are_drawn_as_their_tables_say() -> None:
    tables = shown_of().grain_tables
    assert tables is not None
    one, other = Figure().subplots(1, 2)
    draw_touching(one, tables.association, DEFAULT_MINERALS)
    lengths = tables.association.loc[lambda table: table.sum(axis=1) > 0, lambda table: table.sum() > 0]
    shares = 100 * lengths.div(lengths.sum(axis=1), axis=0).to_numpy()
    np.testing.assert_allclose(one.images[0].get_array(), shares)
    symbols = [DEFAULT_MINERALS.by_name(name).symbol for name in lengths.index]
    assert [text.get_text() for text in one.get_yticklabels()] == symbols
    written = {text.get_position(): text.get_text() for text in one.texts}
    assert written == {(x, y): f"{shares[y, x]:.0f}" for y, x in zip(*np.nonzero(shares), strict=True)}
    draw_liberation(other, tables.liberation)
    there = tables.liberation[tables.liberation["area_px"] > 0]
    assert [text.get_text() for text in other.get_yticklabels()] == list(there["mineral"])
    widths = sum(bar.get_width() for bar in other.patches)
    assert widths == pytest.approx(100 * len(there))


def test_a_map_of_one_mineral_has_no_neighbours_to_draw() -> None:
    shown = shown_of()
    assert shown.grains is not None
    codes = np.full_like(shown.grains.codes, 1)
    grains = replace(shown.grains, codes=codes)
    assert neighbours_figure(Shown.of(shown.mineral_map, grains=grains)) is None
    assert neighbours_figure(shown_of(grains=False)) is None
    draw_liberation(Figure().subplots(), grain_tables(replace(grains, codes=0 * codes)).liberation)


def test_the_method_says_what_was_done_and_nothing_else() -> None:
    plain = " ".join(method(shown_of(grains=False, um_per_px=None)))
    assert "of unknown scale" in plain
    assert "32 px, side by side" in plain
    assert "2 of 48 cells were named or confirmed by hand" in plain
    assert "own error is not included" in plain
    assert "grains were counted" not in plain
    assert "all that was measured." in plain
    shown = shown_of()
    assert "grains were counted, of which 2 are not cut" in " ".join(method(shown))
    assert "These hold 4% of the area of all" in " ".join(method(shown))  # 375 and 25 of 11,375
    ore = measure(shown.mineral_map, Asked(without=(1, 6)))
    assert "all that was measured but arsenopyrite and gangue" in " ".join(
        method(replace(shown, measured=(ore,)))
    )
    half = np.zeros(shown.mineral_map.class_maps.shape[1:])
    half[:, :16] = 1
    regions = measure_regions(shown.mineral_map, {"left": half, "right": 1 - half})
    told = Shown.of(shown.mineral_map, regions)
    assert "in 2 regions" in " ".join(method(told))
    assert facts(told)["regions"] == "left, right, all regions"
    assert any("Swin" in source for source in citations(shown))


def test_the_method_says_how_figures_were_adjusted_and_whose_errors_are_known() -> None:
    shown = shown_of(grains=False)
    minerals = shown.mineral_map.minerals
    told = " ".join((*method(shown), *citations(shown)))
    assert "“effective n”" in told
    assert "“by cells”" in told
    assert "Saerens" not in told
    assert "classifier's error from" not in facts(shown)
    matrices = np.stack([0.9 * np.eye(len(minerals)) + 0.02] * 3)
    reference = Reference.of(matrices, "3 simulated pictures")
    known = measure(shown.mineral_map, reference=reference)
    shown = replace(shown, measured=(known,), erring=reference.what)
    told = " ".join((*method(shown), *citations(shown)))
    assert "as it was found on these pictures: 3 simulated pictures." in told
    assert "Saerens et al. 2002" in told
    assert "Neural Computation" in told
    assert "Olofsson" not in told  # no cells of this map were checked
    assert facts(shown)["classifier's error from"] == "3 simulated pictures"
    assert "Zou, G. Y." in " ".join(citations(shown_of_planes()))


def test_the_photograph_itself_is_never_replaced(tmp_path: Path) -> None:
    shown, path = shown_of(), tmp_path / "PS-07.png"
    path.write_bytes(b"the photograph")
    record = shown.mineral_map.picture.model_copy(update={"path": str(path)})
    shown = replace(shown, mineral_map=replace(shown.mineral_map, picture=record))
    with pytest.raises(ResultError, match="is the photograph itself"):
        export(shown, path, overwrite=True)
    assert path.read_bytes() == b"the photograph"
