"""Layers of a result: progress, hover, painting that is never overwritten, undo, heatmaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.widgets.layers import MAP_KEY, is_ours
from napari_ore_minerals.widgets.overlay import Overlay
from napari_ore_minerals.widgets.pictures import picture_of


@pytest.fixture(scope="module")
def mineral_map(micro_model: Path) -> MineralMap:
    random = np.random.default_rng(5)
    fields = random.integers(20, 240, (5, 7, 3), dtype=np.uint8).repeat(64, axis=0).repeat(64, axis=1)
    return classify(
        Micrograph.from_array(fields, name="PS-07"), Classifier.load(micro_model, precision="fp32")
    )


@pytest.fixture
def viewer(mineral_map: MineralMap) -> ViewerModel:
    viewer = ViewerModel()
    size = (mineral_map.grid.height_px, mineral_map.grid.width_px, 3)
    viewer.add_image(np.zeros(size, np.uint8), rgb=True, name="PS-07", scale=(0.5, 0.5), units=("um", "um"))
    return viewer


@pytest.fixture
def overlay(viewer: ViewerModel, mineral_map: MineralMap) -> Overlay:
    placement = picture_of(viewer.layers[0]).placement
    overlay = Overlay(viewer, "PS-07", mineral_map.grid, mineral_map.minerals, placement)
    list(overlay.completing(mineral_map))
    return overlay


def test_three_layers_above_the_picture(
    viewer: ViewerModel, overlay: Overlay, mineral_map: MineralMap
) -> None:
    assert [layer.name for layer in viewer.layers] == [
        "PS-07", "PS-07 confidence", "PS-07 heatmap", "PS-07 minerals",
    ]  # fmt: skip
    assert overlay.labels is not None
    np.testing.assert_array_equal(overlay.labels.data, mineral_map.labels)
    assert [is_ours(layer) for layer in viewer.layers] == [False, True, True, True]
    assert all(layer.metadata[MAP_KEY] is mineral_map for layer in viewer.layers[1:])
    assert not viewer.layers["PS-07 confidence"].visible
    for layer in viewer.layers[1:]:
        for corner in (np.zeros(2), np.array(layer.data.shape)):
            share = corner / layer.data.shape * [mineral_map.grid.height_px, mineral_map.grid.width_px]
            expected = viewer.layers[0].data_to_world(share - 0.5)
            np.testing.assert_allclose(layer.data_to_world(corner - 0.5), expected)


def test_colours_are_those_of_the_minerals(overlay: Overlay, mineral_map: MineralMap) -> None:
    assert overlay.labels is not None
    for mineral in mineral_map.minerals:
        found = overlay.labels.colormap.map(mineral.code)
        np.testing.assert_allclose(found[:3], np.array(mineral.rgb) / 255, atol=0.01)
    for nothing in (0, 99):
        assert overlay.labels.colormap.map(nothing)[3] == 0


def test_heatmaps_are_switched_without_computing(overlay: Overlay, mineral_map: MineralMap) -> None:
    assert overlay.heatmap is not None
    np.testing.assert_array_equal(overlay.heatmap.data, mineral_map.heatmap())
    assert not overlay.heatmap.visible
    overlay.show_only("heatmap")
    assert overlay.heatmap.colorbar.visible
    overlay.show_heatmap(4)
    np.testing.assert_array_equal(overlay.heatmap.data, mineral_map.heatmap(4))
    assert tuple(overlay.heatmap.contrast_limits) == (0, 1)


def test_hover_tells_mineral_and_confidence_of_this_cell(overlay: Overlay, mineral_map: MineralMap) -> None:
    labels = overlay.labels
    assert labels is not None
    for row, column in [(0, 0), (2, 3), (4, 6)]:
        world = labels.data_to_world((row, column))
        status = labels.get_status(world, view_direction=None, dims_displayed=[0, 1], world=True)
        code = int(mineral_map.labels[row, column])
        name = mineral_map.minerals.by_code(code).name if code else "unclassified"
        assert name in status["value"]
        assert f"{mineral_map.confidence[row, column]:.0%}" in status["value"]
    outside = labels.get_status((-500, -500), view_direction=None, dims_displayed=[0, 1], world=True)
    assert "%" not in outside["value"]


def test_hover_over_the_heatmap_names_the_mineral(overlay: Overlay, mineral_map: MineralMap) -> None:
    assert overlay.labels is not None
    assert overlay.heatmap is not None
    row, column = np.argwhere(mineral_map.labels > 0)[0]
    world = overlay.labels.data_to_world((row, column))
    status = overlay.heatmap.get_status(world, view_direction=None, dims_displayed=[0, 1], world=True)
    assert mineral_map.minerals.by_code(int(mineral_map.labels[row, column])).name in status["value"]


@pytest.mark.fault("L6")
def test_painting_while_tiles_arrive_is_kept(viewer: ViewerModel, mineral_map: MineralMap) -> None:
    placement = picture_of(viewer.layers[0]).placement
    overlay = Overlay(viewer, "PS-07", mineral_map.grid, mineral_map.minerals, placement)
    known = np.zeros(mineral_map.grid.shape, bool)
    known[0] = True
    overlay.show(np.where(known, mineral_map.labels, 0), np.where(known, mineral_map.confidence, 0), known)
    assert overlay.labels is not None
    assert (overlay.labels.data[1:] == 0).all()
    painted = 1 + mineral_map.labels[3, 3] % 5
    overlay.labels.data_setitem((np.array([3]), np.array([3])), painted)
    list(overlay.completing(mineral_map))
    expected = mineral_map.labels.copy()
    expected[3, 3] = painted
    np.testing.assert_array_equal(overlay.labels.data, expected)
    assert np.argwhere(overlay.painted).tolist() == [[3, 3]]


def test_undo_after_a_result_changes_nothing(overlay: Overlay, mineral_map: MineralMap) -> None:
    assert overlay.labels is not None
    overlay.labels.mode = "paint"
    overlay.labels.data_setitem((np.array([0]), np.array([0])), 5)
    overlay.restart(overlay.placement)
    list(overlay.completing(mineral_map))
    shown = overlay.labels.data.copy()
    overlay.labels.undo()
    np.testing.assert_array_equal(overlay.labels.data, shown)
    assert overlay.labels.mode == "paint"


def test_painted_layers_are_not_taken_by_another_run(overlay: Overlay, mineral_map: MineralMap) -> None:
    assert overlay.can_show(mineral_map.grid, mineral_map.minerals)
    assert overlay.labels is not None
    overlay.labels.data_setitem((np.array([0]), np.array([0])), 1 + mineral_map.labels[0, 0] % 5)
    assert not overlay.can_show(mineral_map.grid, mineral_map.minerals)
    overlay.discard()
    assert [layer.name for layer in overlay.layers()] == ["PS-07 minerals"]


def test_the_exported_map_is_the_one_on_the_screen(overlay: Overlay, mineral_map: MineralMap) -> None:
    assert overlay.corrected_map() is mineral_map
    assert overlay.labels is not None
    new = 1 + mineral_map.labels[1, 2] % 5
    overlay.labels.data_setitem((np.array([1]), np.array([2])), new)
    corrected = overlay.corrected_map()
    assert corrected is not None
    assert corrected.labels[1, 2] == new
    assert "1 cells were corrected by hand" in corrected.warnings
    overlay.labels.data_setitem((np.array([1]), np.array([2])), 99)
    unknown = overlay.corrected_map()
    assert unknown is not None
    assert unknown.labels[1, 2] == 0


@pytest.mark.fault("L5")
def test_deleted_layers_come_back_with_the_result(
    viewer: ViewerModel, overlay: Overlay, mineral_map: MineralMap
) -> None:
    for layer in list(viewer.layers[1:]):
        viewer.layers.remove(layer)
    list(overlay.completing(mineral_map))
    assert len(viewer.layers) == 4


def test_layers_of_a_result_folder_are_adopted(viewer: ViewerModel, mineral_map: MineralMap) -> None:
    from napari_ore_minerals.widgets.layers import layer_data

    placement = picture_of(viewer.layers[0]).placement
    for data, options, kind in layer_data(mineral_map, "PS-07", placement):
        getattr(viewer, f"add_{kind}")(data, **options)
    overlay = Overlay.adopt(viewer, viewer.layers[-1], placement)
    assert overlay.heatmap is viewer.layers["PS-07 heatmap"]
    assert viewer.layers["PS-07 minerals"].brush_size == 1, "one cell, as after a run"
    overlay.show_heatmap(2)
    np.testing.assert_array_equal(viewer.layers["PS-07 heatmap"].data, mineral_map.heatmap(2))
    overlay.show_only("heatmap")
    assert [layer.visible for layer in viewer.layers] == [True, False, True, False]
