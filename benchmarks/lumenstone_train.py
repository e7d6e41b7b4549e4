"""Classifiers trained on some photographs of LumenStone and tested on others."""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from lumenstone_networks import NETWORKS, network_probabilities, samples
from lumenstone_tiles import (
    CELLS,
    LEAST_PHOTOGRAPHS,
    TILE_PX,
    Collection,
    Part,
    collection,
    folds_by_lot,
    folds_by_neighbourhood,
    folds_by_photograph,
    of_labelled_tiles,
    parts,
    spread_out,
)
from numpy.typing import NDArray

from napari_ore_minerals.learning.anchored import AnchoredOptions, means_of_tiles, train_anchored
from napari_ore_minerals.learning.baseline import ColourForest
from napari_ore_minerals.learning.intervals import difference, table_of_figures

Probabilities = NDArray[np.float32]
Method = Callable[[Collection, Part], Probabilities]  # (tested tiles, classes)

FOLDS = 5
OTHER_FOLDS = (1, 2, 3)  # seeds
FOREST, BEST, UNMASKED = "colour forest", "anchored cells", "the same, labels of tiles, no masks"
PLAIN = AnchoredOptions(crops=0, exposure=0.0, balance=0.0, epochs=60)
STEPS = {  # what helps
    "cells of 32 px, colours as they are": PLAIN.model_copy(update={"look": "absolute"}),
    "+ beside the rest of the photograph": PLAIN,
    "+ parts shown as photographs": AnchoredOptions(exposure=0.0, balance=0.0),
    BEST: AnchoredOptions(),  # + other lamps
    "the same, relative values only": AnchoredOptions(look="anchored"),
}


def train(chosen: argparse.Namespace, folder: Path) -> int:
    """Train and test everything on the same folds, and print what came out."""
    begun = time.perf_counter()
    data = collection(folder)
    scored = spread_out(data, chosen.spread, chosen.seed)
    folds = folds_by_photograph(data, FOLDS)
    cut = list(parts(data, folds, scored))[: 1 if chosen.quick else FOLDS]
    _print_collection(data, scored)
    print(
        f"{len(cut)} of {FOLDS} folds by photograph, networks of seed {chosen.seed}; read in {_minutes(begun)}"
    )
    symbols = "".join(f"{mineral.symbol:>6}" for mineral in data.minerals)
    print(f"{'':38}balanced accuracy (95 %)  accuracy (95 %)              recall {symbols}   of one core")
    found = {
        title: _tested(data, cut, method, title, chosen.kept) for title, method in _methods(chosen).items()
    }
    _print_differences(data, cut, found)
    if not chosen.quick and not chosen.only:
        print(f"{BEST} on other folds")
        method = partial(anchored, options=STEPS[BEST])
        for seed in OTHER_FOLDS:
            lot = list(parts(data, folds_by_lot(data, FOLDS, seed), scored))
            _tested(data, lot, method, f"by photograph, drawn by lot, seed {seed}", chosen.kept)
        near = folds_by_neighbourhood(data, FOLDS)
        _tested(data, list(parts(data, near, scored)), method, "by runs of four photographs", chosen.kept)
    print(f"all of it took {_minutes(begun)}")
    return 0


def colour_forest(data: Collection, part: Part) -> Probabilities:
    """Colours of whole tiles."""
    forest = ColourForest().fit(samples(data, part.learnt, TILE_PX))
    return forest.probabilities(data.pixels[part.tested])


def anchored(
    data: Collection, part: Part, *, options: AnchoredOptions, whole_masks: bool = True
) -> Probabilities:
    """Cells beside the rest of their photograph, as ``ore-minerals cells``; a tile is the mean of its cells.

    Learnt from are all cells of the masks or, as where a dataset has no masks, those of tiles with a label.
    """
    known = data.cells if whole_masks else of_labelled_tiles(data)
    seen = [cells for cells, out in zip(known, part.held_out, strict=True) if not out]
    classifier = train_anchored(seen, options)
    tiles = {
        number: means_of_tiles(classifier.probabilities(data.cells[number].colours), CELLS)
        for number in np.flatnonzero(part.held_out)
    }
    places = zip(data.photographs[part.tested], data.places[part.tested], strict=True)
    return np.stack([tiles[number][row, column] for number, (row, column) in places])


def _methods(chosen: argparse.Namespace) -> dict[str, Method]:
    found: dict[str, Method] = {FOREST: colour_forest}
    for title, options in STEPS.items():
        found[title] = partial(anchored, options=options)
    found[UNMASKED] = partial(anchored, options=STEPS[BEST], whole_masks=False)
    for title in NETWORKS if chosen.seen else ():
        seen = chosen.seen // 4 if chosen.quick else chosen.seen
        found[title] = partial(network_probabilities, title=title, seen=seen, seed=chosen.seed)
    return {title: method for title, method in found.items() if title == FOREST or chosen.only in title}


def _tested(
    data: Collection, cut: list[Part], method: Method, title: str, kept: Path | None
) -> Probabilities:
    """Answers for the tested tiles of all parts, in the order of the parts; prints a line of figures."""
    answers = [_answers(data, part, method, kept) for part in cut]
    found = np.concatenate([answer for answer, _ in answers])
    tiles = np.concatenate([part.tested for part in cut])
    table = table_of_figures(data.truth[tiles], found, data.photographs[tiles], data.minerals)
    table = table.set_index(["figure", "mineral"])
    shown = []
    for figure in ("balanced accuracy", "accuracy"):
        value, low, high = table.loc[(figure, ""), ["value", "low", "high"]]
        shown.append(f"{value:.3f} ({low:.3f} to {high:.3f})")
    recalls = [table.loc[("recall", mineral.name), "value"] for mineral in data.minerals]
    line = "".join(f"{recall:6.2f}" for recall in recalls)
    print(
        f"{title:38}{shown[0]:26}{shown[1]:29}{line}   {sum(seconds for _, seconds in answers) / 60.0:.1f} min",
        flush=True,
    )
    return found


def _answers(data: Collection, part: Part, method: Method, kept: Path | None) -> tuple[Probabilities, float]:
    """Answers for the tested tiles of one part, and the seconds of a processor core that they took.

    Those that an earlier run has kept are read.
    """
    path = None if kept is None else kept / f"{_key(data, part, method)}.npz"
    if path is not None and path.exists():
        with np.load(path) as read:
            return read["answers"], float(read["seconds"])
    begun = time.process_time()
    found = method(data, part)
    seconds = time.process_time() - begun
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(staged, answers=found, seconds=seconds)
        staged.replace(path)
    return found, seconds


def _key(data: Collection, part: Part, method: Method) -> str:
    """Name that changes with the method, its options, and the tiles that are learnt and tested."""
    call = method if isinstance(method, partial) else partial(method)
    settings = repr((call.func.__name__, sorted(call.keywords.items()), data.minerals.codes))
    arrays = b"".join(array.tobytes() for array in (part.learnt, part.tested))
    return hashlib.sha256(settings.encode() + arrays).hexdigest()[:20]


def _print_differences(data: Collection, cut: list[Part], found: dict[str, Probabilities]) -> None:
    tiles = np.concatenate([part.tested for part in cut])
    print(f"balanced accuracy less that of the {FOREST} (95 % over photographs, both drawn together)")
    for title, answers in found.items():
        if title != FOREST:
            gain = difference(data.truth[tiles], answers, found[FOREST], data.photographs[tiles])
            print(f"  {title:38}{gain[0]:+.3f} ({gain[1]:+.3f} to {gain[2]:+.3f})")


def _print_collection(data: Collection, scored: NDArray[np.bool_]) -> None:
    print(
        f"tiles of {TILE_PX} px of the half-size photographs, at least 0.8 of one mineral; tiles (photographs):"
    )
    print("  " + ", ".join(f"{name} {tiles} ({shown})" for name, (tiles, shown) in data.counts.items()))
    names = ", ".join(mineral.name for mineral in data.minerals)
    print(f"scored are minerals of at least {LEAST_PHOTOGRAPHS} photographs: {names}")
    print(f"tiles tested: {scored.sum()} of {len(scored)}, of {len(data.cells)} photographs")


def _minutes(begun: float) -> str:
    return f"{(time.perf_counter() - begun) / 60.0:.1f} min"
