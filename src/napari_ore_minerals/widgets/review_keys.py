"""Keys of the review: they act on the minerals layer, while a review is under way; then napari has its own back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

MOST_MINERALS = 9
ACCEPT, SKIP, UNDO, END = "A", "N", "U", "Escape"


class ReviewKeys:
    """Binds keys on a layer, and the same as shortcuts of its window while that layer is the active one.

    A layer's own binding cannot do it alone: Shift with a digit arrives at the canvas as another sign on
    most keyboards, and after a click into the dock the canvas has no focus.  Text fields keep their keys.

    Parameters
    ----------
    viewer
    owner
        Whose window the shortcuts belong to.
    acts
        What to do, by napari's name of a key.
    """

    def __init__(self, viewer: ViewerModel, owner: QWidget, acts: Mapping[str, Callable[[], None]]) -> None:
        self._viewer, self._owner, self._acts = viewer, owner, dict(acts)
        self._layer: Labels | None = None
        self._shortcuts: list[QShortcut] = []

    @property
    def bound(self) -> bool:
        """Whether the keys act."""
        return self._layer is not None

    def bind(self, layer: Labels) -> None:
        """Let the keys act on a layer."""
        self.release()
        self._layer = layer
        for key, act in self._acts.items():
            layer.bind_key(key, _calling(act), overwrite=True)
            shortcut = QShortcut(QKeySequence(key.replace("-", "+")), self._owner.window())
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(act)
            self._shortcuts.append(shortcut)
        self._viewer.layers.selection.events.active.connect(self._turn)
        self._turn()

    def release(self, *, window_gone: bool = False) -> None:
        """Give the keys back."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        self._viewer.layers.selection.events.active.disconnect(self._turn)
        for key in self._acts:
            layer.bind_key(key, None)
        for shortcut in () if window_gone else self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts.clear()

    def _turn(self, _: object = None) -> None:
        active = self._viewer.layers.selection.active is self._layer
        for shortcut in self._shortcuts:
            shortcut.setEnabled(active)


def review_acts(
    said: Callable[[int], None], named: Mapping[str, Callable[[], None]]
) -> dict[str, Callable[[], None]]:
    """Keys with what they do: those with names, and Shift with the number of a mineral in the list."""
    numbered = {f"Shift-{number}": _of(said, number - 1) for number in range(1, MOST_MINERALS + 1)}
    return {**named, **numbered}


def _of(said: Callable[[int], None], number: int) -> Callable[[], None]:
    return lambda: said(number)


def _calling(act: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _: act()
