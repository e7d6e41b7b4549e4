"""Minerals from the names of folders and masks, also those that the program does not come with."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from typing import Literal

from pydantic import ValidationError

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.minerals import DEFAULT_MINERALS, Mineral, MineralTable

# IMA-CNMNC (Warr 2021, Mineralogical Magazine 85, 291-320)
_SYMBOLS = {
    "bornite": "Bn",
    "cassiterite": "Cst",
    "chalcocite": "Cct",
    "cinnabar": "Cin",
    "cobaltite": "Cbt",
    "copper": "Cu",
    "covellite": "Cv",
    "digenite": "Dg",
    "enargite": "Eng",
    "galena": "Gn",
    "goethite": "Gth",
    "graphite": "Gr",
    "hematite": "Hem",
    "ilmenite": "Ilm",
    "magnetite": "Mag",
    "marcasite": "Mrc",
    "molybdenite": "Mol",
    "pentlandite": "Pn",
    "pyrrhotite": "Pyh",
    "rutile": "Rt",
    "silver": "Ag",
    "sphalerite": "Sp",
    "ankerite": "Ank",
    "calcite": "Cal",
    "dolomite": "Dol",
    "muscovite": "Ms",
    "quartz": "Qz",
    "siderite": "Sd",
}
_GANGUE = {"ankerite", "background", "calcite", "carbonate", "dolomite", "epoxy", "muscovite", "quartz"} | {
    "resin",
    "sericite",
    "siderite",
    "silicate",
    "void",
}
_BY_SYMBOL = {symbol.casefold(): name for name, symbol in _SYMBOLS.items()}
_GOLDEN = 0.618034


def mineral_name(text: str) -> str:
    """Name of a mineral as datasets write it: symbols become names, "Native_Gold" becomes "native gold".

    Raises
    ------
    DatasetError
        If it cannot be the name of a mineral.
    """
    name = " ".join(text.replace("_", " ").casefold().split())
    if not name or not name[0].isalnum() or len(name) > 40 or not name.isprintable():
        raise DatasetError(
            f"{text[:60]!r} cannot be the name of a mineral: it begins with a letter and has at most 40 signs"
        )
    try:
        return DEFAULT_MINERALS.by_name(name).name
    except KeyError:
        return _BY_SYMBOL.get(name, name)


def minerals_named(names: Iterable[str]) -> MineralTable:
    """Table of the minerals of these names, those of `DEFAULT_MINERALS` first and with their codes.

    Symbols are the IMA's where known and made from the name elsewhere; colours of further minerals
    are spread over the hues.

    Raises
    ------
    DatasetError
        If a name cannot be one, or there are none or too many.
    """
    wanted = {mineral_name(name) for name in names}
    known = [mineral for mineral in DEFAULT_MINERALS if mineral.name in wanted]
    others = sorted(wanted - {mineral.name for mineral in known})
    taken = {mineral.symbol for mineral in DEFAULT_MINERALS} | set(_SYMBOLS.values())
    made = []
    for number, name in enumerate(others):
        symbol = _SYMBOLS.get(name) or _free_symbol(name, taken)
        taken.add(symbol)
        made.append((len(DEFAULT_MINERALS) + 1 + number, name, symbol, _colour(number)))
    try:
        return MineralTable.of(
            [
                *known,
                *(
                    Mineral(code=code, name=name, symbol=symbol, colour=colour, kind=_kind(name))
                    for code, name, symbol, colour in made
                ),
            ]
        )
    except ValidationError as error:
        raise DatasetError(f"{len(wanted)} minerals: {error.errors()[0]['msg']}") from error


def _kind(name: str) -> Literal["ore", "gangue"]:
    return "gangue" if name in _GANGUE else "ore"


def _free_symbol(name: str, taken: set[str]) -> str:
    letters = "".join(letter for letter in name if letter.isalnum())
    short = letters[:3].capitalize()
    candidates = [
        short,
        *(short[:2] + letter for letter in letters[3:]),
        *(f"{short}{n}" for n in range(2, 300)),
    ]
    return next(symbol for symbol in candidates if symbol not in taken)


def _colour(number: int) -> str:
    red, green, blue = colorsys.hls_to_rgb((0.78 + _GOLDEN * number) % 1.0, 0.5 if number % 2 else 0.65, 0.55)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
