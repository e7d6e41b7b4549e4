"""A model before and after it was taught, measured on the same cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .corrections import merged
from .intervals import table_of_figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.models.classifier import Classifier

    from .dataset import TileSamples

DRAWS = 500
MOST_FORGOTTEN = 0.02  # of the macro-F1 on what the parent learnt from


class Figure(NamedTuple):
    """A figure with its 95 % interval over pictures or regions; NaN where it cannot be told."""

    value: float
    low: float
    high: float


UNKNOWN = Figure(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Scores:
    """How well a model does on cells that were held back, and on what its parent learnt from.

    Attributes
    ----------
    cells : int
        Held-back corrections.
    accuracy, balanced_accuracy : Figure
        On them; unknown where there are none.
    replay_cells : int
        Tiles of the replay set that only measure.
    replay_macro_f1 : Figure
        On them; unknown where there are none.
    """

    cells: int
    accuracy: Figure
    balanced_accuracy: Figure
    replay_cells: int
    replay_macro_f1: Figure


def scores_of(classifier: Classifier, held_out: TileSamples, replay: TileSamples) -> Scores:
    """Measure a model; its minerals are matched by name, and one that it does not know counts as an error."""
    taught, earlier = (figures_of_model(classifier, part) for part in (held_out, replay))
    return Scores(
        len(held_out), taught["accuracy"], taught["balanced accuracy"], len(replay), earlier["macro F1"]
    )


def verdict(before: Scores, after: Scores) -> tuple[bool, str]:
    """Tell whether the later model is to be used, and why, in one sentence."""
    forgotten = before.replay_macro_f1.value - after.replay_macro_f1.value
    if forgotten > MOST_FORGOTTEN:
        return False, (
            f"it forgets: macro-F1 on what the model learnt from falls from {before.replay_macro_f1.value:.3f} "
            f"to {after.replay_macro_f1.value:.3f}, by more than {MOST_FORGOTTEN}"
        )
    kept = "and nothing is forgotten" if after.replay_cells else "what it forgets cannot be measured"
    if not after.cells:
        return True, f"too few corrections to hold some back for measuring, {kept}"
    was, now = before.balanced_accuracy.value, after.balanced_accuracy.value
    if now < was:
        return False, (
            f"it is worse: balanced accuracy on {after.cells} held-back corrections falls from {was:.3f} to {now:.3f}"
        )
    how = "rises" if now > was else "stays"
    return (
        True,
        f"balanced accuracy on {after.cells} held-back corrections {how}, {was:.3f} to {now:.3f}, {kept}",
    )


def figures_of_model(classifier: Classifier, samples: TileSamples) -> dict[str, Figure]:
    """Accuracy, balanced accuracy and macro-F1 of a model on samples, and more, by name."""
    if not len(samples):
        return dict.fromkeys(("accuracy", "balanced accuracy", "macro F1"), UNKNOWN)
    whole, codes = merged(samples.minerals, classifier.card.minerals)
    answers = np.zeros((len(samples), len(whole)), np.float32)
    answers[:, [whole.codes.index(codes[code]) for code in classifier.card.mineral_table.codes]] = (
        _probabilities(classifier, samples)
    )
    table = table_of_figures(samples.labels, answers, samples.groups, whole, draws=DRAWS)
    rows = table[table["mineral"] == ""].set_index("figure")
    return {str(name): Figure(*map(float, row)) for name, *row in rows[["value", "low", "high"]].itertuples()}


def _probabilities(classifier: Classifier, samples: TileSamples, size: int = 32) -> NDArray[np.float32]:
    logits = [
        classifier.predict(np.array(samples.tiles[start : start + size])).logits
        for start in range(0, len(samples), size)
    ]
    return classifier.probabilities(np.concatenate(logits))
