"""The Classify dock: from a photograph to its minerals in one click."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.widgets import memory
from napari_ore_minerals.widgets.background import Background
from napari_ore_minerals.widgets.input_form import InputForm, Plan
from napari_ore_minerals.widgets.jobs import Gathered, Worker
from napari_ore_minerals.widgets.layers import MAP_KEY
from napari_ore_minerals.widgets.overlay import Overlay
from napari_ore_minerals.widgets.partial import partial_map
from napari_ore_minerals.widgets.pictures import Placement, transform_of
from napari_ore_minerals.widgets.result_panel import ResultPanel
from napari_ore_minerals.widgets.run_bar import RunBar, duration
from napari_ore_minerals.widgets.settings import apply_settings

if TYPE_CHECKING:
    import napari

    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.widgets.messages import Load, Ready

PLUGIN = "napari-ore-minerals"
EMPTY = "Open a photograph of a polished section (File > Open, or drop it here), or try the sample."
SECONDS_BETWEEN_DRAWINGS = 0.2
WARM_UP_MS = 800
FEWEST_TILES_FOR_SPEED = 16


class ClassifyDock(QWidget):  # type: ignore[misc]
    """Classify the minerals of a picture, tile by tile.

    Parameters
    ----------
    napari_viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._overlays: WeakKeyDictionary[Image, Overlay] = WeakKeyDictionary()
        self._adopted: WeakKeyDictionary[Labels, Overlay] = WeakKeyDictionary()
        self._plan: Plan | None = None
        self._running: tuple[Plan, Overlay] | None = None
        self._ready: Ready | None = None
        self._warmed: Load | None = None
        self._drawn = 0.0
        self.worker, self.background = Worker(), Background()
        self.form = InputForm(napari_viewer)
        apply_settings(self.form.options)
        self.run_bar, self.result = RunBar(), ResultPanel()
        self._lay_out()
        self._warm_up = QTimer(self)
        self._warm_up.setSingleShot(True)
        self._warm_up.setInterval(WARM_UP_MS)
        self._warm_up.timeout.connect(self._load_model)
        self._connect()
        self.replan()

    # what the user does

    def classify(self) -> None:
        """Do what the button says."""
        self.replan()
        plan = self._plan
        if plan is None or self.worker.busy:
            return
        self._say("")
        self._warn(())
        self._running = (plan, self._overlay_for(plan))
        plan.layer.events.data.connect(self._picture_replaced)
        self.form.setEnabled(False)
        self.run_bar.begin()
        self.worker.classify(plan.task)

    def cancel(self) -> None:
        """Stop; what is classified is kept."""
        self.worker.cancel()

    def open_sample(self) -> None:
        """Open the first sample."""
        from napari_ore_minerals.widgets.sample_data import SAMPLE_KEYS

        self._viewer.open_sample(PLUGIN, SAMPLE_KEYS[0])

    def choose_label(self, code: int, paint: bool) -> None:
        """Make a mineral the label to paint with, in the minerals layer that is looked at."""
        overlay = self.result.overlay
        if overlay is None or overlay.labels not in self._viewer.layers or overlay.labels is None:
            return
        self._viewer.layers.selection.active = overlay.labels
        overlay.labels.selected_label = code
        if paint:
            overlay.labels.brush_size = 1
            overlay.labels.mode = "paint"

    def save(self, folder: Path) -> None:
        """Write the result that is looked at, as it is on the screen."""
        overlay = self.result.overlay
        mineral_map = None if overlay is None else overlay.corrected_map()
        if mineral_map is None:
            return
        layer = next((layer for layer, shown in self._overlays.items() if shown is overlay), None)
        picture = self._plan.picture if self._plan is not None and self._plan.layer is layer else None

        def write() -> str:
            from napari_ore_minerals.maps.files import write_result

            opened = None if picture is None else picture.micrograph()
            fits = opened is not None and (opened.height_px, opened.width_px) == (
                mineral_map.grid.height_px,
                mineral_map.grid.width_px,
            )
            return f"Results were written to {write_result(mineral_map, folder, micrograph=opened if fits else None)}."

        self._say("Writing the results …")
        self.background.run(write)

    def command(self) -> str:
        """Return the command line that does the same as the dock."""
        plan = self._plan
        if plan is None:
            return "ore-minerals classify PICTURE"
        path = str(plan.picture.path or "PICTURE")
        words = ["ore-minerals", "classify", path, "--model", str(plan.task.load.model)]
        if plan.picture.um_per_px is not None:
            words += ["--um-per-px", f"{plan.picture.um_per_px:g}"]
        for name, value in plan.task.options.model_dump(exclude_defaults=True).items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join(words)

    # what follows from it

    def replan(self) -> None:
        """Say what a click would do now."""
        if self.worker.busy:
            return
        self.form.show_scale()
        self.empty.setVisible(self.form.pictures.layer is None)
        try:
            self._plan = self.form.plan()
        except (PictureError, OptionError) as error:
            self._plan = None
            self._say(str(error), error=True)
        else:
            self._say("", only_errors=True)
        self.form.advanced.setText(f"Advanced ({self._summary()})")
        self.run_bar.offer(self._offer(), enabled=self._plan is not None)
        if self._plan is not None and self._plan.task.load != self._warmed:
            self._warm_up.start()

    def _summary(self) -> str:
        plan = self._plan
        if plan is None:
            return self.form.options.summary()
        tile = f"tile {plan.task.grid.tile_px} px"
        if plan.task.grid.overlap > 1:
            tile += f", stride {plan.task.grid.stride_px} px"
        return f"{tile} · {self.form.options.summary()}"

    def _offer(self) -> str:
        plan = self._plan
        if plan is None:
            return "Classify"
        device = self._device_name(plan)
        known = memory.tiles_per_second(plan.card.weights_sha256, device) if device else None
        if known is None and self._ready is not None and self._ready.load[:3] == plan.task.load[:3]:
            known = self._ready.tiles_per_second or None
        text = f"Classify {plan.tiles:,} tile{'s' if plan.tiles != 1 else ''}"
        if known:
            text += f", about {duration(plan.tiles / known)}"
        return f"{text} on {device.split(',')[0]}" if device else text

    def _device_name(self, plan: Plan) -> str:
        if self._ready is not None and self._ready.load[1:3] == plan.task.load[1:3]:
            return self._ready.device
        return ""

    def _load_model(self) -> None:
        """Have the model warm before the click, which also tells the device and the speed."""
        plan = self._plan
        if plan is None or self.worker.busy:
            return
        self._warmed = plan.task.load
        self.worker.load(plan.task.load._replace(measure=True))

    def _overlay_for(self, plan: Plan) -> Overlay:
        """Layers for a run: those of the last one, unless the user painted on them."""
        known = self._overlays.get(plan.layer)
        minerals = plan.card.mineral_table
        if known is not None and known.can_show(plan.task.grid, minerals):
            return known
        return Overlay(self._viewer, plan.layer.name, plan.task.grid, minerals, plan.picture.placement)

    def _begun(self) -> Overlay | None:
        """Return the overlay of the run; what an older run left on it goes when the first cells are there."""
        if self._running is None:
            return None
        plan, overlay = self._running
        if self._overlays.get(plan.layer) is not overlay:
            self._replace_overlay(plan.layer, overlay)
        elif overlay.map is not None:
            overlay.restart(plan.picture.placement)
        return overlay

    def _replace_overlay(self, layer: Image, overlay: Overlay) -> None:
        older = self._overlays.get(layer)
        if older is not None:
            older.discard()
        self._overlays[layer] = overlay

    def _advanced(self, gathered: Gathered) -> None:
        self.run_bar.advance(gathered.done, gathered.total)
        if monotonic() - self._drawn < SECONDS_BETWEEN_DRAWINGS or not gathered.processed.any():
            return
        overlay = self._begun()
        if overlay is not None:
            overlay.show(gathered.labels, gathered.confidence, gathered.processed)
            self._drawn = monotonic()

    def _finished(self, mineral_map: MineralMap) -> None:
        overlay = self._begun()
        if self._running is None or overlay is None:
            return
        plan, _ = self._running
        overlay.complete(mineral_map)
        if self._viewer.layers.selection.active is plan.layer:
            self._viewer.layers.selection.active = overlay.labels
        self._end_run()
        self.result.look_at(overlay)
        self.result.view.setCurrentIndex(0)
        overlay.show_only("minerals")
        self._remember_speed(plan, mineral_map)
        self._warn(mineral_map.warnings)
        self._say(_outcome(plan, mineral_map))
        self.replan()

    def _cut_short(self, gathered: Gathered) -> None:
        if self._running is None:
            return
        plan, _ = self._running
        self._finished(partial_map(gathered, plan.card, plan.picture))

    def _failed(self, sentence: str) -> None:
        self._end_run()
        self._warmed = None
        self.replan()
        self._say(sentence, error=True)
        show_error(sentence)

    def _end_run(self) -> None:
        if self._running is not None:
            plan, _ = self._running
            plan.layer.events.data.disconnect(self._picture_replaced)
        self._running = None
        self.form.setEnabled(True)
        self.run_bar.end()

    def _remember_speed(self, plan: Plan, mineral_map: MineralMap) -> None:
        run = mineral_map.run
        if run.tiles >= FEWEST_TILES_FOR_SPEED and run.seconds > 0:
            memory.remember_speed(plan.card.weights_sha256, run.device, run.tiles / run.seconds)

    def _drop_run(self, why: str) -> None:
        """Stop a run whose picture is gone; its layers would lie over nothing."""
        if self._running is None:
            return
        plan, overlay = self._running
        self.worker.abandon()
        self._end_run()
        if self._overlays.get(plan.layer) is overlay:
            del self._overlays[plan.layer]
            overlay.discard()
        self._warmed = None
        self.replan()
        self.result.look_at(self._overlay_in_view())
        self._say(why)
        show_info(why)

    def _picture_replaced(self, _: object = None) -> None:
        self._drop_run("The picture was replaced while it was classified; the run was stopped.")

    def _layer_removed(self, event: object) -> None:
        layer = getattr(event, "value", None)
        if self._running is not None and self._running[0].layer is layer:
            self._drop_run("The picture was removed while it was classified; the run was stopped.")
        if self.result.overlay is not None and layer is self.result.overlay.labels and not self.worker.busy:
            self.result.look_at(self._overlay_in_view())

    def _active_changed(self, _: object = None) -> None:
        self.result.look_at(self._overlay_in_view())

    def _overlay_in_view(self) -> Overlay | None:
        """Result that belongs to the active layer, or else to the chosen picture."""
        active = self._viewer.layers.selection.active
        for overlay in (*self._overlays.values(), *self._adopted.values()):
            if active is not None and active in overlay.layers():
                return overlay
        if isinstance(active, Labels) and active.metadata.get(MAP_KEY) is not None:
            placement = Placement(transform_of(active), (0,) * (active.ndim - 2))
            self._adopted[active] = Overlay.adopt(self._viewer, active, placement)
            return self._adopted[active]
        layer = self.form.pictures.layer
        found = self._overlays.get(layer) if layer is not None else None
        return found if found is not None and found.labels in self._viewer.layers else None

    def _show_device(self, ready: Ready) -> None:
        self._ready = ready
        self.device.setText(ready.device.split(",")[0])
        notes = "".join(f"\n{notice}" for notice in ready.notices)
        self.device.setToolTip(
            f"{ready.device}, {ready.precision}: {ready.why}{notes}\nChange it under Advanced."
        )
        self.device.show()
        self.replan()

    # how it looks

    def _say(self, text: str, *, error: bool = False, only_errors: bool = False) -> None:
        """Show the status line; `only_errors` clears it only where it shows an error."""
        if only_errors and not self.status.property("error"):
            return
        self.status.setProperty("error", error)
        self.status.setStyleSheet("color: #ff8a73" if error else "")
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _warn(self, warnings: tuple[str, ...]) -> None:
        self.warnings.setText("\n".join(f"⚠ {_sentence(warning)}" for warning in warnings))
        self.warnings.setVisible(bool(warnings))

    def _lay_out(self) -> None:
        title = QLabel("<b>Ore minerals</b>")
        self.device = QLabel()
        self.device.setStyleSheet("border: 1px solid palette(mid); border-radius: 7px; padding: 1px 8px")
        self.device.hide()
        header = QHBoxLayout()
        header.addWidget(title, 1)
        header.addWidget(self.device)
        self.empty = QFrame()
        words = QLabel(EMPTY)
        words.setWordWrap(True)
        self.sample = QPushButton("Open the sample")
        self.sample.setToolTip("A simulated micrograph, to see how this works")
        inside = QVBoxLayout(self.empty)
        inside.setContentsMargins(0, 0, 0, 8)
        inside.addWidget(words)
        inside.addWidget(self.sample)
        self.status, self.warnings = QLabel(), QLabel()
        for label in (self.status, self.warnings):
            label.setWordWrap(True)
            label.hide()
        self.warnings.setStyleSheet("color: #f0c05a")
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(9, 6, 9, 9)
        column.setSpacing(9)
        column.addLayout(header)
        for widget in (self.empty, self.form, self.run_bar, self.status, self.warnings, self.result):
            column.addWidget(widget)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidget(content)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(380)

    def _connect(self) -> None:
        self.sample.clicked.connect(self.open_sample)
        self.form.changed.connect(self.replan)
        self.form.changed.connect(self._active_changed)
        self.form.models.failed.connect(lambda text: self._say(text, error=True))
        self.run_bar.clicked.connect(self.classify)
        self.run_bar.cancelled.connect(self.cancel)
        self.worker.ready.connect(self._show_device)
        self.worker.advanced.connect(self._advanced)
        self.worker.noticed.connect(self._say)
        self.worker.finished.connect(self._finished)
        self.worker.cut_short.connect(self._cut_short)
        self.worker.failed.connect(self._failed)
        self.background.done.connect(self._say)
        self.background.failed.connect(lambda text: self._say(text, error=True))
        self.result.label_chosen.connect(self.choose_label)
        self.result.save_wanted.connect(self.save)
        self.result.command_wanted.connect(self._copy_command)
        self.result.told.connect(self._say)
        self.result.failed.connect(lambda text: self._say(text, error=True))
        self._viewer.layers.events.removed.connect(self._layer_removed)
        self._viewer.layers.selection.events.active.connect(self._active_changed)
        self.destroyed.connect(partial(_close, self.worker, self.background))

    def _copy_command(self) -> None:
        QApplication.clipboard().setText(self.command())
        self._say("The command was copied: paste it into a terminal.")


def _close(worker: Worker, background: Background, _: object = None) -> None:
    """End processes and threads with the dock; a partial keeps both alive until then."""
    worker.close()
    background.close()


def _outcome(plan: Plan, mineral_map: MineralMap) -> str:
    """Say in one line what a run did."""
    run = mineral_map.run
    took = duration(run.seconds)
    if run.complete:
        return f"{run.tiles:,} tiles classified in {took} on {run.device.split(',')[0]}."
    return (
        f"Cancelled after {took}: {run.tiles:,} of {plan.tiles:,} tiles are kept, the rest is unclassified."
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
