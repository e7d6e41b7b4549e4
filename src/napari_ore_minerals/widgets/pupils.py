"""Maps that can follow corrections: kept in the classifier's process with what the network saw of each cell."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.corrections import merged
from napari_ore_minerals.widgets.messages import Follow, Followed, MapKey

if TYPE_CHECKING:
    from napari_ore_minerals.learning.corrections import Correction
    from napari_ore_minerals.learning.head_change import HeadChange
    from napari_ore_minerals.maps.features import CellFeatures
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable

MOST = 4
GONE = (
    "the map cannot follow, since what the network saw of this picture is not kept any more: classify it again; "
    "your corrections are kept"
)


def warm_up() -> None:
    """Load what a map needs to follow: the first stroke is not to wait for it."""
    from napari_ore_minerals.learning import refit, review  # noqa: F401 - for the side effect


class Pupil(NamedTuple):
    """A map as the model gave it, what the network saw, and what was last said of it in which minerals."""

    mineral_map: MineralMap
    features: CellFeatures
    said: tuple[Correction, ...]
    minerals: MineralTable


class Pupils:
    """The last maps that were made, each with its features and what was last said of it."""

    def __init__(self) -> None:
        self._known: OrderedDict[MapKey, Pupil] = OrderedDict()
        self._said_elsewhere: object = None
        self._earlier: HeadChange | None = None  # that follows from it

    def keep(self, mineral_map: MineralMap, features: CellFeatures) -> None:
        """Keep a map as the model gave it; the oldest one goes."""
        self._known[MapKey.of(mineral_map)] = Pupil(mineral_map, features, (), mineral_map.minerals)
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def followed(self, wish: Follow) -> Followed:
        """Let a map follow; `DatasetError` if its features are not there, or a correction is of no mineral."""
        from napari_ore_minerals.learning.refit import refitted_map
        from napari_ore_minerals.learning.review import Review, next_cell

        begun = time.perf_counter()
        if wish.of not in self._known:
            raise DatasetError(GONE)
        pupil = self._known[wish.of]._replace(said=wish.corrections, minerals=wish.minerals)
        self._known[wish.of] = pupil
        self._known.move_to_end(wish.of)
        following = refitted_map(
            pupil.mineral_map,
            pupil.features,
            wish.corrections,
            minerals=wish.minerals,
            earlier=self._learnt_elsewhere(wish),
        )
        seen = wish.seen | {one.cell for one in wish.corrections}
        following_cell = next_cell(following, pupil.features, Review(), corrected=frozenset(seen))
        return Followed(wish.job, following, following_cell, time.perf_counter() - begun)

    def _learnt_elsewhere(self, wish: Follow) -> HeadChange | None:
        """What was said of other pictures that the same model classified; learnt once for all strokes on this one."""
        from napari_ore_minerals.learning.refit import examples_of, learnt_elsewhere

        others = {
            key: pupil
            for key, pupil in self._known.items()
            if key.picture != wish.of.picture and key.model == wish.of.model and pupil.said
        }
        said = {key: (pupil.said, pupil.minerals) for key, pupil in others.items()}
        if self._said_elsewhere != (wish.minerals, said):
            examples = []
            for pupil in others.values():
                _, codes = merged(wish.minerals, pupil.minerals)
                moved = [one.model_copy(update={"code": codes[one.code]}) for one in pupil.said]
                known = [one for one in moved if one.code in wish.minerals.codes]
                examples.append(examples_of(pupil.mineral_map, pupil.features, known, wish.minerals))
            self._earlier, self._said_elsewhere = learnt_elsewhere(examples), (wish.minerals, said)
        return self._earlier
