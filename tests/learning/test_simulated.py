from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from napari_ore_minerals.learning.simulated import (
    SimulatedPictures,
    simulated_samples_steps,
    simulated_tiles,
    usual_laboratory,
)
from napari_ore_minerals.progress import run

SMALL = SimulatedPictures(10, 2, picture_px=128, tile_px=64, input_px=32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    seen = []
    return cache, run(simulated_samples_steps(SMALL, cache, workers=1), seen.append), seen


def test_every_picture_gives_all_its_tiles_under_its_seed(made):
    _, samples, seen = made
    assert samples.tiles.shape == (8, 32, 32, 3)
    assert samples.groups.tolist() == [10] * 4 + [11] * 4
    assert [progress.done for progress in seen] == [1, 2]
    np.testing.assert_allclose(samples.fractions.sum(axis=1), 1.0, atol=1e-6)


def test_the_cache_gives_the_same_without_simulating(made):
    cache, samples, _ = made
    seen = []
    again = run(simulated_samples_steps(SMALL, cache, workers=1), seen.append)
    assert not seen
    assert isinstance(again.tiles, np.memmap)
    np.testing.assert_array_equal(again.tiles, samples.tiles)
    direct = simulated_tiles(SMALL, 11)
    np.testing.assert_array_equal(again.tiles[4:], direct.tiles)
    np.testing.assert_array_equal(again.dense[4:], direct.dense)


def test_a_stop_gives_what_was_made_and_keeps_nothing(tmp_path):
    samples = run(simulated_samples_steps(SMALL, tmp_path, workers=1), lambda _: True)
    assert samples.groups.tolist() == [10] * 4
    assert not list(tmp_path.iterdir())


def test_other_settings_have_another_place():
    keys = {
        SMALL.key(),
        SimulatedPictures(11, 2, 128, 64, 32).key(),
        SimulatedPictures(10, 3, 128, 64, 32).key(),
    }
    assert len(keys) == 3


def test_laboratories_come_from_the_generator_alone():
    first, second, third = (usual_laboratory(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second
    assert first != third


@pytest.mark.slow
def test_a_script_without_a_main_part_is_told_what_to_do(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from napari_ore_minerals.learning.simulated import SimulatedPictures, simulated_samples_steps\n"
        "from napari_ore_minerals.progress import run\n"
        f"run(simulated_samples_steps(SimulatedPictures(1, 1, picture_px=256), Path({str(tmp_path)!r}), workers=1))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "JobError: a process that simulates pictures ended" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["script.py"]
