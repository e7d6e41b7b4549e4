"""Errors of the classifier, and several pictures as one sample: by hand and by published figures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from area_support import map_of, patches
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.learning.area_errors import confusion_record, place_confusion
from napari_ore_minerals.maps.adjusting import Reference, adjusted, olofsson
from napari_ore_minerals.maps.intervals import ends, freedom_of, ratio
from napari_ore_minerals.maps.measuring import Asked, Measurement, measure
from napari_ore_minerals.maps.pooling import pool
from napari_ore_minerals.minerals import DEFAULT_MINERALS, Mineral, MineralTable
from napari_ore_minerals.models.card import ModelCard, parse_card
from napari_ore_minerals.models.classifier import bundled
from napari_ore_minerals.models.confusion import ConfusionRecord

CARD = ModelCard(name="micro", architecture="ore_swin_micro", minerals=DEFAULT_MINERALS.minerals, input_px=32)


def test_olofsson_as_published() -> None:
    """Deforestation of Olofsson et al. (2014), section 5: 21,158 ha +- 6,158 ha of 900,000 ha."""
    mapped = np.array([0.020, 0.015, 0.320, 0.645])
    checked = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
    fractions, errors = olofsson(mapped, checked)
    assert 900_000 * fractions[0] == pytest.approx(21_158, abs=1)
    assert 900_000 * 1.96 * errors[0] == pytest.approx(6_158, abs=2)
    assert fractions.sum() == pytest.approx(1)


def test_olofsson_by_hand() -> None:
    fractions, errors = olofsson(np.array([0.3, 0.7]), [[8, 2], [1, 9]])
    assert fractions.tolist() == pytest.approx([0.3 * 0.8 + 0.7 * 0.1, 0.3 * 0.2 + 0.7 * 0.9])
    assert errors[0] == pytest.approx(math.sqrt(0.09 * 0.16 / 9 + 0.49 * 0.09 / 9))
    assert np.isnan(olofsson(np.array([0.3, 0.7]), [[1, 0], [1, 9]])[1]).all()
    assert not np.isnan(olofsson(np.array([0.0, 1.0]), [[0, 0], [1, 9]])[1]).any()


@given(st.integers(0, 999), st.floats(0.0, 0.4))
@settings(deadline=None, max_examples=30)
def test_mean_errors_are_taken_out(seed: int, error: float) -> None:
    random = np.random.default_rng(seed)
    answers = (1 - error) * np.eye(4) + error * random.dirichlet(np.ones(4), 4)
    true = random.dirichlet(np.ones(4)) * 0.8
    np.testing.assert_allclose(adjusted(true @ answers, answers), true, atol=2e-3)
    np.testing.assert_allclose(adjusted(true, np.eye(4)), true, atol=1e-6)


def test_a_classifier_that_is_right_adds_no_error_and_one_that_errs_does() -> None:
    right = np.tile(np.eye(6) / 6, (5, 1, 1))
    found = Reference.of(right)
    assert found.variances(np.full(6, 1 / 6), np.eye(6)[2]).sum() == 0
    assert found.pictures.tolist() == pytest.approx([5.0] * 6)
    wrong = right.copy()
    wrong[0, 3] = [0, 1 / 6, 0, 0, 0, 0]  # pyrite of one picture in five is all called chalcopyrite
    parts = Reference.of(wrong).variances(np.array([0, 0, 0, 0.5, 0, 0.5]), np.eye(6)[3])
    assert parts.tolist() == pytest.approx([0, 0, 0, 0.25 * 0.2, 0, 0])


def test_a_card_keeps_its_confusion_and_a_map_finds_its_minerals_by_name() -> None:
    random = np.random.default_rng(0)
    matrices = random.dirichlet(np.ones(36), 7).reshape(7, 6, 6)
    record = ConfusionRecord.of(matrices, "7 pictures")
    np.testing.assert_allclose(record.matrices(), matrices, atol=1e-4)
    card = CARD.model_copy(update={"confusion": record})
    assert parse_card(card.to_json().encode(), where="card") == card
    turned = MineralTable.of(DEFAULT_MINERALS.minerals[::-1])
    one, other = Reference.from_card(card, DEFAULT_MINERALS), Reference.from_card(card, turned)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.answers[::-1, ::-1], other.answers)
    galena = Mineral(code=9, name="galena", symbol="Gn", colour="#aabbcc")
    assert Reference.from_card(card, MineralTable.of([*DEFAULT_MINERALS, galena])) is None
    assert Reference.from_card(CARD, DEFAULT_MINERALS) is None


@pytest.mark.parametrize(
    "pictures", [("1 2 3", "1 2 3"), ("1 2 3 4", "1"), ("1 2 3 4",), ("1 2 3 x", "1 2 3 4")]
)
def test_a_confusion_that_makes_no_sense_is_refused(pictures: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        ConfusionRecord(what="", pictures=pictures)


def test_a_confusion_of_other_minerals_is_refused() -> None:
    record = ConfusionRecord(what="", pictures=("1 2 3 4", "1 2 3 4"))
    with pytest.raises(ValidationError, match="of 2 minerals, the model has 6"):
        ModelCard.model_validate(CARD.model_dump() | {"confusion": record})


def test_the_bundled_card_says_how_the_model_errs() -> None:
    card = parse_card((Path(bundled()) / "card.json").read_bytes(), where="card")
    found = Reference.from_card(card, DEFAULT_MINERALS)
    assert found is not None
    assert (np.diag(found.answers) > 0.7).all()
    assert (found.pictures > 3).all()


def test_places_are_compared_with_the_truth_picture_by_picture() -> None:
    shares = np.zeros((2, 1, 2, 2))
    shares[..., 0], shares[..., 1] = 0.75, 0.25
    dense = np.array([[[0, 0, 1, 1], [0, 1, 1, 7]], [[0, 0, 0, 0], [0, 0, 0, 0]]])[:, :, :]
    found = place_confusion(shares, dense, np.array([4, 9]))
    assert found[0].tolist() == [[0.75 * 0.75, 0.75 * 0.25], [(0.25 + 0.75) * 0.75, (0.25 + 0.75) * 0.25]]
    assert found[1].tolist() == [[1.5, 0.5], [0, 0]]
    assert confusion_record(shares, dense, np.array([4, 9]), "pictures").what.startswith("2 pictures")


def test_a_ratio_by_hand() -> None:
    found = ratio(np.array([10.0, 90.0]), np.array([100.0, 300.0]))
    assert (found.value, found.error, found.freedom) == (0.25, pytest.approx(0.075), 1)
    assert ends(0.25, 0.01, 1)[1] == pytest.approx(0.25 + 0.127062, abs=1e-5)
    assert freedom_of(np.array([2.0, 2.0]), np.array([5.0, 5.0])) == pytest.approx(10)
    assert np.isnan(ratio(np.array([1.0]), np.array([2.0])).error)


def measured(share: int, **changes: object) -> Measurement:
    """Picture of which so many of 16 rows of places are gold, the others gangue."""
    field = np.full((16, 16), 5)
    field[:share] = 2
    return measure(map_of(field, evidence=30.0, **changes))  # type: ignore[arg-type]


def test_pooled_pictures_by_hand() -> None:
    one, other, last = measured(4), measured(8), measured(6)
    gold = pool([one, other, last]).set_index("mineral").loc["gold"]
    assert gold["fraction"] == pytest.approx(6 / 16, abs=1e-4)
    error = math.sqrt(3 / 2 * 2 * (2 / 16) ** 2) / 3
    assert gold["sampling_error"] == pytest.approx(error, rel=1e-3)
    half = 4.302653 * error
    assert gold["low"] == pytest.approx(6 / 16 - half, rel=2e-3)
    odds = 6 / 10 * math.exp(half / (6 / 16 * 10 / 16))  # the upper end is that on the scale of the logit
    assert gold["high"] == pytest.approx(odds / (1 + odds), rel=1e-3)
    assert gold["high"] > 6 / 16 + half
    rare = pool([measured(1), measured(4), measured(1)]).set_index("mineral").loc["gold"]
    assert 0 <= rare["low"] < rare["fraction"] < rare["high"] < 1
    large = pool([measured(4), measured(8, stride_px=64)]).set_index("mineral").loc["gold"]
    assert large["fraction"] == pytest.approx((4 + 4 * 8) / 16 / 5, abs=1e-4)
    assert large["area_um2"] == pytest.approx((128**2 * 4 + 256**2 * 8) / 16 / 4, rel=1e-3)


def test_one_picture_pooled_is_itself() -> None:
    found = measure(map_of(patches(3)))
    pooled = pool([found])
    np.testing.assert_allclose(pooled["fraction"], found.table["fraction"], rtol=1e-6)
    np.testing.assert_allclose(pooled["high"], found.table["high"], atol=1e-6)


def test_pictures_that_do_not_fit_are_not_pooled() -> None:
    with pytest.raises(OptionError, match="nothing to pool"):
        pool([])
    with pytest.raises(OptionError, match="um/px of without is not known"):
        pool([measured(4), measured(4, um_per_px=None, name="without")])
    with pytest.raises(OptionError, match="measure them alike"):
        pool([measured(4), measure(map_of(patches(1)), Asked(without=(0,)))])
