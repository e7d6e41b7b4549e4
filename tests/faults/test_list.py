"""Every fault of the list has a test, and a line that protects from it; docs/faults.md says the same."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from protections import PROTECTIONS, Protection

import napari_ore_minerals

TESTS = Path(__file__).parents[1]
PACKAGE = Path(napari_ore_minerals.__file__).parent
COUNTS = {"W": 11, "L": 8, "V": 4, "D": 15, "T": 6}
FAULTS = [f"{kind}{number}" for kind, count in COUNTS.items() for number in range(1, count + 1)]


@cache
def marked() -> dict[str, set[str]]:
    """Faults that each test is marked with, by file and name."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                name = f"{path.relative_to(TESTS.parent).as_posix()}::{node.name}"
                found[name] = {fault for mark in node.decorator_list for fault in faults_of(mark)}
    return found


def faults_of(mark: ast.expr) -> list[str]:
    """What a decorator names, if it is `pytest.mark.fault`."""
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != "pytest.mark.fault":
        return []
    return [argument.value for argument in mark.args if isinstance(argument, ast.Constant)]


def test_every_fault_has_a_test_and_no_other_is_named() -> None:
    assert sorted(set().union(*marked().values()), key=FAULTS.index) == FAULTS


def test_every_fault_has_a_protection() -> None:
    assert {row.fault for row in PROTECTIONS} == set(FAULTS)


@pytest.mark.parametrize("row", PROTECTIONS, ids=lambda row: f"{row.fault} {row.file}")
def test_the_line_and_the_test_of_a_protection_are_there(row: Protection) -> None:
    assert (PACKAGE / row.file).read_text(encoding="utf-8").count(row.line) == 1
    assert row.fault in marked()[row.test.partition("[")[0]]


def test_the_documentation_names_every_protection() -> None:
    documented = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
    for row in PROTECTIONS:
        assert f"| {row.fault} |" in documented
        assert row.test.partition("::")[2].partition("[")[0] in documented
