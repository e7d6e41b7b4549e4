"""Trainer: network, optimizer and data of one training, on their devices."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast
from torch import nn
from torch.nn import functional

from napari_ore_minerals.errors import OptionError, TrainingError
from napari_ore_minerals.models.cam import class_maps
from napari_ore_minerals.models.devices import choose_device, choose_precision

from .augmentation import Batch
from .batches import Batches
from .course import Course, EpochRecord
from .depth import freeze, teach_mode
from .evaluation import balanced_accuracy, confusion_matrix
from .faults import device_faults
from .imagenet import IMAGENET_NORMALISATION, Normalisation
from .losses import dense_loss, soft_cross_entropy, tiles_without_numbers
from .optimizing import optimizer_of, set_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .dataset import TileSamples
    from .options import TrainOptions


class Learner(nn.Module):
    """A network from tiles of 0 to 1 to logits and class maps.

    All of it is one forward pass, so that accelerate sees it, with several processes too.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        for name, values in zip(("mean", "std"), normalisation, strict=True):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, classes) and class maps (n, classes, h, w) of tiles (n, 3, s, s)."""
        return class_maps(self.network, (tiles - self.mean) / self.std)


class Trainer:
    """Network, optimizer and data of one training, on their devices.

    Attributes
    ----------
    course : Course
        How far it has come.
    best : dict of tensors
        Weights of the best epoch; none while there is none.
    """

    def __init__(
        self,
        network: nn.Module,
        samples: TileSamples,
        options: TrainOptions,
        normalisation: Normalisation = IMAGENET_NORMALISATION,
    ) -> None:
        device = choose_device(options.device)
        self.precision, _ = choose_precision(device.torch_device, options.precision)
        self.title, self.options, self.minerals = device.title, options, samples.minerals
        AcceleratorState._reset_state(True)  # it refuses another precision than an earlier training's
        self.accelerator = Accelerator(
            cpu=device.torch_device.type == "cpu",
            mixed_precision="bf16" if self.precision == "bf16" else "no",
        )
        _check_processes(options, self.accelerator.num_processes)
        self.batches = Batches(samples, options, self.accelerator)
        self.plain = Learner(freeze(network, options.depth), normalisation)
        teach_mode(self.plain)
        self.average = copy.deepcopy(self.plain).eval() if options.averaging else None
        self.optimizer = optimizer_of(network, options)
        with self.faults():
            self.learner, self.optimizer = self.accelerator.prepare(self.plain, self.optimizer)
            if self.average is not None:
                self.average.to(self.accelerator.device)
        self.course = Course()
        self.best: dict[str, torch.Tensor] = {}
        self.total, self.rate, self.begun = len(self.batches) * options.epochs, 0.0, time.perf_counter()

    def step(self, batch: Batch) -> None:
        """Learn from one batch."""
        self.rate = set_rate(self.optimizer, self.options, self.share())
        logits, maps = self.learner(batch.tiles)
        loss = soft_cross_entropy(logits, batch.fractions, self.options.label_smoothing)
        if batch.dense is not None and self.options.dense_weight:
            dense = dense_loss(maps, batch.dense, self.options.label_smoothing)
            loss = loss + self.options.dense_weight * dense
        value = self._mean_loss(loss)
        if not math.isfinite(value):
            raise TrainingError(self._not_finite("loss", value, logits, batch.fractions))
        self.accelerator.backward(loss)
        if self.options.gradient_norm:
            self.accelerator.clip_grad_norm_(self.learner.parameters(), self.options.gradient_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._take_note(value, logits, batch)

    def seconds(self) -> float:
        """Time since training began, breaks left out."""
        return self.course.seconds + time.perf_counter() - self.begun

    def share(self) -> float:
        """How much of the training is done, 0 to 1: of its steps or, where that is more, of its time."""
        timed = 0.0 if self.options.minutes is None else self.seconds() / (60.0 * self.options.minutes)
        return min(1.0, max(self.course.steps / self.total, timed))

    def over(self) -> bool:
        """Whether all steps are done or the time is up."""
        return self.share() >= 1.0

    def done(self) -> bool:
        """Whether the training ends after the epochs that there are."""
        patience = self.options.patience
        return self.over() or bool(patience and self.course.waited >= patience)

    def agreed(self, *wishes: bool) -> tuple[bool, ...]:
        """Return what the main process wishes; all processes must call it."""
        if self.accelerator.num_processes == 1:
            return wishes
        flags = torch.tensor(wishes, dtype=torch.int32, device=self.accelerator.device)
        return tuple(bool(flag) for flag in broadcast(flags))

    def validate(self, samples: TileSamples) -> EpochRecord:
        """Measure the network on validation samples, which ends the epoch; `TrainingError` if it gives no numbers."""
        self._share_buffers()
        logits = self._logits(samples)
        targets = torch.from_numpy(np.array(samples.fractions))
        loss = float(functional.cross_entropy(torch.from_numpy(logits), targets))
        if not math.isfinite(loss):
            raise TrainingError(self._not_finite("validation loss", loss, torch.from_numpy(logits), targets))
        clear = samples.clear()
        chosen = clear if clear.any() else np.ones(len(samples), dtype=bool)
        found = logits[chosen].argmax(axis=1)
        confusion = confusion_matrix(samples.labels[chosen], found, len(self.minerals))
        course = self.course
        record = EpochRecord(
            epoch=course.epoch,
            loss=float(np.mean(course.losses)),
            validation_loss=loss,
            accuracy=float(np.trace(confusion) / confusion.sum()),
            balanced_accuracy=balanced_accuracy(confusion),
            seconds=self.seconds() - sum(earlier.seconds for earlier in course.history),
            training_accuracy=course.right / max(course.seen, 1),
            learning_rate=self.rate,
        )
        if course.end_epoch(record):
            self.best = self.weights()
        teach_mode(self.plain)
        return record

    def weights(self) -> dict[str, torch.Tensor]:
        """Copy the weights that are judged: the average, where there is one."""
        state = self._judged().network.state_dict()
        return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}

    def finished(self) -> nn.Module:
        """Return the network of the best epoch, on the CPU."""
        network = copy.deepcopy(self.plain.network).cpu()
        network.load_state_dict(self.best if self.course.best_epoch else self.weights())
        return network.eval()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all tensors of this moment, from which `restore` goes on; all processes must call it."""
        found = {f"network.{name}": tensor for name, tensor in self.plain.network.state_dict().items()}
        if self.average is not None:
            averaged = self.average.network.state_dict()
            found |= {f"average.{name}": tensor for name, tensor in averaged.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{index}.{name}": tensor for name, tensor in values.items()}
        found |= {f"random.{name}": tensor for name, tensor in self.batches.state().items()}
        return found

    def restore(
        self, tensors: Mapping[str, torch.Tensor], best: dict[str, torch.Tensor], course: Course
    ) -> None:
        """Go on from what `tensors` gave, with the best weights and the course of that moment."""
        self.plain.network.load_state_dict(_below("network", tensors))
        if self.average is not None:
            self.average.network.load_state_dict(_below("average", tensors))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in _below("optimizer", tensors).items():
            index, _, name = key.partition(".")
            moments.setdefault(int(index), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.batches.restore(_below("random", tensors))
        self.best, self.course, self.begun = best, course, time.perf_counter()

    @contextlib.contextmanager
    def faults(self) -> Iterator[None]:
        """Turn what a device throws when it is lost or full into one sentence."""
        with device_faults(self.title, self.options.batch_size):
            yield

    def close(self) -> None:
        """Let go of the device."""
        with contextlib.suppress(RuntimeError):  # a device that is lost cannot be tidied up
            self.accelerator.free_memory()
        AcceleratorState._reset_state(True)

    def _judged(self) -> Learner:
        return self.average if self.average is not None else self.plain

    def _mean_loss(self, loss: torch.Tensor) -> float:
        if self.accelerator.num_processes == 1:
            return float(loss.detach())
        return float(self.accelerator.reduce(loss.detach(), "mean"))

    def _take_note(self, loss: float, logits: torch.Tensor, batch: Batch) -> None:
        right = (logits.detach().argmax(dim=1) == batch.fractions.argmax(dim=1)).sum()
        course = self.course
        course.steps += 1
        course.losses.append(loss)
        course.right += int(self.accelerator.reduce(right, "sum"))
        course.seen += len(logits) * self.accelerator.num_processes
        self._follow()

    def _follow(self) -> None:
        """Move the average towards the network."""
        if self.average is None:
            return
        decay = min(self.options.averaging, (1.0 + self.course.steps) / (10.0 + self.course.steps))
        averaged, current = self.average.network.state_dict(), self.plain.network.state_dict()
        with torch.no_grad():
            for name, mean in averaged.items():
                if mean.is_floating_point():
                    mean.lerp_(current[name], 1.0 - decay)
                else:
                    mean.copy_(current[name])

    def _share_buffers(self) -> None:
        """Give all processes the mean of their batch statistics."""
        if self.accelerator.num_processes == 1:
            return
        for learner in (self.plain, self.average):
            for buffer in () if learner is None else learner.network.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.accelerator.reduce(buffer.clone(), "mean"))

    def _logits(self, samples: TileSamples) -> NDArray[np.float32]:
        """Logits (n, classes) of samples, without augmentation; each process computes a part of them."""
        processes, own = self.accelerator.num_processes, self.accelerator.process_index
        wanted = np.arange(own, own + -(-len(samples) // processes) * processes, processes) % len(samples)
        learner, size, found = self._judged().eval(), self.options.batch_size, []
        with torch.inference_mode(), self.accelerator.autocast():
            for start in range(0, len(wanted), size):
                tiles = torch.from_numpy(np.ascontiguousarray(samples.tiles[wanted[start : start + size]]))
                tiles = tiles.to(self.accelerator.device).permute(0, 3, 1, 2).float() / 255.0
                found.append(learner(tiles)[0].float())
        parts = self.accelerator.gather(torch.cat(found)).reshape(processes, len(wanted), -1)
        logits: NDArray[np.float32] = parts.transpose(0, 1).flatten(0, 1)[: len(samples)].cpu().numpy()
        return logits

    def _not_finite(self, what: str, value: float, logits: torch.Tensor, shares: torch.Tensor) -> str:
        where = tiles_without_numbers(logits.detach(), shares, [mineral.name for mineral in self.minerals])
        other = "" if self.precision == "fp32" else ", or fp32 instead of bf16"
        return (
            f"the {what} is {value} after {self.course.steps} steps{where}: "
            f"use a smaller learning rate than {self.options.learning_rate:g}{other}"
        )


def _below(name: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors whose key begins with a name, without it."""
    start = f"{name}."
    return {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}


def _check_processes(options: TrainOptions, processes: int) -> None:
    if processes > 1 and options.minutes is not None:
        raise OptionError(
            f"minutes cannot be set with {processes} processes, whose clocks differ: set epochs"
        )
    if options.batch_size % processes:
        raise OptionError(
            f"a batch of {options.batch_size} tiles cannot be shared equally among {processes} processes: "
            f"choose a multiple of {processes}"
        )
