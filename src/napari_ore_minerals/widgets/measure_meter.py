"""Measures beside the viewer, one request at a time; of those that wait only the newest is answered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_ore_minerals.widgets.errands import Errands
from napari_ore_minerals.widgets.measure_figures import Cards, figures

if TYPE_CHECKING:
    from napari_ore_minerals.widgets.measure_figures import Figures, Request


class Meter(QObject):  # type: ignore[misc]
    """Signals: ``measured(Figures)``, ``failed(str)``; each request that is not overtaken is followed by one."""

    measured = Signal(object)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._errands, self._cards = Errands(), Cards()
        self._next: Request | None = None
        self._errands.failed.connect(self._fail)

    @property
    def busy(self) -> bool:
        """Whether figures are on their way."""
        return self._next is not None or self._errands.busy

    def ask(self, request: Request) -> None:
        """Measure; figures come with a signal."""
        if self._errands.busy:
            self._next = request
        else:
            self._errands.run(partial(figures, request, self._cards), self._take)

    def forget(self) -> None:
        """Want nothing any more but what is under way."""
        self._next = None

    def close(self, *_: object) -> None:
        """Hand nothing back any more."""
        self._next = None
        self._errands.close()

    def _take(self, found: Figures) -> None:
        if self._next is None:
            self.measured.emit(found)
        self._go_on()

    def _fail(self, sentence: str) -> None:
        if self._next is None:
            self.failed.emit(sentence)
        self._go_on()

    def _go_on(self) -> None:
        request, self._next = self._next, None
        if request is not None:
            self.ask(request)
