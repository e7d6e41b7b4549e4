"""What a model learnt from, had again, so that it does not forget it while it learns something new."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.errors import DatasetError, ModelError
from napari_ore_minerals.models.store import read_memory
from napari_ore_minerals.progress import Progress, Steps

from .dataset import DENSE_CELLS, UNKNOWN, TileSamples, joined
from .default_model import FIRST_SEEDS
from .fine_tune_options import MEASURED_TILES
from .replay_dataset import LEARNT_TILES, parts_of
from .simulated import SimulatedPictures, simulated_samples_steps
from .tile_cache import tile_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_ore_minerals.minerals import MineralTable
    from napari_ore_minerals.models.card import ModelCard

MOST_MEMORY_BYTES = 256 << 20
NOT_HERE = "{error}: the new version may forget what it learnt there, and nothing measures that"
MOST_LEFT_OUT = 0.2  # share of a tile that minerals may have which are left out


@dataclass(frozen=True)
class Replay:
    """Earlier tiles, in the minerals that are learnt now.

    Attributes
    ----------
    first : TileSamples
        What the first model was trained on, to learn from again; simulated tiles with what is where inside them.
    memory : TileSamples
        Tiles that the parent was taught by its user, to learn from again.
    chosen : TileSamples
        Of other pictures of that kind, to choose with how far to go; each has one clear mineral.
    checked : TileSamples
        Of others again, which only measure.  Where there are none both are the memory.
    softened : TileSamples or None
        All that is learnt again, if its shares were mixed with what the model says of it.
    """

    first: TileSamples
    memory: TileSamples
    chosen: TileSamples
    checked: TileSamples
    softened: TileSamples | None = None

    @property
    def learnt(self) -> TileSamples:
        """All that is learnt again."""
        if self.softened is not None:
            return self.softened
        return joined([part for part in (self.first, self.memory) if len(part)] or [self.memory])


def replay_steps(
    card: ModelCard, folder: Path, taught: TileSamples, *, pictures: int, cache: Path
) -> Steps[Replay]:
    """Get again what a model learnt from.

    Parameters
    ----------
    card, folder
        Of the model.
    taught
        What is said now.  Tiles of minerals that it lacks are left out, and tiles of the memory of which
        something is said anew.
    pictures
        How many to simulate to learn from, and as many others each to choose with and to measure with; of these
        at most `MEASURED_TILES` of each mineral are taken.
    cache
        Where simulated tiles are kept.

    Yields
    ------
    Progress
        In ``"pictures"``; with a notice where the dataset that the model was trained on is not there any more.

    Raises
    ------
    ModelError
        If the memory of the model is not what its card says.
    """
    minerals = taught.minerals
    empty = TileSamples.of_labels(np.zeros((0, card.input_px, card.input_px, 3), np.uint8), [], [], minerals)
    remembered = read_tiles(folder, card)
    memory = empty if remembered is None else _but(in_table(remembered, minerals), taught)
    if card.replay is not None and card.replay.simulated and pictures:
        parts = []
        for seed in FIRST_SEEDS:
            wanted = SimulatedPictures(seed, pictures, tile_px=card.tile_px, input_px=card.input_px)
            parts.append(in_table((yield from simulated_samples_steps(wanted, cache)), minerals))
        chosen, checked = (at_most(part.select(part.clear()), MEASURED_TILES, 0) for part in parts[1:])
        return Replay(parts[0], without_places(memory), chosen, checked)
    if card.replay is not None and card.replay.dataset is not None:
        try:
            found = parts_of(card.replay.dataset, input_px=card.input_px)
        except DatasetError as error:
            yield Progress(0, 0, "pictures", "looking for earlier tiles", notice=NOT_HERE.format(error=error))
        else:
            most = (LEARNT_TILES, MEASURED_TILES, MEASURED_TILES)
            drawn = (at_most(part, each, 0) for part, each in zip(found, most, strict=True))
            learnt, chosen, checked = (in_table(part, minerals) for part in drawn)
            return Replay(learnt, memory, chosen, checked)
    return Replay(empty, memory, memory, memory)


def in_table(samples: TileSamples, minerals: MineralTable) -> TileSamples:
    """Bring samples into another table by name; tiles of minerals that it lacks are left out."""
    own = {mineral.name.casefold(): index for index, mineral in enumerate(samples.minerals)}
    columns = [own.get(mineral.name.casefold()) for mineral in minerals]
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
    dense = None
    if samples.dense is not None:
        places = np.full(256, UNKNOWN, np.uint8)
        for index, column in enumerate(columns):
            if column is not None:
                places[column] = index
        dense = places[samples.dense[kept]]
    return TileSamples(np.asarray(samples.tiles)[kept], shares, samples.groups[kept], minerals, dense)


def without_places(samples: TileSamples) -> TileSamples:
    """Say of every place inside the tiles that nobody knows what it is, so that they join others."""
    return replace(samples, dense=np.full((len(samples), DENSE_CELLS, DENSE_CELLS), UNKNOWN, np.uint8))


def _but(memory: TileSamples, taught: TileSamples) -> TileSamples:
    anew = {tile_sha256(tile) for tile in taught.tiles}
    return memory.select(np.array([tile_sha256(tile) not in anew for tile in memory.tiles], bool))


def bounded_memory(parts: list[TileSamples], minerals: MineralTable, *, each: int, seed: int) -> TileSamples:
    """Choose at most `each` tiles of a mineral, drawn with a seed, and fewer where they would take much room."""
    whole = joined([in_table(part, minerals) for part in parts])
    room = MOST_MEMORY_BYTES // (len(minerals) * int(np.prod(whole.tiles.shape[1:])))
    return at_most(whole, min(each, room), seed)


def at_most(samples: TileSamples, each: int, seed: int) -> TileSamples:
    """Draw at most `each` tiles of a mineral."""
    random, labels = np.random.default_rng(seed), samples.labels
    chosen = [
        np.sort(random.permutation(np.flatnonzero(labels == index))[:each]) for index in np.unique(labels)
    ]
    return samples.select(np.concatenate(chosen) if chosen else np.zeros(0, np.int64))


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
