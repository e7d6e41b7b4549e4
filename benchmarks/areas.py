"""How often 95 % intervals of area fractions hold the truth.

    python benchmarks/areas.py [--trials 500] [--pictures 60] [--cache FOLDER]

First on simulated sections: discs of three ore minerals in gangue, whose true fractions are known
exactly, seen through a window, once by a classifier that is always right and once by one that errs as the
bundled model does (in each trial as in one held-out picture of its card for each mineral; the interval is
made from other pictures).  Then on deposits whose pictures differ, pooled.  Last through the real classifier,
on simulated micrographs that neither it nor its card has seen; there the truth is what each picture shows.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from platformdirs import user_cache_path

from napari_ore_minerals.learning.default_model import evidence_of
from napari_ore_minerals.learning.simulated import SimulatedPictures, simulated_samples_steps
from napari_ore_minerals.maps.adjusting import Reference
from napari_ore_minerals.maps.estimating import Estimate, Sample
from napari_ore_minerals.maps.intervals import block_sums, cut
from napari_ore_minerals.maps.measuring import Measurement
from napari_ore_minerals.maps.places import Places
from napari_ore_minerals.maps.pooling import pool
from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.devices import prepare_process
from napari_ore_minerals.progress import run

ROWS, COLUMNS, PER_TILE = 77, 98, 7  # places: 11 x 14 tiles, a photograph of about 2800 x 3600 px
GRAINS = (2.0, 6.0)  # diameters in places, about 70 to 220 px
FRACTIONS = (0.03, 0.25)
SPREAD = 0.5  # standard deviation of the logarithm of a picture's fraction
ORES, CLASSES = 3, len(DEFAULT_MINERALS)
FIRST_SEED = 3_000_000


class Section(NamedTuple):
    """A window of a section and the fractions of the whole of it."""

    classes: np.ndarray  # (rows, columns) index of the mineral
    fractions: np.ndarray


def discs(random: np.random.Generator, diameter: float, fraction: float) -> np.ndarray:
    """Window of randomly thrown discs that cover `fraction` of the plane."""
    pad = math.ceil(diameter)
    shape = np.array([ROWS, COLUMNS]) + 2 * pad
    rate = -math.log1p(-fraction) / (math.pi / 4 * diameter**2)
    covered = np.zeros(shape, bool)
    reach = math.ceil(diameter / 2) + 1
    for middle in random.uniform(0, 1, (random.poisson(rate * shape.prod()), 2)) * shape:
        low = np.maximum(middle.astype(int) - reach, 0)
        window = tuple(slice(a, a + 2 * reach + 1) for a in low)
        rows, columns = (np.arange(*part.indices(size)) for part, size in zip(window, shape, strict=True))
        away = (rows[:, None] + 0.5 - middle[0]) ** 2 + (columns[None] + 0.5 - middle[1]) ** 2
        covered[window] |= away < diameter**2 / 4
    return covered[pad:-pad, pad:-pad]


def section(random: np.random.Generator) -> Section:
    """Three ore minerals in gangue, each over the ones before."""
    classes = np.full((ROWS, COLUMNS), CLASSES - 1)
    fractions = np.zeros(CLASSES)
    fractions[-1] = 1.0
    for mineral in random.choice(CLASSES - 1, ORES, replace=False):
        share = math.exp(random.uniform(*np.log(FRACTIONS)))
        classes[discs(random, random.uniform(*GRAINS), share)] = mineral
        fractions *= 1 - share
        fractions[mineral] = share
    return Section(classes, fractions)


def estimates(shares: np.ndarray, reference: Reference | None) -> list[Estimate]:
    """Estimate every mineral from (minerals, rows, columns) shares, as `maps.measuring.measure` does."""
    every = np.concatenate([shares, np.zeros_like(shares[:1])]).astype(np.float32)
    places = Places(every, np.ones(shares.shape[1:]), np.zeros(shares.shape[1:], bool), 1.0)
    blocks = cut(places)
    counted = block_sums(blocks.index, whole_tiles(every), places.area_px)
    answered = shares.sum(axis=(1, 2))
    whole = np.ones(CLASSES + 1, bool)
    cells = shares[0].size / PER_TILE**2
    sample = Sample(blocks, counted, answered, cells, whole, reference)
    return [sample.estimate(index) for index in range(CLASSES)]


def whole_tiles(shares: np.ndarray) -> np.ndarray:
    """Each tile as its most frequent mineral alone."""
    size, (rows, columns) = PER_TILE, shares.shape[1:]
    means = shares.reshape(len(shares), rows // size, size, columns // size, size).mean(axis=(2, 4))
    chosen = np.eye(len(shares))[means.argmax(axis=0)].transpose(2, 0, 1)
    return chosen.repeat(size, axis=1).repeat(size, axis=2)


def answers_of_a_picture(random: np.random.Generator, matrices: np.ndarray) -> np.ndarray:
    """Answer to each true mineral (rows), each as in one picture drawn by how much it shows of it."""
    shown = matrices.sum(axis=2)
    drawn = [random.choice(len(matrices), p=column / column.sum()) for column in shown.T]
    rows = np.stack([matrices[picture, mineral] for mineral, picture in enumerate(drawn)])
    return rows / rows.sum(axis=1, keepdims=True)


class Tally:
    """How often intervals held the truth."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.held: list[bool] = []
        self.widths: list[float] = []

    def add(self, truth: float, low: float, high: float) -> None:
        """Take note of an interval."""
        self.held.append(low <= truth <= high)
        self.widths.append(high - low)

    def print(self, trials: int) -> None:
        """Print the share that held, with its error as if the minerals of a trial were one."""
        share = np.mean(self.held)
        error = math.sqrt(share * (1 - share) / max(trials, 1))
        print(
            f"  {self.title:58} {share:6.1%} +- {error:.1%} of {len(self.held)} intervals, "
            f"mean width {100 * np.mean(self.widths):.1f} points"
        )


def perfect(trials: int, seed: int) -> None:
    """Sections seen by a classifier that is always right."""
    random = np.random.default_rng(seed)
    blocks, points = Tally("blocks of several grain diameters"), Tally("every place an independent point")
    errors: dict[str, list[float]] = {"places": [], "tiles": []}
    for _ in range(trials):
        found = section(random)
        for index, one in enumerate(estimates(np.eye(CLASSES)[found.classes].transpose(2, 0, 1), None)):
            truth = found.fractions[index]
            if truth == 0:
                continue
            blocks.add(truth, one.low, one.high)
            half = 1.96 * math.sqrt(one.fraction * (1 - one.fraction) / found.classes.size)
            points.add(truth, one.fraction - half, one.fraction + half)
            errors["places"].append(abs(one.fraction - truth))
            errors["tiles"].append(abs(one.fraction_by_cells - truth))
    print(f"{trials} simulated sections, a classifier that is always right: interval for the section")
    blocks.print(trials)
    points.print(trials)
    by_place, by_tile = (100 * np.mean(values) for values in errors.values())
    print(f"  mean error: by places {by_place:.2f}, by majority labels of tiles {by_tile:.2f} points")


def erring(trials: int, seed: int, matrices: np.ndarray) -> None:
    """Sections seen by a classifier that errs as the bundled model does."""
    random = np.random.default_rng(seed)
    both, sampling = (
        Tally("for the section: sampling and classifier"),
        Tally("for the section: sampling alone"),
    )
    picture = Tally("for this picture: classifier alone")
    errors: dict[str, list[float]] = {"raw": [], "adjusted": []}
    for _ in range(trials):
        found = section(random)
        order = random.permutation(len(matrices))
        halves = matrices[order[::2]], matrices[order[1::2]]
        if not all((half.sum(axis=2) > 0).any(axis=0).all() for half in halves):
            continue
        shares = answers_of_a_picture(random, halves[0])[found.classes].transpose(2, 0, 1)
        known = Reference.of(halves[1])
        alone = estimates(shares, None)
        for index, one in enumerate(estimates(shares, known)):
            truth = found.fractions[index]
            if truth == 0:
                continue
            both.add(truth, one.low, one.high)
            sampling.add(truth, alone[index].low, alone[index].high)
            here = float((found.classes == index).mean())
            picture.add(here, one.picture_low, one.picture_high)
            errors["raw"].append(abs(one.fraction - here))
            errors["adjusted"].append(abs(one.fraction_adjusted - here))
    print(f"\n{trials} simulated sections, a classifier that errs as the bundled model does")
    for tally in (both, sampling, picture):
        tally.print(trials)
    raw, adjusted = (100 * np.mean(values) for values in errors.values())
    print(f"  mean error of what a picture shows: raw {raw:.2f}, adjusted {adjusted:.2f} points")


def pooled(trials: int, seed: int) -> None:
    """Deposits whose pictures differ: one ore mineral, a classifier that is always right."""
    random = np.random.default_rng(seed)
    tallies = {number: Tally(f"{number} pictures pooled") for number in (2, 5, 10)}
    alone = Tally("one picture alone, for the deposit")
    for _ in range(trials):
        share, diameter = math.exp(random.uniform(*np.log(FRACTIONS))), random.uniform(*GRAINS)
        found = []
        for _picture in range(max(tallies)):
            here = share * math.exp(
                random.normal(-(SPREAD**2) / 2, SPREAD)
            )  # its mean is the deposit's share
            classes = np.where(discs(random, diameter, min(here, 0.9)), 0, CLASSES - 1)
            found.append(measurement(np.eye(CLASSES)[classes].transpose(2, 0, 1)))
        first = found[0].table.iloc[0]
        alone.add(share, first["low"], first["high"])
        for number, tally in tallies.items():
            row = pool(found[:number]).iloc[0]
            tally.add(share, row["low"], row["high"])
    print(
        f"\n{trials} simulated deposits, fractions of pictures spread by {SPREAD:.0%}, a classifier that is right"
    )
    for tally in (alone, *tallies.values()):
        tally.print(trials)


def measurement(shares: np.ndarray) -> Measurement:
    """What `pool` needs of a picture."""
    table = pd.DataFrame(estimates(shares, None), columns=Estimate._fields)
    table.insert(0, "code", DEFAULT_MINERALS.codes)
    totals = np.append(shares.sum(axis=(1, 2)), 0.0)
    every = np.ones(CLASSES + 1, bool)
    return Measurement(table, DEFAULT_MINERALS, "", totals, every, 1.0, 1.0, 16, None, ())


def real(pictures: int, cache: Path, classifier: Classifier, matrices: np.ndarray) -> None:
    """Simulated micrographs through the real classifier."""
    samples = run(simulated_samples_steps(SimulatedPictures(FIRST_SEED, pictures), cache, workers=1))
    assert samples.dense is not None
    held = Tally("for this picture: classifier alone")
    errors: dict[str, list[float]] = {"raw": [], "adjusted": [], "tiles": []}
    known = Reference.of(matrices)
    for seed in np.unique(samples.groups):
        part = samples.select(samples.groups == seed)
        evidence = evidence_of(classifier, part, 16)
        shares = classifier.probabilities(np.moveaxis(evidence.class_maps, 1, -1))
        side = math.isqrt(len(part))
        tiles = shares.reshape(side, side, *shares.shape[1:]).transpose(4, 0, 2, 1, 3)
        truth = part.fractions.mean(axis=0)
        for index, one in enumerate(estimates(tiles.reshape(CLASSES, side * PER_TILE, -1), known)):
            held.add(truth[index], one.picture_low, one.picture_high)
            errors["raw"].append(abs(one.fraction - truth[index]))
            errors["adjusted"].append(abs(one.fraction_adjusted - truth[index]))
            errors["tiles"].append(abs(one.fraction_by_cells - truth[index]))
    print(f"\n{pictures} simulated micrographs of 1024 px through the real classifier, all minerals")
    held.print(pictures)
    raw, adjusted, plain = (100 * np.mean(values) for values in errors.values())
    print(
        f"  mean error: raw {raw:.2f}, adjusted {adjusted:.2f}, majority labels of tiles {plain:.2f} points"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=user_cache_path("napari-ore-minerals") / "simulated")
    chosen = parser.parse_args()
    prepare_process()
    begun = time.perf_counter()
    classifier = Classifier.load(None, device="cpu")
    assert classifier.card.confusion is not None
    matrices = classifier.card.confusion.matrices()
    perfect(chosen.trials, chosen.seed)
    erring(chosen.trials, chosen.seed + 1, matrices)
    pooled(chosen.trials, chosen.seed + 2)
    if chosen.pictures:
        real(chosen.pictures, chosen.cache, classifier, matrices)
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
