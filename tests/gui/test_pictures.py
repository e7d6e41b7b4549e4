"""From layers to pictures and back: every cell lies where its pixels lie, whatever the layer's transform."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.images.pixels import Window
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.predict import plan
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.widgets.input_form import grid_over
from napari_ore_minerals.widgets.layer_scale import um_per_px_of, why_no_scale
from napari_ore_minerals.widgets.parts import (
    cells_of_shapes,
    cells_of_window,
    to_pixels,
    window_in_view,
    window_of,
)
from napari_ore_minerals.widgets.pictures import picture_of

TRANSFORMS: dict[str, dict[str, Any]] = {
    "none": {},
    "translate": {"translate": (-30.0, 17.5)},
    "scale": {"scale": (0.5, 0.5)},
    "uneven scale": {"scale": (0.5, 2.0), "translate": (3, 4)},
    "negative scale": {"scale": (-0.5, 0.7), "translate": (3, 4)},
    "rotate": {"rotate": 33.0, "scale": (2.0, 2.0)},
    "shear": {"shear": [0.3]},
    "affine": {"affine": [[1.1, 0.3, 5], [-0.2, 0.9, 6], [0, 0, 1]]},
    "all": {
        "scale": (-0.5, 0.7), "translate": (3, 4), "rotate": 20.0, "shear": [0.1],
        "affine": [[1.1, 0.3, 5], [-0.2, 0.9, 6], [0, 0, 1]],
    },
}  # fmt: skip
SIDE = 32


def image(height: int = 100, width: int = 230, **options: Any) -> Image:
    return Image(np.zeros((height, width, 3), np.uint8), rgb=True, name="PS-07", **options)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("side", [SIDE, SIDE / 7])
def test_corners_of_cells_lie_on_corners_of_pixels(name: str, side: float) -> None:
    layer = image(units=("um", "um"), **TRANSFORMS[name])
    placement = picture_of(layer).placement
    cells = Labels(np.zeros((4, 8), np.uint8), **placement.of_cells(side))
    for corner in [(0, 0), (0, 8), (4, 0), (4, 8), (1, 3)]:
        in_cells = np.array(corner) - 0.5
        in_pixels = np.array(corner) * side - 0.5
        np.testing.assert_allclose(cells.data_to_world(in_cells), layer.data_to_world(in_pixels), atol=1e-9)
    assert cells.units == layer.units


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_way_back_from_the_world(name: str) -> None:
    layer = image(**TRANSFORMS[name])
    picture = picture_of(layer)
    corners = np.array(
        [layer.data_to_world(corner) for corner in [(9.5, 19.5), (9.5, 59.5), (39.5, 19.5), (39.5, 59.5)]]
    )
    np.testing.assert_allclose(to_pixels(layer, corners[0], picture), (10, 20), atol=1e-6)
    window = window_of(layer, corners, picture)
    assert window is not None
    np.testing.assert_allclose(window, (10, 20, 30, 40), atol=1)
    assert window_of(layer, corners + 10_000, picture) is None


def test_plane_of_a_stack() -> None:
    data = np.arange(5 * 40 * 50 * 3, dtype=np.uint64).reshape(5, 40, 50, 3).astype(np.uint8)
    layer = Image(data, rgb=True, scale=(7, 2, 2), translate=(1, 0, 0))
    picture = picture_of(layer, (3, 0, 0))
    np.testing.assert_array_equal(picture.micrograph().read().rgb, data[3])
    cells = Labels(picture.placement.shaped(np.zeros((2, 2), np.uint8)), **picture.placement.of_cells(32))
    assert cells.data.shape == (1, 2, 2)
    np.testing.assert_allclose(cells.data_to_world((0, -0.5, -0.5)), layer.data_to_world((3, -0.5, -0.5)))


def test_levels_of_a_pyramid_lie_over_each_other() -> None:
    levels = [np.full((400 // n, 600 // n, 3), n, np.uint8) for n in (1, 2, 4)]
    layer = Image(levels, rgb=True, multiscale=True, scale=(0.5, 0.5), units=("um", "um"), translate=(9, 1))
    assert (picture_of(layer).height_px, picture_of(layer).um_per_px) == (400, 0.5)
    picture = picture_of(layer, model_um_per_px=1.1)
    assert (picture.height_px, picture.um_per_px) == (200, 1.0)
    assert picture.micrograph().read().rgb.max() == 2
    cells = Labels(np.zeros((7, 10), np.uint8), **picture.placement.of_cells(32))
    np.testing.assert_allclose(cells.data_to_world((0.5, 0.5)), layer.data_to_world((63.5, 63.5)))


@pytest.mark.parametrize("wrap", [np.asarray, da.from_array], ids=["numpy", "dask"])
def test_any_array(wrap: Any, picture: np.ndarray) -> None:
    opened = picture_of(Image(wrap(picture), rgb=True)).micrograph()
    np.testing.assert_array_equal(opened.read().rgb, picture)


def test_contrast_makes_no_difference(picture: np.ndarray) -> None:
    grey = picture[..., 0]
    plain = picture_of(Image(grey)).micrograph().read().rgb
    bright = picture_of(Image(grey, contrast_limits=(0, 10), gamma=2)).micrograph().read().rgb
    np.testing.assert_array_equal(plain, bright)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scale": (0.5, 0.5), "units": ("um", "um")}, 0.5),
        ({"scale": (5e-4, 5e-4), "units": ("mm", "mm")}, 0.5),
        ({"scale": (-0.5, 0.5), "units": ("um", "um")}, 0.5),
        ({"scale": (0.5, 0.5), "units": ("um", "um"), "rotate": 30}, 0.5),
        ({"scale": (0.5, 0.5), "units": ("um", "um"), "affine": np.diag([2, 2, 1])}, 1.0),
        ({"scale": (0.5, 0.5)}, None),
        ({"scale": (0.5, 0.6), "units": ("um", "um")}, None),
    ],
)
def test_um_per_px_from_the_layer(options: dict[str, Any], expected: float | None) -> None:
    found = um_per_px_of(image(**options))
    assert found == (None if expected is None else pytest.approx(expected))


def test_pixels_that_are_not_square_are_why_there_is_no_scale() -> None:
    oblong = image(scale=(1, 2), units=("um", "um"))
    assert um_per_px_of(oblong) is None
    assert why_no_scale(oblong) == "oblong pixels"
    assert why_no_scale(image(scale=(1, 2))) == "not told"


def test_the_users_scale_goes_first() -> None:
    layer = image(scale=(0.5, 0.5), units=("um", "um"))
    assert picture_of(layer).um_per_px_source == "layer scale"
    picture = picture_of(layer, um_per_px=0.8)
    assert (picture.um_per_px, picture.um_per_px_source) == (0.8, "given by the user")
    assert picture.micrograph().um_per_px == 0.8


def test_one_axis_is_no_picture() -> None:
    class Line:
        ndim, name = 1, "line"

    with pytest.raises(PictureError, match="rows and columns"):
        picture_of(Line())  # type: ignore[arg-type]


@pytest.mark.parametrize("um_per_px", [None, 0.25, 0.5, 2.0])
@pytest.mark.parametrize("tile_px", [None, 64])
def test_the_grid_is_that_of_the_core(um_per_px: float | None, tile_px: int | None) -> None:
    layer = image(500, 700)
    picture = picture_of(layer, um_per_px=um_per_px)
    card = ModelCard(
        name="m", architecture="ore_swin_micro", minerals=DEFAULT_MINERALS.minerals, input_px=32, tile_px=128,
        um_per_px=0.5,
    )  # fmt: skip
    options = ClassifyOptions(tile_px=tile_px, stride_px=32)
    assert grid_over(picture, card, options) == plan(picture.micrograph(), card, options)


@pytest.mark.parametrize("name", ["none", "all", "rotate"])
def test_cells_under_shapes(name: str) -> None:
    layer = image(320, 320, **TRANSFORMS[name])
    picture = picture_of(layer)
    grid = TileGrid(320, 320, SIDE, SIDE)
    box = np.array([(33, 65), (33, 127), (94, 127), (94, 65)], float) - 0.5  # cells 1 to 2, 2 to 3
    world = np.array([layer.data_to_world(corner) for corner in box])
    expected = np.zeros(grid.shape, bool)
    expected[1:3, 2:4] = True
    polygon = Shapes([world], shape_type="polygon")
    np.testing.assert_array_equal(cells_of_shapes(polygon, layer, picture, grid), expected)


def test_selected_shapes_go_before_all_and_small_ones_count() -> None:
    layer = image(320, 320)
    picture, grid = picture_of(layer), TileGrid(320, 320, SIDE, SIDE)
    dot = np.array([(5, 5), (5, 7), (7, 7), (7, 5)])
    shapes = Shapes([dot, dot + 100], shape_type="polygon")
    assert np.argwhere(cells_of_shapes(shapes, layer, picture, grid)).tolist() == [[0, 0], [3, 3]]
    shapes.selected_data = {1}
    assert np.argwhere(cells_of_shapes(shapes, layer, picture, grid)).tolist() == [[3, 3]]


def test_an_ellipse_leaves_out_the_corners_of_its_box() -> None:
    layer = image(320, 320)
    shapes = Shapes([[(0, 0), (0, 319), (319, 319), (319, 0)]], shape_type="ellipse")
    mask = cells_of_shapes(shapes, layer, picture_of(layer), TileGrid(320, 320, SIDE, SIDE))
    assert not mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert mask[4, :].all()


def test_cells_of_a_window() -> None:
    mask = cells_of_window(TileGrid(320, 320, SIDE, SIDE), Window(31, 64, 2, 32))
    assert np.argwhere(mask).tolist() == [[0, 2], [1, 2]]


def test_what_the_canvas_shows() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((300, 400, 3), np.uint8), rgb=True, scale=(2, 2))
    viewer.canvas.size = (100, 200)
    viewer.scene.camera.zoom = 1.0
    viewer.scene.camera.center = (0, 300, 400)
    window = window_in_view(viewer, layer, picture_of(layer))
    assert window is not None
    np.testing.assert_allclose(window, (125, 150, 50, 100), atol=1)
    viewer.scene.camera.center = (0, 9000, 9000)
    assert window_in_view(viewer, layer, picture_of(layer)) is None
