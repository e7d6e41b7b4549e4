"""Timers of objects that may outlive Qt's part of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.compat import isalive

if TYPE_CHECKING:
    from qtpy.QtCore import QTimer


def rest(timer: QTimer) -> None:
    """Stop a timer; where a dock is collected as garbage, Qt's part of it may be gone before the dock is closed."""
    if isalive(timer):
        timer.stop()
