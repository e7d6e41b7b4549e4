"""Exports that lie over the picture: outlines, pixel maps and labels, each read again by another library."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
import tifffile
import zarr
from export_support import FORMULAS, shown_of
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from napari_ore_minerals.exports import pixels as pixels_module
from napari_ore_minerals.exports.formats import export
from napari_ore_minerals.exports.outlines import outlines
from napari_ore_minerals.exports.pixels import PixelMap, levels
from napari_ore_minerals.exports.shown import facts
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import Window


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements={"max_value": 2}))
@settings(max_examples=60, deadline=None)
def test_outlines_are_exactly_the_areas(codes: np.ndarray) -> None:
    numbered = label(codes, background=255, connectivity=1)
    polygons, numbers = outlines(numbered)
    assert sorted(numbers) == list(range(1, numbered.max() + 1))
    assert shapely.is_valid(polygons).all()
    assert (shapely.area(polygons) == np.bincount(numbered.ravel())[numbers]).all()
    for polygon, number in zip(polygons, numbers, strict=True):
        rows, columns = np.nonzero(numbered == number)
        assert shapely.contains_xy(polygon, columns + 0.5, rows + 0.5).all()


@pytest.mark.parametrize("grains", [True, False])
def test_geojson_has_the_form_that_qupath_reads(tmp_path: Path, grains: bool) -> None:
    shown = shown_of(grains=grains)
    content = json.loads(export(shown, tmp_path / "a.geojson").read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    assert content["metadata"]["model sha256"] == "1" * 64
    areas: dict[str, float] = {}
    for feature in content["features"]:
        polygon, told = shapely.geometry.shape(feature["geometry"]), feature["properties"]
        assert feature["type"] == "Feature"
        assert UUID(feature["id"])
        assert polygon.is_valid
        assert polygon.exterior.coords[0] == polygon.exterior.coords[-1]
        assert told["objectType"] == ("detection" if grains else "annotation")
        assert all(isinstance(value, float) for value in told["measurements"].values())
        mineral = shown.mineral_map.minerals.by_name(told["classification"]["name"])
        assert told["classification"]["color"] == list(mineral.rgb)
        assert polygon.bounds[2] <= 250
        assert polygon.bounds[3] <= 190
        areas[mineral.name] = areas.get(mineral.name, 0) + polygon.area
    pixels = PixelMap.of(shown).read(Window(0, 0, 190, 250))
    assert areas == {
        m.name: (pixels == m.code).sum() for m in shown.mineral_map.minerals if (pixels == m.code).any()
    }
    holes = [len(feature["geometry"]["coordinates"]) - 1 for feature in content["features"]]
    assert sorted(holes)[-2:] == ([1, 1] if grains else [0, 0])


def test_pixels_are_those_of_cells_and_grains() -> None:
    cells, grains = PixelMap.of(shown_of(grains=False)), PixelMap.of(shown_of())
    whole = Window(0, 0, 190, 250)
    assert (cells.read(whole) == np.kron(cells.codes, np.ones((32, 32), np.uint8))[:190, :250]).all()
    assert (grains.read(whole) == np.kron(grains.codes, np.ones((2, 2), np.uint8))[:190, :250]).all()
    assert (grains.read(whole, 4) == grains.read(whole)[::4, ::4]).all()
    assert levels(2048, 100) == (1,)
    assert levels(2049, 8200) == (1, 2, 4, 8)


@pytest.mark.parametrize("um_per_px", [0.5, None])
def test_tiff_has_codes_scale_levels_and_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, um_per_px: float | None
) -> None:
    monkeypatch.setattr("napari_ore_minerals.exports.tiff.levels", lambda *size: levels(*size, 64))
    shown = shown_of(um_per_px=um_per_px, minerals=FORMULAS, name="a\n<&>.tif")
    path = export(shown, tmp_path / "a.ome.tif")
    pixels = PixelMap.of(shown).read(Window(0, 0, 190, 250))
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        assert tiff.is_ome
        assert (series.asarray() == pixels).all()
        assert [level.shape for level in series.levels] == [(190, 250), (95, 125), (48, 63)]
        assert (series.levels[2].asarray() == pixels[::4, ::4]).all()
        told = tifffile.xml2dict(tiff.ome_metadata)["OME"]
    entries = {
        entry["K"]: entry["value"] for entry in told["StructuredAnnotations"]["MapAnnotation"]["Value"]["M"]
    }
    assert str(entries["model sha256"]) == "1" * 64
    assert entries["picture"] == "a <&>.tif"
    assert entries["code 2"] == "@pyrite"
    assert told["Image"]["Pixels"].get("PhysicalSizeX") == um_per_px
    assert Micrograph.open(path).um_per_px == um_per_px


@pytest.mark.parametrize("picture", [True, False])
def test_zarr_labels_are_opened_again_with_ome_zarr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: bool
) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    monkeypatch.setattr("napari_ore_minerals.exports.zarr_labels.levels", lambda *size: levels(*size, 64))
    monkeypatch.setattr("napari_ore_minerals.exports.zarr_labels.CHUNK_PX", 100)
    shown = shown_of(picture=picture)
    path = export(shown, tmp_path / "a.ome.zarr")
    location = parse_url(path)
    assert location is not None
    image, *others = list(Reader(location)())
    pixels = PixelMap.of(shown).read(Window(0, 0, 190, 250))
    assert [level.shape for level in image.data] == [(3, 190, 250), (3, 95, 125), (3, 48, 63)]
    if picture:
        assert shown.micrograph is not None
        assert (np.asarray(image.data[0]) == np.moveaxis(shown.micrograph.read().rgb, -1, 0)).all()
    labels = next(node for node in others if "color" in node.metadata)
    assert (np.asarray(labels.data[0]) == pixels).all()
    assert (np.asarray(labels.data[2]) == pixels[::4, ::4]).all()
    pyrite = shown.mineral_map.minerals.by_name("pyrite")
    assert labels.metadata["color"][pyrite.code] == pytest.approx([*(part / 255 for part in pyrite.rgb), 1.0])
    assert labels.metadata["properties"][pyrite.code]["name"] == "pyrite"
    group = zarr.open_group(path / "labels" / "minerals", mode="r")
    assert group.attrs["napari-ore-minerals"]["model sha256"] == "1" * 64
    assert Micrograph.open(path).um_per_px == 0.5


def test_a_folder_of_others_is_never_replaced(tmp_path: Path) -> None:
    from napari_ore_minerals.errors import ResultError

    zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=2)
    with pytest.raises(ResultError, match="not of this program"):
        export(shown_of(), tmp_path / "a.ome.zarr", overwrite=True)


def test_facts_can_be_printed(tmp_path: Path) -> None:
    shown = shown_of(name="a\x00\n\u202egold.tif")
    assert facts(shown)["picture"] == "a   gold.tif"
    assert pixels_module.PixelMap.of(replace(shown, grains=None)).factor == 32
