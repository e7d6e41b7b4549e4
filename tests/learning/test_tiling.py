"""From raw pictures to tiles: every tile lies where its row says, and what is left out is counted."""

from __future__ import annotations

import hashlib
import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from dataset_support import SIDE, noise, save
from PIL import Image

from napari_ore_minerals.errors import DatasetError, ResultError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.simulation import SimulationOptions, simulate
from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.naming import mineral_name, minerals_named
from napari_ore_minerals.learning.tile_cache import picture_sha256
from napari_ore_minerals.learning.tile_labels import parse_codes
from napari_ore_minerals.learning.tiling import TileOptions, tile_steps
from napari_ore_minerals.maps.files import result_folder, write_result
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import run


def cut(pictures, out: Path, **options) -> TileDataset:
    return run(tile_steps(pictures, out, TileOptions(**({"tile_px": SIDE} | options))))


def blocks(*rows: str) -> np.ndarray:
    """Mask of one digit for each square of half a tile."""
    codes = np.array([[int(digit) for digit in row] for row in rows], np.uint8)
    return np.kron(codes, np.ones((SIDE // 2, SIDE // 2), np.uint8))


def test_tiles_cover_every_whole_place_once_and_are_what_their_rows_say(tmp_path: Path):
    rgb = noise(0, height=70, width=100)  # 2 x 3 tiles and a rest
    save(tmp_path / "photos" / "p.png", rgb)
    table = cut(tmp_path / "photos", tmp_path / "ds").table
    places = list(zip(table["row_px"], table["column_px"], strict=True))
    assert places == [(row, column) for row in (0, 32) for column in (0, 32, 64)]
    assert table["tile"].tolist() == [f"p-r{row}-c{column}" for row in range(2) for column in range(3)]
    for row in table.itertuples():
        tile = rgb[row.row_px : row.row_px + SIDE, row.column_px : row.column_px + SIDE]
        assert row.sha256 == hashlib.sha256(tile.tobytes()).hexdigest()
    assert table["picture"].unique().tolist() == ["../photos/p.png"]
    digest = hashlib.sha256((tmp_path / "photos" / "p.png").read_bytes()).hexdigest()
    assert table["picture_sha256"].unique().tolist() == [digest]


def test_a_large_picture_is_hashed_in_pieces(tmp_path: Path):
    path, count = tmp_path / "p.tif", 32_000_000
    with path.open("wb") as file:
        file.truncate(count)
    tracemalloc.start()
    found = picture_sha256(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == hashlib.sha256(bytes(count)).hexdigest()
    assert most < count / 10


def zarr_picture(path: Path, rgb: np.ndarray) -> None:
    """Write an OME-Zarr image of one level, channels first."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=np.moveaxis(rgb, -1, 0))
    axes = [{"name": name, "type": "channel" if name == "c" else "space"} for name in "cyx"]
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]


def test_zarr_folders_are_pictures_like_files(tmp_path: Path):
    photos, flat = tmp_path / "photos", tmp_path / "flat"
    for number, mineral in enumerate(("gold", "pyrite")):
        zarr_picture(photos / mineral / f"{number}.ome.zarr", noise(number))
        save(flat / mineral / f"{number}.png", noise(number))
    found, usual = cut(photos, tmp_path / "ds"), cut(flat, tmp_path / "ds2")
    for column in ("row_px", "column_px", "mineral", "sha256"):
        assert found.table[column].tolist() == usual.table[column].tolist()
    assert found.table["photograph"].nunique() == found.table["picture_sha256"].nunique() == 2
    again = TileDataset.open(tmp_path / "ds").samples(None, input_px=SIDE, cache=tmp_path / "cache")
    assert np.array_equal(again.tiles, usual.samples(None, input_px=SIDE, cache=tmp_path / "cache2").tiles)
    named = cut([photos / "gold" / "0.ome.zarr"], tmp_path / "one", labels="none")
    assert named.table["picture"].unique().tolist() == ["../photos/gold/0.ome.zarr"]
    shutil.rmtree(photos)
    with pytest.raises(DatasetError, match="2 of 2 pictures are not where the dataset"):
        found.samples(None, input_px=16, cache=tmp_path / "cache")


def test_the_hash_of_a_folder_is_of_names_and_contents(tmp_path: Path):
    seen = set()
    for number, files in enumerate(({"a": b"x"}, {"b": b"x"}, {"a": b"y"}, {"a": b"x", "b": b""})):
        (tmp_path / str(number)).mkdir()
        for name, content in files.items():
            (tmp_path / str(number) / name).write_bytes(content)
        seen.add(picture_sha256(tmp_path / str(number)))
    assert len(seen) == 4
    shutil.copytree(tmp_path / "0", tmp_path / "copy")
    assert picture_sha256(tmp_path / "copy") in seen


def test_folders_name_minerals_and_deposits(tmp_path: Path):
    for number, place in enumerate(("north/Py/a", "north/gold/b", "south/pyrite/a", "south/Galena/c")):
        save(tmp_path / "photos" / f"{place}.png", noise(number))
    dataset = cut(tmp_path / "photos", tmp_path / "ds", deposit_from="folder")
    assert [mineral.name for mineral in dataset.minerals] == ["gold", "pyrite", "galena"]
    found = dataset.table.drop_duplicates("photograph")
    assert found[["photograph", "deposit", "mineral"]].to_numpy().tolist() == [
        ["north-Py-a", "north", "pyrite"],
        ["north-gold-b", "north", "gold"],
        ["south-Galena-c", "south", "galena"],
        ["south-pyrite-a", "south", "pyrite"],
    ]
    assert set(dataset.table["origin"]) == {"folder"}
    assert set(dataset.table["fraction"]) == {1.0}
    assert TileDataset.open(tmp_path / "ds").sha256() == dataset.sha256()


def test_masks_label_clear_tiles_and_mixed_ones_are_counted(tmp_path: Path):
    save(tmp_path / "p.png", noise(0))
    mask = blocks("446600", "446400", "440032", "440022")
    mask[0, 0] = 2  # a pixel of another mineral does not matter
    save(tmp_path / "p-mask.png", mask)
    dataset = cut(tmp_path, tmp_path / "ds", dominant=0.75)
    found = dataset.table[["tile", "mineral", "fraction", "origin"]].to_numpy().tolist()
    assert found == [
        ["p-r0-c0", "pyrite", pytest.approx(1 - 1 / SIDE**2), "mask"],
        ["p-r0-c1", "gangue", 0.75, "mask"],
        ["p-r1-c0", "pyrite", 1.0, "mask"],
        ["p-r1-c2", "chalcopyrite", 0.75, "mask"],
    ]
    assert dataset.dropped == {"tiles mostly without a label": 2}
    stricter = cut(tmp_path, tmp_path / "ds2", dominant=0.8)
    assert len(stricter.table) == 2
    assert stricter.dropped == {"tiles of more than one mineral": 2, "tiles mostly without a label": 2}


def test_codes_of_masks_are_the_users(tmp_path: Path):
    save(tmp_path / "in" / "p.jpg", noise(0))
    save(tmp_path / "masks" / "p.png", blocks("006688", "006688", "777711", "777711"))
    file = tmp_path / "codes.json"
    file.write_text(json.dumps({"0": "gangue", "1": "Ccp", "6": "pyrite", "8": "pyrite", "7": None}))
    for codes in ((str(file),), ("0=gangue", "1=Ccp", "6=pyrite", "8=pyrite", "7=")):
        dataset = cut(tmp_path / "in", tmp_path / "ds", masks=tmp_path / "masks", codes=codes)
        assert dataset.table["mineral"].tolist() == ["gangue", "pyrite", "pyrite", "chalcopyrite"]
        assert dataset.minerals == minerals_named(["gangue", "pyrite", "chalcopyrite"])
        shutil.rmtree(tmp_path / "ds")


def test_simulated_pictures_keep_the_shares_of_their_masks(tmp_path: Path):
    made = simulate(3, SimulationOptions(height_px=256, width_px=256))
    save(tmp_path / "s.png", made.rgb)
    save(tmp_path / "s-mask.png", made.mask)
    dataset = cut(tmp_path, tmp_path / "ds")
    assert len(dataset.table) + sum(dataset.dropped.values()) == 64
    for row in dataset.table.itertuples():
        part = made.mask[row.row_px : row.row_px + SIDE, row.column_px : row.column_px + SIDE]
        code = DEFAULT_MINERALS.by_name(row.mineral).code
        assert row.fraction == pytest.approx((part == code).mean())
        assert row.fraction >= 0.8


def test_results_label_tiles_as_they_were_corrected(tmp_path: Path, micro_model: Path):
    path = save(tmp_path / "p.png", noise(0, height=128, width=128))
    micrograph = Micrograph.open(path)
    mapped = classify(micrograph, Classifier.load(micro_model))
    side = mapped.grid.stride_px
    corrected = mapped.labels.copy()
    corrected[:] = 3
    corrected[0, 0] = 0
    write_result(replace(mapped, labels=corrected), result_folder(path), micrograph=micrograph)
    dataset = cut(tmp_path, tmp_path / "ds", tile_px=side)
    assert set(dataset.table["mineral"]) == {"gold"}
    assert set(dataset.table["origin"]) == {"oremap"}
    assert len(dataset.table) == (128 // side) ** 2 - 1
    assert dataset.dropped == {"tiles mostly without a label": 1}
    save(path, noise(1, height=128, width=128))
    with pytest.raises(DatasetError, match=r"labels of 1 of 1 pictures.*is the result of another picture"):
        cut(tmp_path, tmp_path / "ds2", tile_px=side)


def test_unlabelled_pictures_wait_for_sorting(tmp_path: Path):
    save(tmp_path / "p.png", noise(0))
    dataset = cut(tmp_path, tmp_path / "ds", minerals=("Gn", "gold"))
    assert set(dataset.table["mineral"]) == {""}
    assert set(dataset.table["origin"]) == {""}
    assert [mineral.name for mineral in dataset.minerals] == ["gold", "galena"]
    assert cut(tmp_path, tmp_path / "ds2").minerals == DEFAULT_MINERALS


def test_copies_are_dropped_and_contradictions_too(tmp_path: Path):
    for place, seed in (("gold/a", 0), ("gold/b", 0), ("gold/c", 1), ("pyrite/c", 1), ("pyrite/d", 2)):
        save(tmp_path / "in" / f"{place}.png", noise(seed))
    dataset = cut(tmp_path / "in", tmp_path / "ds")
    assert dataset.table["photograph"].unique().tolist() == ["gold-a", "pyrite-d"]
    assert dataset.dropped == {
        "tiles of the same pixels with different minerals": 12,
        "tiles of the same pixels as another": 6,
    }


def test_deposits_come_from_a_table(tmp_path: Path):
    for name in ("a", "b", "c"):
        save(tmp_path / "in" / "s1" / f"{name}.png", noise(ord(name)))
    table = tmp_path / "deposits.csv"
    table.write_text("Photograph; Deposit\ns1/a.png; Jiaodong 1\nb; =cmd()\n")
    dataset = cut(tmp_path / "in", tmp_path / "ds", deposits=table, labels="none")
    found = dataset.table.drop_duplicates("photograph").set_index("photograph")["deposit"].to_dict()
    assert found == {"a": "Jiaodong 1", "b": "_cmd()", "c": ""}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("photo,deposit\na,x\n", "must have the columns photograph and deposit"),
        ("photograph,deposit\nz,x\n", "has 1 photographs, none of which is one of the 2 pictures"),
        ("photograph,deposit\na,x\na,y\n", "names 1 photographs twice: a"),
        ("photograph,deposit\na,x\n", "says a, which is 2 pictures: write its folder as well"),
        (None, "cannot be read as a table of deposits"),
    ],
)
def test_tables_of_deposits_that_do_not_fit(tmp_path: Path, text: str | None, sentence: str):
    for folder in ("s1", "s2"):
        save(tmp_path / "in" / folder / "a.png", noise(len(folder)))
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        cut(tmp_path / "in", tmp_path / "ds", deposits=tmp_path / "t.csv", labels="none")


def test_pictures_cut_before_keep_their_photograph_together(tmp_path: Path):
    for number, name in enumerate(("IMG7_0_0", "IMG7_0_1", "IMG8_0_0")):
        save(tmp_path / "gold" / f"{name}.png", noise(number, SIDE, SIDE))
    dataset = cut(tmp_path, tmp_path / "ds", photograph_pattern=r"^(.+)_\d+_\d+$")
    assert dataset.photographs(None) == ["IMG7", "IMG8"]
    with pytest.raises(DatasetError, match="3 of 3 pictures are not named as"):
        cut(tmp_path, tmp_path / "ds2", photograph_pattern="^(x)")


def test_nothing_is_written_when_asked_to_stop(tmp_path: Path):
    for number in range(3):
        save(tmp_path / "in" / f"p{number}.png", noise(number))
    part = run(tile_steps(tmp_path / "in", tmp_path / "ds", TileOptions(tile_px=SIDE)), lambda _: True)
    assert part.photographs(None) == ["p0"]
    assert not (tmp_path / "ds").exists()


def bad(folder: Path, case: str) -> dict[str, object]:
    """Pictures of which something is wrong, and the options."""
    if case in ("unreadable", "some unreadable", "small", "loose", "unknown codes", "mask of another size"):
        save(folder / "a.png", noise(0) if case != "small" else noise(0)[:20])
    if case == "unreadable":
        (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:400])
    if case == "mask of another size":
        save(folder / "a-mask.png", np.ones((60, 96), np.uint8))
    if case == "unknown codes":
        save(folder / "a-mask.png", np.full((64, 96), 9, np.uint8))
    if case == "colour mask":
        save(folder / "a.png", noise(0))
        save(folder / "a-mask.png", noise(1))
    if case == "loose":
        save(folder / "gold" / "b.png", noise(1))
        return {"labels": "folders"}
    if case == "no masks":
        save(folder / "a.png", noise(0))
        return {"masks": folder / "masks"}
    if case == "contradictions":
        for mineral in ("gold", "pyrite"):
            (folder / mineral).mkdir()
            save(folder / mineral / "a.png", noise(0))
    return {}


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("empty", "no picture .PNG, JPEG, BMP, TIFF, Zarr. was found in"),
        ("absent", "1 of 1 folders or pictures are not there"),
        ("unreadable", r"1 pictures gave no tile of 32 px \(1 pictures that cannot be read\)"),
        ("small", r"1 pictures gave no tile of 32 px \(1 pictures smaller than a tile\)"),
        (
            "mask of another size",
            r"1 of 1 masks are of another size.*a-mask\.png \(mask 96 x 60, picture 96 x 64\)",
        ),
        (
            "unknown codes",
            r"no mineral \(9 in 1 masks\): name all of them, --codes 1=arsenopyrite .* 6=gangue 9=NAME, with nothing",
        ),
        ("colour mask", "has colours, where a mask has one whole number"),
        ("loose", r"1 of 2 pictures lie in no folder of a mineral \(a\.png\)"),
        ("no masks", "none of the 1 pictures has a mask, named as NAME-mask.png, in"),
        (
            "contradictions",
            r"2 pictures gave no tile of 32 px \(12 tiles of the same pixels with different minerals\)",
        ),
    ],
)
def test_bad_pictures_get_one_sentence_with_counts_and_nothing_is_written(tmp_path: Path, case, sentence):
    folder = tmp_path / "in"
    if case != "absent":
        folder.mkdir()
    options = bad(folder, case)
    with pytest.raises(DatasetError, match=sentence) as caught:
        cut(folder, tmp_path / "ds", **options)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"in"}


def test_one_bad_picture_is_told_and_counted(tmp_path: Path):
    save(tmp_path / "a.png", noise(0))
    save(tmp_path / "b.png", noise(1)).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    notices = []
    steps = tile_steps(tmp_path, tmp_path / "ds", TileOptions(tile_px=SIDE))
    dataset = run(steps, lambda step: notices.append(step.notice))
    assert dataset.dropped == {"pictures that cannot be read": 1}
    assert [notice for notice in notices if notice.startswith("left out: b.png")]


def test_an_older_dataset_is_refused_before_any_work(tmp_path: Path):
    save(tmp_path / "in" / "a.png", noise(0))
    cut(tmp_path / "in", tmp_path / "ds")
    with pytest.raises(ResultError, match="holds a dataset"):
        next(tile_steps(tmp_path / "in", tmp_path / "ds"))


@pytest.mark.parametrize("given", [("6",), ("x=pyrite",), ("6=pyrite", "7"), ("70000=gold",), ("6=!",)])
def test_codes_that_make_no_sense(given):
    with pytest.raises(DatasetError):
        parse_codes(given)


def test_palette_masks_are_read_by_their_numbers(tmp_path: Path):
    save(tmp_path / "p.png", noise(0))
    mask = Image.fromarray(blocks("444444", "444444", "333333", "333333"), mode="L").convert("P")
    mask.putpalette([value for code in range(256) for value in (255 - code, code, 7)])
    mask.save(tmp_path / "p-mask.png")
    assert set(cut(tmp_path, tmp_path / "ds").table["mineral"]) == {"pyrite", "gold"}


def test_minerals_that_the_program_does_not_know():
    table = minerals_named(["Sphalerite", "native_gold", "Py", "natrolite", "sp", "gangue", "natron"])
    known = {mineral.name: (mineral.code, mineral.symbol) for mineral in table}
    assert known["pyrite"] == (4, "Py")
    assert known["sphalerite"][1] == "Sp"
    assert [mineral.name for mineral in table] == [
        "pyrite", "gangue", "native gold", "natrolite", "natron", "sphalerite",
    ]  # fmt: skip
    assert len({mineral.symbol for mineral in table} | {mineral.colour for mineral in table}) == 12
    with pytest.raises(DatasetError, match="cannot be the name of a mineral"):
        mineral_name("=cmd()")
    assert len(minerals_named([f"mineral {number}" for number in range(200)])) == 200
    with pytest.raises(DatasetError, match="300 minerals"):
        minerals_named([f"mineral {number}" for number in range(300)])
