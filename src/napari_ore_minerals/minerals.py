"""Minerals: code, name, symbol and colour; code 0 is always "unclassified".

Symbols are those of the IMA-CNMNC (Warr 2021, Mineralogical Magazine 85, 291-320).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

UNCLASSIFIED = 0

_PlainText = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+$"
    ),
]


class Mineral(BaseModel):
    """One class of the classifier.

    Attributes
    ----------
    code : int
        Value in labels layers and mineral maps, 1 to 255.
    name, symbol : str
        As the field writes them: ``"chalcopyrite"``, ``"Ccp"``.
    colour : str
        ``"#rrggbb"``, used in layers, tables and legends.
    kind : "ore" or "gangue"
        Gangue (with resin, cracks and pits) is left out of fractions of the ore.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    code: Annotated[int, Field(ge=1, le=255)]
    name: _PlainText
    symbol: _PlainText
    colour: Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
    kind: Literal["ore", "gangue"] = "ore"

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green, blue, 0 to 255."""
        return int(self.colour[1:3], 16), int(self.colour[3:5], 16), int(self.colour[5:7], 16)


class MineralTable(BaseModel):
    """The minerals of a model or a map, in the order of the classifier's outputs.

    Codes, names and symbols are unique.  Iterating gives the minerals.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    minerals: Annotated[tuple[Mineral, ...], Field(min_length=1, max_length=255)]

    @model_validator(mode="after")
    def _unique(self) -> MineralTable:
        for what in ("code", "name", "symbol"):
            values = [getattr(mineral, what) for mineral in self.minerals]
            if len(set(values)) < len(values):
                raise ValueError(f"two minerals share a {what}: {', '.join(map(str, values))}")
        return self

    @classmethod
    def of(cls, minerals: Sequence[Mineral]) -> MineralTable:
        """Table of `minerals`, in their order."""
        return cls(minerals=tuple(minerals))

    def __iter__(self) -> Iterator[Mineral]:  # type: ignore[override]
        return iter(self.minerals)

    def __len__(self) -> int:
        return len(self.minerals)

    def __getitem__(self, index: int) -> Mineral:
        return self.minerals[index]

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes in the order of the classifier's outputs."""
        return tuple(mineral.code for mineral in self.minerals)

    def by_code(self, code: int) -> Mineral:
        """The mineral with this code; KeyError if there is none."""
        return {mineral.code: mineral for mineral in self.minerals}[code]

    def by_name(self, name: str) -> Mineral:
        """The mineral with this name or symbol, in any case; KeyError if there is none."""
        wanted = name.casefold()
        for mineral in self.minerals:
            if wanted in (mineral.name.casefold(), mineral.symbol.casefold()):
                return mineral
        raise KeyError(f"no mineral {name!r}; known: {', '.join(m.name for m in self.minerals)}")


# Colours after Okabe and Ito (2008), told apart with any common colour blindness.
ARSENOPYRITE = Mineral(code=1, name="arsenopyrite", symbol="Apy", colour="#0072b2")
CHALCOPYRITE = Mineral(code=2, name="chalcopyrite", symbol="Ccp", colour="#009e73")
GOLD = Mineral(code=3, name="gold", symbol="Au", colour="#d55e00")
PYRITE = Mineral(code=4, name="pyrite", symbol="Py", colour="#f0e442")
STIBNITE = Mineral(code=5, name="stibnite", symbol="Sbn", colour="#cc79a7")
GANGUE = Mineral(code=6, name="gangue", symbol="Gng", colour="#555555", kind="gangue")

PAPER_MINERALS = MineralTable.of([ARSENOPYRITE, CHALCOPYRITE, GOLD, PYRITE, STIBNITE])
DEFAULT_MINERALS = MineralTable.of([*PAPER_MINERALS, GANGUE])
