"""The last layer is fitted before the rest of a network learns."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from napari_ore_minerals.errors import TrainingError
from napari_ore_minerals.learning.dataset import TileSamples
from napari_ore_minerals.learning.head_start import (
    NEW_BIAS,
    fit_head_steps,
    quieten_new_minerals,
)
from napari_ore_minerals.minerals import DEFAULT_MINERALS, Mineral, MineralTable
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.progress import run

NORMALISATION = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
NEW = Mineral(code=9, name="galena", symbol="Gn", colour="#8888aa")
MINERALS = MineralTable.of([*DEFAULT_MINERALS, NEW])


def samples(colours: list[tuple[int, int, int]], labels: list[int]) -> TileSamples:
    random = np.random.default_rng(0)
    tiles = np.array(colours)[:, None, None] + random.integers(-6, 7, (len(colours), 32, 32, 3))
    codes = [MINERALS.codes[label] for label in labels]
    return TileSamples.of_labels(
        tiles.clip(0, 255).astype(np.uint8), codes, list(range(len(codes))), MINERALS
    )


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("ore_swin_micro", len(MINERALS)).eval()


def answers(network: nn.Module, what: TileSamples) -> np.ndarray:
    pixels = torch.from_numpy(np.ascontiguousarray(what.tiles)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return network((pixels - 0.5) / 0.25).argmax(dim=1).numpy()


def test_what_is_taught_is_answered_and_only_the_head_moves(network: nn.Module) -> None:
    taught = samples([(200, 190, 120)] * 4 + [(90, 95, 120)] * 4, [6] * 4 + [1] * 4)
    earlier = samples([(30, 30, 30)] * 6, [5] * 6)
    quieten_new_minerals(network, taught, [mineral.name for mineral in DEFAULT_MINERALS])
    before = copy.deepcopy(network.state_dict())
    run(fit_head_steps(network, taught, earlier, NORMALISATION))
    np.testing.assert_array_equal(answers(network, taught), taught.labels)
    np.testing.assert_array_equal(answers(network, earlier), earlier.labels)
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"head.fc.weight", "head.fc.bias"}


def test_every_tile_is_counted_while_it_is_looked_at(network: nn.Module) -> None:
    taught, earlier = samples([(200, 190, 120)] * 40, [6] * 40), samples([(30, 30, 30)] * 6, [5] * 6)
    steps = list(fit_head_steps(network, taught, earlier, NORMALISATION))
    assert [step.done for step in steps] == [32, 40, 46]
    assert {step.total for step in steps} == {46}


def test_a_new_mineral_is_answered_nowhere_before_it_is_taught(network: nn.Module) -> None:
    every = samples([(value, value, value) for value in range(20, 240, 20)], [0] * 11)
    quieten_new_minerals(network, every, [mineral.name.upper() for mineral in DEFAULT_MINERALS])
    head = network.get_classifier()  # type: ignore[operator]
    assert (head.weight[6] == 0).all()
    assert head.bias[6].item() == pytest.approx(NEW_BIAS)
    assert (head.weight[:6] != 0).any()


def test_a_feature_that_is_not_finite_is_told(network: nn.Module) -> None:
    taught = samples([(90, 95, 120)], [1])
    with torch.no_grad():
        network.patch_embed.proj.bias[0] = float("nan")  # type: ignore[union-attr]
    with pytest.raises(TrainingError):
        run(fit_head_steps(network, taught, samples([(30, 30, 30)] * 6, [5] * 6), NORMALISATION))
