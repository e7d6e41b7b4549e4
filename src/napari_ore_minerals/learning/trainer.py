"""Trainer: network, optimizer and data of one training, on their device; and its losses."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from napari_ore_minerals.errors import TrainingError
from napari_ore_minerals.models.cam import class_maps
from napari_ore_minerals.models.devices import choose_device, choose_precision

from .augmentation import Batch, augment, class_cells
from .dataset import TileSamples, balancing_weights
from .evaluation import balanced_accuracy, confusion_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .options import TrainOptions

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Sample = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training; accuracies are those on the validation samples, 0 to 1."""

    epoch: int
    loss: float
    validation_loss: float
    accuracy: float
    balanced_accuracy: float
    seconds: float


class Trainer:
    """Network, optimizer and data of one training, on their device."""

    def __init__(self, network: nn.Module, samples: TileSamples, options: TrainOptions) -> None:
        device = choose_device(options.device)
        self.precision, _ = choose_precision(device.torch_device, options.precision)
        self.title, self.options, self.classes = device.title, options, len(samples.minerals)
        set_seed(options.seed)
        AcceleratorState._reset_state(True)  # it refuses another precision than an earlier training's
        self.accelerator = Accelerator(
            cpu=device.torch_device.type == "cpu",
            mixed_precision="bf16" if self.precision == "bf16" else "no",
        )
        self.generator = torch.Generator().manual_seed(options.seed)
        loader = _loader(samples, options, self.generator)
        optimizer = _optimizer(network, options)
        self.network, self.optimizer, self.loader = self.accelerator.prepare(
            network.train().requires_grad_(True), optimizer, loader
        )
        self.total, self.begun = len(self.loader) * options.epochs, time.perf_counter()
        plain = self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False)
        self.average = copy.deepcopy(plain).eval() if options.averaging else None
        self.steps = 0
        self.mean = torch.tensor(IMAGENET_MEAN, device=self.accelerator.device).reshape(1, 3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD, device=self.accelerator.device).reshape(1, 3, 1, 1)

    def batches(self) -> Iterator[Batch]:
        """Augmented batches of one epoch."""
        for tiles, fractions, dense in self.loader:
            plain = tiles.permute(0, 3, 1, 2).float() / 255.0
            batch = Batch(plain, fractions, dense if dense.shape[-1] else None)
            yield augment(batch, self.options.augmentation, self.generator)

    def step(self, batch: Batch) -> float:
        """Learn from one batch and return its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * rate(self.options, self.share())
        loss = self._loss(self._plain(), batch, smoothing=self.options.label_smoothing)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} after {self.steps} steps: use a smaller learning rate "
                f"than {self.options.learning_rate:g}, or fp32 instead of {self.precision}"
            )
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        self._follow()
        return value

    def seconds(self) -> float:
        """Time since training began."""
        return time.perf_counter() - self.begun

    def share(self) -> float:
        """How much of the training is done, 0 to 1: of its steps or, where that is more, of its time."""
        timed = 0.0 if self.options.minutes is None else self.seconds() / (60.0 * self.options.minutes)
        return min(1.0, max(self.steps / self.total, timed))

    def over(self) -> bool:
        """Whether all steps are done or the time is up."""
        return self.share() >= 1.0

    def validate(self, samples: TileSamples, epoch: int, loss: float, begun: float) -> EpochRecord:
        """Measure the network on validation samples."""
        network = self.average if self.average is not None else self._plain()
        logits = logits_of(network, samples, batch_size=self.options.batch_size, accelerator=self.accelerator)
        targets = torch.from_numpy(np.array(samples.fractions))
        validation_loss = float(functional.cross_entropy(torch.from_numpy(logits), targets))
        clear = samples.clear()
        chosen = clear if clear.any() else np.ones(len(samples), dtype=bool)
        confusion = confusion_matrix(samples.labels[chosen], logits[chosen].argmax(axis=1), self.classes)
        accuracy = float(np.trace(confusion) / confusion.sum())
        seconds = time.perf_counter() - begun
        self.network.train()
        return EpochRecord(epoch, loss, validation_loss, accuracy, balanced_accuracy(confusion), seconds)

    def state(self) -> dict[str, torch.Tensor]:
        """Copy the weights that are being judged."""
        network = self.average if self.average is not None else self._plain()
        return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}

    def finished(self, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """Return the network with these weights, on the CPU."""
        network = copy.deepcopy(self._plain()).cpu()
        network.load_state_dict(state)
        return network.eval()

    def close(self) -> None:
        """Let go of the device."""
        self.accelerator.free_memory()
        AcceleratorState._reset_state(True)

    def _loss(self, network: nn.Module, batch: Batch, *, smoothing: float) -> torch.Tensor:
        with self.accelerator.autocast():
            logits, maps = class_maps(network, (batch.tiles - self.mean) / self.std)
        loss = soft_cross_entropy(logits, batch.fractions, smoothing)
        if batch.dense is None or not self.options.dense_weight:
            return loss
        return loss + self.options.dense_weight * dense_loss(maps, batch.dense, smoothing)

    def _plain(self) -> nn.Module:
        plain: nn.Module = self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False)
        return plain

    def _follow(self) -> None:
        if self.average is None:
            return
        decay = min(self.options.averaging, (1.0 + self.steps) / (10.0 + self.steps))
        with torch.no_grad():
            for mean, value in zip(
                self.average.state_dict().values(), self._plain().state_dict().values(), strict=True
            ):
                if mean.is_floating_point():
                    mean.lerp_(value, 1.0 - decay)
                else:
                    mean.copy_(value)


def soft_cross_entropy(logits: torch.Tensor, shares: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Mean cross entropy between shares (n, classes) and logits (n, classes), with label smoothing."""
    targets = shares * (1.0 - smoothing) + smoothing / shares.shape[1]
    return functional.cross_entropy(logits.float(), targets)


def dense_loss(maps: torch.Tensor, dense: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross entropy at every cell of the class maps, weighted by how much of the cell is known.

    Parameters
    ----------
    maps : (n, classes, h, w) float tensor
        Logits.
    dense : (n, k, k) uint8 tensor
        Class indices, `dataset.UNKNOWN` where nobody knows.
    smoothing
        Label smoothing.
    """
    classes = maps.shape[1]
    shares = functional.adaptive_avg_pool2d(class_cells(dense, classes), (maps.shape[2], maps.shape[3]))
    known = shares.sum(dim=1)
    targets = shares / known.clamp(min=1e-6)[:, None] * (1.0 - smoothing) + smoothing / classes
    cells = -(targets * functional.log_softmax(maps.float(), dim=1)).sum(dim=1)
    return (cells * known).sum() / known.sum().clamp(min=1e-6)


def logits_of(
    network: nn.Module, samples: TileSamples, *, batch_size: int, accelerator: Accelerator
) -> NDArray[np.float32]:
    """Logits (n, classes) of samples, without augmentation."""
    found = []
    mean = torch.tensor(IMAGENET_MEAN, device=accelerator.device).reshape(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=accelerator.device).reshape(1, 3, 1, 1)
    network.eval()
    with torch.inference_mode(), accelerator.autocast():
        for start in range(0, len(samples), batch_size):
            tiles = torch.from_numpy(np.array(samples.tiles[start : start + batch_size]))
            tiles = tiles.to(accelerator.device).permute(0, 3, 1, 2).float() / 255.0
            found.append(class_maps(network, (tiles - mean) / std)[0].float().cpu().numpy())
    return np.concatenate(found)


class _Tiles(Dataset[Sample]):
    def __init__(self, samples: TileSamples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        samples = self.samples
        dense = np.empty((0, 0), np.uint8) if samples.dense is None else samples.dense[index]
        return (
            torch.from_numpy(np.array(samples.tiles[index])),
            torch.from_numpy(np.array(samples.fractions[index])),
            torch.from_numpy(np.array(dense)),
        )


def _loader(samples: TileSamples, options: TrainOptions, generator: torch.Generator) -> DataLoader[Sample]:
    count = options.samples_per_epoch or len(samples)
    if options.balanced or options.samples_per_epoch:
        weights = balancing_weights(samples) if options.balanced else np.ones(len(samples))
        sampler = WeightedRandomSampler(weights.tolist(), count, replacement=True, generator=generator)
        return DataLoader(_Tiles(samples), options.batch_size, sampler=sampler)
    return DataLoader(_Tiles(samples), options.batch_size, shuffle=True, generator=generator)


def _optimizer(network: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=options.learning_rate, betas=(0.9, 0.999))


def rate(options: TrainOptions, share: float) -> float:
    """Learning rate as a part of the largest, when `share` (0 to 1) of the training is done."""
    if share < options.warm_up:
        return max(share / options.warm_up, 0.01)
    if options.schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (share - options.warm_up) / (1.0 - options.warm_up)))
