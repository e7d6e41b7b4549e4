"""What the dock says of a fine-tuning: no more than was measured."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

pytest.importorskip("napari")

from napari_ore_minerals.widgets.before_after_view import (
    AMBER,
    BETTER,
    GREEN,
    TOO_FEW,
    UNCHANGED,
    BeforeAfterView,
)
from napari_ore_minerals.widgets.learning_messages import Figure, Learnt, Measured

NOTHING = Measured(nan, nan, nan)


@pytest.mark.parametrize(("after", "said"), [(0.8, (UNCHANGED, AMBER)), (0.9, (BETTER, GREEN))])
def test_what_did_not_change_is_not_celebrated(qtbot: Any, after: float, said: tuple[str, str]) -> None:
    view = BeforeAfterView()
    qtbot.addWidget(view)
    measured = Figure("accuracy", "hint", 20, Measured(0.8, 0.7, 0.9), Measured(after, 0.7, 0.95))
    figures = (measured, Figure("earlier knowledge", "hint", 0, NOTHING, NOTHING))
    view.show_result(Learnt(1, figures, True, "it is not worse", "m", 20, 3.0))
    assert (view.verdict.text(), view.verdict.styleSheet()) == said
    shown = [view._figures.itemAt(index).widget().text() for index in range(view._figures.count())]
    assert TOO_FEW in shown
    assert "–" not in shown
