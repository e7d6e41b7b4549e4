"""The part of the dock in which the program learns from its user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superqt import QCollapsible

from napari_ore_minerals.widgets.corrections_panel import CorrectionsPanel

if TYPE_CHECKING:
    from napari_ore_minerals.widgets.teaching import Teaching

TITLE = "Learn from corrections"


class LearnSection(QCollapsible):  # type: ignore[misc]
    """Corrections of the result that is looked at, and what is made of them."""

    def __init__(self, teaching: Teaching) -> None:
        super().__init__(TITLE)
        self.corrections = CorrectionsPanel(teaching)
        self.addWidget(self.corrections)
        teaching.changed.connect(lambda: self._show_title(len(teaching.corrections)))

    def _show_title(self, taught: int) -> None:
        self.setText(f"{TITLE} ({taught} taught)" if taught else TITLE)
