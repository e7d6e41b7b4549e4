"""One result that is taught: what was said of it, what was last seen painted on it, and the map that is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_ore_minerals.learning.lesson import Lesson, stroke
from napari_ore_minerals.learning.painted_results import taught_already
from napari_ore_minerals.learning.refit import with_minerals
from napari_ore_minerals.maps.places import follows_other_pictures
from napari_ore_minerals.widgets.layers import OWN_KEY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.learning.corrections import Cell
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.widgets.overlay import Overlay

FEWEST_OTHERS = 2  # pictures that were taught, for the next one to follow them before anything is said of it
USES_OTHERS = (
    "what was taught on other pictures counts here too: untick “map follows” for the model's own answer"
)


class Painted(NamedTuple):
    """What a lesson becomes with strokes, and a sentence where some of them cannot be learnt from."""

    lesson: Lesson
    complaint: str


class TaughtResult:
    """What was said of a finished result, and what of it is on the screen.

    Attributes
    ----------
    lesson : Lesson
        All that was said.
    followed : Lesson
        What the map that is shown follows.
    """

    def __init__(self, overlay: Overlay, mineral_map: MineralMap, others: Sequence[Lesson]) -> None:
        own = None if overlay.labels is None else overlay.labels.metadata.get(OWN_KEY)
        again = taught_already(mineral_map, own)
        self.lesson = Lesson.of(mineral_map, after=others) if again is None else again
        self.followed = Lesson.of(mineral_map) if again is None else again
        self._shown, self._seen = mineral_map, mineral_map.labels.copy()

    def is_of(self, mineral_map: MineralMap | None) -> bool:
        """Whether a map is the model's own that was taught, or the one that follows."""
        return mineral_map is self.lesson.base or mineral_map is self._shown

    @property
    def behind(self) -> bool:
        """Whether the map that is shown does not follow all that was said."""
        now, shown = self.lesson, self.followed
        return (shown.corrections, shown.minerals) != (now.corrections, now.minerals)

    def painted(self, values: NDArray[np.uint8], touched: Mapping[Cell, int]) -> Painted:
        """Look at what was painted since the last time.

        Parameters
        ----------
        values : (rows, columns) uint8 array
            Of the minerals layer.
        touched
            Cells that were painted with what they were already.
        """
        found, codes = stroke(self._seen, values, self.lesson.minerals), self.lesson.minerals.codes
        same = {cell: code for cell, code in touched.items() if code in codes and values[cell] == code}
        self._seen = values.copy()
        return Painted(self.lesson.say(same | found.said, blank=found.blank), _complaint(found.unknown))

    def at_once(self, overlay: Overlay, before: Lesson) -> MineralMap:
        """The map to show until it follows: cells that nothing is said of any more are as the model had them."""
        after = self.lesson
        if overlay.map is None or after.minerals != before.minerals:
            return with_minerals(after.base, after.minerals)
        labels = overlay.values.copy()
        for cell in (before.said.keys() | before.blank) - (after.said.keys() | after.blank):
            labels[cell] = after.base.labels[cell]
        return replace(overlay.map, labels=labels)

    def show(self, overlay: Overlay, mineral_map: MineralMap) -> bool:
        """Write a map with what was said onto the layers; tells whether there are strokes not looked at, which stay."""
        lesson, seen, before = self.lesson, self._seen, overlay.values.copy()
        model = mineral_map.labels.copy()
        for cell in lesson.said.keys() | lesson.blank:
            model[cell] = lesson.base.labels[cell]
        warnings = lesson.base.warnings
        if follows_other_pictures(mineral_map):
            warnings = (*warnings, USES_OTHERS)
        if said := len(lesson.said):
            warnings = (*warnings, f"{said} cell{'s were' if said != 1 else ' was'} taught by hand")
        shown = replace(mineral_map, labels=lesson.answers(mineral_map.labels), warnings=warnings)
        overlay.follow(shown, model, seen)
        self._shown = shown
        for layer in overlay.layers():
            layer.metadata[OWN_KEY] = lesson.base
        self._seen = np.where(before == seen, overlay.values, seen).astype(np.uint8)
        return bool((before != seen).any())


def others_taught(lessons: Iterable[Lesson], mineral_map: MineralMap) -> list[Lesson]:
    """Lessons of other pictures with the same model; none where they are too few to go by."""
    model, picture = mineral_map.model.weights_sha256, mineral_map.picture.fingerprint
    others = {
        one.base.picture.fingerprint: one
        for one in lessons
        if one.said and one.base.model.weights_sha256 == model
    }
    others.pop(picture, None)
    return list(others.values()) if len(others) >= FEWEST_OTHERS else []


def _complaint(unknown: Mapping[int, int]) -> str:
    """Say that cells were painted with labels that are no mineral; empty if none were."""
    if not unknown:
        return ""
    cells, labels = sum(unknown.values()), ", ".join(map(str, sorted(unknown)))
    return (
        f"label {labels} is no mineral: {cells} cell{'s' if cells != 1 else ''} painted with it "
        f"{'are' if cells != 1 else 'is'} not learnt from. Choose a mineral in the table, or add one"
    )
