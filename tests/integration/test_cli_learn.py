"""What was painted becomes a version of the model on the command line, and the history is kept there."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ore_minerals import cli
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.learning import fine_tuning
from napari_ore_minerals.learning.corrections import Cell
from napari_ore_minerals.learning.fine_tuning import CorrectedPicture, FineTuneOptions, fine_tune_steps
from napari_ore_minerals.learning.journal import Journal, PictureNote
from napari_ore_minerals.learning.lesson import Lesson
from napari_ore_minerals.learning.painted_results import painted_corrections
from napari_ore_minerals.maps.files import write_result
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.predict import classify
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.card import read_card
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.models.history import read_note
from napari_ore_minerals.models.store import load_network
from napari_ore_minerals.models.versions import ModelStore
from napari_ore_minerals.progress import run

COLOURS = {1: (200, 200, 210), 2: (190, 160, 60), 4: (220, 210, 150)}
QUICK = FineTuneOptions(epochs=1, samples_per_epoch=16, replay_pictures=0, device="cpu", precision="fp32")


def call(*arguments: object) -> int:
    """What the shell would see as the exit code."""
    before = sys.argv
    sys.argv = ["ore-minerals", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def weights(network: object) -> str:
    tensors = [tensor.numpy().tobytes() for tensor in network.state_dict().values()]  # type: ignore[attr-defined]
    return hashlib.sha256(b"".join(tensors)).hexdigest()


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(2).choice(list(COLOURS), (4, 5))


@pytest.fixture
def section(tmp_path: Path, codes: np.ndarray) -> Path:
    """A photograph of 4 x 5 cells of one colour each."""
    cells = np.array([COLOURS[code] for code in codes.ravel()], np.uint8).reshape(4, 5, 3)
    path = tmp_path / "private" / "PS-07.png"
    path.parent.mkdir()
    Image.fromarray(cells.repeat(64, axis=0).repeat(64, axis=1)).save(path)
    return path


@pytest.fixture
def mineral_map(micro_model: Path, section: Path) -> MineralMap:
    classifier = Classifier.load(micro_model, device="cpu", precision="fp32")
    return classify(Micrograph.open(section), classifier, ClassifyOptions(device="cpu"))


@pytest.fixture
def lesson(mineral_map: MineralMap, codes: np.ndarray) -> Lesson:
    said = {Cell(row, column): int(code) for (row, column), code in np.ndenumerate(codes)}
    return Lesson.of(mineral_map).say(said, now="t")


@pytest.fixture
def journal(lesson: Lesson, section: Path, tmp_path: Path) -> Path:
    written = Journal(tmp_path / "journals")
    picture = lesson.base.picture
    note = PictureNote(
        picture=picture.fingerprint, name=picture.name, path=str(section), minerals=lesson.minerals.minerals
    )
    written.note(note)
    written.write(lesson.corrections)
    return written.path(picture.fingerprint)


def test_the_command_gives_the_weights_of_the_function_and_a_history(
    micro_model: Path, section: Path, lesson: Lesson, journal: Path, tmp_path: Path, capsys
) -> None:
    store = ("--store", tmp_path / "store")
    asked = ("learn", "--corrections", journal, "--parent", micro_model, *store, *QUICK.flags())
    assert call(*asked, "--note", "first try", "--name", "my-mine") == 0
    printed = capsys.readouterr().out
    assert "before (95 %)" in printed
    assert "held-back corrections" in printed
    (version,) = ModelStore(tmp_path / "store").versions()
    picture = CorrectedPicture(Micrograph.open(section), lesson.corrections, lesson.minerals)
    result = run(fine_tune_steps(micro_model, [picture], QUICK, cache=tmp_path))
    assert weights(load_network(version.folder)[1]) == weights(result.network)
    assert version.card.parent == read_card(micro_model).weights_sha256
    _check_history(store, tmp_path, capsys)
    archive = (tmp_path / "mine.zip").read_bytes()
    for private in (str(tmp_path), "private", "PS-07"):
        assert private not in version.card.to_json()
        assert private.encode() not in archive


def _check_history(store: tuple[object, ...], tmp_path: Path, capsys) -> None:
    assert call("models", "use", "1", *store) == 0
    assert call("models", *store) == 0
    printed = capsys.readouterr().out
    assert "* " in next(line for line in printed.splitlines() if "my-mine" in line)
    assert "first try" in printed
    assert call("models", "remove", "1", *store) == 1
    assert "is the current one" in capsys.readouterr().err
    assert call("models", "export", "1", tmp_path / "mine.zip", *store) == 0
    other = ("--store", tmp_path / "other")
    assert call("models", "add", tmp_path / "mine.zip", *other) == 0
    assert call("models", "note", "1", "of a colleague", *other) == 0
    capsys.readouterr()
    assert call("models", "list", *other) == 0
    assert "of a colleague" in capsys.readouterr().out
    assert call("models", "use", "bundled", *store) == 0
    assert call("models", "remove", "1", *store) == 0
    assert call("models", "use", "1", *store) == 1
    assert "were removed" in capsys.readouterr().err


def test_why_a_version_is_not_put_to_use_is_its_note(
    micro_model: Path, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fine_tuning, "verdict", lambda *_: (False, "it forgets"))
    store = ModelStore(tmp_path / "store")
    asked = (
        "learn",
        "--corrections",
        journal,
        "--parent",
        micro_model,
        "--store",
        store.root,
        *QUICK.flags(),
    )
    assert call(*asked) == 0
    (version,) = store.versions()
    assert read_note(store, version) == "it forgets"
    assert store.current().version is None


def test_results_that_were_painted_on_teach_too_and_others_are_refused(
    mineral_map: MineralMap, lesson: Lesson, micro_model: Path, tmp_path: Path, capsys
) -> None:
    labels = mineral_map.labels.copy()
    for one in lesson.corrections:
        labels[one.cell] = one.code
    folder = write_result(replace(mineral_map, labels=labels), tmp_path / "PS-07.png.oremap")
    changed = {one.cell: one.code for one in lesson.corrections if one.kind == "corrected"}
    assert {one.cell: one.code for one in painted_corrections(folder).corrections} == changed
    untouched = write_result(mineral_map, tmp_path / "untouched.oremap")
    store = tmp_path / "store"
    asked = ("--parent", micro_model, "--store", store, *QUICK.flags())
    assert call("learn", "--corrections", untouched, *asked) == 1
    assert "nothing was painted" in capsys.readouterr().err
    assert not store.exists()
    assert call("learn", "--corrections", folder, *asked, "--no-use") == 0
    assert ModelStore(store).current().version is None
    assert len(ModelStore(store).versions()) == 1


def test_pictures_are_classified_with_the_current_model(
    micro_model: Path, section: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    archive = tmp_path / "mine.zip"
    assert call("models", "export", micro_model, archive) == 0
    assert call("models", "add", archive) == 0
    assert call("models", "use", "1") == 0
    capsys.readouterr()
    assert call("classify", section, "--out", tmp_path / "out", "--device", "cpu") == 0
    assert "version 1 of yours" in capsys.readouterr().err
