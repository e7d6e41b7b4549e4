"""The dock reads from a picture's file what the command line reads: the same pixels, scale and guesses."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gui_support import SECONDS
from napari.layers import Image as ImageLayer
from PIL import Image

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import PictureAnswers, ReadOptions
from napari_ore_minerals.models.store import load_network, save_model
from napari_ore_minerals.widgets.picture_files import facts_of, layer_of
from napari_ore_minerals.widgets.pictures import picture_of

AddDock = Callable[..., Any]
COLOURS = np.random.default_rng(5).integers(0, 255, (3, 4, 3)).repeat(40, 0).repeat(40, 1).astype(np.uint8)
GREY = COLOURS[..., 0]


def _exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).save(path, exif=exif, quality=95)


def _palette_with_transparency(path: Path) -> None:
    image = Image.fromarray(COLOURS).quantize(8)
    image.save(path, transparency=0)


def _ome(path: Path) -> None:
    told = {"axes": "YXS", "PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65}
    tifffile.imwrite(path, COLOURS, ome=True, photometric="rgb", metadata=told)


FILES: dict[str, Callable[[Path], object]] = {
    "plain.png": lambda path: Image.fromarray(COLOURS).save(path),
    "cmyk.jpg": lambda path: Image.fromarray(COLOURS).convert("CMYK").save(path, quality=95),
    "cmyk.tif": lambda path: Image.fromarray(COLOURS).convert("CMYK").save(path),
    "palette.tif": lambda path: Image.fromarray(COLOURS).quantize(12).save(path),
    "white is zero.tif": lambda path: tifffile.imwrite(path, GREY, photometric="miniswhite"),
    "turned.jpg": _exif,
    "ome-cyx.ome.tif": lambda path: tifffile.imwrite(path, COLOURS.transpose(2, 0, 1), metadata={"axes": "CYX"}),
    "grey and alpha.png": lambda path: Image.fromarray(np.dstack([GREY, GREY | 1]), "LA").save(path),
    "palette with transparency.png": _palette_with_transparency,
    "deep.tif": lambda path: tifffile.imwrite(path, COLOURS.astype(np.uint16) * 9, photometric="rgb"),
    "ome.ome.tif": _ome,
    "imagej.tif": lambda path: tifffile.imwrite(
        path, GREY, imagej=True, resolution=(2.0, 2.0), metadata={"unit": "um"}
    ),
    "tag.tif": lambda path: tifffile.imwrite(
        path, COLOURS, photometric="rgb", resolution=(12_345.0, 12_345.0), resolutionunit="CENTIMETER"
    ),
}  # fmt: skip
SCALES = {"ome.ome.tif": "OME metadata", "imagej.tif": "ImageJ metadata", "tag.tif": "TIFF resolution tag"}
OTHERWISE_IN_NAPARI = {"cmyk.tif", "turned.jpg", "ome-cyx.ome.tif"}


@pytest.fixture(params=list(FILES))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    found = tmp_path / str(request.param)
    FILES[str(request.param)](found)
    return found


def test_a_layer_of_a_file_is_classified_as_the_command_line_does(path: Path) -> None:
    filed = Micrograph.open(path)
    data, arguments, _ = layer_of(path, PictureAnswers())
    layer = ImageLayer(data, **arguments)
    np.testing.assert_array_equal(layer.data, filed.read().rgb)
    picture = picture_of(layer)
    facts = facts_of(picture)
    opened = picture_of(layer, told=facts.told).micrograph()
    assert opened.fingerprint() == filed.fingerprint()
    assert (opened.um_per_px, opened.um_per_px_source) == (filed.um_per_px, filed.um_per_px_source)
    assert opened.um_per_px_source == SCALES.get(path.name, "")
    assert facts.guesses == filed.guesses
    assert facts.as_filed is None
    assert opened.path == path


def test_a_layer_whose_pixels_were_replaced_is_a_view_of_a_file_no_more(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    FILES[path.name](path)
    data, arguments, _ = layer_of(path, PictureAnswers())
    layer = ImageLayer(data, **arguments)
    layer.data = 255 - data
    picture = picture_of(layer)
    assert not picture.from_file
    np.testing.assert_array_equal(picture.micrograph().read().rgb, 255 - data)


def test_a_stack_is_not_opened_as_one_picture_but_its_plane_is_known_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    planes = np.stack([COLOURS, 255 - COLOURS, COLOURS // 2])
    tifffile.imwrite(
        path, planes, photometric="rgb", resolution=(20_000, 20_000), resolutionunit="CENTIMETER"
    )
    from napari.layers._source import layer_source

    with layer_source(path=str(path)):
        layer = ImageLayer(planes, rgb=True)
    facts = facts_of(picture_of(layer, (1, 0, 0)))
    assert facts.told is not None
    assert facts.told == (pytest.approx(0.5), "TIFF resolution tag")
    opened = picture_of(layer, (1, 0, 0), told=facts.told).micrograph()
    again = Micrograph.open(path, options=opened.answers.salvaging())
    assert again.fingerprint() == opened.fingerprint(), "a result remembers which plane it is of"


@pytest.mark.slow
def test_the_dock_tells_what_it_assumes_and_takes_an_answer(
    make_napari_viewer: Any, add_dock: AddDock, qtbot: Any, tmp_path: Path
) -> None:
    path = tmp_path / "deep.tif"
    FILES[path.name](path)
    viewer = make_napari_viewer()
    dock = add_dock(viewer)
    viewer.open(path, plugin="napari")
    reading = dock.form.reading
    qtbot.waitUntil(lambda: "bit depth: 12 bits" in reading.text, timeout=10 * SECONDS)
    assert reading.isVisibleTo(dock)
    assert "cameras give" in reading._words.toolTip()
    reading.form.set_value("bit_depth", 14)
    qtbot.waitUntil(lambda: not reading.isVisibleTo(dock), timeout=10 * SECONDS)
    wanted = Micrograph.open(path, options=ReadOptions(bit_depth=14)).fingerprint()
    assert dock.form.plan().picture.micrograph().fingerprint() == wanted
    assert "--bit-depth 14" in dock.command()
    assert shlex.split(dock.command())[2] == str(path)

    viewer.add_image(COLOURS.astype(np.float32) / 100, name="floats", rgb=True)
    qtbot.waitUntil(lambda: "which is neither 0 to 1 nor 0 to 255" in reading.text, timeout=10 * SECONDS)
    field = reading.form._editors["value_range"]
    field.setText("0, 2.55")
    field.editingFinished.emit()
    qtbot.waitUntil(lambda: not reading.isVisibleTo(dock), timeout=10 * SECONDS)
    np.testing.assert_array_equal(dock.form.plan().picture.micrograph().read().rgb, COLOURS)
    assert "--value-range 0 2.55" in dock.command()

    viewer.layers.selection.active = viewer.layers["deep"]
    qtbot.waitUntil(lambda: "--bit-depth 14" in dock.command(), timeout=10 * SECONDS)
    assert field.text() == "", "answers belong to their picture"


@pytest.mark.slow
def test_the_scale_that_is_shown_is_that_of_the_finest_level(
    make_napari_viewer: Any, add_dock: AddDock, micro_model: Path, tmp_path: Path
) -> None:
    card, network = load_network(micro_model)
    coarse = save_model(tmp_path / "coarse", card.model_copy(update={"um_per_px": 2.0}), network)
    viewer = make_napari_viewer()
    dock = add_dock(viewer, tmp_path / "coarse")
    fine = np.tile(COLOURS, (4, 4, 1))
    levels = [fine, fine[::2, ::2], fine[::4, ::4]]
    viewer.add_image(levels, rgb=True, multiscale=True, scale=(0.5, 0.5), units=("um", "um"), name="pyramid")
    dock.replan()
    assert dock.form.plan().picture.um_per_px == coarse.um_per_px, "the level of the model's scale is read"
    assert dock.form.scale.value() == 0.5
    dock.form.scale.setValue(1.0)
    dock.replan()
    assert dock.form.scale.value() == 1.0, "what is typed stays"
    assert dock.form.plan().picture.um_per_px == 2.0


@pytest.mark.slow
def test_a_view_of_a_file_follows_the_answers(
    make_napari_viewer: Any, add_dock: AddDock, qtbot: Any, tmp_path: Path
) -> None:
    path = tmp_path / "deep.tif"
    FILES[path.name](path)
    viewer = make_napari_viewer()
    dock = add_dock(viewer)
    data, arguments, _ = layer_of(path, PictureAnswers())
    layer = viewer.add_image(data, **arguments)
    reading = dock.form.reading
    qtbot.waitUntil(lambda: "bit depth: 12 bits" in reading.text, timeout=10 * SECONDS)
    reading.form.set_value("bit_depth", 14)
    wanted = Micrograph.open(path, options=ReadOptions(bit_depth=14))
    qtbot.waitUntil(lambda: layer.data is not data, timeout=10 * SECONDS)
    np.testing.assert_array_equal(layer.data, wanted.read().rgb)
    qtbot.waitUntil(lambda: not reading.isVisibleTo(dock), timeout=10 * SECONDS)
    picture = dock.form.plan().picture
    assert picture.from_file
    assert picture.micrograph().fingerprint() == wanted.fingerprint()
    with qtbot.waitSignal(reading.failed):
        reading.form._editors["value_range"].setText("black white")
        reading.form._editors["value_range"].editingFinished.emit()
    assert "Value range" in dock.status.text()


@pytest.mark.slow
def test_scales_in_files_reach_the_dock_and_files_shown_otherwise_can_be_opened_anew(
    make_napari_viewer: Any, add_dock: AddDock, qtbot: Any, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    dock = add_dock(viewer)
    form = dock.form

    def settled() -> None:
        qtbot.waitUntil(lambda: not form.reading._files._errands.busy, timeout=20 * SECONDS)
        qtbot.wait(200)
        dock.replan()

    def another_layer_than(layer: Any) -> Callable[[], bool]:
        return lambda: form.pictures.layer is not layer

    for name, write in FILES.items():
        path = tmp_path / name
        write(path)
        viewer.layers.clear()
        viewer.open(path, plugin="napari")
        filed, layer = Micrograph.open(path), form.pictures.layer
        dock.replan()
        settled()
        offered = not form.reading.open_button.isHidden()
        assert offered or name not in OTHERWISE_IN_NAPARI, name
        if offered:
            form.reading.open_button.click()
            qtbot.waitUntil(another_layer_than(layer), timeout=20 * SECONDS)
            dock.replan()
            settled()
            assert not layer.visible
        opened = form.plan().picture.micrograph()
        assert opened.fingerprint() == filed.fingerprint(), name
        assert opened.um_per_px_source == SCALES.get(name, ""), name
        assert form.scale.value() == pytest.approx(filed.um_per_px or 0, abs=1e-4), name
