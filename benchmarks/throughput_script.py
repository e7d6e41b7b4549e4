"""The script that a user would write, in a process of its own: nothing of what this project prepares reaches it.

Run by ``throughput.py``.  For each line that it is sent it classifies the first tiles of the picture once more and
answers with their number, the seconds by the clock and the CPU seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from torch import nn
from torchvision import transforms

from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.models.store import load_network

BATCH = 16


def classify(network: nn.Module, picture: Path, card: ModelCard, most_tiles: int) -> int:
    """Cut with Pillow, classify with timm in fp32, explain the top class with pytorch-grad-cam."""
    rgb = Image.open(picture).convert("RGB")
    prepare = transforms.Compose(
        [
            transforms.Resize((card.input_px, card.input_px)),
            transforms.ToTensor(),
            transforms.Normalize(card.mean, card.std),
        ]
    )
    size = card.tile_px
    corners = [(x, y) for y in range(0, rgb.height, size) for x in range(0, rgb.width, size)][:most_tiles]
    swin = getattr(network, "output_fmt", "NCHW") == "NHWC"
    turned = (lambda features: features.permute(0, 3, 1, 2)) if swin else None
    last = next(getattr(network, name) for name in ("norm", "bn2", "layer4") if hasattr(network, name))
    answers, heatmaps = [], []
    with GradCAM(network, [last], reshape_transform=turned) as cam:
        for start in range(0, len(corners), BATCH):
            tiles = [prepare(rgb.crop((x, y, x + size, y + size))) for x, y in corners[start : start + BATCH]]
            heatmaps.append(cam(torch.stack(tiles), None))
            answers.append(cam.outputs.softmax(dim=1).argmax(dim=1))
    return len(corners)


def main() -> None:
    """Answer each line on the standard input."""
    model, picture, most_tiles, threads = sys.argv[1:]
    if int(threads):
        torch.set_num_threads(int(threads))
    card, network = load_network(Path(model))
    for _ in sys.stdin:
        cpu, clock = time.process_time(), time.perf_counter()
        tiles = classify(network, Path(picture), card, int(most_tiles))
        print(tiles, time.perf_counter() - clock, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    main()
