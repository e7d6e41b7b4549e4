"""The baseline: a random forest on the colours of tiles, which knows nothing of shape.

Whatever a network is worth, it must do better than this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from napari_ore_minerals.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .dataset import TileSamples

TREES = 300
PERCENTILES = (5, 25, 50, 75, 95)


def colour_statistics(tiles: NDArray[np.uint8], *, hsv: bool = True) -> NDArray[np.float32]:
    """Mean, standard deviation and percentiles of the colours of each tile.

    Parameters
    ----------
    tiles : (n, s, s, 3) uint8 array
        RGB; every second row and column is looked at.
    hsv
        Add hue, saturation and value to red, green and blue: without them the forest is much weaker on
        photographs of another laboratory.

    Returns
    -------
    (n, 42) float32 array; (n, 21) without `hsv`
    """
    rows = []
    for tile in tiles:
        small = np.ascontiguousarray(tile[::2, ::2])
        colours = [small, cv2.cvtColor(small, cv2.COLOR_RGB2HSV)] if hsv else [small]
        values = np.concatenate(colours, axis=2).reshape(-1, 3 * len(colours))
        spread = np.percentile(values, PERCENTILES, axis=0).ravel()
        rows.append(np.concatenate([values.mean(axis=0), values.std(axis=0), spread]))
    columns = (6 if hsv else 3) * (2 + len(PERCENTILES))
    return np.array(rows, dtype=np.float32).reshape(len(rows), columns)


class ColourForest:
    """A random forest on `colour_statistics`; classes weigh alike, and the seed settles everything."""

    def __init__(self, *, trees: int = TREES, seed: int = 0, hsv: bool = True) -> None:
        self.trees, self.seed, self.hsv, self.classes = trees, seed, hsv, 0
        self._forest = RandomForestClassifier(trees, class_weight="balanced", random_state=seed)

    def fit(self, samples: TileSamples) -> ColourForest:
        """Learn from the tiles of which one class covers most.

        Raises
        ------
        DatasetError
            If there is no such tile.
        """
        clear = np.flatnonzero(samples.clear())
        if not len(clear):
            raise DatasetError(f"the colour forest needs tiles of one mineral; none of {len(samples)} is one")
        self.classes = len(samples.minerals)
        self._forest.fit(colour_statistics(samples.tiles[clear], hsv=self.hsv), samples.labels[clear])
        return self

    def probabilities(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Share of the trees that vote for each class: (n, classes), 0 for a class it has not seen."""
        found = np.zeros((len(tiles), self.classes), np.float32)
        if len(tiles):
            statistics = colour_statistics(tiles, hsv=self.hsv)
            found[:, self._forest.classes_] = self._forest.predict_proba(statistics)
        return found
