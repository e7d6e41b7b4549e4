"""Minerals and their tables."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_ore_minerals.minerals import DEFAULT_MINERALS, GOLD, PYRITE, Mineral, MineralTable


def test_the_default_table_has_the_papers_minerals_and_gangue() -> None:
    assert [m.symbol for m in DEFAULT_MINERALS] == ["Apy", "Ccp", "Au", "Py", "Sbn", "Gng"]
    assert DEFAULT_MINERALS.codes == (1, 2, 3, 4, 5, 6)
    assert DEFAULT_MINERALS.by_name("PY") is DEFAULT_MINERALS.by_code(4)
    assert GOLD.rgb == (0xD5, 0x5E, 0x00)


@pytest.mark.parametrize(
    "change",
    [{"code": 0}, {"code": 256}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 41}, {"symbol": "\u202egnp"}]
    + [{"colour": "red"}, {"colour": "#FFFFFF"}, {"kind": "other"}, {"code": "1"}],
)
def test_what_is_no_mineral_is_refused(change: dict) -> None:
    fields = {"code": 1, "name": "galena", "symbol": "Gn", "colour": "#808080"} | change
    with pytest.raises(ValidationError):
        Mineral(**fields)


@pytest.mark.parametrize("field", ["code", "name", "symbol"])
def test_minerals_of_a_table_differ(field: str) -> None:
    twin = GOLD.model_copy(update={field: getattr(PYRITE, field)})
    with pytest.raises(ValidationError, match=field):
        MineralTable.of([PYRITE, twin])


def test_an_unknown_mineral_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="pyrite"):
        DEFAULT_MINERALS.by_name("galena")
