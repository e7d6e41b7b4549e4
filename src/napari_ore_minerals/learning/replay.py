"""What a model learnt from, had again, so that it does not forget it while it learns something new."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_ore_minerals.errors import ModelError
from napari_ore_minerals.models.store import read_memory
from napari_ore_minerals.progress import Steps

from .dataset import TileSamples, joined
from .default_model import FIRST_SEEDS
from .simulated import SimulatedPictures, simulated_samples_steps

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.card import ModelCard

MOST_LEFT_OUT = 0.2  # share of a tile that minerals may have which are left out


class Replay(NamedTuple):
    """Earlier tiles, in the minerals that are learnt now.

    Attributes
    ----------
    learnt : TileSamples
        To learn from again.
    chosen : TileSamples
        Of other pictures, to choose with how far to go; each has one clear mineral.
    checked : TileSamples
        Of others again, which only measure.
    memory : TileSamples or None
        Tiles that the parent was taught by its user: a part of `learnt`, with the parent's minerals.
    """

    learnt: TileSamples
    chosen: TileSamples
    checked: TileSamples
    memory: TileSamples | None


def replay_steps(
    card: ModelCard, folder: Path, minerals: MineralTable, *, pictures: int, cache: Path
) -> Steps[Replay]:
    """Get again what a model learnt from.

    Parameters
    ----------
    card, folder
        Of the model.
    minerals
        The table that is learnt now; tiles of minerals that it lacks are left out.
    pictures
        How many to simulate to learn from; as many others to choose with, and as many to measure with.
    cache
        Where simulated tiles are kept.

    Yields
    ------
    Progress
        In ``"pictures"``.

    Raises
    ------
    ModelError
        If the memory of the model is not what its card says.
    """
    empty = TileSamples.of_labels(np.zeros((0, card.input_px, card.input_px, 3), np.uint8), [], [], minerals)
    learnt, chosen, checked = [empty], empty, empty
    if card.replay is not None and card.replay.simulated and pictures:
        parts = []
        for seed in FIRST_SEEDS:
            wanted = SimulatedPictures(seed, pictures, tile_px=card.tile_px, input_px=card.input_px)
            parts.append(in_table((yield from simulated_samples_steps(wanted, cache)), minerals))
        learnt.append(parts[0])
        chosen, checked = (part.select(part.clear()) for part in parts[1:])
    memory = read_tiles(folder, card)
    if memory is not None:
        learnt.append(in_table(memory, minerals))
    return Replay(joined([without_dense(part) for part in learnt]), chosen, checked, memory)


def in_table(samples: TileSamples, minerals: MineralTable) -> TileSamples:
    """Bring samples into another table by name; tiles of minerals that it lacks are left out."""
    columns = [
        next((index for index, own in enumerate(samples.minerals) if own.name == mineral.name), None)
        for mineral in minerals
    ]
    fractions = np.stack(
        [
            np.zeros(len(samples), np.float32) if column is None else samples.fractions[:, column]
            for column in columns
        ],
        axis=1,
    )
    whole = fractions.sum(axis=1, keepdims=True)
    kept = whole[:, 0] >= 1 - MOST_LEFT_OUT
    shares = (fractions[kept] / whole[kept]).astype(np.float32)
    return TileSamples(np.asarray(samples.tiles)[kept], shares, samples.groups[kept], minerals)


def without_dense(samples: TileSamples) -> TileSamples:
    """Leave out what is where inside the tiles."""
    return TileSamples(samples.tiles, samples.fractions, samples.groups, samples.minerals)


def bounded_memory(parts: list[TileSamples], minerals: MineralTable, *, each: int, seed: int) -> TileSamples:
    """Choose at most `each` tiles of a mineral, drawn with a seed."""
    whole = joined([in_table(without_dense(part), minerals) for part in parts])
    random = np.random.default_rng(seed)
    labels = whole.labels
    chosen = [
        np.sort(random.permutation(np.flatnonzero(labels == index))[:each]) for index in np.unique(labels)
    ]
    return whole.select(np.concatenate(chosen) if chosen else np.zeros(0, np.int64))


def packed_tiles(samples: TileSamples) -> bytes:
    """Return tiles and what is in them as safetensors; their minerals are those of the model's card."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[np.generic]] = {
        "tiles": np.ascontiguousarray(samples.tiles),
        "fractions": np.ascontiguousarray(samples.fractions, dtype=np.float32),
        "groups": np.ascontiguousarray(samples.groups, dtype=np.int64),
    }
    return bytes(save(arrays))


def read_tiles(folder: Path, card: ModelCard) -> TileSamples | None:
    """Read the memory of a model; None if it has none.

    Raises
    ------
    ModelError
        If it is not what the card says, or makes no sense.
    """
    content = read_memory(folder, card)
    if content is None:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        return TileSamples(arrays["tiles"], arrays["fractions"], arrays["groups"], card.mineral_table)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"the memory in {folder} makes no sense: {str(error)[:200]}") from error
