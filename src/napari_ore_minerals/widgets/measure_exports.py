"""What leaves the Measure dock: files in every form that the program writes, and the table by the clipboard."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QMenu, QMessageBox, QPushButton, QWidget

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.widgets.background import Background
from napari_ore_minerals.widgets.measure_source import open_classified
from napari_ore_minerals.widgets.measure_table import COLUMNS, MeasureTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_ore_minerals.exports.formats import Format
    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.maps.measuring import Measurement
    from napari_ore_minerals.widgets.measure_figures import Figures
    from napari_ore_minerals.widgets.measure_source import Result
    from napari_ore_minerals.widgets.pictures import LayerPicture


OUT_OF_DATE = (
    "cells were corrected after the grains were found, and the grains do not follow these corrections"
)


class OnScreen(NamedTuple):
    """What is shown when an export is asked for.

    Attributes
    ----------
    result : Result
        That is in view.
    figures : Figures
    picture : LayerPicture or None
        The layer under it, where it is here.
    grains_painted : int
        Pixels of the grains layer that a user painted.
    grains_out_of_date : bool
        Whether cells were corrected since the grains were found.
    """

    result: Result
    figures: Figures
    picture: LayerPicture | None
    grains_painted: int = 0
    grains_out_of_date: bool = False


class ExportBar(QWidget):  # type: ignore[misc]
    """Buttons.  Signals: ``told(str)``, ``failed(str)``."""

    told = Signal(str)
    failed = Signal(str)

    def __init__(self, shown: Callable[[], OnScreen | None], table: MeasureTable) -> None:
        super().__init__()
        self._shown, self._table = shown, table
        self.background = Background()
        self.menu = QMenu(self)
        self.export = QPushButton("Export…")
        self.export.setToolTip(
            "Write what is shown as a table, a map, a report; every file says where it comes from"
        )
        self.export.setMenu(self.menu)
        self.copy = QPushButton("Copy table")
        self.copy.setToolTip("Copy the table, to paste it into a sheet or a text")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.export, 1)
        row.addWidget(self.copy, 1)
        self.menu.aboutToShow.connect(self.fill)
        self.copy.clicked.connect(self.copy_table)
        self.background.done.connect(self.told)
        self.background.failed.connect(self.failed)

    def fill(self) -> None:
        """List the forms, those that cannot be written now greyed."""
        from napari_ore_minerals.exports.formats import FORMATS

        shown = self._shown()
        self.menu.clear()
        for one in FORMATS:
            action = self.menu.addAction(one.title)
            has_picture = shown is not None and _picture_is_here(shown)
            has_grains = shown is not None and shown.figures.request.grains is not None
            lacks = [
                what
                for what, needed, here in (
                    ("the picture", one.needs_picture, has_picture),
                    ("grains", one.needs_grains, has_grains),
                )
                if needed and not here
            ]
            action.setEnabled(shown is not None and not lacks)
            if lacks:
                action.setText(f"{one.title}: needs {' and '.join(lacks)}")
            action.triggered.connect(partial(self._ask, one))

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Write what is shown, in a thread; its end is told with a signal."""
        shown = self._shown()
        if shown is None:
            self.failed.emit("There are no figures to export yet: wait for them, or classify a picture")
            return
        self.told.emit(f"Writing {path.name} …")
        self.background.run(partial(_written, shown, path, overwrite))

    def copy_table(self) -> None:
        """Copy the table as text with tabs between its columns, no cell of which a spreadsheet takes for a formula."""
        import pandas as pd

        from napari_ore_minerals.maps.files import safe_cells

        shown = [n for n in range(len(COLUMNS)) if not self._table.isColumnHidden(n)]
        rows = [
            [" ".join(self._table.item(row, n).text().split()) for n in shown]
            for row in range(self._table.rowCount())
        ]
        cells = safe_cells(pd.DataFrame(rows, dtype=object)).to_numpy().tolist()
        lines = ["\t".join(line) for line in ([COLUMNS[n] for n in shown], *cells)]
        QApplication.clipboard().setText("\n".join(lines))
        self.told.emit("The table was copied: paste it into a sheet or a text")

    def close_exports(self) -> None:
        """Let what is being written come to its end."""
        self.background.close()

    def _ask(self, chosen: Format, _: bool = False) -> None:
        shown = self._shown()
        if shown is None:
            return
        named, _kind = QFileDialog.getSaveFileName(
            self, chosen.title, str(_proposed(shown, chosen.suffix)), f"{chosen.title} (*{chosen.suffix})",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        if not named:
            return
        path = Path(named if named.lower().endswith(chosen.suffix) else named + chosen.suffix)
        if path.exists() and not self._may_replace(path):
            return
        self.write(path, overwrite=path.exists())

    def _may_replace(self, path: Path) -> bool:
        answer = QMessageBox.question(self, "Replace?", f"{path.name} exists. Replace it?")
        return bool(answer == QMessageBox.StandardButton.Yes)


def _picture_is_here(shown: OnScreen) -> bool:
    path = shown.result.mineral_map.picture.path
    return shown.picture is not None or (path is not None and Path(path).exists())


def _proposed(shown: OnScreen, suffix: str) -> Path:
    picture = shown.result.mineral_map.picture
    named = Path(picture.path) if picture.path else Path.home() / picture.name.replace("/", "-")
    return named.with_name(named.name + suffix)


def _written(shown: OnScreen, path: Path, overwrite: bool) -> str:
    """Write; nothing of Qt or napari."""
    from napari_ore_minerals.exports.formats import WITHOUT_PHOTOGRAPH, export_readable
    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.widgets.measure_figures import Cards

    request, groups = shown.figures.request, shown.figures.groups
    what = Shown.of(
        shown.result.mineral_map,
        _measured(shown),
        labels=shown.result.labels,
        grains=request.grains,
        micrograph=_micrograph(shown),
    )
    doubts = () if what.micrograph is not None else (WITHOUT_PHOTOGRAPH,)
    if request.grains is not None:
        doubts = (*doubts, OUT_OF_DATE) if shown.grains_out_of_date else doubts
        what = replace(what, painted=shown.grains_painted)
    reference = Cards().reference(what.mineral_map)
    what = replace(what, doubts=doubts, erring="" if reference is None else reference.what)
    if len(request.results) > 1:
        view = [one is shown.result for one in request.results].index(True)
        what = replace(what, pooled=groups[-1].table, view=view, doubts=(*doubts, *groups[-1].warnings))
    written = export_readable(what, path, overwrite=overwrite)
    left_out = ", without the photograph, which cannot be read" if written is not what else ""
    return f"{path} was written{left_out}"


def _measured(shown: OnScreen) -> tuple[Measurement, ...]:
    """Figures of the picture, of its regions, or of planes under their names, with the region where there is one."""
    found = [
        (group.name, replace(group.measured, table=group.table))  # with the fractions by grains
        for group in shown.figures.groups
        if group.measured is not None
    ]
    regions = shown.figures.request.regions
    return tuple(
        replace(one, name=f"{name}, {one.name}" if regions and name != one.name else name)
        for name, one in found
    )


def _micrograph(shown: OnScreen) -> Micrograph | None:
    """The picture that was classified; None where it is not here any more."""
    path = shown.result.mineral_map.picture.path
    try:
        return open_classified(shown.picture, shown.result.mineral_map, Path(path) if path else None)
    except PictureError:
        return None
