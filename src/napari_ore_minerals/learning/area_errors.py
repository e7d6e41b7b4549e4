"""What a model answers at the places of its class maps where the truth is known, for `ModelCard.confusion`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals.models.confusion import ConfusionRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray


def place_confusion(
    shares: NDArray[np.floating], dense: NDArray[np.integer], groups: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Add up the answers at each place by what is truly there, picture by picture.

    Parameters
    ----------
    shares : (n, h, w, classes) float array
        Probabilities at the places of each tile.
    dense : (n, k, k) int array
        True class at a finer grid, k a multiple of h and w; values that are no class are left out.
    groups : (n,) int array
        Picture of each tile.

    Returns
    -------
    (pictures, classes, classes) float64 array
        Area in places, true class by row, answered class by column.
    """
    count, high, wide, classes = shares.shape
    parts = dense.reshape(count, high, dense.shape[1] // high, wide, dense.shape[2] // wide)
    there = np.stack([(parts == one).mean(axis=(2, 4)) for one in range(classes)], axis=-1)
    tables = np.einsum("nhwt,nhwa->nta", there, shares.astype(float))
    found, picture = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(found), classes, classes))
    np.add.at(sums, picture, tables)
    return sums


def confusion_record(
    shares: NDArray[np.floating],
    dense: NDArray[np.integer],
    groups: NDArray[np.integer],
    what: str,
) -> ConfusionRecord:
    """`place_confusion` as a card keeps it; `what` says which kind of pictures."""
    matrices = place_confusion(shares, dense, groups)
    matrices = matrices[matrices.sum(axis=(1, 2)) > 0]
    places = f"{len(shares)} tiles of {shares.shape[1]} x {shares.shape[2]} places"
    return ConfusionRecord.of(matrices, f"{len(matrices)} {what}, {places}")
