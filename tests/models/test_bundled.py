"""The model that is shipped keeps what is promised of it, and its card, README and docs say the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from napari_ore_minerals.learning.baseline import ColourForest
from napari_ore_minerals.learning.default_model import FIRST_SEEDS, evidence_of
from napari_ore_minerals.learning.simulated import SimulatedPictures, simulated_samples_steps
from napari_ore_minerals.models.card import ModelCard, read_card
from napari_ore_minerals.models.classifier import Classifier, bundled
from napari_ore_minerals.progress import run

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "docs/how-it-works.md"]
MAX_BYTES = 16 * 2**20
REAL = "real tiles of {} px (LumenStone): balanced accuracy"


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return read_card(bundled())


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    return (ROOT / str(request.param)).read_text(encoding="utf-8")


def test_it_is_small_and_can_be_loaded(card: ModelCard) -> None:
    folders = [path for path in bundled().parent.iterdir() if path.is_dir()]
    assert folders == [bundled()]
    assert sum(path.stat().st_size for path in bundled().rglob("*")) <= MAX_BYTES
    assert Classifier.load(device="cpu").card == card
    assert card.architecture == "ore_swin_compact"
    assert [mineral.name for mineral in card.minerals] == [
        "arsenopyrite", "chalcopyrite", "gold", "pyrite", "stibnite", "gangue",
    ]  # fmt: skip


def test_it_is_as_good_as_it_has_to_be(card: ModelCard) -> None:
    """The area error is that of the class maps, which are what `areas.csv` gives first."""
    assert card.metrics["simulated accuracy"] >= 0.95
    assert card.metrics["simulated area error of cell probabilities, percentage points"] <= 3.0
    for side in (256, 512):
        title = REAL.format(side)
        accuracy = card.metrics[title]
        assert card.metrics[f"{title}, lower bound"] <= accuracy <= card.metrics[f"{title}, upper bound"]
        assert accuracy >= 0.8
        assert accuracy > card.metrics[f"{title} of a random forest on colours"]
        assert accuracy > card.metrics[f"{title} by chance"] == pytest.approx(1 / 3, abs=1e-4)


def test_card_and_readme_say_plainly_that_it_has_seen_no_real_photograph(card: ModelCard) -> None:
    assert "simulated reflected-light micrographs only: it has seen no real photograph" in card.provenance
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "has **never seen a real photograph**" in readme
    assert card.training is not None
    assert card.training.command == "make default-model"


def test_pages_give_the_figures_of_the_card_on_simulated_pictures(page: str, card: ModelCard) -> None:
    said = re.search(
        r"\((\d+) tiles of one mineral, (\d+) pictures\): accuracy ([\d.]+), balanced accuracy ([\d.]+); mean error of "
        r"an area fraction\s+([\d.]+) percentage points from the class maps, ([\d.]+) from the probabilities of tiles, "
        r"([\d.]+) where tiles are counted",
        page,
    )
    assert said is not None
    metrics, pictures = card.metrics, card.confusion
    assert pictures is not None
    errors = ("cell probabilities", "tile probabilities", "tile labels")
    assert said.groups() == (
        f"{metrics['simulated clear tiles']:.0f}",
        f"{len(pictures.pictures)}",
        f"{metrics['simulated accuracy']:.2f}",
        f"{metrics['simulated balanced accuracy']:.2f}",
        *(f"{metrics[f'simulated area error of {name}, percentage points']:.1f}" for name in errors),
    )


@pytest.mark.parametrize("side", [256, 512])
def test_pages_give_the_figures_of_the_card_on_real_photographs(
    page: str, card: ModelCard, side: int
) -> None:
    said = re.search(
        rf"^\| {side} px of the camera .*?\*\*([\d.]+)\*\* \(([\d.]+) to ([\d.]+)\) \| ([\d.]+) \([\d.]+ to [\d.]+\) "
        r"\| ([\d.]+)",
        page,
        re.MULTILINE,
    )
    assert said is not None
    title = REAL.format(side)
    names = ("", ", lower bound", ", upper bound", " of a random forest on colours", " by chance")
    assert said.groups() == tuple(f"{card.metrics[title + name]:.2f}" for name in names)


@pytest.mark.slow
def test_its_weights_give_the_accuracy_of_its_card(card: ModelCard, tmp_path: Path) -> None:
    """On six of the pictures that it was measured on, and better than a forest on the colours of as many others."""
    samples = run(simulated_samples_steps(SimulatedPictures(FIRST_SEEDS[2], 6), tmp_path, workers=1))
    clear = samples.clear()
    truth = samples.labels[clear]
    found = evidence_of(Classifier.load(device="cpu", precision="fp32"), samples).logits[clear].argmax(axis=1)
    accuracy = float((found == truth).mean())
    assert accuracy == pytest.approx(card.metrics["simulated accuracy"], abs=0.1)
    others = run(simulated_samples_steps(SimulatedPictures(FIRST_SEEDS[1], 6), tmp_path, workers=1))
    forest = ColourForest().fit(others).probabilities(np.array(samples.tiles)[clear]).argmax(axis=1)
    assert accuracy > float((forest == truth).mean())
