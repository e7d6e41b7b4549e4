"""Sanity checks: what speaks against trusting a map, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.minerals import UNCLASSIFIED, MineralTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import Holes
    from napari_ore_minerals.models.card import ModelCard

FEWEST_CELLS = 9
LARGEST_SHARE = 0.99
SMALLEST_SPREAD = 0.005
SATURATED_SHARE = 0.25
DARK_LEVEL = 35
BRIGHT_SHARE = 0.01  # of the values of a tile: fewer above the dark level make it dark
DARK_TILES = 0.75  # of photographs in plane-polarised light, less than a tenth of the tiles are dark
WHITE = 254


class PictureCheck:
    """Watches the pixels of the tiles as they pass: saturated or dark pictures cannot be told apart by colour.

    Shares of pixels and of tiles are judged, which a hot tile or a hole in the section hardly changes.
    """

    def __init__(self) -> None:
        self._pixels = self._saturated = self._tiles = self._dark = 0.0

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Take note of (n, s, s, 3) uint8 tiles; every fourth row and column is looked at."""
        seen = np.ascontiguousarray(pixels[:, ::4, ::4])
        white, bright = seen >= WHITE, (seen >= DARK_LEVEL).reshape(len(seen), -1)
        self._pixels += seen.shape[0] * seen.shape[1] * seen.shape[2]
        self._saturated += np.count_nonzero(white[..., 0] | white[..., 1] | white[..., 2])
        self._tiles += len(seen)
        self._dark += np.count_nonzero(np.count_nonzero(bright, axis=1) < BRIGHT_SHARE * bright.shape[1])

    def state(self) -> NDArray[np.float64]:
        """What was noted so far, four numbers."""
        return np.array([self._pixels, self._saturated, self._tiles, self._dark])

    def merge(self, state: NDArray[np.float64]) -> None:
        """Take over what another one noted."""
        self._pixels += float(state[0])
        self._saturated += float(state[1])
        self._tiles += float(state[2])
        self._dark += float(state[3])

    def warnings(self) -> tuple[str, ...]:
        """Return what is wrong with the exposure, if anything."""
        if not self._tiles:
            return ()
        found = []
        if (share := self._saturated / self._pixels) > SATURATED_SHARE:
            found.append(
                f"{share:.0%} of the pixels are saturated: colours are lost there; expose less if you can"
            )
        if self._dark >= DARK_TILES * self._tiles:
            found.append(
                "the picture is very dark: was it taken with crossed polars, or underexposed? "
                "The model expects plane-polarised reflected light"
            )
        return tuple(found)


def check_map(
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    processed: NDArray[np.bool_],
    minerals: MineralTable,
) -> tuple[str, ...]:
    """Return warnings about an answer that looks the same everywhere, or is missing in most cells.

    Parameters
    ----------
    labels : (rows, columns) uint8 array
    probabilities : (rows, columns, minerals) float32 array
    processed : (rows, columns) bool array
    minerals : MineralTable
    """
    cells = int(processed.sum())
    if cells < FEWEST_CELLS:
        return ()
    found = []
    if float(probabilities[processed].std(axis=0).max()) < SMALLEST_SPREAD:
        found.append("the model gives the same answer everywhere: it does not suit this picture")
    counts = np.bincount(labels[processed], minlength=256)
    code = int(counts.argmax())
    if code != UNCLASSIFIED and counts[code] > LARGEST_SHARE * cells:
        found.append(
            f"{counts[code] / cells:.1%} of the cells are {minerals.by_code(code).name}: "
            "check that the picture, its colours and the model belong together"
        )
    if counts[UNCLASSIFIED] > cells / 2:
        found.append(
            f"{counts[UNCLASSIFIED] / cells:.0%} of the cells are unclassified: the model is unsure of this picture"
        )
    return tuple(found)


def check_chunks(holes: Holes) -> tuple[str, ...]:
    """Return what of a picture is not there or damaged, and therefore not processed."""
    if not holes.missing and not holes.damaged:
        return ()
    return (
        (
            f"of the picture's {holes.chunks} tiles or chunks {holes.missing} are not in its file and "
            f"{holes.damaged} are damaged: the map has no answer there, and areas leave it out"
        ),
    )


def check_scale(micrograph: Micrograph, card: ModelCard) -> tuple[str, ...]:
    """Return what is wrong with the scales of a picture and a model, of which the size of the tiles is made."""
    if card.um_per_px is None:
        return ()
    if micrograph.um_per_px is None:
        return (
            (
                f"the picture's um/px is not known: tiles have {card.tile_px} px instead of the "
                f"{card.tile_px * card.um_per_px:.0f} um of the model's training; give um/px if you know it"
            ),
        )
    ratio = micrograph.um_per_px / card.um_per_px
    if 1 / 3 <= ratio <= 3:
        return ()
    return (
        (
            f"the picture has {micrograph.um_per_px:g} um/px, the model was trained at {card.um_per_px:g}: "
            "check the scale, or expect a poor map"
        ),
    )
