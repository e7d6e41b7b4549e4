"""How the chosen picture is read: what was assumed of it, what its file tells, and the user's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.pixels import PictureAnswers
from napari_ore_minerals.widgets.hints import AMBER
from napari_ore_minerals.widgets.options_form import OptionsForm
from napari_ore_minerals.widgets.picture_files import OTHER_PIXELS, PictureFiles
from napari_ore_minerals.widgets.pictures import ASKED, answers_of

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_ore_minerals.widgets.picture_files import FileFacts
    from napari_ore_minerals.widgets.pictures import LayerPicture, Told

ANSWER = "Where that is wrong, say it under Advanced: bit depth, value range, channel order."
OPEN = "Open as its file says"


class ReadingRow(QWidget):  # type: ignore[misc]
    """A line with what was assumed, hidden where nothing was; `form` has the fields to answer it with.

    Signals: ``changed()`` when the picture is read otherwise or more is known of it, ``opened(object)`` with the
    arguments of a layer that shows the file as it is read, ``failed(str)``.
    """

    changed = Signal()
    opened = Signal(object)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.form = OptionsForm(PictureAnswers, only=ASKED)
        self._files = PictureFiles()
        self._given: WeakKeyDictionary[Image, PictureAnswers] = WeakKeyDictionary()
        self._layer: Image | None = None
        self._picture: LayerPicture | None = None
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open_button = QPushButton(OPEN)
        self.open_button.setToolTip("A new layer with the pixels that the command line classifies too")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._words)
        column.addWidget(self.open_button)
        self.hide()
        self.form.changed.connect(self._answered)
        self.open_button.clicked.connect(self._open)
        self._files.learnt.connect(self.changed)
        self._files.opened.connect(self.opened)
        self._files.failed.connect(self.failed)

    @property
    def text(self) -> str:
        """What is said of the chosen picture."""
        return str(self._words.text())

    def choose(self, layer: Image | None) -> None:
        """Show the answers that were given for a layer."""
        self._layer = layer
        answers = PictureAnswers() if layer is None else self.answers(layer)
        self.form.blockSignals(True)
        for name in ASKED:
            self.form.set_value(name, getattr(answers, name))
        self.form.blockSignals(False)

    def answers(self, layer: Image) -> PictureAnswers:
        """What the user answered of a layer, or with what it was opened."""
        return self._given.get(layer) or answers_of(layer)

    def told(self, layer: Image) -> Told | None:
        """The scale that a layer's file tells, once that is known."""
        return self._files.facts(layer).told

    def show_picture(self, layer: Image, picture: LayerPicture) -> None:
        """Say what is known of a picture by now, and find out the rest."""
        self._picture = picture
        self._files.ask(layer, picture)
        facts = self._files.facts(layer)
        self._words.setText(_said(facts))
        self._words.setToolTip("\n".join([*map(str, facts.guesses), *[ANSWER] * bool(facts.guesses)]))
        self._words.setStyleSheet(AMBER if facts.problem or facts.as_filed else "")
        self.open_button.setVisible(facts.as_filed is not None)
        self.setVisible(bool(self._words.text()))

    def close_files(self) -> None:
        """Hand nothing back any more."""
        self._files.close()

    def _answered(self) -> None:
        layer, picture = self._layer, self._picture
        if layer is None:
            return
        try:
            asked = self.form.options().model_dump(include=set(ASKED))
        except OptionError as error:
            self.failed.emit(str(error))
            return
        given = self._given[layer] = self.answers(layer).model_copy(update=asked)
        if picture is not None and picture.from_file and picture.path is not None:
            self._files.show_anew(layer, picture.path, given)
        self.changed.emit()

    def _open(self) -> None:
        if self._layer is None or self._picture is None or self._picture.path is None:
            return
        answers = self._files.facts(self._layer).as_filed
        if answers is not None:
            self._files.open(self._picture.path, answers)


def _said(facts: FileFacts) -> str:
    if facts.problem or facts.as_filed:
        return facts.problem or OTHER_PIXELS
    return (
        "assumed " + " · ".join(f"{guess.what}: {guess.value}" for guess in facts.guesses)
        if facts.guesses
        else ""
    )
