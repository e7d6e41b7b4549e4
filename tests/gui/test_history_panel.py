"""The history of models in the dock: a tree, back to any version with one click, and zips for colleagues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("napari")

from gui_support import LONG
from qtpy.QtWidgets import QApplication, QPushButton, QTreeWidgetItemIterator

from napari_ore_minerals.models import versions
from napari_ore_minerals.models.card import TrainingRecord, read_card
from napari_ore_minerals.models.store import load_network
from napari_ore_minerals.models.versions import ModelStore, StoredVersion
from napari_ore_minerals.widgets.history_panel import HistoryPanel
from napari_ore_minerals.widgets.loss_plot import LossPlot, Point
from napari_ore_minerals.widgets.model_chooser import ModelChooser
from napari_ore_minerals.widgets.version_tree import Shelf, _tooltip, look


@pytest.fixture
def store(tmp_path: Path, micro_model: Path) -> ModelStore:
    """Three versions: the second was trained from the first, the third stands alone."""
    import torch

    found = ModelStore(tmp_path / "store")
    card, network = load_network(micro_model)

    def other() -> Any:
        """The same network with other weights, as training gives them."""
        with torch.no_grad():
            network.get_classifier().bias.add_(0.1)
        return network

    first = found.add(card.model_copy(update={"name": "ores"}), other())
    child = {"name": "ores", "parent": first.card.weights_sha256}
    found.add(card.model_copy(update=child), other(), activate=True)
    found.add(card.model_copy(update={"name": "alone"}), other())
    return found


@pytest.fixture
def show(qtbot: Any) -> Iterator[Callable[[ModelStore], HistoryPanel]]:
    panels: list[HistoryPanel] = []

    def new(store: ModelStore) -> HistoryPanel:
        panel = HistoryPanel(store)
        qtbot.addWidget(panel)
        panels.append(panel)
        with qtbot.waitSignal(panel.shown, timeout=LONG):
            panel.refresh()
        return panel

    yield new
    for panel in panels:
        panel.close_store()


def rows(panel: HistoryPanel) -> list[tuple[int, str, Any]]:
    """Depth, title and what stands at the end of each row."""
    found, walk = [], QTreeWidgetItemIterator(panel.tree)
    while (item := walk.value()) is not None:
        depth, above = 0, item.parent()
        while above is not None:
            depth, above = depth + 1, above.parent()
        found.append((depth, item.text(0), panel.tree.itemWidget(item, 2)))
        walk += 1
    return found


def select(panel: HistoryPanel, row: int) -> None:
    walk = QTreeWidgetItemIterator(panel.tree)
    for _ in range(row):
        walk += 1
    panel.tree.setCurrentItem(walk.value())


def test_the_tree_shows_which_came_from_which_and_which_is_in_use(
    show: Callable[[ModelStore], HistoryPanel], store: ModelStore
) -> None:
    shown = rows(show(store))
    assert [(depth, name) for depth, name, _ in shown] == [
        (0, "bundled model"), (1, "1  ores"), (2, "2  ores"), (1, "3  alone"),
    ]  # fmt: skip
    assert [end.text() for _, _, end in shown] == ["use", "use", "✓ in use", "use"]


def test_going_back_takes_one_click(
    show: Callable[[ModelStore], HistoryPanel], store: ModelStore, qtbot: Any
) -> None:
    panel = show(store)
    used: list[StoredVersion | None] = []
    panel.used.connect(used.append)
    for row, number in ((1, 1), (0, None)):
        button = rows(panel)[row][2]
        assert isinstance(button, QPushButton)
        with qtbot.waitSignal(panel.used, timeout=LONG):
            button.click()
        current = store.current().version
        assert (None if current is None else current.number) == number
        assert (None if used[-1] is None else used[-1].number) == number
        assert rows(panel)[row][2].text() == "✓ in use"


def test_a_version_whose_weights_are_damaged_is_not_used_and_says_why(
    show: Callable[[ModelStore], HistoryPanel], store: ModelStore, qtbot: Any
) -> None:
    panel = show(store)
    (store.version(1).folder / "model.safetensors").write_bytes(b"nothing")
    with qtbot.waitSignal(panel.failed, timeout=LONG) as said:
        rows(panel)[1][2].click()
    assert "version 1" in said.args[0]
    assert store.current().version == store.version(2)


def test_a_note_is_kept_and_removed_weights_leave_their_row(
    show: Callable[[ModelStore], HistoryPanel], store: ModelStore, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = show(store)
    select(panel, 3)
    panel.note.setText("learnt at the mine")
    with qtbot.waitSignal(panel.shown, timeout=LONG):
        panel.note.editingFinished.emit()
    assert look(store).note_of(3) == "learnt at the mine"
    assert panel.note.text() == "learnt at the mine", "the row stays selected"
    monkeypatch.setattr(panel, "_sure", lambda _: True)
    with qtbot.waitSignal(panel.shown, timeout=LONG):
        panel.remove.click()
    assert store.version(3).removed
    assert rows(panel)[3][2] is None
    assert not panel.export.isEnabled()


def test_a_model_goes_to_a_colleague_and_comes_in_without_torch_in_the_viewer(
    show: Callable[[ModelStore], HistoryPanel], store: ModelStore, qtbot: Any, tmp_path: Path
) -> None:
    panel, archive = show(store), tmp_path / "ores.zip"
    with qtbot.waitSignal(panel.exchange.written, timeout=LONG):
        panel.export_to(store.version(2), archive)
    assert archive.is_file()
    colleague = ModelStore(tmp_path / "colleague")
    theirs = show(colleague)
    with qtbot.waitSignal(theirs.exchange.saved, timeout=LONG):
        theirs.import_from(archive)
    qtbot.waitUntil(lambda: not theirs.busy, timeout=LONG)
    assert [name for _, name, _ in rows(theirs)] == ["bundled model", "1  ores"]
    assert colleague.current().version is None, "not used before the user says so"
    with qtbot.waitSignal(theirs.failed, timeout=LONG) as said:
        theirs.import_from(tmp_path / "nothing.zip")
    assert "nothing.zip" in said.args[0]
    assert theirs.take_in.isEnabled()


def test_the_chooser_begins_with_the_current_version_unless_the_user_chose(
    qtbot: Any, store: ModelStore, micro_model: Path
) -> None:
    shelf: Shelf = look(store)
    chooser = ModelChooser()
    qtbot.addWidget(chooser)
    chooser.show_shelf(shelf)
    assert chooser.folder == store.version(2).folder
    titles = [choice.title for choice in chooser.choices]
    assert [title for title in titles if "· version" in title] == [
        "alone · version 3", "ores · version 2", "ores · version 1",
    ]  # fmt: skip
    chooser.choose(micro_model)
    chooser.show_shelf(look(store))
    assert chooser.folder == micro_model
    chooser.choose_version(store.version(3))
    assert chooser.folder == store.version(3).folder
    store.remove(3)
    chooser.show_shelf(look(store))
    assert chooser.folder == store.version(2).folder, "a model that is gone makes way for the current one"


def test_the_plot_draws_what_it_is_told_and_no_nonsense(qtbot: Any) -> None:
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.resize(360, 96)
    plot.begin(5)
    empty = plot.grab().toImage()
    for epoch, loss in enumerate((0.9, float("nan"), 0.4), start=1):
        plot.add(Point(epoch, loss, 0.5))
    QApplication.processEvents()
    assert [point.epoch for point in plot.points] == [1, 3]
    assert plot.grab().toImage() != empty
    plot.begin(5)
    assert not plot.points


def test_the_dock_begins_with_the_current_version_and_goes_back_with_one_click(
    make_napari_viewer_proxy: Any, store: ModelStore, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    monkeypatch.setattr(versions, "default_root", lambda: store.root)
    viewer = make_napari_viewer_proxy()
    _, dock = viewer.window.add_plugin_dock_widget("napari-ore-minerals", "Classify")
    models, panel = dock.form.models, dock.learn.history
    qtbot.waitUntil(lambda: models.folder == store.version(2).folder, timeout=LONG)
    rows(panel)[1][2].click()
    qtbot.waitUntil(lambda: models.folder == store.version(1).folder, timeout=LONG)
    assert store.current().version == store.version(1)
    assert dock.status.text() == "Version 1 is in use: classify again to see its answers."
    dock.learn._kept(3)
    qtbot.waitUntil(lambda: models.folder == store.version(3).folder, timeout=LONG)


def test_a_version_tells_from_how_many_corrections_it_learnt(micro_model: Path) -> None:
    card = read_card(micro_model)
    training = TrainingRecord(options={}, samples=1234)
    taught = card.model_copy(update={"parent": card.weights_sha256, "training": training})
    assert "learnt from 1,234 corrections" in _tooltip(StoredVersion(1, micro_model, taught, False), "")
