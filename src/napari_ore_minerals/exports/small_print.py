"""Text in columns on a page: broken where its letters end, as large as it may be to fit on the page."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from napari_ore_minerals.plots import INK

if TYPE_CHECKING:
    from collections.abc import Sequence

A4 = (8.27, 11.69)  # inches
WRITTEN: dict[str, Any] = {"color": INK, "parse_math": False}
SIZES_PT = (6.5, 6.0, 5.5, 5.0)  # of letters, the largest that fits; smaller ones are hard to read on paper
LEFT, WIDE, TOP, BOTTOM = 0.07, 0.86, 0.965, 0.03
COLUMNS, GAP = 2, 0.03
_LEADING = 1.28  # from line to line, in letters' sizes
_BETWEEN = 0.5  # between paragraphs, in lines
_POINTS = 72


def write_small_print(figure: Figure, texts: Sequence[str], top: float) -> list[Figure]:
    """Write paragraphs in columns from here to the end of the page, and on further pages what has no room.

    Parameters
    ----------
    figure
        The page, of A4.
    texts
        Paragraphs.
    top
        Where they begin, as a share of the height of the page.

    Returns
    -------
    list of Figure
        Further pages; none where all fits in letters of one of `SIZES_PT`.
    """
    for size_pt in SIZES_PT:
        columns = _columns(broken(texts, size_pt), size_pt, top)
        if len(columns) <= COLUMNS:
            _write(figure, columns, size_pt, top)
            return []
    size_pt = SIZES_PT[1]
    lines, pages, start = broken(texts, size_pt), [figure], top
    while lines:
        columns = _columns(lines, size_pt, start)[:COLUMNS]
        _write(pages[-1], columns, size_pt, start)
        lines = lines[sum(map(len, columns)) :]
        if lines:
            pages.append(Figure(figsize=A4, facecolor="white"))
            start = TOP
    return pages[1:]


def broken(texts: Sequence[str], size_pt: float) -> list[str]:
    """Break paragraphs into lines that are no wider than a column, with an empty line after each but the last."""
    room = (WIDE - (COLUMNS - 1) * GAP) / COLUMNS * A4[0] * _POINTS / size_pt
    lines: list[str] = []
    for text in texts:
        line, wide = "", 0.0
        for word in (part for one in text.split() for part in _fitting(one, room)):
            needed = _width(word) + (_width(" ") if line else 0.0)
            if line and wide + needed > room:
                lines.append(line)
                line, wide, needed = "", 0.0, _width(word)
            line, wide = f"{line} {word}".strip(), wide + needed
        lines += [line, ""]
    return lines[:-1]


def _columns(lines: Sequence[str], size_pt: float, top: float) -> list[list[str]]:
    """Lines of each column; an empty line takes less room than others."""
    room = (top - BOTTOM) / _step(size_pt)
    columns: list[list[str]] = [[]]
    used = 0.0
    for line in lines:
        if columns[-1] and used + 1 > room:
            columns.append([])
            used = 0.0
        columns[-1].append(line)
        used += 1.0 if line else (_BETWEEN if used else 0.0)
    return columns


def _write(figure: Figure, columns: Sequence[Sequence[str]], size_pt: float, top: float) -> None:
    wide = (WIDE - (COLUMNS - 1) * GAP) / COLUMNS
    for number, lines in enumerate(columns):
        place = top
        for line in lines:
            if line:
                left = LEFT + number * (wide + GAP)
                figure.text(left, place, line, fontsize=size_pt, va="top", **WRITTEN)
            place -= _step(size_pt) * (1.0 if line else (_BETWEEN if place < top else 0.0))


def _step(size_pt: float) -> float:
    """From line to line, as a share of the height of the page."""
    return _LEADING * size_pt / _POINTS / A4[1]


def _fitting(word: str, room: float) -> list[str]:
    """A word, in pieces where it is wider than a line."""
    if _width(word) <= room:
        return [word]
    pieces = [""]
    for letter in word:
        if pieces[-1] and _width(pieces[-1] + letter) > room:
            pieces.append("")
        pieces[-1] += letter
    return pieces


@lru_cache(maxsize=20_000)
def _width(text: str) -> float:
    """How far text takes a line on, in sizes of its letters; what is measured ends with the ink of its last one."""
    return _ink(f"x{text}x") - _ink("xx")


def _ink(text: str) -> float:
    large = 100.0
    wide, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=large), ismath=False)
    return float(wide) / large
