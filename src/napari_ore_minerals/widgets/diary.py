"""What is said of maps, written down beside the viewer; what the disk refuses is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_ore_minerals.learning.journal import Journal, PictureNote
from napari_ore_minerals.widgets.background import Background

if TYPE_CHECKING:
    from napari_ore_minerals.learning.corrections import Correction
    from napari_ore_minerals.learning.lesson import Lesson


@dataclass
class Entry:
    """What has to be written of one step."""

    note: PictureNote
    made: Sequence[Correction]
    taken_back: Sequence[Correction]


class Diary(QObject):  # type: ignore[misc]
    """Writes steps of lessons to the journal, one after the other in a thread.

    Signals: ``saved(str)`` with the time of day, ``failed(str)``.
    """

    saved = Signal(str)
    failed = Signal(str)

    def __init__(self, journal: Journal | None = None) -> None:
        super().__init__()
        self.journal = Journal() if journal is None else journal
        self._unwritten: list[Entry] = []  # touched by the thread only
        self._files = Background()
        self._files.done.connect(self.saved)
        self._files.failed.connect(self.failed)

    def write(self, older: Lesson, newer: Lesson) -> None:
        """Write down what one step changed; returns at once."""
        made = [one for cell, one in newer.said.items() if older.said.get(cell) is not one]
        taken_back = [one for cell, one in older.said.items() if cell not in newer.said]
        renamed = bool(newer.said) and older.minerals != newer.minerals
        if made or taken_back or renamed:
            self._files.run(partial(self._append, Entry(note_of(newer), made, taken_back)))

    def write_what_was_refused(self) -> None:
        """Try again to write steps that the disk refused, now that there is room or another folder."""
        self._files.run(self._catch_up)

    def close(self) -> None:
        """Let what is under way come to its end."""
        self._files.close()

    def _append(self, entry: Entry) -> str:
        """Write this step, and before it those that the disk refused; in a thread."""
        self._unwritten.append(entry)
        return self._catch_up()

    def _catch_up(self) -> str:
        while self._unwritten:
            first = self._unwritten[0]
            self.journal.write(first.made, first.taken_back, first.note)
            del self._unwritten[0]
        return datetime.now().astimezone().strftime("%H:%M")


def note_of(lesson: Lesson) -> PictureNote:
    """Tell which picture a lesson is of, and what its codes mean."""
    base = lesson.base
    return PictureNote(
        picture=base.picture.fingerprint,
        name=base.picture.name[:1000],
        path=base.picture.path,
        um_per_px=base.um_per_px,
        um_per_px_source=base.um_per_px_source[:200],
        answers=base.picture.answers,
        minerals=lesson.minerals.minerals,
    )
