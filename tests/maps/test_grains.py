"""From cells to grains: every pixel one answer, blocks do not matter, boundaries follow what is seen."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.grain_places import corrected_cells
from napari_ore_minerals.maps.grains import GrainOptions, GrainUpdate, grain_map, grain_map_steps
from napari_ore_minerals.maps.mineral_map import MineralMap, label_cells
from napari_ore_minerals.maps.places import FOLLOWS
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.minerals import CHALCOPYRITE, GANGUE, PYRITE, MineralTable
from napari_ore_minerals.progress import run

MINERALS = MineralTable.of([CHALCOPYRITE, PYRITE, GANGUE])
COLOURS = np.array([[190, 160, 70], [215, 205, 160], [45, 45, 48]], float)
HEIGHT, WIDTH, CELL = 301, 373, 32
Truth = np.ndarray


def discs() -> Truth:
    """Index of the mineral of each pixel: discs of chalcopyrite and pyrite in gangue, some touching."""
    truth = np.full((HEIGHT, WIDTH), 2)
    rows, columns = np.indices(truth.shape)
    places = [(60, 60, 40, 0), (70, 190, 45, 1), (200, 100, 50, 1), (220, 165, 35, 0), (180, 290, 55, 0)]
    for row, column, radius, index in places:
        truth[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = index
    return truth


def seen(truth: Truth, *, noise: float = 5.0) -> np.ndarray:
    random = np.random.default_rng(3)
    return np.clip(COLOURS[truth] + random.normal(0, noise, (*truth.shape, 3)), 0, 255).astype(np.uint8)


def map_of(logits: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> MineralMap:
    """Map of one place a cell from (rows, columns, minerals) logits."""
    grid = TileGrid(height, width, CELL, CELL)
    shares = np.exp(logits - logits.max(axis=2, keepdims=True))
    shares = (shares / shares.sum(axis=2, keepdims=True)).astype(np.float32)
    processed = np.ones(grid.shape, bool)
    return MineralMap(
        grid=grid,
        labels=label_cells(shares, processed, MINERALS, min_confidence=0.0),
        probabilities=shares,
        class_maps=np.moveaxis(logits, -1, 0).astype(np.float16),
        processed=processed,
        minerals=MINERALS,
        um_per_px=0.5,
        um_per_px_source="given by the user",
        picture=PictureRecord(name="p", height_px=height, width_px=width, fingerprint="0" * 64),
        model=ModelRecord(name="m", version=1, architecture="a", weights_sha256="0" * 64),
        run=RunRecord(options=ClassifyOptions(), min_confidence=0.0, temperature=1.0, device="cpu", precision="fp32",
                      batch_size=1, tiles=1, seconds=0.0, created="", complete=True),
    )  # fmt: skip


def told_of(truth: Truth) -> MineralMap:
    """What a classifier of cells says: the share of each mineral in the cell, as a logit."""
    grid = TileGrid(HEIGHT, WIDTH, CELL, CELL)
    shares = np.zeros((*grid.shape, 3))
    rows, columns = (np.arange(length) // CELL for length in truth.shape)
    for index in range(3):
        np.add.at(shares[..., index], (rows[:, None], columns), truth == index)
    return map_of(6 * shares / shares.sum(axis=2, keepdims=True))


def indices(codes: np.ndarray) -> np.ndarray:
    return np.array([MINERALS.codes.index(code) for code in codes.ravel()]).reshape(codes.shape)


def test_every_pixel_has_one_mineral_and_areas_add_up() -> None:
    truth = discs()
    found = grain_map(told_of(truth), Micrograph.from_array(seen(truth)))
    assert found.codes.shape == (151, 187)
    assert set(np.unique(found.codes)) == set(MINERALS.codes)
    assert sum(found.area_px().values()) == HEIGHT * WIDTH
    assert found.complete
    assert found.um_per_place == 1.0


@pytest.mark.parametrize(("factor", "worst"), [(1, 0.02), (3, 0.05)])
def test_boundaries_follow_the_grains_not_the_cells(factor: int, worst: float) -> None:
    truth = discs()
    told = told_of(truth)
    found = grain_map(told, Micrograph.from_array(seen(truth)), GrainOptions(factor=factor))
    shown = indices(found.codes).repeat(factor, axis=0).repeat(factor, axis=1)[:HEIGHT, :WIDTH]
    cells = indices(told.labels).repeat(CELL, axis=0).repeat(CELL, axis=1)[:HEIGHT, :WIDTH]
    assert (shown != truth).mean() < worst
    assert (cells != truth).mean() > 0.08
    for index, code in enumerate(MINERALS.codes):
        assert abs(found.area_px()[code] - (truth == index).sum()) < worst * truth.size


@pytest.mark.parametrize("block_px", [40, 77])
def test_the_size_of_blocks_does_not_matter(block_px: int) -> None:
    truth = discs()
    told, picture = told_of(truth), Micrograph.from_array(seen(truth))
    told.labels[5, 3] = CHALCOPYRITE.code
    whole = grain_map(told, picture, GrainOptions(block_px=4096))
    parts = grain_map(told, picture, GrainOptions(block_px=block_px))
    np.testing.assert_array_equal(parts.codes, whole.codes)
    assert whole.corrections == 1


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("noise", [0.0, 8.0])
def test_a_constant_map_stays(index: int, noise: float) -> None:
    logits = np.zeros((4, 5, 3))
    logits[..., index] = 4.0
    picture = seen(np.full((110, 150), index), noise=noise)
    found = grain_map(map_of(logits, 110, 150), Micrograph.from_array(picture))
    assert (found.codes == MINERALS.codes[index]).all()


def test_a_corrected_cell_teaches_its_colour_everywhere() -> None:
    truth = discs()
    wrong = np.where(truth == 1, 0, truth)  # the map takes all pyrite for chalcopyrite, and not for sure
    told = told_of(wrong)
    told = map_of(0.4 * np.moveaxis(told.class_maps.astype(float), 0, -1))
    picture = Micrograph.from_array(seen(truth))
    before = indices(grain_map(told, picture).codes)
    told.labels[6, 3] = PYRITE.code  # inside the disc at (200, 100)
    after = indices(grain_map(told, picture).codes)
    small = truth[1::2, 1::2]
    before, after = before[: small.shape[0], : small.shape[1]], after[: small.shape[0], : small.shape[1]]
    assert (before[small == 1] == 1).mean() < 0.05
    assert (after[small == 1] == 1).mean() > 0.6
    assert (after[small == 0] == 0).mean() > 0.75


def test_what_the_user_said_is_told_from_what_the_map_says() -> None:
    told = told_of(discs())
    told = replace(
        told, run=told.run.model_copy(update={"notices": (f"{FOLLOWS} 2 corrections by its user",)})
    )
    assert not corrected_cells(told).any()
    told.labels[0, 0] = PYRITE.code
    told.labels[1, 1] = 0  # taken back, nothing said
    told.labels[2, 2] = 99  # no mineral
    told.probabilities[3, 3] = (0, 1, 0)  # as a map that follows corrections has it
    told.labels[3, 3] = PYRITE.code
    found = corrected_cells(told)
    assert np.argwhere(found).tolist() == [[0, 0], [3, 3]]
    assert found[0, 0] == found[3, 3] == PYRITE.code


def test_what_has_no_answer_or_no_data_stays_unclassified() -> None:
    truth = discs()
    told = told_of(truth)
    told.processed[:, 6:] = False
    told.labels[:, 6:] = 0
    told.probabilities[:, 6:] = 0
    values = seen(truth).astype(float)
    values[:20, :20] = np.nan
    found = grain_map(told, Micrograph.from_array(values))
    assert (found.codes[:, 96:] == 0).all()
    assert (found.codes[:10, :10] == 0).all()
    assert (found.codes[10:, :96] != 0).all()
    nothing = replace(told, processed=np.zeros_like(told.processed), labels=np.zeros_like(told.labels))
    nothing = replace(nothing, probabilities=np.zeros_like(told.probabilities))
    assert not grain_map(nothing, Micrograph.from_array(seen(truth))).codes.any()


def test_unsure_pixels_are_left_out_on_request() -> None:
    truth = discs()
    told, picture = told_of(truth), Micrograph.from_array(seen(truth))
    found = grain_map(told, picture, GrainOptions(min_confidence=0.99))
    assert 0 < (found.codes == 0).mean() < 0.5


def test_progress_tells_the_blocks_and_a_stop_keeps_what_is_done() -> None:
    truth = discs()
    told, picture = told_of(truth), Micrograph.from_array(seen(truth))
    options = GrainOptions(block_px=64)
    steps = []
    whole = run(grain_map_steps(told, picture, options), steps.append)
    updates = [step.update for step in steps if isinstance(step.update, GrainUpdate)]
    assert [step.done for step in steps] == list(range(1, steps[-1].total + 1))
    drawn = np.zeros_like(whole.codes)
    for update in updates:
        row, column, height, width = update.window
        drawn[row : row + height, column : column + width] = update.codes
    np.testing.assert_array_equal(drawn, whole.codes)
    first = run(grain_map_steps(told, picture, options), lambda step: step.update is not None)
    assert not first.complete
    np.testing.assert_array_equal(first.codes[:64, :64], whole.codes[:64, :64])
    assert not first.codes[64:].any()
    assert not run(grain_map_steps(told, picture, options), lambda _: True).codes.any()


def test_another_picture_is_refused() -> None:
    with pytest.raises(OptionError, match="301 x 373 pixels"):
        grain_map(told_of(discs()), Micrograph.from_array(np.zeros((300, 373, 3), np.uint8)))


def test_soft_edges_are_no_third_mineral_and_take_nothing_from_the_gangue() -> None:
    """Between pyrite and gangue a soft edge passes through all greys, a darker mineral's among them."""
    truth = discs()
    sharp = seen(truth, noise=0.0).astype(np.float32)
    soft = cv2.GaussianBlur(sharp, (0, 0), 3.0) + np.random.default_rng(5).normal(0, 2, sharp.shape)
    found = indices(
        grain_map(told_of(truth), Micrograph.from_array(np.clip(soft, 0, 255).astype(np.uint8))).codes
    )
    small = truth[::2, ::2]
    rim = cv2.dilate((small == 1).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & (small == 2)
    away = cv2.dilate((small == 0).astype(np.uint8), np.ones((21, 21), np.uint8)) == 0
    assert (found[rim & away] == 0).mean() < 0.02
    assert abs((found == 2).mean() - (small == 2).mean()) < 0.02


def test_cracks_that_are_too_thin_for_cells_are_gangue() -> None:
    """Also where the map is sure that there is ore."""
    width_px = 12
    truth = np.full((HEIGHT, WIDTH), 1)
    truth[:, :100] = 2  # where gangue is learnt
    whole = truth.copy()
    truth[140 : 140 + width_px, 130:] = 2
    truth[:, 260 : 260 + width_px] = 2
    picture = cv2.GaussianBlur(seen(truth), (0, 0), 1.5)
    found = indices(grain_map(told_of(whole), Micrograph.from_array(picture)).codes)
    cracks = (truth[::2, ::2] == 2) & (whole[::2, ::2] == 1)
    assert (found[cracks] == 2).mean() > 0.8
    assert (found[(truth[::2, ::2] == 1)] == 1).mean() > 0.98
