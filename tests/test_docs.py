"""What the documentation quotes and lists is what the program says and has."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import napari_ore_minerals
from napari_ore_minerals.models.card import ModelCard

ROOT = Path(__file__).parents[1]
PACKAGE = Path(napari_ore_minerals.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUOTED = re.compile("“([^”]+)”")
NO_MESSAGES = {"transfer learning", "10x", "xcb"}
ANYTHING = "\0"  # stands in a message for what is filled in


def text_of(node: ast.AST) -> str | None:
    """Text of a string in the source, with ANYTHING for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or ANYTHING for part in node.values)
    return None


@cache
def messages() -> tuple[str, ...]:
    """All strings of the source but docstrings."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [text_of(node) for node in ast.walk(tree) if id(node) not in docstrings]
    return tuple(re.sub(r"\{\w*(:[^}]*)?\}", ANYTHING, text) for text in found if text)


def is_said(quoted: str) -> bool:
    """Whether a message of the source has what is quoted, in which … stands for what is filled in.

    A message may be put together from several: what is filled in may itself be what another one says.
    """
    pieces = [piece.strip() for piece in quoted.split("…") if piece.strip()]
    in_order = re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)
    return any(in_order.search(text) for text in messages())


def quotes() -> list[tuple[str, str]]:
    """Name of a page and what it quotes."""
    return [
        (page.name, quoted)
        for page in PAGES
        for quoted in QUOTED.findall(page.read_text(encoding="utf-8"))
        if quoted not in NO_MESSAGES
    ]


@pytest.mark.parametrize(("page", "quoted"), quotes())
def test_what_a_page_quotes_is_what_the_program_says(page: str, quoted: str) -> None:
    example = quoted.removeprefix("assumed ") if quoted.startswith("assumed ") else None
    if example is None:
        assert is_said(quoted), page
        return
    what, _, value = example.partition(": ")  # a guess as it is shown, with its numbers
    assert any(
        re.fullmatch(re.escape(text).replace(re.escape(ANYTHING), r"\w+"), value) for text in messages()
    )
    assert what in messages()


def test_the_search_for_quotes_bites() -> None:
    assert len(quotes()) > 8
    assert is_said("memory ran out: going on with batches of …")
    assert not is_said("… cannot be read: its axes are ambiguous")
    assert not is_said("batches of … going on with memory")


def models_in(annotation: Any) -> set[type[BaseModel]]:
    """Return the pydantic models that an annotation names, with those of their fields."""
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return set().union(*map(models_in, get_args(annotation)))
    fields = annotation.model_fields.values()
    return {annotation}.union(*(models_in(field.annotation) for field in fields))


@pytest.mark.parametrize("model", sorted(models_in(ModelCard), key=lambda model: model.__name__))
def test_the_page_of_the_model_card_describes_every_field(model: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    described = "\n".join(rows if model is not ModelCard else [row.split(" | ")[0] for row in rows])
    assert [name for name in model.model_fields if f"`{name}`" not in described] == []


def test_the_page_of_the_model_card_has_no_other_fields() -> None:
    assert len(models_in(ModelCard)) >= 5
    page = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
    first = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(first))) == set(ModelCard.model_fields)
