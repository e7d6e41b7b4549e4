"""The Sort tiles dock: keys of the canvas, pages in bounded memory, and nothing lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")

from gui_support import LONG
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from sorting_support import TILE_PX, unsorted_dataset

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.collection import TileDataset, TileLabel
from napari_ore_minerals.learning.sorting import SEVERAL, TO_SORT
from napari_ore_minerals.widgets.sheet import LAYOUTS, Sheet, layout_for
from napari_ore_minerals.widgets.sheet_layer import NAME
from napari_ore_minerals.widgets.sitting import Sitting
from napari_ore_minerals.widgets.sorting import SortingDock
from napari_ore_minerals.widgets.tile_pages import (
    CELL_PX,
    GAP_PX,
    Drawn,
    TileReader,
    draw_page,
    page_shape,
    place_at,
)


@pytest.fixture
def dataset(tmp_path: Path) -> TileDataset:
    return unsorted_dataset(tmp_path)


@pytest.fixture
def sitting(dataset: TileDataset) -> Iterator[Sitting]:
    found = Sitting(dataset.folder)
    yield found
    found.journal.close()


# -- pages, without a screen


def test_every_tile_is_on_one_page() -> None:
    tiles = tuple(f"t{number}" for number in range(50))
    sheet = Sheet(tiles, rows=4, columns=6)
    assert sheet.pages == 3
    assert sum((sheet.on_page(page) for page in range(sheet.pages)), ()) == tiles
    assert sheet.on_page(-1) == sheet.on_page(3) == ()
    sheet.move(1000)
    assert (sheet.current, sheet.page) == (49, 2)
    assert not sheet.click(5)
    assert sheet.click(1)
    assert sheet.current == 49
    sheet.move(-1000)
    assert sheet.current == 0
    assert Sheet().tile is None
    Sheet().move(3)


def test_a_point_lies_in_the_place_that_is_drawn_there() -> None:
    rows, columns = 3, 4
    for place in range(rows * columns):
        tiles = [Drawn(None)] * place + [Drawn(np.full((CELL_PX, CELL_PX, 3), 200, np.uint8))]
        page = draw_page(tiles, rows=rows, columns=columns, current=None)
        assert page.shape == (*page_shape(rows, columns), 4)
        bright = np.argwhere(page[..., 0] == 200)
        for point in (bright[0], bright[-1]):
            assert place_at(*(point + 0.5), rows=rows, columns=columns) == place
    assert place_at(-GAP_PX, 10, rows=rows, columns=columns) is None
    assert place_at(*page_shape(rows, columns), rows=rows, columns=columns) is None


def test_a_label_is_seen_as_colour_and_as_text() -> None:
    plain, labelled, unsure, outlined = (
        draw_page([tile], rows=1, columns=1, current=current)
        for tile, current in (
            (Drawn(None), None),
            (Drawn(None, "Py", "#f0e442"), None),
            (Drawn(None, "Py", "#f0e442", unsure=True), None),
            (Drawn(None, "Py", "#f0e442"), 0),
        )
    )
    assert not (plain[..., :3] == (0xF0, 0xE4, 0x42)).all(-1).any()
    assert (labelled[..., :3] == (0xF0, 0xE4, 0x42)).all(-1).any()
    assert (labelled != unsure).any()
    assert (outlined != labelled).any()
    assert plain[GAP_PX // 2, GAP_PX // 2, 3] == 0


def test_layouts_follow_the_canvas() -> None:
    assert layout_for(500, 1000) == (4, 6)
    assert layout_for(1000, 700)[0] > layout_for(1000, 700)[1]
    assert all(16 <= rows * columns <= 30 for rows, columns in LAYOUTS)


def test_tiles_are_read_as_they_are_and_memory_is_bounded(dataset: TileDataset) -> None:
    reader, tiles = TileReader(dataset, kept=7), tuple(dataset.table["tile"])
    for start in range(0, len(tiles), 5):
        assert reader.read(tiles[start : start + 5]) == ""
        assert reader.has(tiles[start : start + 5])
    kept = [tile for tile in tiles if reader.has([tile])]
    assert kept == list(tiles[-7:])
    pixels = reader.get(kept[0])
    assert pixels is not None
    assert pixels.shape == (CELL_PX, CELL_PX, 3)
    assert CELL_PX > TILE_PX


def test_a_picture_that_is_gone_is_told_and_the_others_are_shown(dataset: TileDataset) -> None:
    (dataset.folder.parent / "pictures" / "PS-01.png").unlink()
    reader, tiles = TileReader(dataset, kept=100), tuple(dataset.table["tile"])
    assert "PS-01" in reader.read(tiles)
    assert reader.has(tiles)
    assert sum(reader.get(tile) is not None for tile in tiles) == 15


# -- a sitting, without a screen


def test_a_label_leads_to_the_next_tile_without_one(sitting: Sitting) -> None:
    tiles = sitting.sorting.tiles
    sitting.give(0)
    assert sitting.sheet.tile == tiles[1]
    sitting.sheet.move(2)
    sitting.several()
    assert sitting.sheet.tile == tiles[4]
    sitting.sheet.current = 2
    sitting.unsure()
    sitting.give(1)
    assert sitting.sorting.label(tiles[2]) == TileLabel(sitting.sorting.minerals[1].name, sure=False)
    assert sitting.sheet.tile == tiles[4]  # the fourth has a label already
    sitting.sheet.current = 0
    sitting.give(1)  # a label that is looked at again leads to the next tile
    assert sitting.sheet.tile == tiles[1]
    sitting.advance = False
    sitting.give(1)
    assert sitting.sheet.tile == tiles[1]
    sitting.give(8)
    assert sitting.sorting.sorted_count == 4


def test_fill_gives_the_last_label_to_the_rest_of_the_page_as_one_step(sitting: Sitting) -> None:
    sitting.fill()
    assert sitting.sorting.sorted_count == 0
    sitting.several()
    sitting.give(1)
    sitting.fill()
    page = sitting.sheet.per_page
    assert sitting.sorting.sorted_count == page
    assert sitting.sorting.count(SEVERAL) == 1
    assert sitting.sheet.current == page
    sitting.undo()
    assert sitting.sorting.sorted_count == 2


def test_undo_goes_to_its_tile(sitting: Sitting) -> None:
    sitting.give(0)
    sitting.sheet.move(20)
    sitting.undo()
    assert sitting.sheet.current == 0
    sitting.redo()
    assert sitting.sorting.sorted_count == 1


def test_a_tile_that_was_sorted_stays_on_the_page_until_the_choice_is_made_anew(sitting: Sitting) -> None:
    sitting.look_at(TO_SORT)
    sitting.give(0)
    assert len(sitting.sheet.tiles) == 30
    sitting.look_at(TO_SORT)
    assert len(sitting.sheet.tiles) == 29
    sitting.look_at("gold")
    sitting.give(0)
    assert sitting.about() or not sitting.sheet.tiles


def test_a_new_sitting_begins_at_the_first_tile_without_a_label(dataset: TileDataset) -> None:
    first = Sitting(dataset.folder)
    for _ in range(7):
        first.give(0)
    first.add_mineral("galena")
    with pytest.raises(DatasetError, match="another viewer"):
        Sitting(dataset.folder)
    first.journal.close()  # as a process that was killed: nothing is in the table
    assert (TileDataset.open(dataset.folder).table["mineral"] == "").all()
    second = Sitting(dataset.folder)
    assert second.sheet.current == 7
    second.close()
    reopened = TileDataset.open(dataset.folder)
    assert (reopened.table["mineral"] != "").sum() == 7
    assert reopened.minerals.by_name("galena")
    third = Sitting(dataset.folder)
    assert third.saving() is None
    third.close()


# -- the dock in a viewer


@pytest.fixture
def add_sorting(make_napari_viewer: Callable[..., Any]) -> Callable[[], tuple[Any, SortingDock]]:
    def add() -> tuple[Any, SortingDock]:
        viewer = make_napari_viewer()
        _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Sort tiles")
        return viewer, dock

    return add


def opened(dock: SortingDock, folder: Path, qtbot: Any) -> Sitting:
    dock.open(folder)
    qtbot.waitUntil(lambda: dock.sitting is not None and not dock.pictures.busy, timeout=LONG)
    assert dock.sitting is not None
    return dock.sitting


def closed(dock: SortingDock, qtbot: Any) -> None:
    dock.close_dataset()
    qtbot.waitUntil(lambda: not dock.files.busy, timeout=LONG)


def press(widget: Any, keys: str) -> None:
    for key in keys:
        QTest.keyClick(widget, getattr(Qt.Key, f"Key_{key}"))


def test_keys_of_the_canvas_sort_tiles(
    add_sorting: Callable[[], tuple[Any, SortingDock]], dataset: TileDataset, qtbot: Any
) -> None:
    viewer, dock = add_sorting()
    assert dock.hint.isVisibleTo(dock)
    assert not dock.panel.isVisibleTo(dock)
    sitting = opened(dock, dataset.folder, qtbot)
    canvas = viewer.window._qt_viewer.canvas.native
    press(canvas, "12MU2")
    assert dock.panel.progress.text() == "4 of 30 sorted, 1 unsure"
    assert not dock.hint.isVisibleTo(dock)
    press(canvas, "0")  # nothing is said of the current one
    QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert dock.panel.progress.text() == "3 of 30 sorted, 1 unsure"
    QTest.keyClick(canvas, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(canvas, Qt.Key.Key_Left)
    assert sitting.sheet.current == 2
    QTest.keyClick(canvas, Qt.Key.Key_PageDown)
    assert sitting.sheet.page == 1
    QTest.keyClick(canvas, Qt.Key.Key_PageUp)
    QTest.keyClick(canvas, Qt.Key.Key_Delete)
    assert sitting.sorting.sorted_count == 3
    closed(dock, qtbot)
    assert NAME not in viewer.layers
    assert (TileDataset.open(dataset.folder).table["mineral"] != "").sum() == 3


def test_a_click_chooses_a_tile(
    add_sorting: Callable[[], tuple[Any, SortingDock]], dataset: TileDataset, qtbot: Any
) -> None:
    viewer, dock = add_sorting()
    sitting = opened(dock, dataset.folder, qtbot)
    canvas, camera = viewer.window._qt_viewer.canvas.native, viewer.scene.camera
    place = sitting.sheet.columns + 1  # second row, second column
    middle = np.array([1.5, 1.5]) * (CELL_PX + GAP_PX) + GAP_PX / 2
    row, column = (middle - camera.center[-2:]) * camera.zoom + np.array(viewer.canvas.size) / 2
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(column), round(row)))
    assert sitting.sheet.current == place
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(1, 1))  # beside the page
    assert sitting.sheet.current == place
    closed(dock, qtbot)


def test_keys_are_the_viewers_again_when_another_layer_is_selected(
    add_sorting: Callable[[], tuple[Any, SortingDock]], dataset: TileDataset, qtbot: Any
) -> None:
    viewer, dock = add_sorting()
    sitting = opened(dock, dataset.folder, qtbot)
    before = dict(viewer.keymap)
    labels = viewer.add_labels(np.zeros((20, 20), np.uint8))
    viewer.layers.selection = {labels}
    press(viewer.window._qt_viewer.canvas.native, "2")
    assert sitting.sorting.sorted_count == 0
    assert labels.mode == "paint"
    assert dict(viewer.keymap) == before
    closed(dock, qtbot)


def test_keys_work_in_the_dock_and_a_name_can_be_typed(
    add_sorting: Callable[[], tuple[Any, SortingDock]], dataset: TileDataset, qtbot: Any
) -> None:
    viewer, dock = add_sorting()
    viewer.window._qt_window.show()
    sitting = opened(dock, dataset.folder, qtbot)
    dock.panel.name.setFocus()
    QTest.keyClicks(dock.panel.name, "mum 1")
    assert dock.panel.name.text() == "mum 1"
    assert sitting.sorting.sorted_count == 0
    QTest.keyClick(dock.panel.name, Qt.Key.Key_Return)
    assert [mineral.name for mineral in sitting.sorting.minerals][-1] == "mum 1"
    assert dock.panel.name.text() == ""
    QTest.keyClick(dock, Qt.Key.Key_3)
    assert sitting.sorting.count("mum 1") == 1
    dock.panel.minerals.cellClicked.emit(0, 1)
    dock.panel.buttons["undo"].click()
    assert dock.panel.progress.text() == "1 of 30 sorted"
    closed(dock, qtbot)


def test_what_is_wrong_is_one_sentence(
    add_sorting: Callable[[], tuple[Any, SortingDock]], dataset: TileDataset, tmp_path: Path, qtbot: Any
) -> None:
    _, dock = add_sorting()
    dock.open(tmp_path)
    qtbot.waitUntil(lambda: "is no dataset" in dock.status.text(), timeout=LONG)
    sitting = opened(dock, dataset.folder, qtbot)
    dock.add_mineral("=")
    assert "cannot be the name" in dock.status.text()
    sitting.journal._file.close()
    sitting.journal._file = (dataset.folder / "tiles.csv").open("rb", buffering=0)  # as a disk that refuses
    dock.act("mineral 1")
    assert "could not be written" in dock.status.text()
    assert sitting.sorting.sorted_count == 1


def test_the_page_is_read_ahead(
    add_sorting: Callable[[], tuple[Any, SortingDock]], tmp_path: Path, qtbot: Any
) -> None:
    dataset = unsorted_dataset(tmp_path / "more", photographs=4)
    viewer, dock = add_sorting()
    sitting = opened(dock, dataset.folder, qtbot)
    assert sitting.reader.has(sitting.sheet.on_page(1))
    page = viewer.layers[NAME].data
    dock.act("next page")
    assert (viewer.layers[NAME].data != page).any()
    assert all(tile.pixels is not None for tile in sitting.drawn())
    viewer.layers.remove(NAME)
    dock.act("right")
    assert NAME in viewer.layers  # is made anew
    closed(dock, qtbot)


# -- from the command line to the table

PROGRAM = """
import sys
import napari
from qtpy.QtTest import QTest

def sorted_by_somebody():
    viewer = napari.current_viewer()
    (dock,) = (dock for name, dock in viewer.window.dock_widgets.items() if name.startswith("Sort tiles"))
    while dock.sitting is None:
        QTest.qWait(20)
    for name in ("mineral 2", "unsure", "mineral 1", "several"):
        dock.act(name)
    viewer.close()

napari.run = sorted_by_somebody
from napari_ore_minerals.widgets.sorting_view import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_closing_the_viewer_saves(dataset: TileDataset) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(dataset.folder)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-800:]
    table = TileDataset.open(dataset.folder).table
    assert table["mineral"].tolist()[:3] == [dataset.minerals[1].name, dataset.minerals[0].name, ""]
    assert table["sure"].tolist()[:3] == [True, False, True]
    assert table["origin"].tolist()[:4] == ["hand", "hand", "hand", ""]


def test_the_command_says_what_is_wrong_before_a_window_opens(
    dataset: TileDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_ore_minerals.cli import dataset as commands

    started: list[list[str]] = []
    monkeypatch.setattr(commands.subprocess, "call", lambda command: started.append(command) or 0)
    with pytest.raises(DatasetError, match="is no dataset"):
        commands.sort(tmp_path)
    assert not started
    assert commands.sort(dataset.folder) == 0
    assert started[0][1:] == ["-m", "napari_ore_minerals.widgets.sorting_view", str(dataset.folder)]
