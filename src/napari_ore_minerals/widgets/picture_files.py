"""The files behind the layers: what they tell that a layer does not, and layers that show what is read from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, ref

from qtpy.QtCore import QObject, Signal

from napari_ore_minerals.errors import OptionError, OreMineralsError
from napari_ore_minerals.widgets.errands import Errands
from napari_ore_minerals.widgets.pictures import ANSWERS_KEY, BROWSED_KEY, FILE_KEY, Told

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import Guess, PictureAnswers
    from napari_ore_minerals.widgets.pictures import LayerPicture

OTHER_PIXELS = "napari shows this file in other colours, in parts or turned: classify it as its file says."
LayerArguments = tuple[Any, dict[str, Any], str]


class FileFacts(NamedTuple):
    """What is known of a layer's picture once its pixels and its file were looked at.

    Attributes
    ----------
    guesses : tuple of Guess
        What was assumed in reading it.
    told : Told or None
        The scale that the file tells; None if it tells none, or is not what the layer shows.
    problem : str
        Why the picture cannot be classified as it is; empty if it can.
    as_filed : PictureAnswers or None
        How to open the file where the program reads other pixels from it than the layer holds.
    """

    guesses: tuple[Guess, ...] = ()
    told: Told | None = None
    problem: str = ""
    as_filed: PictureAnswers | None = None


def facts_of(picture: LayerPicture) -> FileFacts:
    """Look at samples of a layer's pixels and at its file; touches neither Qt nor napari, and may take a while."""
    try:
        shown = picture.micrograph()
    except OreMineralsError as error:
        return FileFacts(problem=str(error))
    path = picture.path
    if path is None:
        return FileFacts(shown.guesses)
    try:
        filed = _filed(path, picture.options.answers)
        same = picture.from_file or filed.fingerprint() == shown.fingerprint()
    except (OreMineralsError, OSError):
        return FileFacts(shown.guesses)  # a kind of file that only napari reads, or a stack in other axes
    if not same:
        return FileFacts(shown.guesses, as_filed=filed.answers)
    told = None if filed.um_per_px is None else Told(filed.um_per_px, filed.um_per_px_source)
    return FileFacts(filed.guesses, told)


def _filed(path: Path, answers: PictureAnswers) -> Micrograph:
    """Open the file of a layer at the layer's plane, or whole where napari took its colours for planes."""
    from napari_ore_minerals.images.micrograph import Micrograph

    try:
        return Micrograph.open(path, options=answers.salvaging())
    except OptionError:
        if answers.plane is None:
            raise
        return Micrograph.open(path, options=answers.model_copy(update={"plane": None}).salvaging())


def layer_of(path: Path, answers: PictureAnswers) -> LayerArguments:
    """Data, arguments and type of a layer that shows a file as the program reads it.

    Raises
    ------
    PictureError
        If the file is no picture, holds a stack, or is large and has no pyramid to look at it by.
    OSError
        If it cannot be read.
    """
    from napari_ore_minerals.images.levels import is_large, levels_of
    from napari_ore_minerals.images.micrograph import Micrograph

    micrograph = Micrograph.open(path, options=answers.salvaging())
    arguments: dict[str, Any] = {"name": path.stem}
    if micrograph.um_per_px is not None:
        arguments |= {"scale": (micrograph.um_per_px,) * 2, "units": ("um", "um")}
    if not is_large(micrograph.height_px, micrograph.width_px):
        return of_file(micrograph, micrograph.read().rgb, arguments)
    return of_file(micrograph, levels_of(micrograph, path.with_name("no smaller levels")), arguments)


def of_file(micrograph: Micrograph, shown: Any, arguments: dict[str, Any]) -> LayerArguments:
    """A layer that shows the pixels of a picture from a file, or their pyramid, and knows where they are read."""
    finest = shown[0] if isinstance(shown, list) else shown
    metadata = {FILE_KEY: (str(micrograph.path), id(finest)), ANSWERS_KEY: micrograph.answers}
    known = {"rgb": True, "metadata": metadata}
    if isinstance(shown, list):
        metadata[BROWSED_KEY] = True
        known["multiscale"] = True
    return shown, {**arguments, **known}, "image"


class PictureFiles(QObject):  # type: ignore[misc]
    """What is known of each layer's picture and file, found out beside the viewer.

    Signals: ``learnt()`` when something new is known of a layer, ``opened(object)`` with the layer's arguments,
    ``failed(str)``.
    """

    learnt = Signal()
    opened = Signal(object)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._errands = Errands()
        self._errands.failed.connect(self.failed)
        self._known: WeakKeyDictionary[Image, tuple[object, FileFacts | None]] = WeakKeyDictionary()

    def facts(self, layer: Image) -> FileFacts:
        """What is known by now of the layer's picture."""
        return self._known.get(layer, (None, None))[1] or FileFacts()

    def ask(self, layer: Image, picture: LayerPicture) -> None:
        """Find out about a layer's picture, unless that is known or under way."""
        data = picture.data[0] if isinstance(picture.data, list) else picture.data
        key = (id(data), picture.path, _changed(picture.path), picture.options)
        if layer in self._known and self._known[layer][0] == key:
            return
        self._known[layer] = (key, self.facts(layer))
        kept = ref(layer)

        def keep(facts: FileFacts) -> None:
            asked = kept()
            if asked is not None and asked in self._known and self._known[asked][0] == key:
                self._known[asked] = (key, facts)
                self.learnt.emit()

        self._errands.run(lambda: facts_of(picture), keep)

    def open(self, path: Path, answers: PictureAnswers) -> None:
        """Read a file for a layer of its own."""
        self._errands.run(lambda: layer_of(path, answers), self.opened.emit)

    def show_anew(self, layer: Image, path: Path, answers: PictureAnswers) -> None:
        """Let a layer that is a view of a file show it as it is read with other answers."""
        kept = ref(layer)

        def show(arguments: LayerArguments) -> None:
            shown, (data, known, _) = kept(), arguments
            if shown is not None:
                shown.metadata = {**shown.metadata, **known["metadata"]}
                shown.data = data

        self._errands.run(lambda: layer_of(path, answers), show)

    def close(self) -> None:
        """Hand nothing back any more."""
        self._errands.close()


def _changed(path: Path | None) -> object:
    try:
        return None if path is None else path.stat().st_mtime_ns
    except OSError:
        return None
