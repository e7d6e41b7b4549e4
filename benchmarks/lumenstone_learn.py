"""A user is played on LumenStone: what a map of a photograph that the model has not seen gains by corrections.

Cells are tiles of 128 px of the half-size photographs (256 of the camera's own).  A cell is clear where one
mineral covers at least 80 % of it: the user says what clear cells are and skips the others.  Balanced accuracy
is taken over the clear cells of a photograph that were not corrected, of all minerals of the masks; it is the
mean over photographs that have at least two minerals, with an interval over photographs.  Every second
photograph is for choosing settings, the others are for reporting; both are printed.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lumenstone import photographs
from lumenstone_tiles import MINERALS, TILE_PX
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import RandomForestClassifier

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.tiles import TileGrid
from napari_ore_minerals.learning.baseline import colour_statistics
from napari_ore_minerals.learning.corrections import Cell, Correction, Found, as_corrections
from napari_ore_minerals.learning.head_change import HeadChange
from napari_ore_minerals.learning.refit import examples_of, learnt_elsewhere, refitted_map
from napari_ore_minerals.learning.review import Review, next_cell
from napari_ore_minerals.learning.tile_options import DOMINANT
from napari_ore_minerals.maps.features import CellFeatures
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.predict import classify_steps, plan
from napari_ore_minerals.maps.records import ClassifyOptions, ModelRecord, PictureRecord, RunRecord
from napari_ore_minerals.minerals import MineralTable
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import run

STEPS = (0, 1, 2, 5, 10, 20, 50)
LEAST_CELLS = 5  # clear cells of each of two minerals, for a photograph to be scored
ELSEWHERE = 10  # tiles of a mineral of another photograph that a forest learns from
WEIGHT = 10.0  # of a correction beside a tile of another photograph
TREES = 100
RESAMPLES = 2000
OPTIONS = ClassifyOptions(tile_px=TILE_PX, min_confidence=0.0)


@dataclass(frozen=True)
class Photograph:
    """One photograph as the model answers it, and what is true of its cells."""

    number: int
    base: MineralMap
    features: CellFeatures
    truth: NDArray[np.int64]  # (rows, columns) code, 0 for cells that are not clear
    colours: NDArray[np.float32]  # (rows, columns, 42) colour statistics

    @property
    def minerals(self) -> list[int]:
        """Codes with enough clear cells."""
        codes, counts = np.unique(self.truth[self.truth > 0], return_counts=True)
        return [int(code) for code, count in zip(codes, counts, strict=True) if count >= LEAST_CELLS]


def read(number: int, files: tuple[Path, Path], classifier: Classifier, cache: Path) -> Photograph:
    """Classify a photograph, or read what was kept of it."""
    rgb, mask = np.asarray(Image.open(files[0]).convert("RGB")), np.asarray(Image.open(files[1]))
    rows, columns = (length // TILE_PX for length in mask.shape)
    area = (slice(rows * TILE_PX), slice(columns * TILE_PX))
    picture = Micrograph.from_array(np.ascontiguousarray(rgb[area]))
    features = CellFeatures(plan(picture, classifier.card, OPTIONS))
    path = cache / f"{classifier.card.weights_sha256[:12]}-{number}.npz"
    if path.exists():
        base = kept_map(path, features, classifier.card.mineral_table)
    else:
        base = run(classify_steps(picture, classifier, OPTIONS, features=features))
        keep(path, base, features)
    cells = np.swapaxes(rgb[area].reshape(rows, TILE_PX, columns, TILE_PX, 3), 1, 2)
    colours = colour_statistics(cells.reshape(-1, TILE_PX, TILE_PX, 3)).reshape(rows, columns, -1)
    return Photograph(number, base, features, clear_codes(mask[area]), colours)


def clear_codes(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Code of the mineral that covers most of each cell, 0 where it covers too little of it."""
    rows, columns = (length // TILE_PX for length in mask.shape)
    blocks = mask.reshape(rows, TILE_PX, columns, TILE_PX)
    shares = np.stack([(blocks == code).mean(axis=(1, 3)) for code in MINERALS], axis=-1)
    codes = np.array([mineral.code for mineral in MINERALS.values()])[shares.argmax(axis=-1)]
    return np.where(shares.max(axis=-1) >= DOMINANT, codes, 0)


def keep(path: Path, base: MineralMap, features: CellFeatures) -> None:
    """Write what the model answered and saw."""
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        labels=base.labels,
        probabilities=base.probabilities,
        class_maps=base.class_maps,
        processed=base.processed,
        records=np.array(
            [base.picture.model_dump_json(), base.model.model_dump_json(), base.run.model_dump_json()]
        ),
        features=features._features,
        colours=features._colours,
        tiles=features.tiles,
    )
    part.rename(path)


def kept_map(path: Path, features: CellFeatures, minerals: MineralTable) -> MineralMap:
    """Read what `keep` wrote; the features are filled."""
    grid: TileGrid = features.grid
    with np.load(path, allow_pickle=False) as kept:
        features._features, features._colours = kept["features"], kept["colours"]
        features.tiles = kept["tiles"]
        picture, model, record = (str(text) for text in kept["records"])
        return MineralMap(
            grid=grid,
            labels=kept["labels"],
            probabilities=kept["probabilities"],
            class_maps=kept["class_maps"],
            processed=kept["processed"],
            minerals=minerals,
            um_per_px=None,
            um_per_px_source="",
            picture=PictureRecord.model_validate_json(picture),
            model=ModelRecord.model_validate_json(model),
            run=RunRecord.model_validate_json(record),
        )


def table_of(known: MineralTable, met: set[int] | None = None) -> MineralTable:
    """The model's minerals and those that were met, or all."""
    new = [one for one in MINERALS.values() if one.code not in known.codes]
    return MineralTable.of([*known, *(one for one in new if met is None or one.code in met)])


class User:
    """Says what cells are, as the masks have it, and lets the map follow."""

    def __init__(self, photograph: Photograph, earlier: HeadChange | None = None) -> None:
        self.photograph, self.said, self.earlier = photograph, dict[Cell, int](), earlier
        self.shown = photograph.base
        if earlier is not None:
            self.follow()

    def say(self, cell: Cell) -> None:
        """Correct or confirm a clear cell."""
        self.said[cell] = int(self.photograph.truth[cell])

    def follow(self) -> None:
        """Refit, with the minerals that were met so far."""
        base, features = self.photograph.base, self.photograph.features
        minerals = table_of(base.minerals, None if self.earlier else set(self.said.values()))
        self.shown = refitted_map(base, features, self.corrections(), minerals=minerals, earlier=self.earlier)

    def corrections(self) -> list[Correction]:
        """Return all that was said."""
        cells = np.array(list(self.said), np.intp).reshape(-1, 2)
        codes = np.array(list(self.said.values()), np.uint8)
        found = Found(cells, codes, np.ones(len(cells), bool), {}, 0)
        return as_corrections(found, self.photograph.base, now="")

    def others(self) -> NDArray[np.bool_]:
        """Clear cells that nothing was said of."""
        rest = self.photograph.truth > 0
        for cell in self.said:
            rest[cell] = False
        return rest

    def score(self, answers: NDArray[np.integer]) -> float:
        """Balanced accuracy on the other clear cells."""
        rest = self.others()
        truth, found = self.photograph.truth[rest], answers[rest]
        return float(np.mean([(found[truth == code] == code).mean() for code in np.unique(truth)]))

    def forest(self, elsewhere: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None) -> float:
        """Score of a forest that learnt the same corrections, and tiles of other photographs if given."""
        colours = self.photograph.colours
        values = colours[tuple(np.array(list(self.said), np.intp).reshape(-1, 2).T)]
        codes, weights = np.array(list(self.said.values()), np.int64), np.ones(len(self.said))
        if elsewhere is not None:
            weights = np.r_[np.full(len(codes), WEIGHT), np.ones(len(elsewhere[1]))]
            values, codes = np.concatenate([values, elsewhere[0]]), np.r_[codes, elsewhere[1]]
        trees = RandomForestClassifier(TREES, class_weight="balanced", random_state=0)
        trees.fit(values, codes, weights)
        return self.score(trees.predict(colours.reshape(-1, colours.shape[-1])).reshape(colours.shape[:2]))


def next_of_queue(user: User, review: Review) -> tuple[Cell | None, Review]:
    """Return the clear cell that the review proposes, the others being skipped; None where there is no more."""
    while (cell := next_cell(user.shown, user.photograph.features, review)) is not None:
        code = int(user.photograph.truth[cell])
        review = review.asking(cell)
        if code:
            return cell, review.choose(code)
        review = review.skip()
    return None, review


Scores = dict[str, list[float]]  # one a step; shorter where there are too few clear cells


Elsewhere = tuple[NDArray[np.float32], NDArray[np.int64]]  # colours and codes of tiles


def by_queue(photograph: Photograph, elsewhere: Elsewhere, earlier: HeadChange | None = None) -> Scores:
    """Correct the cells that the review proposes, with a forest of the same knowledge beside."""
    user, review = User(photograph, earlier), Review()
    scores, what = defaultdict[str, list[float]](list), " elsewhere +" if earlier else ""
    clear = int((photograph.truth > 0).sum())
    for step in STEPS:
        if step >= clear - LEAST_CELLS:
            break
        while len(user.said) < step:
            cell, review = next_of_queue(user, review)
            if cell is None:
                return scores
            user.say(cell)
            user.follow()
        scores[f"refit,{what} cells of the queue"].append(user.score(user.shown.labels))
        forest = user.forest(elsewhere if earlier else None) if step or earlier else np.nan
        scores[f"forest,{what} the same cells"].append(forest)
    return scores


def by_chance(photograph: Photograph, seeds: int) -> Scores:
    """Correct clear cells drawn at random; the mean over seeds."""
    found: dict[str, list[list[float]]] = {"refit, random cells": [], "forest on random cells": []}
    clear = np.argwhere(photograph.truth > 0)
    for seed in range(seeds):
        user, scores = User(photograph), defaultdict[str, list[float]](list)
        drawn = np.random.default_rng((seed, photograph.number)).permutation(clear)
        for step in STEPS:
            if step >= len(clear) - LEAST_CELLS:
                break
            for row, column in drawn[len(user.said) : step].tolist():
                user.say(Cell(row, column))
            user.follow()
            scores["refit, random cells"].append(user.score(user.shown.labels))
            scores["forest on random cells"].append(user.forest() if step else np.nan)
        for name, values in scores.items():
            found[name].append(values)
    return {name: np.mean(values, axis=0).tolist() for name, values in found.items()}


def cells_elsewhere(one: Photograph) -> dict[Cell, int]:
    """Some clear cells of each mineral of a photograph, which another one learns from."""
    random, found = np.random.default_rng(one.number), dict[Cell, int]()
    for code in np.unique(one.truth[one.truth > 0]).tolist():
        drawn = random.permutation(np.argwhere(one.truth == code))[:ELSEWHERE]
        found |= {Cell(*place): code for place in drawn.tolist()}
    return found


def known_elsewhere(photographs: Sequence[Photograph], left_out: int) -> tuple[Elsewhere, HeadChange | None]:
    """What a forest and the map know of the other photographs."""
    values, codes, examples = [], [], []
    for one in photographs:
        cells = cells_elsewhere(one)
        if one.number == left_out or not cells:
            continue
        values.append(one.colours[tuple(np.array(list(cells), np.intp).T)])
        codes += list(cells.values())
        user = User(one)
        user.said = cells
        table = table_of(one.base.minerals)
        examples.append(examples_of(one.base, one.features, user.corrections(), table))
    return (np.concatenate(values), np.array(codes, np.int64)), learnt_elsewhere(examples)


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean over photographs and its 95 % interval, photographs drawn again."""
    random = np.random.default_rng(0)
    means = values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def show(title: str, scores: Sequence[Scores]) -> None:
    """Print a table: ways of learning by number of corrections."""
    print(f"{title}: {len(scores)} photographs")
    print(f"{'':36}" + "".join(f"{f'n = {step}':>21}" for step in STEPS))
    for name in scores[0]:
        line = f"{name:36}"
        for index in range(len(STEPS)):
            values = np.array([one[name][index] for one in scores if len(one[name]) > index])
            if not len(values) or np.isnan(values).any():
                line += f"{'-':>21}"
                continue
            mean, low, high = interval(values)
            line += f"{f'{mean:.3f} ({low:.2f}-{high:.2f})':>21}"
        print(line)


def read_all(folder: Path, chosen: argparse.Namespace) -> Iterator[Photograph]:
    """Read photographs spread evenly over both series, as many as asked for; only kept ones if so chosen."""
    classifier, files = Classifier.load(chosen.model), list(photographs(folder))
    chosen.cache.mkdir(parents=True, exist_ok=True)
    wanted = np.unique(np.linspace(0, len(files) - 1, min(chosen.most, len(files))).round().astype(int))
    for number in wanted.tolist():
        kept = chosen.cache / f"{classifier.card.weights_sha256[:12]}-{number}.npz"
        if kept.exists() or not chosen.only_kept:
            yield read(number, files[number], classifier, chosen.cache)


def learn(chosen: argparse.Namespace, folder: Path) -> int:
    """Play the user on every photograph and print what was learnt."""
    begun = time.perf_counter()
    every = list(read_all(folder, chosen))
    scored = [one for one in every if len(one.minerals) > 1]
    print(
        f"{len(every)} photographs read, {len(scored)} with two minerals; {time.perf_counter() - begun:.0f} s"
    )
    halves: dict[str, list[Scores]] = {"for choosing settings": [], "for reporting": []}
    for one in () if chosen.only_fine_tune else scored:
        half = "for choosing settings" if one.number % 2 == 0 else "for reporting"
        elsewhere, earlier = known_elsewhere(every, one.number)
        ways = (by_queue(one, elsewhere), by_queue(one, elsewhere, earlier), by_chance(one, chosen.seeds))
        halves[half].append({name: scores for way in ways for name, scores in way.items()})
    for title, scores in halves.items():
        if scores:
            show(title, scores)
    print(f"{time.perf_counter() - begun:.0f} s")
    if chosen.fine_tune:
        from lumenstone_fine_tune import fine_tune

        wanted = int(chosen.half == "reporting")
        print(f"fine-tuning on the half for {chosen.half}")
        fine_tune(folder, [one for one in scored if one.number % 2 == wanted], chosen.fine_tune)
    return 0
