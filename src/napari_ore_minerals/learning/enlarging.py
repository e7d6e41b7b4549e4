"""The enlarged training set of the paper: every tile and one more for each of the six augmentations."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from napari_ore_minerals.errors import DatasetError, ResultError
from napari_ore_minerals.models.durable import hidden_beside
from napari_ore_minerals.progress import Progress, Steps

from .augmentation import PAPER_SIX, Batch, Transform
from .cutting import COPIES, without_copies
from .dataset_record import Making
from .tile_cache import picture_path, picture_reference, read_tiles, tile_sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .collection import TileDataset

PICTURES_FOLDER = "pictures"


def changed_tile(
    rgb: NDArray[np.uint8], transform: Transform, generator: torch.Generator
) -> NDArray[np.uint8]:
    """Apply a transform to one (s, s, 3) tile."""
    tile = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255.0
    changed = transform(Batch(tile, torch.ones(1, 1)), generator).tiles[0]
    pixels: NDArray[np.uint8] = (changed.permute(1, 2, 0) * 255.0).round().to(torch.uint8).numpy()
    return pixels


def augmented_steps(dataset: TileDataset, out: Path, copies: int = 1, *, seed: int = 0) -> Steps[TileDataset]:
    """Write a dataset whose training part has `copies` more tiles for each of the six augmentations.

    Only the new tiles are written as pictures; the others are referred to.  A new tile keeps the photograph
    of the old one, so that a split which leaks is still seen.  Validation and test stay as they are.

    Parameters
    ----------
    dataset
        Split.
    out
        Must not exist.
    copies
        1 makes seven tiles of one, as in the paper; copies that come out the same are kept once.
    seed
        Of all randomness.

    Yields
    ------
    Progress
        One a tile.

    Returns
    -------
    TileDataset
        When sent True, the dataset as it was, and nothing is written.

    Raises
    ------
    DatasetError
        If there is no training tile.
    ResultError
        If `out` exists, or the disk refuses; nothing half-written remains.
    """
    tiles = dataset.tiles("training")
    if tiles.empty:
        raise DatasetError(
            f"dataset {dataset.name} has no labelled training tile, and only those are enlarged: split it first"
        )
    if out.exists():
        raise ResultError(f"{out} exists: choose another place")
    staging = hidden_beside(out.absolute())
    try:
        (staging / PICTURES_FOLDER).mkdir(parents=True)
        made = yield from _written_steps(dataset, tiles, staging, copies, seed)
        if made is None:
            return dataset
        enlarged = _joined(dataset, made, out, f"--copies {copies} --seed {seed}")
        for picture in set(made["picture"]) - set(enlarged.table["picture"]):
            (staging / picture).unlink()
        enlarged.write_into(staging)
        os.rename(staging, out)
    except OSError as error:
        if isinstance(error, ResultError):
            raise
        raise ResultError(f"{out} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return enlarged


def _written_steps(
    dataset: TileDataset, tiles: pd.DataFrame, staging: Path, copies: int, seed: int
) -> Steps[pd.DataFrame | None]:
    """Write the pictures of new tiles; their rows, or None when sent True."""
    generator = torch.Generator().manual_seed(seed)
    rows: list[pd.Series[Any]] = []
    for number, (position, rgb) in enumerate(read_tiles(tiles, dataset.folder)):
        row = tiles.iloc[position]
        for name, pixels in _changed(rgb, copies, generator):
            picture = f"{PICTURES_FOLDER}/{position:06d}-{name}.png"
            data = _png(pixels)
            (staging / picture).write_bytes(data)
            new = row.copy()
            new["tile"], new["picture"] = f"{row['tile']}-{name}", picture
            new["picture_sha256"], new["sha256"] = hashlib.sha256(data).hexdigest(), tile_sha256(pixels)
            new["row_px"] = new["column_px"] = 0
            rows.append(new)
        stop = yield Progress(number + 1, len(tiles), "tiles", "augmenting")
        if stop and number + 1 < len(tiles):
            return None
    return pd.DataFrame(rows).astype(tiles.dtypes.to_dict())


def _changed(
    rgb: NDArray[np.uint8], copies: int, generator: torch.Generator
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for copy in range(copies):
        for name, transform in PAPER_SIX.items():
            yield f"{name}{copy + 1 if copies > 1 else ''}", changed_tile(rgb, transform, generator)


def _joined(dataset: TileDataset, made: pd.DataFrame, out: Path, flags: str) -> TileDataset:
    kept, dropped = without_copies(made)
    known = kept["sha256"].isin(dataset.table["sha256"])
    references = {
        picture: picture_reference(out, picture_path(dataset.folder, picture))
        for picture in dataset.table["picture"].unique()
    }
    old = dataset.table.assign(picture=dataset.table["picture"].map(references))
    counts = Counter(dataset.dropped) + dropped + Counter({COPIES: int(known.sum())})
    command = f"ore-minerals dataset augment {dataset.name} {flags}"
    return replace(
        dataset,
        folder=out,
        name=out.absolute().name,
        table=pd.concat([old, kept[~known]], ignore_index=True),
        dropped=dict(counts),
        making=Making.now(command, dominant=dataset.making.dominant).model_copy(
            update={"split_by": dataset.making.split_by}
        ),
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
