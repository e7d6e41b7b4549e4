"""Accumulating tiles, classifying pictures and measuring areas: properties first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_ore_minerals.errors import DeviceError, OptionError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import Window
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.checks import PictureCheck, check_scale
from napari_ore_minerals.maps.mineral_map import EvidenceSum, MineralMap, label_cells
from napari_ore_minerals.maps.predict import CellUpdate, classify, classify_steps, plan
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import Classifier, Evidence


@pytest.fixture(scope="module")
def classifier(micro_model: Path) -> Classifier:
    return Classifier.load(micro_model, device="cpu", precision="fp32")


@pytest.fixture
def mapped(picture: np.ndarray, classifier: Classifier) -> MineralMap:
    return classify(Micrograph.from_array(picture, um_per_px=0.5), classifier)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([1, 2, 4]), st.sampled_from([1, 4, 7]))
@settings(deadline=None, max_examples=60)
def test_stitching_a_constant_gives_it_back(height: int, width: int, overlap: int, map_px: int) -> None:
    grid = TileGrid(height, width, 32, 32 // overlap)
    evidence = EvidenceSum(grid, classes=2, map_px=map_px)
    for row in range(grid.tile_rows):
        for column in range(grid.tile_columns):
            evidence.add(row, column, np.full((2, map_px, map_px), 3.25, np.float32))
    logits, maps, answered = evidence.cells()
    assert answered.all()
    assert logits.shape == (*grid.shape, 2)
    np.testing.assert_allclose(logits, 3.25, rtol=1e-5)
    np.testing.assert_allclose(maps, 3.25, rtol=1e-5)


@given(hnp.arrays(np.float32, (3, 7, 7), elements=st.floats(-9, 9, width=32)), st.sampled_from([1, 2, 4, 8]))
@settings(deadline=None)
def test_a_lone_tile_keeps_its_mean_however_it_is_cut_into_cells(tile: np.ndarray, overlap: int) -> None:
    grid = TileGrid(64, 64, 64, 64 // overlap)
    evidence = EvidenceSum(grid, classes=3, map_px=7)
    evidence.add(0, 0, tile)
    logits, _, _ = evidence.cells()
    np.testing.assert_allclose(logits.mean(axis=(0, 1)), tile.mean(axis=(1, 2)), atol=1e-4)


def test_overlapping_tiles_are_averaged() -> None:
    grid = TileGrid(32, 96, 64, 32)
    evidence = EvidenceSum(grid, classes=1, map_px=2)
    for column, value in enumerate((0.0, 6.0)):
        evidence.add(0, column, np.full((1, 2, 2), value, np.float32))
    assert evidence.cells()[0][0, :, 0].tolist() == [0.0, 3.0, 6.0]


def test_a_map_says_what_the_classifier_says_of_each_tile(
    picture: np.ndarray, classifier: Classifier, mapped: MineralMap
) -> None:
    from napari_ore_minerals.images.tile_reader import resize_tile

    tile = resize_tile(picture[64:128, 128:192], 32)
    evidence = classifier.predict(tile[np.newaxis])
    np.testing.assert_allclose(
        mapped.probabilities[1, 2], classifier.probabilities(evidence.logits)[0], atol=1e-4
    )
    np.testing.assert_allclose(mapped.class_maps[:, 4:8, 8:12], evidence.class_maps[0], atol=2e-2, rtol=2e-3)
    assert mapped.labels.shape == (4, 6)
    assert mapped.processed.all()
    np.testing.assert_allclose(mapped.probabilities.sum(axis=-1), 1, atol=1e-5)


def test_cells_below_the_least_confidence_are_unclassified(
    picture: np.ndarray, classifier: Classifier
) -> None:
    micrograph = Micrograph.from_array(picture)
    sure = classify(micrograph, classifier, ClassifyOptions(min_confidence=0.0))
    confidence = float(np.median(sure.confidence))
    half = classify(micrograph, classifier, ClassifyOptions(min_confidence=confidence))
    assert (sure.labels > 0).all()
    np.testing.assert_array_equal(half.labels, np.where(sure.confidence >= confidence, sure.labels, 0))
    assert 0 < (half.labels == 0).sum() < half.labels.size


def test_pixels_that_are_not_finite_are_unclassified(picture: np.ndarray, classifier: Classifier) -> None:
    values = picture.astype(np.float32) / 255
    values[70, 70] = np.nan
    mapped = classify(Micrograph.from_array(values), classifier, ClassifyOptions(min_confidence=0.0))
    expected = np.ones(mapped.grid.shape, bool)
    expected[1, 1] = False
    np.testing.assert_array_equal(mapped.processed, expected)
    assert mapped.labels[1, 1] == 0
    assert (mapped.labels[expected] > 0).all()


@pytest.mark.parametrize("overlap", [1, 2])
def test_updates_add_up_to_the_map(picture: np.ndarray, classifier: Classifier, overlap: int) -> None:
    options = ClassifyOptions(stride_px=64 // overlap, batch_size=3)
    steps = classify_steps(Micrograph.from_array(picture), classifier, options)
    labels, done = None, []
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            mapped = end.value
            break
        if labels is None:
            labels = np.zeros((16, 16), np.uint8)
        assert isinstance(progress.update, CellUpdate)
        labels[progress.update.rows, progress.update.columns] = progress.update.labels
        done.append((progress.done, progress.total, progress.unit))
    assert labels is not None
    np.testing.assert_array_equal(labels[: mapped.grid.rows, : mapped.grid.columns], mapped.labels)
    assert done[-1] == (mapped.grid.tile_count, mapped.grid.tile_count, "tiles")
    assert len(done) == -(-mapped.grid.tile_count // 3)


@pytest.mark.fault("W10")
def test_what_was_computed_before_a_stop_is_kept(picture: np.ndarray, classifier: Classifier) -> None:
    micrograph = Micrograph.from_array(picture)
    whole = classify(micrograph, classifier)
    steps = classify_steps(micrograph, classifier, ClassifyOptions(batch_size=5))
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send(True)
    part: MineralMap = end.value.value
    assert part.processed.sum() == 5
    assert not part.run.complete
    assert whole.run.complete
    np.testing.assert_array_equal(part.labels, np.where(part.processed, whole.labels, 0))
    assert not part.class_maps[:, ~np.kron(part.processed, np.ones((4, 4), bool))].any()


def test_only_wanted_cells_are_classified(picture: np.ndarray, classifier: Classifier) -> None:
    micrograph = Micrograph.from_array(picture)
    wanted = np.zeros(plan(micrograph, classifier.card).shape, bool)
    wanted[1:3, 2] = True
    steps = classify_steps(micrograph, classifier, wanted=wanted)
    progress = next(steps)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert progress.total == 2
    np.testing.assert_array_equal(end.value.value.processed, wanted)


def test_tiles_in_view_come_first(classifier: Classifier) -> None:
    micrograph = Micrograph.from_array(np.zeros((64 * 20, 64 * 24, 3), np.uint8), um_per_px=1.0)
    view = Window(64 * 12, 64 * 16, 64 * 2, 64 * 8)
    steps = classify_steps(micrograph, classifier, ClassifyOptions(batch_size=16), first=view)
    update = next(steps).update
    assert isinstance(update, CellUpdate)
    assert set(update.rows.tolist()) == {12, 13}
    assert set(update.columns.tolist()) == set(range(16, 24))
    steps.close()


@pytest.mark.fault("W1")
def test_running_out_of_memory_halves_the_batch_and_goes_on(
    picture: np.ndarray, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")
    whole = classify(Micrograph.from_array(picture), classifier)
    predict = classifier.predict

    def small_device(pixels: np.ndarray) -> Evidence:
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict(pixels)

    monkeypatch.setattr(classifier, "predict", small_device)
    mapped = classify(Micrograph.from_array(picture), classifier, ClassifyOptions(batch_size=8))
    np.testing.assert_array_equal(mapped.labels, whole.labels)
    assert mapped.run.batch_size == 2
    assert [notice[-1] for notice in mapped.run.notices] == ["4", "2"]


@pytest.mark.fault("W1")
def test_a_device_too_small_for_one_tile_says_so(
    picture: np.ndarray, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")

    def no_memory(pixels: np.ndarray) -> Evidence:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(classifier, "predict", no_memory)
    with pytest.raises(DeviceError, match="single tile"):
        classify(Micrograph.from_array(picture), classifier)


def test_other_errors_of_torch_are_not_taken_for_a_shortage(
    picture: np.ndarray, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")
    calls = []

    def broken(pixels: np.ndarray) -> Evidence:
        calls.append(len(pixels))
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(classifier, "predict", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        classify(Micrograph.from_array(picture), classifier)
    assert len(calls) == 1


def test_nonsense_from_the_device_is_not_a_map(
    picture: np.ndarray, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")

    def nonsense(pixels: np.ndarray) -> Evidence:
        return Evidence(
            np.full((len(pixels), 6), np.nan, np.float32), np.zeros((len(pixels), 6, 4, 4), np.float32)
        )

    monkeypatch.setattr(classifier, "predict", nonsense)
    with pytest.raises(DeviceError, match="not finite"):
        classify(Micrograph.from_array(picture), classifier)


def test_a_mask_of_another_shape_is_refused(picture: np.ndarray, classifier: Classifier) -> None:
    steps = classify_steps(Micrograph.from_array(picture), classifier, wanted=np.ones((2, 2), bool))
    with pytest.raises(OptionError, match="shape"):
        next(steps)


def test_heatmaps_are_the_positive_evidence(mapped: MineralMap) -> None:
    gold = mapped.heatmap(3)
    assert gold.shape == (16, 24)
    assert 0.0 <= gold.min() <= gold.max() <= 1.0
    np.testing.assert_allclose(
        gold, np.maximum(mapped.class_maps[2].astype(float), 0) / mapped.class_maps.max(), atol=1e-3
    )
    predicted = mapped.heatmap()
    index = int(mapped.probabilities[2, 3].argmax())
    np.testing.assert_array_equal(
        predicted[8:12, 12:16], mapped.heatmap(DEFAULT_MINERALS[index].code)[8:12, 12:16]
    )
    with pytest.raises(KeyError):
        mapped.heatmap(77)


def test_areas_add_up(mapped: MineralMap) -> None:
    table = areas(mapped)
    assert table["area_px"].sum() == pytest.approx(200 * 330)
    assert table["cells"].sum() == 24
    for name in ("fraction_of_picture", "fraction_of_ore", "fraction_by_cells"):
        assert table[name].sum() == pytest.approx(1.0)
    np.testing.assert_allclose(table["area_um2"], table["area_px"] * 0.25)


def test_areas_worked_by_hand(mapped: MineralMap) -> None:
    labels = np.zeros((4, 6), np.uint8)
    labels[0, 0] = 4  # 64 x 64 px of pyrite
    labels[3, 5] = 3  # 8 x 10 px of gold, at the corner
    labels[1] = 6  # 64 x 330 px of gangue
    labels[2, 0] = 99  # no mineral of this map
    table = areas(replace(mapped, um_per_px=None), labels).set_index("mineral")
    assert table.loc["pyrite", "area_px"] == 4096
    assert table.loc["gold", "area_px"] == 80
    assert table.loc["gold", "fraction_of_ore"] == pytest.approx(80 / 4176)
    assert table.loc["gangue", "fraction_of_picture"] == pytest.approx(64 / 200)
    assert np.isnan(table.loc["gangue", "fraction_of_ore"])
    assert table["area_um2"].isna().all()
    assert table.loc["unclassified", "cells"] == 24 - 8


def test_fractions_by_class_maps_add_up_and_follow_the_evidence(mapped: MineralMap) -> None:
    assert areas(mapped)["fraction_by_class_maps"].sum() == pytest.approx(1.0, abs=1e-6)
    evidence = np.zeros_like(mapped.class_maps)
    size = mapped.places_per_cell
    evidence[5] = 40  # gangue everywhere
    evidence[3, : size // 2, :size] = 80  # but pyrite in the upper half of the first cell
    table = areas(replace(mapped, class_maps=evidence)).set_index("mineral")
    half = 64 * 64 * (size // 2) / size / (200 * 330)
    assert table["fraction_of_picture"].tolist() == table["fraction_by_class_maps"].tolist()
    assert table.loc["pyrite", "fraction_of_ore"] == pytest.approx(1)
    counted = mapped.grid.cell_area_px()[mapped.labels == 4].sum() / (200 * 330)
    assert table.loc["pyrite", "fraction_by_cells"] == pytest.approx(counted)
    assert table.loc["pyrite", "fraction_by_class_maps"] == pytest.approx(half)
    assert table.loc["gangue", "fraction_by_class_maps"] == pytest.approx(1 - half)
    assert table.loc["unclassified", "fraction_by_class_maps"] == 0


def test_a_painted_cell_counts_whole_in_the_fractions_by_class_maps(mapped: MineralMap) -> None:
    evidence = np.zeros_like(mapped.class_maps)
    evidence[5] = 40
    gangue = replace(mapped, class_maps=evidence, labels=np.full((4, 6), 6, np.uint8))
    painted = gangue.labels.copy()
    painted[0, 0] = 3
    table = areas(gangue, painted).set_index("mineral")
    assert table.loc["gold", "fraction_by_class_maps"] == pytest.approx(4096 / (200 * 330))
    assert table["fraction_by_class_maps"].sum() == pytest.approx(1.0)


def test_cells_that_were_not_processed_are_a_row_of_their_own(mapped: MineralMap) -> None:
    processed = np.ones((4, 6), bool)
    processed[0] = False
    part = replace(mapped, processed=processed, labels=np.where(processed, mapped.labels, 0).astype(np.uint8))
    assert areas(part).set_index("mineral").loc["not processed", "cells"] == 6
    painted = np.where(processed, part.labels, 4)
    assert "not processed" not in areas(part, painted)["mineral"].tolist()


@given(
    hnp.arrays(np.float32, (3, 4, 6), elements=st.floats(0, 1, width=32)),
    hnp.arrays(bool, (3, 4)),
    st.floats(0, 1),
)
def test_labels_are_codes_of_sure_processed_cells(
    shares: np.ndarray, processed: np.ndarray, least: float
) -> None:
    labels = label_cells(shares, processed, DEFAULT_MINERALS, min_confidence=least)
    assert labels.dtype == np.uint8
    assert not labels[~processed].any()
    assert not labels[shares.max(axis=-1) < least].any()
    assert ((labels > 0) == (processed & (shares.max(axis=-1) >= least))).all()


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((300, 300, 3), 255, np.uint8), "saturated"),
        (np.full((300, 300, 3), 12, np.uint8), "very dark"),
    ],
)
def test_exposures_that_cannot_be_classified_are_told(
    classifier: Classifier, pixels: np.ndarray, expected: str
) -> None:
    mapped = classify(Micrograph.from_array(pixels), classifier)
    assert any(expected in warning for warning in mapped.warnings)
    assert any("same answer everywhere" in warning for warning in mapped.warnings)


def field(value: int, tiles: int = 12) -> np.ndarray:
    """(tiles, 64, 64, 3) tiles of one brightness with a little noise."""
    noise = np.random.default_rng(8).normal(0, 2, (tiles, 64, 64, 3))
    return np.clip(value + noise, 0, 255).astype(np.uint8)


def warned(*batches: np.ndarray) -> str:
    check = PictureCheck()
    for batch in batches:
        check.add(batch)
    other = PictureCheck()
    other.merge(check.state())
    assert other.warnings() == check.warnings()
    return " ".join(check.warnings())


def test_a_hot_tile_does_not_hide_a_dark_picture_and_does_not_make_it_saturated() -> None:
    hot = field(255, tiles=1)
    assert "very dark" in warned(field(15), hot)
    assert warned(hot, field(15)) == warned(field(15)[:5], hot, field(15)[5:]), (
        "in whatever batches they come"
    )
    assert "saturated" not in warned(field(15), hot)
    assert "saturated" not in warned(field(120), hot)
    speckled = field(15)
    speckled[:, 0, 0] = 255  # a hot pixel of the camera
    assert "very dark" in warned(speckled)


def test_a_dark_tile_does_not_hide_a_saturated_picture_and_does_not_make_it_dark() -> None:
    hole = field(4, tiles=2)
    assert "saturated" in warned(field(255), hole)
    assert "very dark" not in warned(field(255), hole)
    assert warned(field(120), hole) == ""
    grains = field(20)
    grains[:, :16, :16] = 200  # a sixteenth of each tile shines
    assert warned(grains) == ""


def test_an_ordinary_picture_raises_no_warning(picture: np.ndarray, classifier: Classifier) -> None:
    mapped = classify(Micrograph.from_array(picture), classifier, ClassifyOptions(min_confidence=0.0))
    assert mapped.warnings == ()


def test_scales_that_do_not_fit_are_told(picture: np.ndarray, micro_model: Path) -> None:
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")
    classifier.card = classifier.card.model_copy(update={"um_per_px": 0.5})
    unknown = classify(Micrograph.from_array(picture), classifier)
    assert any("not known" in warning for warning in unknown.warnings)
    far = classify(Micrograph.from_array(picture, um_per_px=4.0), classifier)
    assert far.grid.tile_px == 8
    assert any("4 um/px" in warning for warning in far.warnings)
    near = classify(Micrograph.from_array(picture, um_per_px=0.25), classifier)
    assert near.grid.tile_px == 128
    assert not any("um/px" in warning for warning in near.warnings)


@pytest.mark.parametrize(
    ("of_picture", "of_model", "said"),
    [
        (0.5, 0.5, None),
        (1.49, 0.5, None),
        (1.51, 0.5, "the picture has 1.51 um/px, the model was trained at 0.5"),
        (0.17, 0.5, None),
        (0.16, 0.5, "the picture has 0.16 um/px, the model was trained at 0.5"),
        (None, 0.5, "tiles have 64 px instead of the 32 um of the model's training"),
        (0.16, None, None),
        (None, None, None),
    ],
)
def test_um_per_px_far_from_the_cards_is_told(
    picture: np.ndarray, micro_model: Path, of_picture: float | None, of_model: float | None, said: str | None
) -> None:
    card = read_card(micro_model).model_copy(update={"um_per_px": of_model})
    found = check_scale(Micrograph.from_array(picture, um_per_px=of_picture), card)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_a_tile_size_that_was_given_is_not_judged_by_scales(picture: np.ndarray, micro_model: Path) -> None:
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")
    classifier.card = classifier.card.model_copy(update={"um_per_px": 0.5})
    given = classify(
        Micrograph.from_array(picture, um_per_px=4.0), classifier, ClassifyOptions(tile_px=64, device="cpu")
    )
    assert given.grid.tile_px == 64
    assert not any("um/px" in warning for warning in given.warnings)
