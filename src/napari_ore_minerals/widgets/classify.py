"""The Classify dock: from a photograph to its minerals in one click."""

from __future__ import annotations

from collections import Counter
from functools import partial
from inspect import unwrap
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_ore_minerals.errors import OptionError, PictureError
from napari_ore_minerals.models.versions import ModelStore
from napari_ore_minerals.widgets import memory
from napari_ore_minerals.widgets.background import Background
from napari_ore_minerals.widgets.hints import DeviceChip, EmptyHint, Status, scrolling
from napari_ore_minerals.widgets.input_form import InputForm, Plan
from napari_ore_minerals.widgets.jobs import Worker
from napari_ore_minerals.widgets.layers import MINERALS, warm_up
from napari_ore_minerals.widgets.learn_section import LearnSection, bench_of
from napari_ore_minerals.widgets.learning_plan import Speed
from napari_ore_minerals.widgets.result_panel import ResultPanel
from napari_ore_minerals.widgets.run_bar import RunBar, duration
from napari_ore_minerals.widgets.saving import write_screen
from napari_ore_minerals.widgets.session import Session
from napari_ore_minerals.widgets.settings import apply_settings
from napari_ore_minerals.widgets.teaching import Teaching

if TYPE_CHECKING:
    import napari

    from napari_ore_minerals.widgets.messages import Load, Ready
    from napari_ore_minerals.widgets.overlay import Overlay

PLUGIN = "napari-ore-minerals"
NO_MODEL = "No model is bundled with this installation: choose a model folder."
WARM_UP_MS = 800


class ClassifyDock(QWidget):  # type: ignore[misc]
    """Classify the minerals of a picture, tile by tile.

    Parameters
    ----------
    napari_viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        # napari hands out a proxy whose layers are proxies too: neither `is` nor weak references work on them.
        self._viewer = unwrap(napari_viewer)
        self._plan: Plan | None = None
        self._ready: Ready | None = None
        self._warmed: Load | None = None
        self.worker, self.background = Worker(), Background()
        self.session = Session(self._viewer, self.worker)
        self.form = InputForm(self._viewer)
        apply_settings(self.form.options)
        self.run_bar, self.result = RunBar(), ResultPanel()
        self.teaching = Teaching(self._viewer, self.worker)
        self.result.taught = self._taught
        bench = bench_of(self.form, self.session, self.teaching, ModelStore(), self._speed)
        self.learn = LearnSection(self._viewer, self.teaching, bench)
        self.device, self.status, self.empty = DeviceChip(), Status(), EmptyHint()
        self._lay_out()
        self._warm_up = QTimer(self)
        self._warm_up.setSingleShot(True)
        self._warm_up.setInterval(WARM_UP_MS)
        self._warm_up.timeout.connect(self._load_model)
        self._connect()
        self.replan()

    def classify(self) -> None:
        """Do what the button says."""
        self.replan()
        if self._plan is not None:
            self.session.classify(self._plan)

    def cancel(self) -> None:
        """Stop; what is classified is kept."""
        self.worker.cancel()

    def open_sample(self) -> None:
        """Open the first sample."""
        from napari_ore_minerals.widgets.sample_data import SAMPLE_KEYS

        self._viewer.open_sample(PLUGIN, SAMPLE_KEYS[0])

    def choose_label(self, code: int, paint: bool) -> None:
        """Make a mineral the label to paint with, in the minerals layer that is looked at."""
        labels = None if self.result.overlay is None else self.result.overlay.labels
        if labels is None or labels not in self._viewer.layers:
            return
        self._viewer.layers.selection.active = labels
        labels.selected_label = code
        if paint:
            labels.brush_size = 1
            labels.mode = "paint"

    def save(self, folder: Path) -> None:
        """Write the result that is looked at, as it is on the screen."""
        overlay = self.result.overlay
        mineral_map = None if overlay is None else overlay.corrected_map()
        if overlay is None or mineral_map is None:
            return
        layer = self.session.picture_of(overlay)
        plan = self._plan
        picture = plan.picture if plan is not None and layer is plan.layer else None
        self.status.say("Writing the results …")
        self.background.run(partial(write_screen, mineral_map, folder, picture))

    def command(self) -> str:
        """Return the command line that does the same as the dock."""
        return "ore-minerals classify PICTURE" if self._plan is None else self._plan.command()

    def replan(self) -> None:
        """Say what a click would do now."""
        if self.session.busy:
            return
        self.form.show_scale()
        self.empty.setVisible(self.form.pictures.layer is None)
        try:
            self._plan = self.form.plan()
        except (PictureError, OptionError) as error:
            self._plan = None
            self.status.complain(str(error))
        else:
            self.status.settle()
            if self.form.models.card is None:
                self.status.complain(NO_MODEL)
        self.form.advanced.setText(f"Advanced ({self._summary()})")
        self.form.advanced.toggleButton().setToolTip(self._summary())
        self.run_bar.offer(self._offer(), enabled=self._plan is not None)
        self.learn.tuning.replan()
        if self._plan is not None and self._plan.task.load != self._warmed:
            self._warm_up.start()

    def _summary(self) -> str:
        plan = self._plan
        if plan is None:
            return self.form.options.summary() or "all automatic"
        grid = plan.task.grid
        stride = f", stride {grid.stride_px} px" if grid.overlap > 1 else ""
        changed = self.form.options.summary(without=("tile_px", "stride_px"))
        return f"tile {grid.tile_px} px{stride}" + (f" · {changed}" if changed else "")

    def _offer(self) -> str:
        plan, (speed, device) = self._plan, self._speed()
        if plan is None:
            return "Classify"
        text = f"Classify {plan.tiles:,} tile{'s' if plan.tiles != 1 else ''}"
        about = f", about {duration(plan.tiles / speed)}" if speed else ""
        return f"{text}{about} on {device}" if device else text

    def _speed(self) -> Speed:
        plan, ready = self._plan, self._ready
        if plan is None or ready is None or ready.load[1:3] != plan.task.load[1:3]:
            return Speed()
        speed = memory.tiles_per_second(plan.card.weights_sha256, ready.device)
        if speed is None and ready.load.model == plan.task.load.model:
            speed = ready.tiles_per_second
        return Speed(speed, _short(ready.device))

    def _load_model(self) -> None:
        """Have the model warm before the click, which also tells the device and the speed."""
        if self._plan is None or self.session.busy:
            return
        if self._warmed is None:
            self.background.run(partial(warm_up, self._plan.card.mineral_table))
        self._warmed = self._plan.task.load
        self.device.tell("starting …", "The classifier's process is getting ready")
        self.worker.load(self._plan.task.load._replace(measure=True))

    def _begun(self) -> None:
        self.status.say("")
        self.status.doubt(())
        self._warm_up.stop()
        self.form.setEnabled(False)
        self.run_bar.begin()

    def _ended(self, sentence: str, *, error: bool = False) -> None:
        self.form.setEnabled(True)
        self.run_bar.end()
        self.replan()
        self._look()
        (self.status.complain if error else self.status.say)(sentence)

    def _finished(self, overlay: Overlay, sentence: str) -> None:
        if overlay.map is not None:
            plan = self._plan if overlay.map.run.complete else None
            self._warmed = None if plan is None else plan.task.load
        self._ended(sentence)
        self.result.show_table()
        self.result.show_minerals()
        overlay.show_only(MINERALS)

    def _failed(self, sentence: str) -> None:
        self._warmed = None
        self._ended(sentence, error=True)
        show_error(sentence)

    def _dropped(self, why: str) -> None:
        self._warmed = None
        self._ended(why)

    def _look(self, _: object = None) -> None:
        overlay = self.session.overlay_in_view(self.form.pictures.layer)
        if not self.session.busy:
            warnings = () if overlay is None or overlay.map is None else overlay.map.warnings
            self.status.look_at(warnings, another=overlay is not self.result.overlay)
        self.result.look_at(overlay)
        self.teaching.look_at(overlay)
        self.learn.show_result(overlay is not None)

    def _taught(self) -> Counter[int]:
        return Counter(one.code for one in self.teaching.corrections)

    def _show_device(self, ready: Ready) -> None:
        before = self._ready
        if not ready.tiles_per_second and before is not None and before.load[:3] == ready.load[:3]:
            ready = ready._replace(tiles_per_second=before.tiles_per_second)  # it was not measured again
        self._ready = ready
        notes = "".join(f"\n{notice}" for notice in ready.notices)
        what = f"{ready.device}, {ready.precision}: {ready.why}{notes}\nChange it under Advanced."
        self.device.tell(_short(ready.device), what)
        self.replan()

    def _copy_command(self) -> None:
        QApplication.clipboard().setText(self.command())
        notice = "" if self._plan is None else self._plan.command_notice()
        self.status.say(f"The command was copied: paste it into a terminal.{notice}")

    def _lay_out(self) -> None:
        header = QHBoxLayout()
        header.addWidget(QLabel("<b>Ore minerals</b>"), 1)
        header.addWidget(self.device)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(9, 6, 9, 9)
        column.setSpacing(9)
        column.addLayout(header)
        for widget in (self.empty, self.form, self.run_bar, self.status, self.result, self.learn):
            column.addWidget(widget)
        column.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(content))
        self.setMinimumWidth(380)

    def _connect(self) -> None:
        self.empty.sample_wanted.connect(self.open_sample)
        self.form.changed.connect(self.replan)
        self.form.changed.connect(self._look)
        self.form.models.failed.connect(self.status.complain)
        self.form.reading.failed.connect(self.status.complain)
        self.run_bar.clicked.connect(self.classify)
        self.run_bar.cancelled.connect(self.cancel)
        self.worker.ready.connect(self._show_device)
        self.worker.noticed.connect(self.status.say)
        self.session.begun.connect(self._begun)
        self.session.advanced.connect(self.run_bar.advance)
        self.session.finished.connect(self._finished)
        self.session.failed.connect(self._failed)
        self.session.dropped.connect(self._dropped)
        self.session.layers_changed.connect(self._look)
        self.background.done.connect(self.status.say)
        self.background.failed.connect(self.status.complain)
        self.result.label_chosen.connect(self.choose_label)
        self.result.save_wanted.connect(self.save)
        self.result.command_wanted.connect(self._copy_command)
        self.result.told.connect(self.status.say)
        self.result.failed.connect(self.status.complain)
        self.teaching.followed.connect(lambda _: self.result.refill())
        self.teaching.failed.connect(self.status.complain)
        self.teaching.settled.connect(self.status.settle)
        self.learn.told.connect(self.status.say)
        self.learn.failed.connect(self.status.complain)
        self.learn.shelf_read.connect(self.form.models.show_shelf)
        self.learn.model_wanted.connect(self.form.models.choose_version)
        self._viewer.layers.selection.events.active.connect(self._look)
        self.destroyed.connect(partial(ClassifyDock._closed, self))

    def _closed(self, _: object = None) -> None:
        """End process and threads, and listen to the viewer no more; Qt's part of the dock is gone already."""
        self.learn.close_section()
        self.teaching.close()
        self.worker.close()
        self.background.close()
        self._viewer.layers.selection.events.active.disconnect(self._look)
        self.session.disconnect_viewer()
        self.form.disconnect_viewer()
        self.result.disconnect_layers()


def _short(device: str) -> str:
    return device.split(",", maxsplit=1)[0]
