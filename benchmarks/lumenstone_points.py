"""Points of the photographs with their truth, two baselines on them, and a user who corrects ten cells."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from lumenstone_tiles import CELL_PX
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier

STEP = 6  # of the half-size photographs: points are at the middle of every sixth pixel, down and across
PURE, CLEAR = 0.95, 0.8  # share of one mineral in cells that are learnt from, and in cells that are corrected
UNKNOWN = 255
DRAWN = 20  # points of a mineral of a photograph that the forest learns from
TREES = 30


class Points(NamedTuple):
    """Points of one photograph on a lattice."""

    truth: NDArray[np.uint8]  # (rows, columns) index of the mineral, or UNKNOWN
    cells: NDArray[np.int64]  # (rows, columns) number of the cell that each is in
    colours: NDArray[np.float32]  # (rows, columns, 3)
    values: NDArray[np.float32]  # (rows, columns, n) colours and textures for the forest
    shares: NDArray[np.float32]  # (cells, minerals)


def points_of(rgb: NDArray[np.uint8], mask: NDArray[np.uint8], codes: list[int]) -> Points:
    """Read a photograph off at its points."""
    middle = slice(STEP // 2, None, STEP)
    numbers = np.full(256, UNKNOWN, np.uint8)
    numbers[codes] = np.arange(len(codes))
    truth = numbers[mask[middle, middle]]
    across = -(-mask.shape[1] // CELL_PX)
    rows, columns = (np.arange(STEP // 2, length, STEP) // CELL_PX for length in mask.shape)
    cells = rows[:, np.newaxis] * across + columns
    count = -(-mask.shape[0] // CELL_PX) * across
    of_cell = np.maximum(np.bincount(cells.ravel(), minlength=count), 1)
    found = [np.bincount(cells[truth == index], minlength=count) / of_cell for index in range(len(codes))]
    values = np.ascontiguousarray(_textures(rgb)[middle, middle])  # a view would keep the whole
    return Points(truth, cells, values[..., :3], values, np.stack(found, axis=1).astype(np.float32))


def _textures(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Red, green and blue without speckles, hue and saturation, softened colours, local spread, slope."""
    clean = cv2.medianBlur(np.ascontiguousarray(rgb), 5)
    parts = [clean.astype(np.float32), cv2.cvtColor(clean, cv2.COLOR_RGB2HSV)[..., :2].astype(np.float32)]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    for sigma in (3.0, 8.0):
        soft = cv2.GaussianBlur(clean, (0, 0), sigma).astype(np.float32)
        mean = cv2.GaussianBlur(grey, (0, 0), sigma)
        spread = np.sqrt(np.maximum(cv2.GaussianBlur(grey**2, (0, 0), sigma) - mean**2, 0))
        slope = np.hypot(cv2.Sobel(mean, cv2.CV_32F, 1, 0), cv2.Sobel(mean, cv2.CV_32F, 0, 1))
        parts += [soft, spread[..., np.newaxis], slope[..., np.newaxis]]
    return np.concatenate(parts, axis=2)


def drawn(points: Points, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Values and labels of some points in the cells of one mineral: the labels that the map learnt from."""
    labels = np.where(points.shares.max(axis=1) >= PURE, points.shares.argmax(axis=1), -1)[points.cells]
    picked = [
        random.permutation(np.flatnonzero(labels.ravel() == index))[:DRAWN]
        for index in range(points.shares.shape[1])
    ]
    chosen = np.concatenate(picked)
    return points.values.reshape(-1, points.values.shape[2])[chosen], labels.ravel()[chosen]


def forest_map(
    points: Points,
    learnt: list[tuple[NDArray[np.float32], NDArray[np.int64]]],
    corrections: list[tuple[int, int]],
) -> NDArray[np.intp]:
    """Mineral of each point by a random forest; corrected cells weigh as much as all that is learnt elsewhere."""
    values, labels = (np.concatenate(part) for part in zip(*learnt, strict=True))
    weights = np.ones(len(labels))
    for cell, index in corrections:
        own = points.values[points.cells == cell]
        values, labels = np.concatenate([values, own]), np.concatenate([labels, np.full(len(own), index)])
        share = len(learnt) * DRAWN * points.shares.shape[1] / len(corrections) / len(own)
        weights = np.concatenate([weights, np.full(len(own), share)])
    forest = RandomForestClassifier(TREES, min_samples_leaf=3, class_weight="balanced", random_state=0)
    forest.fit(values, labels, weights)
    found: NDArray[np.intp] = forest.predict(points.values.reshape(-1, values.shape[1]))
    return found.reshape(points.truth.shape).astype(np.intp)


def cluster_map(
    points: Points,
    learnt: list[tuple[NDArray[np.float32], NDArray[np.int64]]],
    corrections: list[tuple[int, int]],
) -> NDArray[np.intp]:
    """Otsu tells gangue from ore, k-means cuts the ore's colours; clusters are named by the labels.

    A cluster is the mineral whose learnt cells are nearest in colour, or the one that most of its points in
    corrected cells are.
    """
    minerals = points.shares.shape[1]
    green = points.colours[..., 1]
    ore = green > threshold_otsu(green)
    clusters = KMeans(minerals - 1, n_init=2, random_state=0).fit(points.colours[ore])
    values, labels = (np.concatenate(part) for part in zip(*learnt, strict=True))
    known = np.unique(labels[labels > 0])
    means = np.stack([values[labels == index, :3].mean(axis=0) for index in known])
    apart = ((clusters.cluster_centers_[:, np.newaxis] - means) ** 2).sum(axis=2)
    names = known[apart.argmin(axis=1)]
    found = np.zeros(points.truth.shape, np.intp)
    cluster = np.full(points.truth.shape, -1)
    cluster[ore] = clusters.labels_
    votes = np.zeros((minerals - 1, minerals))
    for cell, index in corrections:
        seen = cluster[(points.cells == cell) & ore]
        votes[:, index] += np.bincount(seen, minlength=minerals - 1)
    votes[:, 0] = 0
    names = np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), names)
    found[ore] = names[clusters.labels_]
    return found


def corrected(
    points: Points, shown: NDArray[np.intp], before: list[tuple[int, int]], count: int
) -> list[tuple[int, int]]:
    """Cells that a user would correct next: in the middle of the widest wrong areas, one mineral to a cell.

    Each is taken from another wrong area; cells of which no mineral covers `CLEAR` are left alone.
    """
    depth = np.zeros(points.truth.shape, np.float32)
    areas = np.zeros(points.truth.shape, np.int64)
    for index in range(points.shares.shape[1]):
        wrong = ((points.truth == index) & (shown != index)).astype(np.uint8)
        inside = cv2.distanceTransform(np.pad(wrong, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        depth = np.maximum(depth, inside)
        _, numbered = cv2.connectedComponents(wrong)
        areas = np.where(wrong > 0, numbered + areas.max(), areas)
    clear = points.shares.max(axis=1) >= CLEAR
    clear[[cell for cell, _ in before]] = False
    found: list[tuple[int, int]] = []
    for _ in range(count):
        deepest = np.zeros(len(clear), np.float32)
        np.maximum.at(deepest, points.cells.ravel(), depth.ravel())
        cell = int(np.where(clear, deepest, -1).argmax())
        found.append((cell, int(points.shares[cell].argmax())))
        clear[cell] = False
        here = np.unique(areas[(points.cells == cell) & (depth > 0)])
        depth[np.isin(areas, here)] = 0
    return found
