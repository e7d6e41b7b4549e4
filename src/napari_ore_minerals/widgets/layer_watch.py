"""What a user does on a layer that is taught: strokes, keys, and cells that were painted with what they are already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from app_model.types import KeyCode, KeyMod

from napari_ore_minerals.learning.corrections import Cell

if TYPE_CHECKING:
    from napari.layers import Labels

UNDO_KEY, REDO_KEY = KeyMod.CtrlCmd | KeyCode.KeyZ, KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ
Act = Callable[[Any], None]


class LayerWatch:
    """Listens to one labels layer at a time.

    Parameters
    ----------
    painted
        Called when something may have been painted.
    touched
        Called after a stroke with the cells under the brush that had its value already, by cell:
        napari tells nobody of them.
    undo, redo
        What the keys do on layers that are taught, in place of napari's own.
    """

    def __init__(
        self, painted: Act, touched: Callable[[Mapping[Cell, int]], None], undo: Act, redo: Act
    ) -> None:
        self._painted, self._touched, self._keys = painted, touched, {UNDO_KEY: undo, REDO_KEY: redo}
        self._labels: Labels | None = None
        self._taught: WeakSet[Labels] = WeakSet()

    def turn_to(self, labels: Labels | None) -> None:
        """Listen to another layer, or to none."""
        if labels is self._labels:
            return
        for layer, how in ((self._labels, "disconnect"), (labels, "connect")):
            if layer is not None:
                for event in (layer.events.paint, layer.events.set_data):
                    getattr(event, how)(self._painted)
        self._labels = labels

    def teach(self) -> None:
        """The layer is taught from now on."""
        if self._labels is None or self._labels in self._taught:
            return
        self._taught.add(self._labels)
        self._labels.mouse_drag_callbacks.append(self._drag)
        for key, act in self._keys.items():
            self._labels.bind_key(key, act, overwrite=True)

    def release(self) -> None:
        """Give layers back to napari."""
        self.turn_to(None)
        for labels in self._taught:
            labels.mouse_drag_callbacks.remove(self._drag)
            for key in self._keys:
                labels.bind_key(key, None)
        self._taught.clear()

    def _drag(self, labels: Labels, event: Any) -> Iterator[None]:
        if str(labels.mode) != "paint" or event.button != 1:
            return
        code, before = int(labels.selected_label), _flat(labels).copy()
        path = [_place(labels, event)]
        yield
        while event.type == "mouse_move":
            path.append(_place(labels, event))
            yield
        same = {cell: code for cell in _cells(path, before.shape) if before[cell] == code}
        if same:
            self._touched(same)


def _place(labels: Labels, event: Any) -> np.ndarray[Any, Any]:
    return np.asarray(labels.world_to_data(event.position), float)[-2:]


def _flat(labels: Labels) -> np.ndarray[Any, Any]:
    data = np.asarray(labels.data)
    return data.reshape(data.shape[-2:])


def _cells(path: list[np.ndarray[Any, Any]], shape: tuple[int, ...]) -> set[Cell]:
    """Cells along a path of positions."""
    found: set[Cell] = set()
    for start, end in zip(path, path[1:] or path, strict=False):
        steps = 2 * int(np.abs(end - start).max()) + 2
        for row, column in np.rint(np.linspace(start, end, steps)).astype(int).tolist():
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                found.add(Cell(row, column))
    return found
