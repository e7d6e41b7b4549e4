"""Tables and pictures as HTML that needs nothing from elsewhere and runs nothing; all text is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import pandas as pd

CSS_PX_PER_PX = (
    0.75  # pictures are drawn finer than they are shown, with letters of about the size of the text
)
STYLE = """
:root { color: #222; background: #fff; font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
body { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.5rem 5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 .6rem; padding-top: .8rem; border-top: 1px solid #ddd; }
p { max-width: 46rem; }
.faint, figcaption { color: #666; font-size: .87rem; max-width: 46rem; }
.lead { font-size: 1.12rem; }
.note { border-left: 4px solid #d55e00; background: #fff6f0; padding: .6rem 1rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .8rem 0 1.2rem; }
th, td { padding: .28rem .75rem .28rem 0; text-align: right; vertical-align: top; white-space: nowrap; }
th { border-bottom: 2px solid #222; font-weight: 600; vertical-align: bottom; white-space: normal; }
td { border-bottom: 1px solid #e6e6e6; }
th.text, td.text { text-align: left; }
tr.first td { border-top: 2px solid #bbb; }
.range { display: block; color: #777; font-size: .78rem; }
.paper { color: #0072b2; }
.long { white-space: normal; overflow-wrap: anywhere; display: inline-block; max-width: 48rem; }
figure { margin: 1rem 0 2rem; }
figure img { max-width: 100%; height: auto; }
code, pre { font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
pre { background: #f5f5f5; padding: .8rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; margin: .6rem 0; }
@media print { body { max-width: none; padding: 0; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""


class Markup(str):
    """Text that is HTML already; any other text is escaped before it goes into the page."""

    __slots__ = ()


def page(title: str, body: Sequence[Markup]) -> str:
    """Return a whole page; its policy forbids scripts and anything from elsewhere."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    parts = "\n".join(body)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{safe(title)}</h1>\n"
        f"{parts}\n</body>\n</html>\n"
    )


def safe(value: object) -> Markup:
    """Text as HTML; `Markup` stays as it is."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def number(value: float, decimals: int = 2) -> str:
    """A number, or a dash where there is none."""
    return "–" if pd.isna(value) else f"{value:.{decimals}f}"


def ranged(row: Mapping[Hashable, float], name: str, decimals: int = 2) -> Markup:
    """A figure above its 95 % interval."""
    value, low, high = (row[f"{name}{end}"] for end in ("", " low", " high"))
    if pd.isna(value):
        return Markup("–")
    ends = "" if pd.isna(low) else f'<span class="range">{low:.{decimals}f} to {high:.{decimals}f}</span>'
    return Markup(f"{value:.{decimals}f}{ends}")


def table_markup(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    caption: str,
    *,
    texts: int = 1,
    groups: bool = False,
) -> Markup:
    """A table whose first `texts` columns are text; with `groups` a line parts rows whose first cells differ."""
    kinds = [' class="text"' if index < texts else "" for index in range(len(columns))]
    names = "".join(f"<th{kind}>{safe(name)}</th>" for kind, name in zip(kinds, columns, strict=True))
    head = f"<thead><tr>{names}</tr></thead>" if any(columns) else ""
    lines, before = [], None
    for row in rows:
        first = groups and before is not None and row[0] != before
        shown = ["" if groups and row[0] == before else row[0], *row[1:]]
        before = row[0]
        cells = "".join(f"<td{kind}>{safe(cell)}</td>" for kind, cell in zip(kinds, shown, strict=True))
        lines.append(f'<tr class="first">{cells}</tr>' if first else f"<tr>{cells}</tr>")
    body = f"<tbody>{''.join(lines)}</tbody>"
    return Markup(f'{paragraph(caption, "faint")}\n<div class="wide"><table>{head}{body}</table></div>')


def figure_markup(picture: Path | bytes | None, caption: str, *, width_px: int | None = None) -> Markup:
    """A PNG or JPEG inside the page, from a file or its content; nothing if there is none.

    Parameters
    ----------
    picture
        The picture.
    caption
        Below it, and in its place for who cannot see it.
    width_px
        On the page; by default three quarters of that of the PNG, which is drawn finer than it is shown.
    """
    if picture is None:
        return Markup("")
    content = picture if isinstance(picture, bytes) else picture.read_bytes()
    width = width_px or round(int.from_bytes(content[16:20], "big") * CSS_PX_PER_PX)
    kind = "jpeg" if content.startswith(b"\xff\xd8") else "png"
    source = f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
    return Markup(
        f'<figure><img alt="{safe(caption)}" width="{width}" src="{source}">'
        f"<figcaption>{safe(caption)}</figcaption></figure>"
    )


def section_markup(title: str, *parts: Markup) -> Markup:
    """A section with its heading; nothing if it has no content."""
    content = "\n".join(part for part in parts if part)
    return Markup(f"<section>\n<h2>{safe(title)}</h2>\n{content}\n</section>" if content else "")


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph; `kind` is "", "lead", "faint" or "note"."""
    return Markup(f'<p class="{kind}">{safe(text)}</p>' if kind else f"<p>{safe(text)}</p>")
