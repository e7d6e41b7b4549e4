"""The dock's parts alone: form of options, run bar, model chooser and card, memory, short batches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.card import ModelCard, read_card
from napari_ore_minerals.widgets import memory
from napari_ore_minerals.widgets.background import Background
from napari_ore_minerals.widgets.gathered import Gathered, Task
from napari_ore_minerals.widgets.hints import Status
from napari_ore_minerals.widgets.messages import Advance, Cells, Load
from napari_ore_minerals.widgets.mineral_table import COLUMNS, MineralTableView
from napari_ore_minerals.widgets.model_chooser import ModelChooser, card_html
from napari_ore_minerals.widgets.options_form import OptionsForm
from napari_ore_minerals.widgets.overlay import Overlay
from napari_ore_minerals.widgets.partial import partial_map
from napari_ore_minerals.widgets.pictures import picture_of
from napari_ore_minerals.widgets.result_panel import ResultPanel
from napari_ore_minerals.widgets.run_bar import RunBar, duration
from napari_ore_minerals.widgets.short_batches import ShortBatches


def test_the_form_has_every_option_and_begins_with_the_defaults(qtbot: Any) -> None:
    form = OptionsForm(ClassifyOptions)
    qtbot.addWidget(form)
    assert form.options() == ClassifyOptions()
    assert form.summary() == ""
    wanted = {
        "tile_px": 128, "stride_px": 64, "min_confidence": 0.35, "device": "cpu", "precision": "fp32", "batch_size": 8,
    }  # fmt: skip
    assert set(wanted) == set(ClassifyOptions.model_fields)
    for name, value in wanted.items():
        with qtbot.waitSignal(form.changed, timeout=1000):
            form.set_value(name, value)
    assert form.options() == ClassifyOptions(**wanted)
    assert "tile 128" in form.summary()
    form.set_value("tile_px", None)
    assert form.options().tile_px is None
    form.set_value("min_confidence", 0.0)
    assert form.options().min_confidence == 0.0


def test_what_the_core_refuses_is_an_option_error(qtbot: Any) -> None:
    form = OptionsForm(ClassifyOptions)
    qtbot.addWidget(form)
    form._editors["tile_px"].setMinimum(0)
    form.set_value("tile_px", 3)
    with pytest.raises(OptionError, match="greater"):
        form.options()


def test_the_run_bar_tells_speed_and_time_left(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("napari_ore_minerals.widgets.run_bar.monotonic", lambda: now[0])
    bar = RunBar()
    qtbot.addWidget(bar)
    bar.begin()
    bar.advance(10, 110)
    now[0] = 2.0
    bar.advance(30, 110)
    assert bar.bar.text() == "30 / 110 tiles · 10/s · 8 s left"
    now[0] = 2.1  # not drawn more often than one can read it, but for the last tile
    bar.advance(31, 110)
    assert bar.bar.value() == 30
    bar.advance(110, 110)
    assert bar.bar.value() == 110
    with qtbot.waitSignal(bar.cancelled, timeout=1000):
        bar.cancel.click()
    assert not bar.cancel.isEnabled()
    bar.end()
    bar.begin()
    assert bar.cancel.isEnabled()


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (40, "40 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_speeds_and_models_are_remembered(tmp_path: Path, micro_model: Path, qtbot: Any) -> None:
    assert memory.tiles_per_second("abc", "CPU") is None
    memory.remember_speed("abc", "CPU", 12.5)
    memory.remember_speed("abc", "GPU", 500)
    assert memory.tiles_per_second("abc", "CPU") == 12.5
    chooser = ModelChooser()
    qtbot.addWidget(chooser)
    chooser.choose(micro_model)
    again = ModelChooser()
    qtbot.addWidget(again)
    again.choose(micro_model)
    assert again.folder == micro_model
    assert memory.model_folders() == [micro_model]
    assert memory.tiles_per_second("abc", "GPU") == 500


@pytest.mark.parametrize(
    "text", ["", "[]", "{nonsense", '{"tiles_per_second": {"abc CPU": "fast"}, "models": [1]}']
)
def test_a_damaged_memory_is_no_harm(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config" / "viewer.json"
    path.parent.mkdir()
    path.write_text(text)
    assert memory.tiles_per_second("abc", "CPU") is None
    assert memory.model_folders() == []
    memory.remember_speed("abc", "CPU", 3)
    assert memory.tiles_per_second("abc", "CPU") == 3


def test_texts_of_a_card_are_not_markup(micro_model: Path) -> None:
    card = read_card(micro_model).model_copy(update={"provenance": "<img src='http://a/b'>"})
    assert "<img" not in card_html(card)
    assert "&lt;img" in card_html(card)


def test_the_table_keeps_unclassified_apart(qtbot: Any) -> None:
    gathered, card, picture = some_cells()
    table = MineralTableView()
    qtbot.addWidget(table)
    table.show_areas(areas(partial_map(gathered, card, picture)), card.mineral_table)
    chosen: list[int] = []
    table.chosen.connect(chosen.append)
    for row in range(table.rowCount()):
        table.cellClicked.emit(row, 0)
    assert chosen == [1, 2, 3, 4, 5, 6, 0], "cells that were not processed are no label"
    assert table.item(table.rowCount() - 1, 0).text() == "not processed"
    assert COLUMNS[2:4] == ("area %", "cells")
    gathered_areas = areas(partial_map(gathered, card, picture)).set_index("mineral")
    pyrite = [table.item(row, 0).text() for row in range(table.rowCount())].index("pyrite")
    assert float(table.item(pyrite, 2).text()) == pytest.approx(
        100 * gathered_areas.loc["pyrite", "fraction_of_picture"], abs=0.06
    )
    gold = gathered_areas.loc["gold", "fraction_of_picture"]
    assert gathered_areas.loc["pyrite", "fraction_of_picture"] > 3 * gold, "the confidence is the evidence"
    counted = table.item(pyrite, 3).text()
    assert counted == "1 (100 %)", "the other cell is unclear, and the rest was not processed"
    unclassified = [table.item(table.rowCount() - 2, column).text() for column in range(4)]
    assert unclassified[0] == "unclassified"
    assert unclassified[2:] == ["–", "1"]


def test_what_is_saved_again_gets_a_name_that_is_free(qtbot: Any, tmp_path: Path) -> None:
    panel = ResultPanel()
    qtbot.addWidget(panel)
    picture = SimpleNamespace(path=str(tmp_path / "PS-07.tif"), name="PS-07")
    panel._overlay = SimpleNamespace(map=SimpleNamespace(picture=picture))  # type: ignore[assignment]
    for name in ("PS-07.tif.oremap", "PS-07.tif 2.oremap", "PS-07.tif 3.oremap"):
        assert panel._proposed(".oremap") == tmp_path / name
        (tmp_path / name).mkdir()
    assert panel._proposed(" areas.csv") == tmp_path / "PS-07.tif areas.csv"


def test_no_areas_of_an_earlier_result_stand_beside_one_that_is_not_finished(qtbot: Any) -> None:
    panel = ResultPanel()
    qtbot.addWidget(panel)
    gathered, card, picture = some_cells()
    panel.table.show_areas(areas(partial_map(gathered, card, picture)), card.mineral_table)
    grid = TileGrid(128, 192, 64, 64)
    panel._overlay = Overlay(ViewerModel(), "PS-08", grid, card.mineral_table, picture.placement)
    panel.show_table()
    shown = [
        [panel.table.item(row, column).text() for column in range(4)] for row in range(panel.table.rowCount())
    ]
    assert [row[0] for row in shown] == [mineral.name for mineral in card.mineral_table]
    assert {tuple(row[2:]) for row in shown} == {("–", "")}


def some_cells() -> tuple[Gathered, ModelCard, Any]:
    """The state of a run after two of six cells: pyrite, and one that is unclear."""
    from napari.layers import Image

    card = ModelCard(
        name="m", architecture="ore_swin_micro", minerals=DEFAULT_MINERALS.minerals, input_px=32, tile_px=64
    )
    picture = picture_of(Image(np.zeros((128, 192, 3), np.uint8), rgb=True, name="PS-07"))
    task = Task(picture.micrograph, Load(Path("m")), ClassifyOptions(), TileGrid(128, 192, 64, 64))
    gathered = Gathered(task, 1)
    cells = Cells(
        np.array([0, 1]), np.array([1, 2]), np.array([4, 0], np.uint8), np.array([0.9, 0.3], np.float32)
    )
    gathered.add(Advance(1, 2, 6, (cells,)))
    return gathered, card, picture


def test_the_map_of_a_killed_run() -> None:
    mineral_map = partial_map(*some_cells())
    assert np.argwhere(mineral_map.processed).tolist() == [[0, 1], [1, 2]]
    assert mineral_map.labels[0, 1] == 4
    np.testing.assert_allclose(mineral_map.confidence[[0, 1], [1, 2]], [0.9, 0.3])
    assert mineral_map.heatmap().max() == 0
    assert not mineral_map.run.complete
    assert any("heatmaps were not" in warning for warning in mineral_map.warnings)


def test_batches_get_shorter_for_somebody_who_waits() -> None:
    batches = ShortBatches(largest=32, size=16)
    batches.record(16, 0.9)
    assert batches.size == 16, "the first batch also pays for the set-up"
    batches.record(16, 0.6)
    assert batches.size == 8
    for _ in range(10):
        batches.record(8, 0.3)
    assert batches.size == 8
    quick = ShortBatches(largest=32, size=4)
    for _ in range(12):
        quick.record(quick.size, 0.01)
    assert quick.size == 32


def test_the_status_takes_back_complaints_only(qtbot: Any) -> None:
    status = Status()
    qtbot.addWidget(status)
    status.complain("something is wrong")
    assert status.text() == "Something is wrong."
    status.settle()
    assert status.text() == ""
    status.say("done")
    status.settle()
    assert status.text() == "Done."


def test_errors_of_files_are_told(qtbot: Any) -> None:
    background = Background()

    def fail() -> str:
        raise OSError("the disk is full")

    with qtbot.waitSignal(background.failed, timeout=5000) as found:
        background.run(fail)
    assert found.args == ["the disk is full"]
    with qtbot.waitSignal(background.done, timeout=5000) as found:
        background.run(lambda: "written")
    background.close()
