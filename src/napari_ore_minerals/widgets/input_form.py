"""The form of the Classify dock: picture, model, scale, area and advanced options, and the plan they make."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari.layers import Image, Shapes
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QHBoxLayout, QLabel, QSizePolicy, QWidget
from superqt import QCollapsible

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.widgets.gathered import Task
from napari_ore_minerals.widgets.layer_scale import why_no_scale
from napari_ore_minerals.widgets.messages import Load
from napari_ore_minerals.widgets.model_chooser import ModelChooser
from napari_ore_minerals.widgets.options_form import OptionsForm
from napari_ore_minerals.widgets.parts import cells_of_shapes, cells_of_window, step_in_view, window_in_view
from napari_ore_minerals.widgets.picture_chooser import PictureChooser
from napari_ore_minerals.widgets.pictures import LayerPicture, picture_of
from napari_ore_minerals.widgets.reading_row import ReadingRow

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.widgets.picture_files import LayerArguments

SOURCE_TIP = "Where the scale comes from, and the scale of the model's training pictures"
WHOLE, IN_VIEW, SHAPES = "whole picture", "visible part", "selected shapes"
SETTLE_MS = 120


@dataclass(frozen=True)
class Plan:
    """What a click on Classify would do."""

    layer: Image
    picture: LayerPicture
    card: ModelCard
    task: Task
    tiles: int

    def command(self) -> str:
        """Return the command line that does the same."""
        path = str(self.picture.path or "PICTURE")
        words = ["ore-minerals", "classify", path, "--model", str(self.task.load.model)]
        if self.picture.um_per_px is not None:
            words += ["--um-per-px", f"{self.picture.um_per_px:g}"]
        answers = self.picture.options.answers.model_dump(exclude_defaults=True)
        for name, value in {**self.task.options.model_dump(exclude_defaults=True), **answers}.items():
            parts = value if isinstance(value, tuple) else (value,)
            words += [
                f"--{name.replace('_', '-')}",
                *(f"{one:g}" if isinstance(one, float) else str(one) for one in parts),
            ]
        return shlex.join(words)

    def command_notice(self) -> str:
        """What the command line does otherwise than the dock would; empty if nothing."""
        whole = "" if self.task.wanted is None else " It classifies the whole picture, not an area."
        return whole + (" Put your file in the place of PICTURE." if self.picture.path is None else "")


def grid_over(picture: LayerPicture, card: ModelCard, options: ClassifyOptions) -> TileGrid:
    """Grid of `maps.predict.plan`, which cannot be asked here because it brings torch."""
    if options.tile_px is not None:
        return TileGrid.over(picture, tile_px=options.tile_px, stride_px=options.stride_px)  # type: ignore[arg-type]
    return TileGrid.over(
        picture,  # type: ignore[arg-type]
        tile_px=card.tile_px,
        stride_px=options.stride_px,
        model_um_per_px=card.um_per_px,
    )


class InputForm(QWidget):  # type: ignore[misc]
    """What to classify and how.  Signal: ``changed()`` shortly after anything that makes another plan."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._given: WeakKeyDictionary[Image, float] = WeakKeyDictionary()
        self._watched: Image | None = None
        self.pictures = PictureChooser(viewer)
        self.models = ModelChooser()
        self.options = OptionsForm(ClassifyOptions)
        self.reading = ReadingRow()
        self.area = self._area()
        self.scale, self._source = self._scale()
        self.advanced = QCollapsible("Advanced", expandedIcon="▾", collapsedIcon="▸")
        self.advanced.setDuration(0)
        narrow = self.advanced.toggleButton()  # a long title is cut, and does not widen the dock
        narrow.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.advanced.addWidget(self.options)
        self.advanced.addWidget(self.reading.form)
        self.advanced.layout().setContentsMargins(0, 0, 0, 0)
        self._lay_out()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SETTLE_MS)
        self._later.timeout.connect(self.changed)
        self._connect()
        self._picture_changed()

    def plan(self) -> Plan | None:
        """Return what would be done now; None without a picture or a model.

        Raises
        ------
        PictureError, OptionError
            If picture, options and area do not fit together.
        """
        layer, card, folder = self.pictures.layer, self.models.card, self.models.folder
        if layer is None or card is None or folder is None:
            return None
        if self._viewer.dims.ndisplay == 3:
            raise PictureError("Switch the viewer to 2D (Ctrl+Y) to classify the plane that is shown.")
        options = ClassifyOptions.model_validate(self.options.options().model_dump())
        picture = self._picture(layer, card.um_per_px)
        if picture.placement.plane != step_in_view(self._viewer, layer)[:-2]:
            raise PictureError(f"{layer.name}: no plane of it is in view; move the slider to one.")
        grid = grid_over(picture, card, options)
        in_view = window_in_view(self._viewer, layer, picture)
        wanted = None
        if self.area.currentText() == IN_VIEW:
            if in_view is None:
                raise OptionError("The picture is not in view: press the house button to see all of it.")
            wanted = cells_of_window(grid, in_view)
        elif self.area.currentText() == SHAPES:
            wanted = cells_of_shapes(self._shapes(), layer, picture, grid)
            if not wanted.any():
                raise OptionError("The shapes lie outside the picture.")
        tiles = grid.tile_count if wanted is None else len(grid.tiles_for(wanted))
        load = Load(Path(folder), options.device, options.precision)
        return Plan(
            layer, picture, card, Task(picture.micrograph, load, options, grid, wanted, in_view), tiles
        )

    def disconnect_viewer(self) -> None:
        """Listen to the viewer no more."""
        self.pictures.disconnect_viewer()
        self.reading.close_files()
        self._viewer.scene.camera.events.disconnect(self._view_moved)
        self._viewer.dims.events.current_step.disconnect(self._settle)
        self._viewer.dims.events.ndisplay.disconnect(self._settle)
        self._watch(None)

    def show_scale(self) -> None:
        """Show um/px of the chosen picture and where it is from."""
        layer = self.pictures.layer
        self.scale.blockSignals(True)
        if layer is None:
            self.scale.setValue(0)
            self._source.setText("")
        else:
            picture = self._picture(layer, None)  # the finest level, as the user gives its scale
            self.reading.show_picture(layer, picture)
            self.scale.setValue(picture.um_per_px or 0)
            said = self._agreement(picture) or why_no_scale(layer)
            self._source.setText(said)
            self._source.setToolTip(f"{said}\n{SOURCE_TIP}")  # which may be cut in a narrow dock
        self.scale.blockSignals(False)

    def _picture(self, layer: Image, model_um_per_px: float | None) -> LayerPicture:
        """The chosen picture, with all that is known of it."""
        return picture_of(
            layer,
            step_in_view(self._viewer, layer),
            um_per_px=self._given.get(layer),
            model_um_per_px=model_um_per_px,
            answers=self.reading.answers(layer),
            told=self.reading.told(layer),
        )

    def _agreement(self, picture: LayerPicture) -> str:
        if picture.um_per_px is None:
            return ""
        card = self.models.card
        model = "" if card is None or card.um_per_px is None else f", model {card.um_per_px:g}"
        return picture.um_per_px_source + model

    def _area(self) -> QComboBox:
        area = QComboBox()
        area.addItems([WHOLE, IN_VIEW, SHAPES])
        area.setToolTip(
            "Which part to classify. Selected shapes: those of the upper Shapes layer, all of them if none is selected"
        )
        return area

    def _scale(self) -> tuple[QDoubleSpinBox, QLabel]:
        scale = QDoubleSpinBox()
        scale.setDecimals(4)
        scale.setRange(0, 1000)
        scale.setSingleStep(0.05)
        scale.setSuffix(" µm/px")
        scale.setSpecialValueText("unknown")
        scale.setFixedWidth(164)
        scale.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        scale.setKeyboardTracking(False)
        scale.setToolTip("Micrometres per pixel of the picture; 0 goes back to what the layer says")
        source = QLabel()
        source.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        source.setToolTip(SOURCE_TIP)
        return scale, source

    def _lay_out(self) -> None:
        scale_row = QHBoxLayout()
        scale_row.setContentsMargins(0, 0, 0, 0)
        scale_row.addWidget(self.scale)
        scale_row.addWidget(self._source, 1)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(6)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        form.addRow("picture", self.pictures)
        form.addRow("model", self.models)
        form.addRow("scale", scale_row)
        form.addRow(self.reading)
        form.addRow("area", self.area)
        form.addRow(self.advanced)

    def _connect(self) -> None:
        self.pictures.changed.connect(self._picture_changed)
        self.models.changed.connect(self._settle)
        self.options.changed.connect(self._settle)
        self.reading.changed.connect(self._settle)
        self.reading.opened.connect(self._add_file)
        self.area.currentIndexChanged.connect(self._settle)
        self.scale.valueChanged.connect(self._scale_given)
        self._viewer.scene.camera.events.connect(self._view_moved)
        self._viewer.dims.events.current_step.connect(self._settle)
        self._viewer.dims.events.ndisplay.connect(self._settle)

    def _shapes(self) -> Shapes:
        layers = [layer for layer in self._viewer.layers if isinstance(layer, Shapes) and len(layer.data)]
        if not layers:
            raise OptionError("Draw a shape around the area first: New shapes layer, above the layer list.")
        return next((layer for layer in layers[::-1] if layer.selected_data), layers[-1])

    def _picture_changed(self) -> None:
        self._watch(self.pictures.layer)
        self.reading.choose(self.pictures.layer)
        self._settle()

    def _watch(self, layer: Image | None) -> None:
        if self._watched is not None:
            for event in _events(self._watched):
                event.disconnect(self._settle)
        self._watched = layer
        if layer is not None:
            for event in _events(layer):
                event.connect(self._settle)

    def _add_file(self, arguments: LayerArguments) -> None:
        """Show a file as it is read, in the place of the layer that showed it otherwise."""
        before = self.pictures.layer
        data, known, _ = arguments
        self._viewer.add_image(data, **known)
        if before is not None:
            before.visible = False

    def _scale_given(self, value: float) -> None:
        layer = self.pictures.layer
        if layer is None:
            return
        if value:
            self._given[layer] = value
        else:
            self._given.pop(layer, None)
        self._settle()

    def _view_moved(self, _: object = None) -> None:
        if self.area.currentText() == IN_VIEW:
            self._settle()

    def _settle(self, _: object = None) -> None:
        self._later.start()


def _events(layer: Image) -> tuple[Any, ...]:
    events = layer.events
    return events.data, events.scale, events.units, events.affine, events.rotate, events.shear
