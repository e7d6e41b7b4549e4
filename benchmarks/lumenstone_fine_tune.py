"""Fine-tuning on the corrections that the review proposes: what it gains there and elsewhere, and what is forgotten.

The photographs that report (odd numbers, see lumenstone_learn) are divided: on some the user corrects cells,
the others are only looked at.  Balanced accuracy is taken over clear cells of all minerals of the masks that
were not corrected, the mean over photographs.  Beside it a forest on tile colours learns the same corrections.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lumenstone import photographs
from lumenstone_learn import MINERALS, OPTIONS, TILE_PX, Photograph, User, interval, next_of_queue
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import RandomForestClassifier

from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning.corrected_tiles import CorrectedPicture
from napari_ore_minerals.learning.fine_tuning import USUAL, FineTuneOptions, FineTuneResult, fine_tune_steps
from napari_ore_minerals.learning.review import Review
from napari_ore_minerals.maps.predict import classify_steps
from napari_ore_minerals.minerals import MineralTable
from napari_ore_minerals.models.classifier import Classifier, bundled
from napari_ore_minerals.models.store import save_model
from napari_ore_minerals.progress import run

ELSEWHERE = 8  # photographs that nothing was said of
TREES = 200


def picture(folder: Path, number: int) -> Micrograph:
    """Whole tiles of a photograph."""
    rgb = np.asarray(Image.open(list(photographs(folder))[number][0]).convert("RGB"))
    rows, columns = (length // TILE_PX * TILE_PX for length in rgb.shape[:2])
    return Micrograph.from_array(np.ascontiguousarray(rgb[:rows, :columns]))


def corrected(photograph: Photograph, cells: int) -> User:
    """Let the user say what the review proposes."""
    user, review = User(photograph), Review()
    while len(user.said) < cells:
        chosen, review = next_of_queue(user, review)
        if chosen is None:
            break
        user.say(chosen)
        user.follow()
    return user


def mean_score(users: Sequence[User], answers: Sequence[NDArray[np.integer]]) -> str:
    """Balanced accuracy of maps, mean over photographs with its interval."""
    scores = np.array([user.score(labels) for user, labels in zip(users, answers, strict=True)])
    value, low, high = interval(scores)
    return f"{value:.3f} ({low:.2f}-{high:.2f})"


def forest_answers(taught: Sequence[User], users: Sequence[User]) -> list[NDArray[np.int64]]:
    """Maps by a forest on tile colours that learnt all corrections."""
    values = [user.photograph.colours[tuple(np.array(list(user.said)).T)] for user in taught]
    codes = [code for user in taught for code in user.said.values()]
    trees = RandomForestClassifier(TREES, class_weight="balanced", random_state=0)
    trees.fit(np.concatenate(values), codes)
    maps = []
    for user in users:
        colours = user.photograph.colours
        maps.append(trees.predict(colours.reshape(-1, colours.shape[-1])).reshape(colours.shape[:2]))
    return maps


def classified(folder: Path, users: Sequence[User], classifier: Classifier) -> list[NDArray[np.integer]]:
    """Maps by a model, in the codes of the masks."""
    named = {mineral.name: mineral.code for mineral in MINERALS.values()}
    codes = np.zeros(256, np.uint8)
    for mineral in classifier.card.minerals:
        codes[mineral.code] = named.get(mineral.name, 0)
    steps = [classify_steps(picture(folder, user.photograph.number), classifier, OPTIONS) for user in users]
    return [codes[run(each).labels] for each in steps]


def fine_tuned(
    folder: Path, taught: Sequence[User], options: FineTuneOptions, parent: Path
) -> FineTuneResult:
    """Fine-tune on what was said."""
    met = {code for user in taught for code in user.said.values()}
    known = taught[0].photograph.base.minerals
    table = MineralTable.of(
        [*known, *(one for one in MINERALS.values() if one.code in met - set(known.codes))]
    )
    pictures = []
    for user in taught:
        micrograph = picture(folder, user.photograph.number)
        pictures.append(CorrectedPicture(micrograph, tuple(user.corrections()), table))
    return run(fine_tune_steps(parent, pictures, options))


def fine_tune(
    folder: Path, chosen: Sequence[Photograph], cells: int, options: FineTuneOptions = USUAL
) -> None:
    """Correct, fine-tune and print what became better and what worse."""
    begun, parent = time.perf_counter(), bundled()
    random = np.random.default_rng(0)
    drawn = [chosen[index] for index in random.permutation(len(chosen))]
    elsewhere = [User(one) for one in drawn[:ELSEWHERE]]
    taught = [corrected(one, cells) for one in drawn[ELSEWHERE:]]
    print(
        f"{cells} corrections on each of {len(taught)} photographs, {len(elsewhere)} others are only looked at"
    )
    result = fine_tuned(folder, taught, options, parent)
    with tempfile.TemporaryDirectory() as temporary:
        save_model(Path(temporary) / "model", result.card, result.network)
        model = Classifier.load(Path(temporary) / "model")
        rows = {
            "model as it was": [
                [user.photograph.base.labels for user in users] for users in (taught, elsewhere)
            ],
            "head refitted on each photograph": [[user.shown.labels for user in taught], None],
            "fine-tuned on all corrections": [
                classified(folder, users, model) for users in (taught, elsewhere)
            ],
            "forest on the same corrections": [
                forest_answers(taught, users) for users in (taught, elsewhere)
            ],
        }
    print(f"{'balanced accuracy on':36}{'other cells there':>24}{'other photographs':>24}")
    for name, (there, others) in rows.items():
        line = f"{name:36}{mean_score(taught, there):>24}"
        print(line + (f"{'-':>24}" if others is None else f"{mean_score(elsewhere, others):>24}"))
    was, now = result.before.replay_macro_f1, result.after.replay_macro_f1
    print(f"macro-F1 on {result.after.replay_cells} earlier tiles {was.value:.3f} -> {now.value:.3f}")
    print(f"{'kept' if result.keep else 'not kept'}: {result.why}; {time.perf_counter() - begun:.0f} s")
