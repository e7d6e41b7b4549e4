"""Large pictures: killed anywhere, gone on with, the same bytes; what cannot be read is never a mineral."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_ore_minerals.errors import PictureError, ResultError
from napari_ore_minerals.images.micrograph import Micrograph, ReadOptions
from napari_ore_minerals.maps import resumable
from napari_ore_minerals.maps.areas import areas
from napari_ore_minerals.maps.batch import batch_steps
from napari_ore_minerals.maps.files import read_result, result_folder
from napari_ore_minerals.maps.grains import grain_map
from napari_ore_minerals.maps.measuring import measure
from napari_ore_minerals.maps.mineral_map import MineralMap
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.maps.resumable import part_folder, resumable_steps
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import Progress, run

ROWS, COLUMNS, TILE, CHUNK = 9, 11, 64, 128
SALVAGED = ReadOptions(salvage=True)
OVERLAPPING = ClassifyOptions(batch_size=5, stride_px=32, precision="fp32", device="cpu")
PLAIN = ClassifyOptions(batch_size=5, precision="fp32", device="cpu")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PART_TILES", 16)


@pytest.fixture(scope="module")
def classifier(micro_model: Path) -> Classifier:
    return Classifier.load(micro_model, device="cpu", precision="fp32")


@pytest.fixture
def mosaic(tmp_path: Path) -> Path:
    """A Zarr picture of coloured fields, 576 x 704 px in chunks of 128."""
    random = np.random.default_rng(3)
    fields = random.integers(20, 240, (ROWS * 2, COLUMNS * 2, 3)).repeat(32, axis=0).repeat(32, axis=1)
    rgb = np.clip(fields + random.normal(0, 6, fields.shape), 0, 255).astype(np.uint8)
    array = zarr.create_array(tmp_path / "m.zarr", shape=rgb.shape, chunks=(CHUNK, CHUNK, 3), dtype="u1")
    array[:] = rgb
    return tmp_path / "m.zarr"


def mapped(path: Path, classifier: Classifier, options: ClassifyOptions = PLAIN) -> MineralMap:
    return run(resumable_steps(Micrograph.open(path, options=SALVAGED), classifier, options, None))


def assert_same(one: MineralMap, other: MineralMap) -> None:
    for name in ("labels", "probabilities", "class_maps", "processed"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert one.warnings == other.warnings


@pytest.mark.fault("D15")
@pytest.mark.parametrize("options", [PLAIN, OVERLAPPING])
def test_stopped_after_any_batch_and_gone_on_with_gives_the_same_bits(
    options: ClassifyOptions, mosaic: Path, classifier: Classifier, tmp_path: Path
) -> None:
    whole = mapped(mosaic, classifier, options)
    micrograph = Micrograph.open(mosaic, options=SALVAGED)
    for stop_at in (1, 5, 9, 17):
        parts = part_folder(tmp_path / "r.oremap", micrograph, classifier, options)
        assert parts is not None
        with parts.held():
            steps = resumable_steps(micrograph, classifier, options, parts)
            for _ in range(stop_at):
                next(steps)
            steps.close()  # nothing is written after this, as after a kill
            before = sorted(file.name for file in parts.path.glob("*.part"))
            seen: list[Progress] = []
            again = run(resumable_steps(micrograph, classifier, options, parts), seen.append)
        assert_same(again, whole)
        assert bool(before) == ("going on" in seen[0].notice)
        assert seen[-1].done == seen[-1].total
        parts.remove()
        assert not parts.path.exists()


@pytest.mark.fault("D15")
def test_damaged_parts_are_computed_again(mosaic: Path, classifier: Classifier, tmp_path: Path) -> None:
    micrograph = Micrograph.open(mosaic, options=SALVAGED)
    parts = part_folder(tmp_path / "r.oremap", micrograph, classifier, PLAIN)
    assert parts is not None
    with parts.held():
        whole = run(resumable_steps(micrograph, classifier, PLAIN, parts))
        files = sorted(parts.path.glob("*.part"))
        assert len(files) == 7
        files[1].write_bytes(files[1].read_bytes()[:-1])
        files[2].write_bytes(b"")
        content = bytearray(files[3].read_bytes())
        content[len(content) // 2] ^= 1
        files[3].write_bytes(content)
        assert parts.known(7) == {0, 4, 5, 6}
        assert_same(run(resumable_steps(micrograph, classifier, PLAIN, parts)), whole)


def test_parts_of_another_model_picture_or_grid_are_not_taken(
    mosaic: Path, classifier: Classifier, tmp_path: Path
) -> None:
    def folder(options: ClassifyOptions = PLAIN) -> Path:
        opened = Micrograph.open(mosaic, options=SALVAGED)
        parts = part_folder(tmp_path / "r.oremap", opened, classifier, options)
        assert parts is not None
        return parts.path

    paths = {folder(), folder(OVERLAPPING), folder(PLAIN.model_copy(update={"batch_size": 4}))}
    assert folder(PLAIN.model_copy(update={"min_confidence": 0.9})) in paths, "it is applied afterwards"
    zarr.open_array(mosaic, mode="r+")[:64] = 7
    assert len(paths | {folder()}) == 4


def test_two_processes_do_not_make_one_result(mosaic: Path, classifier: Classifier, tmp_path: Path) -> None:
    micrograph = Micrograph.open(mosaic, options=SALVAGED)
    first, second = (part_folder(tmp_path / "r.oremap", micrograph, classifier, PLAIN) for _ in range(2))
    assert first is not None
    assert second is not None
    with first.held(), pytest.raises(ResultError, match="another process"), second.held():
        pass


@pytest.mark.fault("D14")
@pytest.mark.parametrize("damage", ["missing", "damaged", "both"])
def test_chunks_that_cannot_be_read_are_unprocessed_in_map_areas_and_grains(
    damage: str, mosaic: Path, classifier: Classifier
) -> None:
    whole = mapped(mosaic, classifier)
    lost = np.zeros(whole.grid.shape, bool)
    if damage != "missing":
        (mosaic / "c" / "1" / "2" / "0").write_bytes(b"not zstd")
        lost[2:4, 4:6] = True
    if damage != "damaged":
        (mosaic / "c" / "3" / "0" / "0").unlink()
        lost[6:8, 0:2] = True
    found = mapped(mosaic, classifier)
    np.testing.assert_array_equal(found.processed, ~lost)
    np.testing.assert_array_equal(found.labels[~lost], whole.labels[~lost])
    assert not found.labels[lost].any()
    assert not found.probabilities[lost].any()
    table = areas(found).set_index("mineral")
    assert table.loc["not processed", "area_px"] == lost.sum() * TILE**2
    assert measure(found).totals_px.sum() == pytest.approx((~lost).sum() * TILE**2)
    expected = {"missing": (1, 0), "damaged": (0, 1), "both": (1, 1)}[damage]
    assert (found.run.missing_chunks, found.run.damaged_chunks) == expected
    assert any("30 tiles or chunks" in warning for warning in found.warnings)
    codes = grain_map(found, Micrograph.open(mosaic, options=SALVAGED)).codes
    blank = lost.repeat(TILE // 2, axis=0).repeat(TILE // 2, axis=1)
    assert not codes[blank].any()
    assert (codes[~blank] > 0).mean() > 0.99


@pytest.mark.fault("D15")
def test_parts_with_damage_are_tried_again(mosaic: Path, classifier: Classifier, tmp_path: Path) -> None:
    whole = mapped(mosaic, classifier)
    chunk = mosaic / "c" / "1" / "2" / "0"
    content = chunk.read_bytes()
    opened = Micrograph.open(mosaic, options=SALVAGED)
    parts = part_folder(tmp_path / "r.oremap", opened, classifier, PLAIN)
    assert parts is not None
    chunk.write_bytes(b"")
    with parts.held():
        damaged = Micrograph.open(mosaic, options=SALVAGED)
        assert not run(resumable_steps(damaged, classifier, PLAIN, parts)).processed.all()
        chunk.write_bytes(content)
        repaired = Micrograph.open(mosaic, options=SALVAGED)
        assert 0 < len(parts.known(7)) < 7
        assert_same(run(resumable_steps(repaired, classifier, PLAIN, parts)), whole)


def test_a_picture_that_goes_away_or_has_no_readable_chunk_is_an_error(
    mosaic: Path, classifier: Classifier, tmp_path: Path
) -> None:
    opened = Micrograph.open(mosaic, options=SALVAGED)
    mosaic.rename(tmp_path / "away")
    with pytest.raises(PictureError, match="no longer there"):
        run(resumable_steps(opened, classifier, PLAIN, part_folder(tmp_path / "r", Micrograph.open(tmp_path / "away"), classifier, PLAIN)))  # fmt: skip
    (tmp_path / "away").rename(mosaic)
    for chunk in (mosaic / "c").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(b"")
    with pytest.raises(PictureError, match="none of its 30"):
        mapped(mosaic, classifier)


KILLED = """
import sys
from pathlib import Path
from napari_ore_minerals.models.devices import prepare_process
prepare_process()
from napari_ore_minerals.maps import resumable
from napari_ore_minerals.maps.batch import batch_steps
from napari_ore_minerals.maps.records import ClassifyOptions
from napari_ore_minerals.models.classifier import Classifier
from napari_ore_minerals.progress import run
resumable.PART_TILES = 16
picture, model, out = map(Path, sys.argv[1:])
options = ClassifyOptions(batch_size=5, precision="fp32", device="cpu")
classifier = Classifier.load(model, device="cpu", precision="fp32")
(outcome,) = run(batch_steps([picture], classifier, options, out=out), lambda at: print(at.done, flush=True))
sys.exit(outcome.problem or 0)
"""


@pytest.mark.fault("D15")
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9")
def test_kill_9_and_again_gives_the_same_files(
    mosaic: Path, micro_model: Path, classifier: Classifier, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(mosaic), str(micro_model), str(tmp_path / "killed")]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert killed.stdout is not None
    for line in killed.stdout:
        if int(line) >= 35:
            break
    killed.send_signal(signal.SIGKILL)
    killed.wait(20)
    folder = result_folder(mosaic, tmp_path / "killed")
    if not folder.exists():
        assert len(list((tmp_path / "killed").rglob("*.part"))) >= 2
    subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert [file.name for file in (tmp_path / "killed").iterdir()] == [folder.name]
    (outcome,) = run(batch_steps([mosaic], classifier, PLAIN, out=tmp_path / "whole"))
    other = outcome.folder
    names = sorted(file.name for file in other.iterdir())
    assert names == sorted(file.name for file in folder.iterdir())
    for name in names:
        if name != "run.json":
            assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    clock = {"seconds": 0, "created": "", "device": ""}  # which counts threads
    one, two = (read_result(path).run.model_copy(update=clock) for path in (folder, other))
    assert one == two


def test_a_batch_tells_how_much_was_damaged(mosaic: Path, classifier: Classifier, tmp_path: Path) -> None:
    (mosaic / "c" / "1" / "2" / "0").write_bytes(b"")
    (outcome,) = run(batch_steps([mosaic], classifier, PLAIN, out=tmp_path / "out"))
    assert outcome.problem == ""
    assert read_result(outcome.folder).run.damaged_chunks == 1
    (again,) = run(batch_steps([mosaic], classifier, PLAIN, out=tmp_path / "out"))
    assert again.done_before
