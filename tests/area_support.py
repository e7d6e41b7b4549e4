"""Maps made by hand, without a network."""

from __future__ import annotations

import numpy as np

from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.minerals import DEFAULT_MINERALS, MineralTable

PER_CELL = 4


def map_of(
    classes: np.ndarray,
    *,
    stride_px: int = 32,
    size: tuple[int, int] | None = None,
    um_per_px: float | None = 0.5,
    evidence: float = 20.0,
    name: str = "PS-07.tif",
    minerals: MineralTable = DEFAULT_MINERALS,
) -> MineralMap:
    """Map whose evidence at each place is for one mineral: (rows * 4, columns * 4) indices."""
    rows, columns = np.array(classes.shape) // PER_CELL
    height, width = size or (rows * stride_px, columns * stride_px)
    maps = (evidence * np.eye(len(minerals))[classes]).transpose(2, 0, 1).astype(np.float16)
    logits = (
        maps.astype(np.float32).reshape(len(minerals), rows, PER_CELL, columns, PER_CELL).mean(axis=(2, 4))
    )
    shares = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    return MineralMap(
        grid=TileGrid(int(height), int(width), stride_px, stride_px),
        labels=np.array(minerals.codes, np.uint8)[logits.argmax(axis=0)],
        probabilities=np.moveaxis(shares, 0, -1).astype(np.float32),
        class_maps=maps,
        processed=np.ones((rows, columns), bool),
        minerals=minerals,
        um_per_px=um_per_px,
        um_per_px_source="given by the user" if um_per_px else "not known",
        picture=PictureRecord(name=name, height_px=int(height), width_px=int(width), fingerprint="0" * 64),
        model=ModelRecord(name="micro", version=1, architecture="ore_swin_micro", weights_sha256="1" * 64),
        run=RunRecord(
            options=ClassifyOptions(), min_confidence=0.0, temperature=1.0, device="cpu", precision="fp32",
            batch_size=1, tiles=int(rows * columns), seconds=1.0, created="2026-11-23T12:00:00+00:00", complete=True,
        ),
    )  # fmt: skip


def patches(seed: int, rows: int = 8, columns: int = 10, classes: int = 6) -> np.ndarray:
    """Fields of minerals, two places wide."""
    random = np.random.default_rng(seed)
    fields = random.integers(0, classes, (rows * PER_CELL // 2, columns * PER_CELL // 2))
    return fields.repeat(2, axis=0).repeat(2, axis=1)
