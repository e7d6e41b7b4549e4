"""How much of a network fine-tuning changes, as the dock lets one choose it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

USUAL = "last stage"
DEPTHS = {
    "head": ("answers only", "Quickest: what the network sees stays, only its answers change"),
    "last stage": ("last stage", "As a rule the best: the last stage of the network and its answers change"),
    "all": ("whole network", "Slowest: for pictures that look quite unlike those the model was trained on"),
}


class DepthChoice(QComboBox):  # type: ignore[misc]
    """A box whose data are the depths of `FineTuneOptions`."""

    def __init__(self) -> None:
        super().__init__()
        for value, (title, hint) in DEPTHS.items():
            self.addItem(title, value)
            self.setItemData(self.count() - 1, hint, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(list(DEPTHS).index(USUAL))
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(10)
        self.setToolTip("How much of the network changes: more takes longer and can learn more")
