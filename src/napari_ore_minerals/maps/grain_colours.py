"""What colours a photograph's minerals have, learnt from its own mineral map and corrections.

The values of a pixel are few: red, green and blue without speckles, and once more softened as far as the
next edge.  A soft edge between two minerals can have the colour of a third, so the pixels of an edge are taken
for the side that they are nearer to.  Values are scaled so that noise within one mineral has the same size in
every direction, and cut into some hundred groups of like colour.  What the map says of the places where a group
is found, away from edges, it says of the group: single cells may be wrong, or hold several minerals, and are
outvoted.  A group that is seen at edges only, as thin cracks and pits are, is what groups of like colours are.
A correction of a cell outweighs the map for the groups that are found in it, and for those of nearly the same
colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.spatial import cKDTree
from sklearn.cluster import MiniBatchKMeans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DARK = 8.0  # added to 0..255 before the logarithm, so that noise in pits does not count
SOFTENED_PX = 4
SOFTENED = (25.0, 4.0)  # standard deviations of the softening: of colour, 0 to 255, and of place, in pixels
EDGE = 20  # grey levels, 0 to 255, between the darkest and the brightest pixel around
EDGE_PX, CALM_PX = 3, 6  # how far around: to part the pixels of an edge, and to learn away from edges
REACH = 1 + EDGE_PX + SOFTENED_PX  # pixels that the values of one pixel depend on, to each side
RESTLESS = 0.02  # weight of a pixel near an edge
CALM_ENOUGH = 0.3  # share of a group's votes that are kept, from which on it speaks for itself
GROUPS = 200
FITTED = 12_000  # pixels that the groups are found with
PATCH = 16  # side of the squares within which colours are compared, in pixels
OWN_WEIGHT = 0.1  # of the map, beside the share of a corrected cell that is of a group
NEAR = 0.6  # how far a correction reaches, in distances between neighbouring groups
SEED = 0


@dataclass(frozen=True)
class Taught:
    """The pixels of a cell of which the user said what it is.

    Attributes
    ----------
    values : (n, 6) float32 array
    index : int
        Of the mineral in the map's table.
    """

    values: NDArray[np.float32]
    index: int


def pixel_values(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logarithms of the colours without speckles and soft edges, and softened between edges: (height, width, 6)."""
    clear = _parted(cv2.medianBlur(np.ascontiguousarray(rgb), 3))
    parts = [clear, cv2.bilateralFilter(clear, 2 * SOFTENED_PX + 1, *SOFTENED)]
    values: NDArray[np.float32] = np.log(np.concatenate(parts, axis=2).astype(np.float32) + np.float32(DARK))
    return values


def calmness(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much a pixel may teach, (height, width): little where an edge is within `CALM_PX`."""
    grey = cv2.cvtColor(cv2.medianBlur(np.ascontiguousarray(rgb), 3), cv2.COLOR_RGB2GRAY)
    spread = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _disc(CALM_PX))
    weights: NDArray[np.float32] = np.where(spread > EDGE, np.float32(RESTLESS), np.float32(1))
    return weights


def _parted(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take pixels on an edge for the darkest or the brightest around, whichever is nearer in grey."""
    dark, bright = cv2.erode(rgb, _disc(EDGE_PX)), cv2.dilate(rgb, _disc(EDGE_PX))
    grey, low, high = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.int16) for one in (rgb, dark, bright))
    side = np.where((grey - low <= high - grey)[..., np.newaxis], dark, bright)
    parted: NDArray[np.uint8] = np.where((high - low > EDGE)[..., np.newaxis], side, rgb)
    return parted


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    disc: NDArray[np.uint8] = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.uint8)
    return disc


class ColourModel:
    """Groups of like colour, and the probability of each mineral in each of them.

    Parameters
    ----------
    values : (n, 6) float32 array
        Of sampled pixels.
    patches : (n,) int array
        Which small square of the picture each of them is from.
    said : (n, minerals) float32 array
        What the map says of their places.
    weights : (n,) float32 array
        How much each of them may teach, as `calmness` gives it.
    taught
        Corrected cells.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        patches: NDArray[np.intp],
        said: NDArray[np.float32],
        weights: NDArray[np.float32],
        taught: Sequence[Taught] = (),
    ) -> None:
        self._mean = values.mean(axis=0, dtype=np.float64)
        self._scale = _scale(values - self._mean, patches)
        scaled = self._scaled(values)
        fitted = scaled[:: -(-len(scaled) // FITTED)]
        count = min(GROUPS, len(np.unique(fitted, axis=0)))
        means = MiniBatchKMeans(count, random_state=SEED, n_init=1, batch_size=2048, max_iter=20).fit(fitted)
        self.centres: NDArray[np.float64] = means.cluster_centers_.astype(np.float64)
        self._tree = cKDTree(self.centres)
        self.shares = self._learnt(self.groups(values), said, weights, taught).astype(np.float32)

    def groups(self, values: NDArray[np.float32]) -> NDArray[np.intp]:
        """Group of each pixel."""
        found: NDArray[np.intp] = self._tree.query(self._scaled(values))[1]
        return found

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of each mineral by colour alone: (n, minerals), adding up to 1."""
        answers: NDArray[np.float32] = self.shares[self.groups(values)]
        return answers

    def _scaled(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        # one value after the other: a product of matrices would round differently in blocks of another size
        centred = values - self._mean
        scaled = np.zeros((len(values), len(self._scale)))
        for number, weights in enumerate(self._scale):
            scaled += centred[:, number, np.newaxis] * weights
        return scaled

    def _learnt(
        self,
        groups: NDArray[np.intp],
        said: NDArray[np.float32],
        weights: NDArray[np.float32],
        taught: Sequence[Taught],
    ) -> NDArray[np.float64]:
        """Probability of each mineral in each group: by votes weighted with confidence, then by corrections."""
        count = len(self.centres)
        votes = said * (weights[:, np.newaxis] * said.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = np.stack([np.bincount(groups, vote, count) for vote in votes.T], axis=1)
        shares = self._filled(shares, np.bincount(groups, minlength=count))
        if not taught:
            return shares
        evidence = np.zeros_like(shares)
        for cell in taught:
            evidence[:, cell.index] += np.bincount(self.groups(cell.values), minlength=count) / len(
                cell.values
            )
        shares = OWN_WEIGHT * shares + self._alike() @ evidence
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def _filled(self, votes: NDArray[np.float64], pixels: NDArray[np.intp]) -> NDArray[np.float64]:
        """Shares of each group: its own as far as its pixels had votes, the rest from groups of near colours."""
        total = votes.sum(axis=1, keepdims=True)
        own = np.where(total > 0, votes / np.maximum(total, 1e-12), 1 / votes.shape[1])
        support = np.minimum(total[:, 0] / np.maximum(CALM_ENOUGH * pixels, 1e-12), 1)
        squares, neighbour = self._distances()
        near = support / (squares / neighbour + 0.25)
        others = near @ own / np.maximum(near.sum(axis=1, keepdims=True), 1e-12)
        filled = support[:, np.newaxis] * own + (1 - support[:, np.newaxis]) * others
        shares: NDArray[np.float64] = filled / filled.sum(axis=1, keepdims=True)
        return shares

    def _alike(self) -> NDArray[np.float64]:
        """How much a correction of one group says of another: 1 on the diagonal, falling with distance."""
        squares, neighbour = self._distances()
        alike: NDArray[np.float64] = np.exp(-squares / (2 * NEAR**2 * neighbour))
        return alike

    def _distances(self) -> tuple[NDArray[np.float64], float]:
        """Squared distances of the groups, and the median of those to the nearest one."""
        squares: NDArray[np.float64] = ((self.centres[:, np.newaxis] - self.centres) ** 2).sum(axis=2)
        if len(squares) < 2:
            return squares, 1.0
        nearest = float(np.median(np.sort(squares, axis=1)[:, 1]))
        return squares, max(nearest, 1e-12)  # centres may fall together


def _scale(centred: NDArray[np.float64], patches: NDArray[np.intp]) -> NDArray[np.float64]:
    """Matrix after which noise within one mineral is alike in every direction.

    Noise is measured within the calmer half of the small squares, which mostly hold one mineral.
    """
    names, numbers = np.unique(patches, return_inverse=True)
    sizes = np.bincount(numbers)
    means = np.stack([np.bincount(numbers, value) / sizes for value in centred.T], axis=1)
    noise = centred - means[numbers]
    restless = np.bincount(numbers, (noise[:, :3] ** 2).sum(axis=1)) / sizes
    calm = (restless <= np.median(restless))[numbers] if len(names) > 1 else np.ones(len(noise), bool)
    within = noise[calm].T @ noise[calm] / max(int(calm.sum()), 1)
    whole = np.diag(np.diag(centred.T @ centred)) / len(centred)
    sizes_of, directions = np.linalg.eigh(within + 0.02 * whole + 1e-6 * np.eye(len(within)))
    scale: NDArray[np.float64] = directions / np.sqrt(sizes_of)
    return scale
