"""Maps that can follow corrections: kept in the classifier's process with what the network saw of each cell."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.widgets.messages import Follow, Followed

if TYPE_CHECKING:
    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.learning.corrections import Correction
    from napari_ore_minerals.learning.head_change import Examples
    from napari_ore_minerals.maps.features import CellFeatures
    from napari_ore_minerals.maps.mineral_map import MineralMap

MOST = 4
GONE = (
    "the map cannot follow, since what the network saw of this picture is not kept any more: classify it again; "
    "your corrections are kept"
)


class Pupils:
    """The last pictures that were classified, each with its features and what was last said of it."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, TileGrid], tuple[MineralMap, CellFeatures]] = OrderedDict()
        self._said: dict[tuple[str, TileGrid], tuple[Correction, ...]] = {}

    def keep(self, mineral_map: MineralMap, features: CellFeatures) -> None:
        """Keep a map as the model gave it; the oldest one goes."""
        key = (mineral_map.picture.fingerprint, mineral_map.grid)
        self._known.pop(key, None)
        self._known[key] = mineral_map, features
        while len(self._known) > MOST:
            oldest, _ = self._known.popitem(last=False)
            self._said.pop(oldest, None)

    def followed(self, wish: Follow) -> Followed:
        """Let a map follow; `DatasetError` if its features are not there, or a correction is of no mineral."""
        from napari_ore_minerals.learning.refit import refitted_map
        from napari_ore_minerals.learning.review import Review, next_cell

        begun = time.perf_counter()
        key = (wish.picture, wish.grid)
        if key not in self._known:
            raise DatasetError(GONE)
        self._known.move_to_end(key)
        mineral_map, features = self._known[key]
        self._said[key] = wish.corrections
        memory = self._memory(wish)
        following = refitted_map(
            mineral_map, features, wish.corrections, minerals=wish.minerals, memory=memory
        )
        seen = wish.seen | {one.cell for one in wish.corrections}
        following_cell = next_cell(following, features, Review(), corrected=frozenset(seen))
        return Followed(wish.job, wish.picture, following, following_cell, time.perf_counter() - begun)

    def _memory(self, wish: Follow) -> Examples | None:
        """What was said of the other pictures of the same model, as a balanced memory."""
        from napari_ore_minerals.learning.head_change import remembered
        from napari_ore_minerals.learning.refit import examples_of

        model = self._known[wish.picture, wish.grid][0].model
        examples = [
            examples_of(
                *self._known[key], [one for one in said if one.code in wish.minerals.codes], wish.minerals
            )
            for key, said in self._said.items()
            if key[0] != wish.picture and said and self._known[key][0].model == model
        ]
        return remembered(examples) if examples else None
