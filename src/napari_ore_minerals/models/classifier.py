"""Classifier: a network and its card, ready on a device.

It takes tiles as uint8 and gives logits and class maps; it knows nothing of
pictures or maps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from napari_ore_minerals.errors import DeviceError, ModelError, OptionError

from .batch_size import BatchSize
from .cam import ExplainMethod, class_maps, classifier_layer, evidence_of, explain, feature_map
from .devices import Device, DeviceName, Precision, choose_device, choose_precision
from .gpu_faults import out_of_memory
from .quick_swin import QuickSwin, quick_swin
from .store import load_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .card import ModelCard

BUNDLED = Path(__file__).parent / "bundled"
AGREEMENT_TILES = 4
DIFFER = "bf16 and fp32 differ"
LARGEST_DIFFERENCE = 0.1  # of probability, between bf16 and fp32; rounding alone gives about 0.01


class Evidence(NamedTuple):
    """What the network says of n tiles.

    Attributes
    ----------
    logits : (n, classes) float32 array
    class_maps : (n, classes, h, w) float32 array
        Their mean over h and w is the logit.
    features : (n, h, w, d) float32 array or None
        The last feature map, if it was asked for.
    """

    logits: NDArray[np.float32]
    class_maps: NDArray[np.float32]
    features: NDArray[np.float32] | None = None


def bundled() -> Path:
    """Return the folder of the default model that is shipped; `ModelError` if there is none."""
    folders = sorted(path.parent for path in BUNDLED.glob("*/card.json"))
    if not folders:
        raise ModelError("no model is bundled with this installation; name a model folder")
    return folders[-1]


class Classifier:
    """A network and its card, ready on a device; what batch size is the fastest is found out once.

    Attributes
    ----------
    card : ModelCard
    network : torch.nn.Module
        In evaluation mode, on the device.
    device : Device
    precision : "fp32" or "bf16"
    notices : list of str
        What the user should be told, such as why a faster precision is not used.
    """

    _finding: type[BatchSize] = BatchSize

    def __init__(
        self,
        card: ModelCard,
        network: nn.Module,
        *,
        device: DeviceName = "auto",
        precision: Precision = "auto",
    ) -> None:
        classifier_layer(network)
        self.card = card
        self.device: Device = choose_device(device)
        self.precision: Literal["fp32", "bf16"]
        self.precision, notice = choose_precision(self.device.torch_device, precision)
        self._chosen = self.precision
        self.notices: list[str] = [notice] if notice else []
        try:
            self.network = network.eval().requires_grad_(False).to(self.device.torch_device)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise DeviceError(
                f"{self.device.title} has too little free memory for {card.architecture}; choose the device 'cpu'"
            ) from error
        where = self.device.torch_device
        mean, std = (
            torch.tensor(values, device=where).reshape(1, 3, 1, 1) for values in (card.mean, card.std)
        )
        self._factor, self._shift = 1 / (255 * std), -mean / std
        self._batch: BatchSize | None = None
        _fuse_attention(self.network)
        self._prepare()

    @classmethod
    def load(
        cls, folder: Path | str | None = None, *, device: DeviceName = "auto", precision: Precision = "auto"
    ) -> Classifier:
        """Load a model folder; None for the bundled one.

        Raises
        ------
        ModelError
            If card or weights must not be used.
        DeviceError
            If the named device is not there.
        """
        card, network = load_network(Path(folder) if folder is not None else bundled())
        return cls(card, network, device=device, precision=precision)

    def replace_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Answer with other weights for the same network.

        Parameters
        ----------
        weights
            All tensors of the network by name.

        Raises
        ------
        RuntimeError
            If names or shapes do not fit.
        """
        self.network.load_state_dict(weights)
        self._prepare()

    def normalised(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Turn (n, s, s, 3) uint8 tiles into the (n, 3, s, s) float32 tensor that the network takes."""
        tiles = self._on_device(pixels)
        return tiles.permute(0, 3, 1, 2).float().mul_(self._factor).add_(self._shift)

    def predict(self, pixels: NDArray[np.uint8], *, with_features: bool = False) -> Evidence:
        """Classify tiles in one forward pass.

        Parameters
        ----------
        pixels : (n, s, s, 3) uint8 array
            RGB, s being the card's ``input_px``.
        with_features
            Return the last feature map too.

        Returns
        -------
        Evidence
            Logits and class maps of all n tiles.

        Raises
        ------
        torch.OutOfMemoryError
            If the device is too small for n tiles; the caller may try fewer.
        """
        with torch.inference_mode():
            seen = self._seen(pixels)
            logits, maps = evidence_of(self.network, seen)
        features = seen.float().cpu().numpy() if with_features else None
        return Evidence(logits.float().cpu().numpy(), maps.float().cpu().numpy(), features)

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the last feature map, (n, h, w, d) float32, of (n, s, s, 3) uint8 tiles."""
        with torch.inference_mode():
            found: NDArray[np.float32] = self._seen(pixels).float().cpu().numpy()
        return found

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Softmax over the last axis of logits divided by the card's temperature."""
        return softmax(logits, self.card.temperature)

    def explain(
        self, tile: NDArray[np.uint8], *, mineral: str | None = None, method: ExplainMethod = "gradcam"
    ) -> NDArray[np.float32]:
        """Heatmap of one tile for a mineral (None: the predicted one); see `models.cam.explain`.

        Parameters
        ----------
        tile : (s, s, 3) uint8 array

        Returns
        -------
        (s, s) float32 array, 0 to 1
        """
        table = self.card.mineral_table
        index = None if mineral is None else list(table).index(table.by_name(mineral))
        return explain(self.network, self.normalised(tile[np.newaxis])[0], class_index=index, method=method)

    def batch_size(self, wanted: int | None = None) -> BatchSize:
        """Return the batch size to work with: `wanted`, the one that was found, or one that goes on finding itself."""
        if wanted is not None:
            return BatchSize(largest=wanted, size=wanted, settled=True)
        if self._batch is not None and self._batch.settled:
            self._batch = self._finding(self._batch.largest, self._batch.size, settled=True)
        elif self._batch is None:
            largest, first = (32, 4) if self.device.torch_device.type == "cpu" else (512, 16)
            self._batch = self._finding(largest, first)
        return self._batch

    def tiles_per_second(self, sizes: Sequence[int] = (4, 8), seconds: float = 0.5) -> float:
        """Measure the speed of the forward pass on noise, for a forecast; stops after about `seconds`."""
        best = 0.0
        side = self.card.input_px
        for size in sizes:
            tiles = np.random.default_rng(0).integers(0, 256, (size, side, side, 3), dtype=np.uint8)
            self.predict(tiles)
            begun, done = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds / len(sizes):
                self.predict(tiles)
                done += size
            best = max(best, done / (time.perf_counter() - begun))
        return best

    def _prepare(self) -> None:
        """Make what the precision needs, and go back to fp32 where bf16 answers differently."""
        self._quick: QuickSwin | None = None
        self.precision = self._chosen
        self.notices = [notice for notice in self.notices if not notice.startswith(DIFFER)]
        if self.precision == "fp32":
            return
        tiles = _trial_tiles(self.card.input_px)
        if self.device.torch_device.type == "cpu":
            self._quick = quick_swin(self.network, self.card.mean, self.card.std, torch.from_numpy(tiles))
        with torch.inference_mode():
            exact = class_maps(self.network, self.normalised(tiles))[0]
            short = evidence_of(self.network, self._seen(tiles))[0]
        exact_shares, short_shares = (self.probabilities(logits.cpu().numpy()) for logits in (exact, short))
        difference = float(np.abs(exact_shares - short_shares).max())
        if not difference <= LARGEST_DIFFERENCE:
            self.precision, self._quick = "fp32", None
            self.notices.append(
                f"{DIFFER} by {difference:.2f} in probability on trial tiles, so fp32 is used"
            )

    def _seen(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Last feature map of (n, s, s, 3) uint8 tiles, in this classifier's precision."""
        if self._quick is not None:
            return self._quick.forward_features(self._on_device(pixels))
        kind = self.device.torch_device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bf16"):
            return feature_map(self.network, self.normalised(pixels))

    def _on_device(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        side = self.card.input_px
        if pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3) or pixels.dtype != np.uint8:
            raise OptionError(
                f"tiles must be uint8 of shape (n, {side}, {side}, 3), not {pixels.dtype} {pixels.shape}"
            )
        return torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device.torch_device)


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Probabilities over the last axis of logits divided by a temperature."""
    scaled = logits / np.float32(temperature)
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    shares: NDArray[np.float32] = (scaled / scaled.sum(axis=-1, keepdims=True)).astype(np.float32)
    return shares


def _fuse_attention(network: nn.Module) -> None:
    """Use torch's fused attention, which timm's Swin leaves off; the same numbers up to rounding.

    With it Swin-T is 1.2 and the compact Swin 1.5 times as fast on a CPU in fp32.
    """
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = True  # type: ignore[assignment]


def _trial_tiles(side: int) -> NDArray[np.uint8]:
    """Smooth coloured fields with a bright grain, the same at every load."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:side, 0:side] / side
    tiles = np.empty((AGREEMENT_TILES, side, side, 3), np.uint8)
    for tile in tiles:
        ground, grain = random.uniform(20, 90, 3), random.uniform(120, 250, 3)
        inside = (rows - 0.5) ** 2 + (columns - 0.5) ** 2 < random.uniform(0.05, 0.4) ** 2
        field_values = np.where(inside[..., None], grain, ground) + random.normal(0, 5, (side, side, 1))
        tile[:] = np.clip(field_values, 0, 255).astype(np.uint8)
    return tiles
