"""The last layer is fitted before the rest of a network learns."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from napari_ore_minerals.errors import TrainingError
from napari_ore_minerals.learning import head_start
from napari_ore_minerals.learning.dataset import TileSamples
from napari_ore_minerals.learning.head_start import (
    NEW_BIAS,
    fit_head_steps,
    quieten_new_minerals,
)
from napari_ore_minerals.learning.replay import Replay
from napari_ore_minerals.minerals import DEFAULT_MINERALS, Mineral, MineralTable
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.progress import run

NORMALISATION = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
NEW = Mineral(code=9, name="galena", symbol="Gn", colour="#8888aa")
MINERALS = MineralTable.of([*DEFAULT_MINERALS, NEW])


def samples(colours: list[tuple[int, int, int]], labels: list[int]) -> TileSamples:
    random = np.random.default_rng(0)
    tiles = np.array(colours).reshape(-1, 1, 1, 3) + random.integers(-6, 7, (len(colours), 32, 32, 3))
    codes = [MINERALS.codes[label] for label in labels]
    return TileSamples.of_labels(
        tiles.clip(0, 255).astype(np.uint8), codes, list(range(len(codes))), MINERALS
    )


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("ore_swin_micro", len(MINERALS)).eval()


def replay_of(earlier: TileSamples, chosen: TileSamples | None = None) -> Replay:
    nothing = samples([], [])
    return Replay(earlier, nothing, nothing if chosen is None else chosen, nothing)


def answers(network: nn.Module, what: TileSamples) -> np.ndarray:
    pixels = torch.from_numpy(np.ascontiguousarray(what.tiles)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return network((pixels - 0.5) / 0.25).argmax(dim=1).numpy()


def test_what_is_taught_is_answered_and_only_the_head_moves(network: nn.Module) -> None:
    taught = samples([(200, 190, 120)] * 4 + [(90, 95, 120)] * 4, [6] * 4 + [1] * 4)
    earlier = samples([(30, 30, 30)] * 6, [5] * 6)
    quieten_new_minerals(network, taught, [mineral.name for mineral in DEFAULT_MINERALS])
    before = copy.deepcopy(network.state_dict())
    run(fit_head_steps(network, taught, replay_of(earlier), NORMALISATION))
    np.testing.assert_array_equal(answers(network, taught), taught.labels)
    np.testing.assert_array_equal(answers(network, earlier), earlier.labels)
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"head.fc.weight", "head.fc.bias"}


def test_every_tile_is_counted_while_it_is_looked_at(network: nn.Module) -> None:
    taught, earlier = samples([(200, 190, 120)] * 40, [6] * 40), samples([(30, 30, 30)] * 6, [5] * 6)
    steps = list(fit_head_steps(network, taught, replay_of(earlier, earlier), NORMALISATION))
    assert [step.done for step in steps] == [32, 40, 46, 52]
    assert {step.total for step in steps} == {52}


def test_half_of_what_an_earlier_tile_teaches_is_what_the_model_said_of_it(network: nn.Module) -> None:
    taught, earlier = samples([(200, 190, 120)] * 4, [6] * 4), samples([(30, 30, 30)] * 6, [5] * 6)
    quieten_new_minerals(network, taught, [mineral.name for mineral in DEFAULT_MINERALS])
    pixels = torch.from_numpy(np.ascontiguousarray(earlier.tiles)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        said = network((pixels - 0.5) / 0.25)[:, :6].softmax(dim=1).numpy()
    found = run(fit_head_steps(network, taught, replay_of(earlier), NORMALISATION)).learnt
    np.testing.assert_allclose(found.fractions[:, :6], (earlier.fractions[:, :6] + said) / 2, atol=1e-5)
    assert (found.fractions[:, 6] == 0).all(), "it did not know the new mineral"


def test_earlier_tiles_weigh_as_much_as_it_takes_to_forget_nothing(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Corrections say that what looks like an earlier mineral is a new one."""
    taught, earlier = samples([(30, 30, 30)] * 12, [6] * 12), samples([(30, 30, 30)] * 6, [5] * 6)
    quieten_new_minerals(network, taught, [mineral.name for mineral in DEFAULT_MINERALS])
    run(fit_head_steps(network, samples([(230, 30, 30)] * 2, [0] * 2), replay_of(earlier), NORMALISATION))
    assert (answers(network, earlier) == 5).all()
    weights: list[float] = []
    fitted = head_start.fitted_change

    def noted(examples, *, targets):
        weights.append(float(targets[-1].sum()))
        return fitted(examples, targets=targets)

    monkeypatch.setattr(head_start, "fitted_change", noted)
    run(fit_head_steps(network, taught, replay_of(earlier, earlier), NORMALISATION))
    assert weights == pytest.approx(list(head_start.WEIGHTS[: len(weights)]))
    assert 2 <= len(weights) < len(head_start.WEIGHTS)
    assert (answers(network, earlier) == 5).all()


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
        run(fit_head_steps(network, taught, replay_of(samples([(30, 30, 30)] * 6, [5] * 6)), NORMALISATION))
