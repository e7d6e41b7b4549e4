"""Back on the way that a network went, until earlier tiles are answered as before."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from napari_ore_minerals.learning import going_back
from napari_ore_minerals.learning.going_back import SHARES, go_as_far_as_nothing_is_forgotten, share_kept


class Earlier:
    """Tiles of which only the truth is asked."""

    def __init__(self, labels: list[int]) -> None:
        self.labels = np.array(labels)

    def __len__(self) -> int:
        return len(self.labels)


class Model:
    """A model of one weight."""

    def __init__(self, weight: float) -> None:
        self.network = network_of(weight)

    def replace_weights(self, weights: dict[str, torch.Tensor]) -> None:
        self.network.load_state_dict(weights)


def network_of(value: float) -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


@pytest.fixture
def forgets(monkeypatch: pytest.MonkeyPatch):
    """Earlier tiles are answered as before as long as the weight is at most so large."""

    def until(most: float) -> None:
        def answers(model, _):
            return np.array([0, 0 if model.network.weight.item() <= most + 1e-6 else 1])

        monkeypatch.setattr(going_back, "_answers", answers)

    return until


@pytest.mark.parametrize(
    ("most", "weight", "steps"),
    [(9.0, 3.0, 2.0), (2.5, 2.3, 1.65), (1.0, 1.0, 1.0), (0.6, 0.5, 0.5), (-1.0, 0.2, SHARES[-1])],
)
def test_as_far_as_nothing_is_forgotten(forgets, most: float, weight: float, steps: float) -> None:
    forgets(most)
    taught, parent = Model(3.0), Model(-2.0)
    way = [network_of(0.0), network_of(1.0)]
    before = copy.deepcopy([one.state_dict() for one in way])
    earlier = Earlier([0, 0])
    assert go_as_far_as_nothing_is_forgotten(taught, way, earlier, parent) == pytest.approx(steps)
    assert taught.network.weight.item() == pytest.approx(weight)
    for one, state in zip(way, before, strict=True):
        torch.testing.assert_close(one.state_dict(), state)


def test_without_earlier_tiles_it_goes_all_the_way(forgets) -> None:
    forgets(0.0)
    taught = Model(3.0)
    assert go_as_far_as_nothing_is_forgotten(taught, [network_of(0.0)], Earlier([]), taught) == 1.0
    assert taught.network.weight.item() == 3.0


def test_what_is_answered_better_makes_up_for_nothing() -> None:
    truth, before = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 0, 1, 0, 1])
    assert share_kept(truth, before, before) == 1.0
    assert share_kept(truth, before, truth) == 1.0, "gains are no loss"
    now = np.array([0, 0, 0, 3, 1, 1, 2])
    assert share_kept(truth, before, now) == pytest.approx((3 / 4 + 1) / 2)
    assert share_kept(truth, np.full(7, 3), now) == 1.0, "nothing was known"
