"""What a picture leaves open is asked for, answered by a flag, and known again with the result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ore_minerals import cli
from napari_ore_minerals.exports.reporting import find_picture
from napari_ore_minerals.images.micrograph import Micrograph
from napari_ore_minerals.images.pixels import ReadOptions
from napari_ore_minerals.maps.files import read_result


def call(*arguments: object) -> int:
    """What the shell would see as the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["ore-minerals", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


@pytest.fixture
def grey_levels() -> np.ndarray:
    """Colours of 96 x 96 px grains, 0 to 254."""
    random = np.random.default_rng(0)
    return random.integers(0, 255, (3, 3, 3)).repeat(96, axis=0).repeat(96, axis=1)


def classified(path: Path, model: Path, *flags: object) -> Path:
    out = path.parent / "results"
    assert call("classify", path, "--model", model, "--out", out, *flags) == 0
    return out / f"{path.name}.oremap"


def test_a_plane_and_a_depth_are_given_by_flags(
    grey_levels: np.ndarray, micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "stack.tif"
    planes = np.stack([grey_levels * scale for scale in (1, 2, 3)]).astype(np.uint16)
    tifffile.imwrite(path, planes, photometric="rgb")
    assert call("classify", path, "--model", micro_model) == 2
    asked = capsys.readouterr().err
    assert "stack.tif: holds a stack of planes, axis 0 0 to 2; say which one with plane" in asked
    assert "stack.tif: stack.tif" not in asked

    found = read_result(classified(path, micro_model, "--plane", 2, "--bit-depth", 10))
    wanted = Micrograph.open(path, options=ReadOptions(plane=(2,), bit_depth=10))
    assert found.picture.fingerprint == wanted.fingerprint()
    assert np.abs(wanted.read().rgb - grey_levels * 3 / 1023 * 255).max() <= 0.5
    assert "bit depth" not in capsys.readouterr().err, "nothing was assumed"

    again, why = find_picture(found)
    assert why == ()
    assert again is not None
    assert again.fingerprint() == wanted.fingerprint(), "the report opens the same plane"
    assert call("areas", tmp_path / "results") == 0


def test_a_range_of_values_that_cannot_be_guessed_is_given_by_a_flag(
    grey_levels: np.ndarray, micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "float.tif"
    tifffile.imwrite(path, (grey_levels / 100).astype(np.float32), photometric="rgb")
    assert call("classify", path, "--model", micro_model) == 2
    assert "value range: low, high" in capsys.readouterr().err
    folder = classified(path, micro_model, "--value-range", 0, 2.55)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert record["picture"]["answers"]["value_range"] == [0, 2.55]
    assert read_result(folder).picture.answers.value_range == (0, 2.55)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--value-range", 3, 0), "the value range must rise from one finite value to another"),
        (("--bit-depth", 17), "--bit-depth must be less than or equal to 16, not 17"),
        (("--channel-order", "brg"), "--channel-order"),
    ],
)
def test_an_answer_that_is_none_is_one_sentence(
    flags: tuple[object, ...],
    said: str,
    micro_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    assert call("classify", tmp_path / "a.tif", "--model", micro_model, *flags) == 1
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("*.oremap"))


def test_a_level_and_a_channel_order_are_given_by_flags(
    grey_levels: np.ndarray, micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pyramid.tif"
    fine = grey_levels.astype(np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(fine, subifds=1, photometric="rgb", tile=(64, 64))
        tiff.write(fine[::2, ::2], subfiletype=1, photometric="rgb", tile=(64, 64))
    found = read_result(classified(path, micro_model, "--level", 1, "--channel-order", "bgr"))
    assert (found.grid.height_px, found.grid.width_px) == (144, 144)
    again = find_picture(found)[0]
    assert again is not None
    assert np.array_equal(again.read().rgb, fine[::2, ::2, ::-1])
    capsys.readouterr()
    assert call("classify", path, "--model", micro_model, "--level", 2) == 2
    assert "there is no level 2; its levels are 0 to 1" in capsys.readouterr().err


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").touch()
    assert call("simulate", "--out", tmp_path / "taken", "--count", 1) == 1
    assert f"{tmp_path / 'taken'} exists and is not replaced" in capsys.readouterr().err
