"""What the Measure dock asks for and gets; pure functions, to be called in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.maps.adjusting import Reference
from napari_ore_minerals.maps.grain_areas import with_grains
from napari_ore_minerals.maps.measuring import Asked, Measurement, measure, measure_regions
from napari_ore_minerals.maps.pooling import FEW_PICTURES, pool
from napari_ore_minerals.maps.regions import coverage_of_polygon
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.versions import ModelStore
from napari_ore_minerals.widgets.model_chooser import bundled_models

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.widgets.measure_source import Result

ALL_PLANES = "all planes"


@dataclass(frozen=True)
class Request:
    """What is to be measured.

    Attributes
    ----------
    results : tuple of Result
        One, or those of all planes.
    without : tuple of int
        Codes that are left out of what fractions are of.
    regions : dict of (n, 2) arrays
        Corners in pixels of the picture by name; empty for the whole picture.
    grains : GrainMap or None
        As it is painted, of the first result.
    """

    results: tuple[Result, ...]
    without: tuple[int, ...] = ()
    regions: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    grains: GrainMap | None = None


@dataclass(frozen=True)
class Group:
    """Figures of a picture, a region or a plane, or of several together.

    Attributes
    ----------
    name : str
    table : pandas.DataFrame
        As of `maps.measuring.measure` or `maps.pooling.pool`; with ``fraction_by_grains`` where there are grains.
    note : str
        Where the intervals come from.
    warnings : tuple of str
    measured : Measurement or None
        None for several pictures together.
    """

    name: str
    table: pd.DataFrame
    note: str
    warnings: tuple[str, ...]
    measured: Measurement | None = None


@dataclass(frozen=True)
class Figures:
    """Answer to a request.

    Attributes
    ----------
    request : Request
    minerals : MineralTable
    groups : tuple of Group
        The last is of all together.
    """

    request: Request
    minerals: MineralTable
    groups: tuple[Group, ...]


class Cards:
    """Cards of the models that maps were made with, read once; they tell how a model errs."""

    def __init__(self) -> None:
        self._found: dict[str, ModelCard] = {}

    def reference(self, mineral_map: MineralMap) -> Reference | None:
        """How the model of a map answers where the truth is known; None if its card is not here or does not say."""
        wanted = mineral_map.model.weights_sha256
        if wanted not in self._found:
            cards = [version.card for version in ModelStore().versions()]
            cards += [read_card(folder) for folder in bundled_models()]
            self._found |= {card.weights_sha256: card for card in cards if card.weights_sha256}
        card = self._found.get(wanted)
        return None if card is None else Reference.from_card(card, mineral_map.minerals)


def figures(request: Request, cards: Cards) -> Figures:
    """Measure what was asked for.

    Raises
    ------
    OptionError
        If there is nothing to measure.
    """
    if not request.results:
        raise OptionError("there is no result to measure: classify a picture first")
    several = len(request.results) > 1
    groups = _planes(request, cards) if several else _regions(request, request.results[0], cards)
    return Figures(request, request.results[0].mineral_map.minerals, groups)


def _measured(request: Request, result: Result, cards: Cards) -> tuple[Measurement, ...]:
    mineral_map = result.mineral_map
    asked = Asked(result.labels, without=request.without)
    reference = cards.reference(mineral_map)
    coverages = {name: coverage_of_polygon(mineral_map, to) for name, to in request.regions.items()}
    if coverages:
        found = measure_regions(mineral_map, coverages, asked, reference)
    else:
        found = (measure(mineral_map, asked, reference),)
    if request.grains is None:
        return found
    return with_grains(found, request.grains, replace(mineral_map, labels=result.labels), coverages)


def _regions(request: Request, result: Result, cards: Cards) -> tuple[Group, ...]:
    return tuple(_group(one) for one in _measured(request, result, cards))


def _planes(request: Request, cards: Cards) -> tuple[Group, ...]:
    """Each plane, and all together."""
    parts = [(one, _measured(request, one, cards)[-1]) for one in request.results]
    several = pool([measured for _, measured in parts])
    doubts = {warning: None for _, measured in parts for warning in measured.warnings}
    if len(parts) < FEW_PICTURES:
        few = f"{len(parts)} planes say little of how planes differ: with {FEW_PICTURES} or more intervals are shorter"
        doubts[few] = None
    note = f"95 % interval from {len(parts)} planes, as pictures of one section"
    each = [_group(measured, f"plane {number}") for number, (_, measured) in enumerate(parts, 1)]
    return (*each, Group(ALL_PLANES, several, note, tuple(doubts)))


def _group(measured: Measurement, name: str = "") -> Group:
    note = (
        f"95 % intervals from {measured.blocks} blocks of {measured.block_px:.0f} px; "
        f"grains of about {measured.grain_px:.0f} px"
    )
    return Group(name or measured.name, measured.table, note, measured.warnings, measured)
