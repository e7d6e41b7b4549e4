from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from napari_ore_minerals.errors import DatasetError, TrainingError
from napari_ore_minerals.learning.batches import Batches
from napari_ore_minerals.learning.dataset import UNKNOWN, TileSamples, grouped_split
from napari_ore_minerals.learning.losses import dense_loss, soft_cross_entropy
from napari_ore_minerals.learning.optimizing import optimizer_of, rate
from napari_ore_minerals.learning.trainer import Trainer
from napari_ore_minerals.learning.training import EpochRecord, TrainOptions, train_steps
from napari_ore_minerals.minerals import PAPER_MINERALS
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.progress import run

QUICK = TrainOptions(
    epochs=4, batch_size=16, learning_rate=1e-2, augmentation="none", device="cpu", precision="fp32"
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("ore_swin_micro", 6)


@pytest.fixture(scope="module")
def split(samples):
    kept, held = grouped_split(samples.groups, 0.34, np.random.default_rng(0))
    return samples.select(kept), samples.select(held)


def weights(network) -> list[torch.Tensor]:
    return list(network.state_dict().values())


def test_training_learns_separable_classes_and_leaves_the_given_network_alone(network, split):
    before = [tensor.clone() for tensor in weights(network)]
    options = QUICK.model_copy(update={"epochs": 25})
    result = run(train_steps(network, *split, options))
    assert result.history[-1].loss < 0.7 * result.history[0].loss
    assert result.history[result.best_epoch - 1].accuracy > 0.9
    assert result.best_epoch == 1 + int(np.argmin([record.validation_loss for record in result.history]))
    assert not result.stopped
    assert not result.network.training
    assert all(torch.equal(old, new) for old, new in zip(before, weights(network), strict=True))


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_the_same_seed_gives_the_same_weights(network, split, averaging):
    options = QUICK.model_copy(update={"epochs": 2, "averaging": averaging, "augmentation": "laboratory"})
    first, second = (run(train_steps(network, *split, options)) for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(weights(first.network), weights(second.network), strict=True)
    )
    other = run(train_steps(network, *split, options.model_copy(update={"seed": 1})))
    assert any(
        not torch.equal(a, b) for a, b in zip(weights(first.network), weights(other.network), strict=True)
    )


@pytest.mark.parametrize("preset", ["paper", "fast"])
def test_networks_that_take_tiles_of_other_sizes_see_the_same_order(preset):
    codes = [mineral.code for mineral in PAPER_MINERALS] * 5
    options = TrainOptions.preset(preset).changed({"batch_size": 8})
    orders = []
    for side in (16, 32):
        tiles = np.zeros((len(codes), side, side, 3), np.uint8)
        samples = TileSamples.of_labels(tiles, codes, np.arange(len(codes)), PAPER_MINERALS)
        batches = Batches(samples, options, Accelerator(cpu=True))
        for _ in range(3):
            batches.begin_epoch()
            list(batches.after(0))
            orders.append(batches.order.tolist())
    assert orders[:3] == orders[3:]
    assert orders[0] != orders[1]


def test_progress_counts_batches_and_carries_a_record_an_epoch(network, split):
    seen = []
    result = run(train_steps(network, *split, QUICK), seen.append)
    assert [progress.done for progress in seen] == list(range(1, seen[-1].total + 1))
    records = [progress.update for progress in seen if isinstance(progress.update, EpochRecord)]
    assert tuple(records) == result.history
    assert len(records) == QUICK.epochs


def test_a_stop_during_the_second_epoch_gives_the_first(network, split):
    result = run(train_steps(network, *split, QUICK), lambda progress: progress.stage.startswith("epoch 2"))
    assert result.stopped
    assert result.best_epoch == 1
    assert len(result.history) == 1


def test_training_ends_in_time_and_still_keeps_an_epoch(network, split):
    options = QUICK.model_copy(update={"epochs": 10_000, "minutes": 0.02})
    result = run(train_steps(network, *split, options))
    assert not result.stopped
    assert result.best_epoch >= 1
    assert result.minutes < 0.5


def test_the_learning_rate_rises_and_falls():
    options = TrainOptions(warm_up=0.1)
    values = [rate(options, share) for share in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert values == pytest.approx([0.01, 0.5, 1.0, 0.5, 0.0])
    constant = TrainOptions(schedule="constant", warm_up=0.0)
    assert [rate(constant, share) for share in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


def test_a_stop_in_the_first_epoch_gives_what_there_is(network, split):
    result = run(train_steps(network, *split, QUICK), lambda _: True)
    assert result.best_epoch == 0
    assert result.samples_seen == QUICK.batch_size
    assert all(torch.isfinite(tensor).all() for tensor in weights(result.network))


@pytest.mark.fault("T1")
def test_a_loss_that_is_not_finite_stops_at_once(network, split):
    with torch.no_grad():
        network.head.fc.bias[0] = float("nan")
    seen = []
    with pytest.raises(TrainingError, match="loss is nan after 0 steps"):
        run(train_steps(network, *split, QUICK), seen.append)
    assert not seen


def test_samples_without_dense_targets_are_enough(network, split):
    plain = [TileSamples(part.tiles, part.fractions, part.groups, part.minerals) for part in split]
    result = run(train_steps(network, *plain, QUICK.model_copy(update={"augmentation": "paper"})))
    assert result.history[-1].loss < result.history[0].loss


def test_samples_that_do_not_fit_are_refused(network, split):
    train, validation = split
    with pytest.raises(DatasetError, match="at least one"):
        run(train_steps(network, train, validation.select(np.zeros(0, np.int64)), QUICK))
    other = TileSamples(validation.tiles, validation.fractions[:, :5], validation.groups, PAPER_MINERALS)
    with pytest.raises(DatasetError, match="mineral tables"):
        run(train_steps(network, train, other, QUICK))


def test_the_paper_preset():
    """Adam with 1e-6, batches of 16 and 20 epochs are the paper's; nothing that it does not name is added."""
    found = TrainOptions.preset("paper").model_dump(exclude={"seed", "device", "checkpoint_minutes"})
    assert found == {
        "optimizer": "adam",
        "learning_rate": 1e-6,
        "schedule": "constant",
        "warm_up": 0.0,
        "batch_size": 16,
        "epochs": 20,
        "samples_per_epoch": None,
        "minutes": None,
        "patience": 0,
        "weight_decay": 0.0,
        "layer_decay": 1.0,
        "gradient_norm": 0.0,
        "label_smoothing": 0.0,
        "dense_weight": 0.0,
        "averaging": 0.0,
        "balanced": False,
        "augmentation": "paper",
        "depth": "all",
        "precision": "fp32",
    }


def test_the_fast_preset_has_what_was_measured_to_be_worth_it():
    """AdamW, warm-up, cosine, label smoothing and balance; not what lost accuracy in five rounds (docs/train.md)."""
    fast = TrainOptions.preset("fast")
    assert (fast.optimizer, fast.schedule, fast.balanced) == ("adamw", "cosine", True)
    assert min(fast.weight_decay, fast.warm_up, fast.label_smoothing) > 0.0
    assert (fast.patience, fast.averaging, fast.layer_decay) == (0, 0.0, 1.0)


def test_adam_is_adam_and_remembers_as_the_paper_has_it(network):
    for preset, kind in (("paper", torch.optim.Adam), ("fast", torch.optim.AdamW)):
        optimizer = optimizer_of(network, TrainOptions.preset(preset))
        assert type(optimizer) is kind
        assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.999)}


def one_step(network, samples, **changes) -> Trainer:
    """Learn from one batch, the same one whatever the options are."""
    plain = {
        "schedule": "constant",
        "warm_up": 0.0,
        "balanced": False,
        "gradient_norm": 0.0,
        "weight_decay": 0.0,
    }
    trainer = Trainer(copy.deepcopy(network), samples, QUICK.changed(plain | changes))
    trainer.batches.begin_epoch()
    trainer.step(next(trainer.batches.after(0)))
    trainer.close()
    return trainer


def test_weight_decay_shrinks_matrices_and_leaves_biases(network, split):
    before = dict(network.named_parameters())
    without, decayed = (one_step(network, split[0], weight_decay=decay).plain.network for decay in (0.0, 0.5))
    for (name, one), other in zip(without.named_parameters(), decayed.parameters(), strict=True):
        shrunk = QUICK.learning_rate * 0.5 * before[name] if one.ndim > 1 else torch.zeros_like(one)
        torch.testing.assert_close(one - other, shrunk, rtol=1e-3, atol=1e-6, msg=name)


def test_layers_far_from_the_head_learn_slower_where_the_rate_decays(network, split):
    moved = []
    for decay in (1.0, 0.5):
        learnt = one_step(network, split[0], layer_decay=decay).plain.network
        pairs = ((network.patch_embed, learnt.patch_embed), (network.head, learnt.head))
        moved.append([largest_change(before, after) for before, after in pairs])
    (first_layer, head), (first_layer_decayed, head_decayed) = moved
    assert head_decayed == pytest.approx(head, rel=1e-3)
    assert first_layer_decayed < 0.3 * first_layer


def largest_change(before, after) -> float:
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return max(float((one - other).detach().abs().max()) for one, other in pairs)


def test_long_gradients_are_shortened_and_others_are_not(network, split):
    lengths = []
    for limit in (0.0, 0.01, 1e6):
        moments = one_step(network, split[0], gradient_norm=limit).optimizer.state_dict()["state"].values()
        lengths.append(10 * float(sum((one["exp_avg"] ** 2).sum() for one in moments)) ** 0.5)
    assert lengths[0] > 0.1
    assert lengths[1] == pytest.approx(0.01, rel=1e-3)
    assert lengths[2] == pytest.approx(lengths[0])


def test_losses_worked_by_hand():
    shares = torch.tensor([[0.25, 0.75]])
    logits = torch.log(shares)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert float(soft_cross_entropy(logits, shares)) == pytest.approx(entropy)
    dense = torch.tensor([[[0, 0], [1, UNKNOWN]]], dtype=torch.uint8)
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0, 0, :] = 50.0  # right in the first row
    maps[0, 1, 1, 1] = 50.0  # says something where nobody knows: costs nothing
    assert float(dense_loss(maps, dense)) == pytest.approx(np.log(2) / 3, rel=1e-4)
    unknown = torch.full((1, 2, 2), UNKNOWN, dtype=torch.uint8)
    assert float(dense_loss(maps, unknown)) == 0.0
