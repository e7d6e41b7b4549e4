"""A viewer's runs and their layers: what follows from Classify, whatever happens to the layers meanwhile."""

from __future__ import annotations

from functools import partial
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ore_minerals.widgets import memory
from napari_ore_minerals.widgets.gathered import Gathered
from napari_ore_minerals.widgets.jobs import Worker
from napari_ore_minerals.widgets.layers import MAP_KEY
from napari_ore_minerals.widgets.overlay import Overlay
from napari_ore_minerals.widgets.partial import partial_map
from napari_ore_minerals.widgets.parts import step_in_view
from napari_ore_minerals.widgets.pictures import Placement, transform_of
from napari_ore_minerals.widgets.run_bar import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel

    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.widgets.input_form import Plan

Plane = tuple[int, ...]
SECONDS_BETWEEN_DRAWINGS = 0.2
SHARE_OF_DRAWING = 1 / 40  # of the time, so that a slow display does not slow down everything else
PAUSE_MS = 20
FEWEST_TILES_FOR_SPEED = 16
REPLACED = "The picture was replaced while it was classified; the run was stopped."
TOO_SOON = "Cancelled before the first tiles were classified."
MOVED = " The picture was moved meanwhile: the result lies where it was when the run began."
REMOVED = "The picture was removed while it was classified; the run was stopped."


class Session(QObject):  # type: ignore[misc]
    """Runs one classification at a time and keeps its layers.

    Signals: ``begun()``, ``advanced(int, int)`` tiles done and in all, ``finished(Overlay, str)`` with what
    happened in one sentence, ``failed(str)``, ``dropped(str)`` when there is no result because
    the picture went away or the cancel came first, and
    ``layers_changed()``.  Each ``begun`` is followed by one of finished, failed and dropped.
    """

    begun = Signal()
    advanced = Signal(int, int)
    finished = Signal(object, str)
    failed = Signal(str)
    dropped = Signal(str)
    layers_changed = Signal()

    def __init__(self, viewer: ViewerModel, worker: Worker) -> None:
        super().__init__()
        self._viewer, self._worker = viewer, worker
        self._overlays: WeakKeyDictionary[Image, dict[Plane, Overlay]] = WeakKeyDictionary()
        self._older: WeakKeyDictionary[Image, list[Overlay]] = WeakKeyDictionary()  # painted on, now hidden
        self._adopted: WeakKeyDictionary[Labels, Overlay] = WeakKeyDictionary()
        self._running: tuple[Plan, Overlay] | None = None
        self._finishing: Iterator[None] | None = None
        self._looked_at: object = None  # the active layer when Classify was pressed
        self._draw_from = 0.0
        worker.advanced.connect(self._advance)
        worker.finished.connect(self._finish)
        worker.cut_short.connect(self._cut_short)
        worker.failed.connect(self._fail)
        viewer.layers.events.removed.connect(self._layer_removed)

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self._running is not None

    def classify(self, plan: Plan) -> None:
        """Start what was planned; nothing happens while another run is under way."""
        if self.busy:
            return
        self._running = (plan, self._overlay_for(plan))
        self._looked_at = self._viewer.layers.selection.active
        plan.layer.events.data.connect(self._picture_replaced)
        self._draw_from = 0.0
        self.begun.emit()
        self._worker.classify(plan.task)

    def overlay_in_view(self, picture: Image | None) -> Overlay | None:
        """Result that belongs to the active layer, or else to `picture`; of a stack, that of the plane in view."""
        active = self._viewer.layers.selection.active
        for layer, of_planes in self._overlays.items():
            if active is not None and any(active in overlay.layers() for overlay in of_planes.values()):
                return self._in_plane(layer)
        for overlay in (*chain(*self._older.values()), *self._adopted.values()):
            if active is not None and active in overlay.layers():
                return overlay
        if isinstance(active, Labels) and active.metadata.get(MAP_KEY) is not None:
            cell = 1 / active.metadata[MAP_KEY].grid.stride_px  # the layer's pixels are cells
            placement = Placement(transform_of(active), (0,) * (active.ndim - 2), (cell, cell))
            self._adopted[active] = Overlay.adopt(self._viewer, active, placement)
            return self._adopted[active]
        found = None if picture is None else self._in_plane(picture)
        return found if found is not None and found.labels in self._viewer.layers else None

    def picture_of(self, overlay: Overlay) -> Image | None:
        """Layer of the picture that a result belongs to; None if it came from a folder."""
        shown = ((layer, overlays.values()) for layer, overlays in self._overlays.items())
        everything = [*shown, *self._older.items()]
        return next((layer for layer, overlays in everything if overlay in overlays), None)

    def disconnect_viewer(self) -> None:
        """Listen to the viewer no more."""
        self._end()
        self._viewer.layers.events.removed.disconnect(self._layer_removed)

    def _in_plane(self, picture: Image) -> Overlay | None:
        """Result of the plane of a picture that the sliders show."""
        plane = step_in_view(self._viewer, picture)[:-2]
        return self._overlays.get(picture, {}).get(plane)

    def _known(self, plan: Plan) -> Overlay | None:
        """Overlay of an earlier run on the same plane of the picture."""
        return self._overlays.get(plan.layer, {}).get(plan.picture.placement.plane)

    def _overlay_for(self, plan: Plan) -> Overlay:
        """Layers for a run: those of the last one, unless the user painted on them."""
        known = self._known(plan)
        minerals = plan.card.mineral_table
        if known is not None and known.can_show(plan.task.grid, minerals):
            return known
        return Overlay(self._viewer, plan.layer.name, plan.task.grid, minerals, plan.picture.placement)

    def _taken(self, plan: Plan, overlay: Overlay) -> None:
        """Make room for a run's first cells: what an older run left goes; what was painted on is hidden."""
        older = self._known(plan)
        if older is not overlay:
            if older is not None:
                older.retire()
                if older.layers():
                    self._older.setdefault(plan.layer, []).append(older)
            of_planes = self._overlays.setdefault(plan.layer, {})
            of_planes.pop(plan.picture.placement.plane, None)
            of_planes[plan.picture.placement.plane] = overlay
            self.layers_changed.emit()
        elif overlay.map is not None:
            overlay.restart(plan.picture.placement)

    def _advance(self, gathered: Gathered) -> None:
        if self._running is None:
            return
        self.advanced.emit(gathered.done, gathered.total)
        if monotonic() < self._draw_from or not gathered.processed.any():
            return
        begun = monotonic()
        plan, overlay = self._running
        self._taken(plan, overlay)
        overlay.show(gathered.labels, gathered.confidence, gathered.processed)
        self._draw_from = begun + SECONDS_BETWEEN_DRAWINGS
        QTimer.singleShot(PAUSE_MS, partial(self._measure_drawing, begun))

    def _measure_drawing(self, begun: float) -> None:
        """Wait longer with the next drawing where the viewer takes long to draw."""
        cost = monotonic() - begun - PAUSE_MS / 1000
        self._draw_from = max(self._draw_from, begun + cost / SHARE_OF_DRAWING)

    def _finish(self, mineral_map: MineralMap) -> None:
        if self._running is None:
            return
        plan, overlay = self._running
        if not mineral_map.run.complete and not mineral_map.processed.any():
            self._end()
            self.dropped.emit(TOO_SOON)
            return
        self._finishing = self._finish_in_steps(plan, overlay, mineral_map)
        self._next_step()

    def _next_step(self) -> None:
        if self._finishing is not None and next(self._finishing, self) is not self:
            QTimer.singleShot(0, self._next_step)

    def _finish_in_steps(self, plan: Plan, overlay: Overlay, mineral_map: MineralMap) -> Iterator[None]:
        """Show a map with room for the viewer to draw between the steps, which together take half a second."""
        self._taken(plan, overlay)
        yield
        yield from overlay.completing(mineral_map)
        for (
            opened
        ) in self._adopted.values():  # from a folder, or a copy: two maps over each other cannot be read
            if opened.map is not None and opened.map.picture.fingerprint == mineral_map.picture.fingerprint:
                opened.hide()
        if self._still_looks_at(plan.layer):
            self._viewer.layers.selection.active = overlay.labels
        yield
        self._end()
        run = mineral_map.run
        if run.tiles >= FEWEST_TILES_FOR_SPEED and run.seconds > 0:
            memory.remember_speed(plan.card.weights_sha256, run.device, run.tiles / run.seconds)
        self.finished.emit(overlay, _outcome(plan, mineral_map))

    def _still_looks_at(self, picture: Image) -> bool:
        """Whether the user has not turned to another picture since Classify was pressed."""
        active = self._viewer.layers.selection.active
        if active is None or active is picture or active is self._looked_at:
            return True
        mine = (*self._overlays.get(picture, {}).values(), *self._older.get(picture, ()))
        return any(active in overlay.layers() for overlay in mine)

    def _cut_short(self, gathered: Gathered) -> None:
        if self._running is not None:
            plan, _ = self._running
            self._finish(partial_map(gathered, plan.card, plan.picture))

    def _fail(self, sentence: str) -> None:
        running = self._running
        self._end()
        if running is not None:
            self._bring_back(*running)
        self.failed.emit(sentence)

    def _bring_back(self, plan: Plan, overlay: Overlay) -> None:
        """Show what was painted on earlier again, in the place of a run's first cells: nothing came of the run."""
        older = self._older.get(plan.layer, [])
        of_plane = [one for one in older if one.placement.plane == plan.picture.placement.plane]
        if overlay.map is not None or self._known(plan) is not overlay or not of_plane:
            return
        overlay.discard()
        older.remove(of_plane[-1])
        self._overlays[plan.layer][plan.picture.placement.plane] = of_plane[-1]
        of_plane[-1].unhide()
        self.layers_changed.emit()

    def _end(self) -> None:
        if self._running is not None:
            plan, _ = self._running
            plan.layer.events.data.disconnect(self._picture_replaced)
        self._running = self._finishing = self._looked_at = None

    def _drop(self, why: str) -> None:
        """Stop a run whose picture is gone; its layers would lie over nothing."""
        if self._running is None:
            return
        plan, overlay = self._running
        self._worker.abandon()
        self._end()
        if self._known(plan) is overlay:
            del self._overlays[plan.layer][plan.picture.placement.plane]
            overlay.discard()
        self.dropped.emit(why)

    def _picture_replaced(self, _: object = None) -> None:
        self._drop(REPLACED)

    def _layer_removed(self, event: object) -> None:
        if self._running is not None and self._running[0].layer is getattr(event, "value", None):
            self._drop(REMOVED)
        for overlays in self._older.values():
            overlays[:] = [overlay for overlay in overlays if overlay.layers()]
        self.layers_changed.emit()


def _was_moved(plan: Plan) -> bool:
    """Whether the picture lies elsewhere than when the run began."""
    now, then = transform_of(plan.layer), plan.picture.placement.transform
    return any(
        not np.array_equal(now[key], then[key]) for key in ("scale", "translate", "rotate", "shear", "affine")
    )


def _outcome(plan: Plan, mineral_map: MineralMap) -> str:
    """Say in one line what a run did."""
    run = mineral_map.run
    took, moved = duration(run.seconds), MOVED if _was_moved(plan) else ""
    if run.complete:
        tiles = f"{run.tiles:,} tile{'s' if run.tiles != 1 else ''}"
        return f"{tiles} classified in {took} on {run.device.split(',')[0]}.{moved}"
    return f"Cancelled after {took}: {run.tiles:,} of {plan.tiles:,} tiles are kept, the rest is unclassified.{moved}"
