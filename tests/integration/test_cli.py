"""The command line as a user calls it: real files, real processes where processes matter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_ore_minerals import cli
from napari_ore_minerals.maps.files import read_result
from napari_ore_minerals.models.classifier import BUNDLED, bundled

FILES = {"minerals.tif", "confidence.tif", "heatmaps.tif", "areas.csv", "overlay.png", "run.json"}
HAS_MODEL = any(BUNDLED.glob("*/card.json"))
needs_model = pytest.mark.skipif(not HAS_MODEL, reason="no model is bundled yet (make default-model)")


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


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "napari_ore_minerals", *map(str, arguments)]


@pytest.fixture
def pictures(tmp_path: Path, picture: np.ndarray) -> list[Path]:
    """The same picture as PNG, JPEG and tiled TIFF."""
    folder = tmp_path / "section 7 – größer"
    folder.mkdir()
    png, jpeg, tiff = folder / "a.png", folder / "b.JPG", folder / "c.tif"
    Image.fromarray(picture).save(png)
    Image.fromarray(picture).save(jpeg, format="JPEG", quality=95)
    tifffile.imwrite(tiff, picture, tile=(64, 64), photometric="rgb", compression="zlib")
    return [png, jpeg, tiff]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.tif"
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, np.zeros((300, 300, 3), np.uint8), photometric="rgb", rowsperstrip=16)
    path.write_bytes(whole.read_bytes()[:5000])
    whole.unlink()
    return path


def test_png_jpeg_and_tiled_tiff_give_complete_results(
    pictures: list[Path], micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert call("classify", *pictures, "--model", micro_model, "--out", out, "--um-per-px", 0.5) == 0
    printed = capsys.readouterr().out
    for path in pictures:
        folder = out / (path.name + ".oremap")
        assert {file.name for file in folder.iterdir()} == FILES
        mapped = read_result(folder)
        assert (mapped.um_per_px, mapped.um_per_px_source) == (0.5, "given by the user")
        assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["um_per_px"] == 0.5
        assert str(folder) in printed
    assert "chalcopyrite" in printed
    png, _, tiff = (read_result(out / (path.name + ".oremap")) for path in pictures)
    np.testing.assert_array_equal(png.labels, tiff.labels)


def test_json_can_be_parsed_and_agrees_with_the_folder(
    pictures: list[Path], micro_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("classify", *pictures[:2], "--model", micro_model, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(entry["picture"]) for entry in found] == pictures[:2]
    for entry, path in zip(found, pictures[:2], strict=True):
        assert Path(entry["result"]) == path.with_name(path.name + ".oremap")
        assert sum(row["fraction_of_picture"] for row in entry["areas"]) == pytest.approx(1)
        assert entry["model"]["name"] == "micro"
        assert entry["um_per_px"] is None


def test_a_folder_means_the_pictures_in_it(pictures: list[Path], micro_model: Path, tmp_path: Path) -> None:
    (pictures[0].parent / "notes.txt").write_text("not a picture")
    assert call("classify", pictures[0].parent, "--model", micro_model, "--out", tmp_path / "out") == 0
    assert {folder.name for folder in (tmp_path / "out").iterdir()} == {
        f"{path.name}.oremap" for path in pictures
    }


def test_one_bad_picture_does_not_stop_the_others(
    pictures: list[Path], broken: Path, micro_model: Path, tmp_path: Path
) -> None:
    """In a process of its own: nothing but the sentences may reach standard error."""
    asked = command("classify", pictures[0], broken, pictures[2], "--model", micro_model, "--out", tmp_path)
    done = subprocess.run(asked, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 2, done.stderr
    assert read_result(tmp_path / "a.png.oremap").processed.all()
    assert read_result(tmp_path / "c.tif.oremap").processed.all()
    assert not (tmp_path / "broken.tif.oremap").exists()
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("broken.tif: ")], lines
    assert lines[-1] == "1 of 3 pictures failed"
    strange = [line for line in lines[:-1] if not line.startswith(("broken.tif: ", "c.tif: ", "a.png: "))]
    assert not strange


def test_failures_are_part_of_the_json(
    pictures: list[Path], broken: Path, micro_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = broken.with_name("missing.png")
    assert call("classify", broken, missing, pictures[0], "--model", micro_model, "--json") == 2
    first, second, third = json.loads(capsys.readouterr().out)
    assert first["picture"] == str(broken)
    assert first["error"]
    assert "no such file" in second["error"]
    assert "areas" in third


def test_an_older_result_is_replaced_only_when_asked(
    pictures: list[Path], micro_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("classify", pictures[0], "--model", micro_model)
    assert call(*asked) == 0
    run_file = pictures[0].with_name("a.png.oremap") / "run.json"
    before = run_file.read_bytes()
    capsys.readouterr()
    assert call(*asked, "--um-per-px", 0.7) == 2
    assert run_file.read_bytes() == before
    assert "exists" in capsys.readouterr().err
    assert call(*asked, "--um-per-px", 0.7, "--overwrite") == 0
    assert json.loads(run_file.read_text(encoding="utf-8"))["um_per_px"] == 0.7


def test_what_is_done_is_not_done_again_and_one_table_holds_all(
    pictures: list[Path], broken: Path, micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--model", micro_model, "--out", tmp_path / "out")
    asked = ("classify", pictures[0].parent, *flags)
    assert call(*asked) == 0
    runs = {path: path.read_bytes() for path in (tmp_path / "out").glob("*/run.json")}
    table = tmp_path / "areas of all.csv"
    capsys.readouterr()
    assert call("classify", pictures[0].parent, broken, *flags, "--device", "cpu", "--table", table) == 2
    assert capsys.readouterr().out.count("(done before)") == 3
    assert {path: path.read_bytes() for path in runs} == runs
    rows = pd.read_csv(table)
    assert set(rows["picture"]) == {str(path) for path in (*pictures, broken)}
    assert rows.groupby("picture")["fraction_of_picture"].sum()[str(pictures[0])] == pytest.approx(1)
    assert rows.loc[rows["picture"] == str(broken), "problem"].notna().all()
    assert rows.columns[-1] == "problem"
    told = rows[rows["picture"] != str(broken)]
    assert (told["scale"] == "not known").all()
    assert told[["program", "model", "model sha256", "options", "software"]].notna().all(axis=None)
    assert call(*asked, "--table", table) == 1
    assert call(*asked, "--min-confidence", 0.9) == 2
    assert "differs in options" in capsys.readouterr().err


def test_two_pictures_of_one_name_do_not_overwrite_each_other(
    pictures: list[Path], micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "elsewhere" / pictures[0].name
    other.parent.mkdir()
    other.write_bytes(pictures[0].read_bytes())
    assert call("classify", pictures[0], other, "--model", micro_model, "--out", tmp_path / "out") == 1
    assert str(other) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--um-per-px", "-1"], "um"),
        (["--um-per-px", "nan"], "um"),
        (["--min-confidence", "2"], "--min-confidence must be less than or equal to 1, not 2"),
        (["--batch-size", "0"], "--batch-size must be greater than or equal to 1, not 0"),
        (["--tile-px", "eight"], "tile"),
        (["--device", "abacus"], "device"),
        (["--precision", "fp8"], "precision"),
        (["--no-such-flag"], "no-such-flag"),
    ],
)
def test_a_bad_option_gives_a_sentence_and_1(
    pictures: list[Path],
    micro_model: Path,
    flags: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("classify", pictures[0], "--model", micro_model, *flags) == 1
    printed = capsys.readouterr()
    assert expected in printed.err.lower()
    assert printed.err.startswith("ore-minerals: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_stride_that_does_not_suit_the_model_is_said_of_each_picture(
    pictures: list[Path], micro_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("classify", *pictures, "--model", micro_model, "--stride-px", 7) == 2
    assert capsys.readouterr().err.count("7 does not divide 64 px") == 3


def test_a_model_that_is_none_and_a_folder_without_pictures_are_wrong_calls(
    pictures: list[Path], micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("classify", pictures[0], "--model", tmp_path) == 1
    assert "is no model" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert call("classify", tmp_path / "empty", "--model", micro_model) == 1
    assert "no pictures" in capsys.readouterr().err


def test_pictures_in_folders_below_are_told(
    pictures: list[Path], micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("all/A", "all/B", "all/.hidden", "all/results"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(pictures[0], tmp_path / place)
    (tmp_path / "all" / "results" / "one.png.oremap").mkdir()
    assert call("classify", tmp_path / "all", "--model", micro_model) == 1
    told = capsys.readouterr().err
    assert f"not taken ({tmp_path / 'all' / 'A'} and 1 more): name these folders too" in told
    assert call("classify", tmp_path / "all", tmp_path / "all" / "A", "--model", micro_model) == 0
    assert f"not taken ({tmp_path / 'all' / 'B'}): name" in capsys.readouterr().err
    assert call("classify", *(tmp_path / "all" / name for name in "AB"), "--model", micro_model) == 0
    assert "not taken" not in capsys.readouterr().err


def test_a_folder_without_pictures_beside_others_is_told(
    pictures: list[Path], micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert call("classify", tmp_path / "empty", pictures[0], "--model", micro_model) == 0
    assert f"{tmp_path / 'empty'} holds no pictures" in capsys.readouterr().err
    assert call("areas", tmp_path / "empty", pictures[0].with_name("a.png.oremap")) == 0
    assert f"{tmp_path / 'empty'} holds no result folders" in capsys.readouterr().err


def test_the_bundled_model_has_the_name_that_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = bundled().name
    monkeypatch.chdir(tmp_path)
    assert call("models", "show", name) == 0
    assert f'"name": "{name}"' in capsys.readouterr().out
    (tmp_path / name).mkdir()
    assert call("models", "show", name) == 1, "a folder of that name is meant"
    assert "is no model" in capsys.readouterr().err


def test_models_show_prints_the_card(micro_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "show", micro_model) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["architecture"] == "ore_swin_micro"
    assert card == json.loads((micro_model / "card.json").read_text(encoding="utf-8"))


def test_info_names_versions_and_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info") == 0
    printed = capsys.readouterr().out
    for word in ("napari-ore-minerals", "torch", "device", "precision", "bundled model"):
        assert word in printed


def test_simulate_writes_pictures_and_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("simulate", "--count", 2, "--seed", 5, "--height-px", 128, "--width-px", 160, "--out", tmp_path)
    assert call(*asked) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00005-mask.png",
        "00005.png",
        "00006-mask.png",
        "00006.png",
    ]
    with Image.open(tmp_path / "00006.png") as rgb, Image.open(tmp_path / "00006-mask.png") as mask:
        assert (rgb.mode, mask.mode, rgb.size, mask.size) == ("RGB", "L", (160, 128), (160, 128))
    before = (tmp_path / "00005.png").read_bytes()
    capsys.readouterr()
    assert call(*asked) == 1
    assert "exists" in capsys.readouterr().err
    assert (tmp_path / "00005.png").read_bytes() == before


@needs_model
def test_demo_leaves_a_picture_and_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # an earlier demo is replaced
        assert call("demo", "--out", tmp_path) == 0
    assert {file.name for file in (tmp_path / "sample.png.oremap").iterdir()} == FILES
    assert "true % of picture" in capsys.readouterr().out


@needs_model
def test_the_bundled_model_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "list") == 0
    assert "bundled" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.fault("W5", "W6")
@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_what_is_finished(
    micro_model: Path, tmp_path: Path, picture: np.ndarray, sent: signal.Signals, code: int
) -> None:
    first, second = tmp_path / "1.png", tmp_path / "2.tif"
    Image.fromarray(picture).save(first)
    tifffile.imwrite(second, np.tile(picture, (40, 30, 1)), photometric="rgb", tile=(256, 256))
    asked = command("classify", first, second, "--model", micro_model, "--batch-size", 1, "--tile-px", 16)
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finished = tmp_path / "1.png.oremap"
    try:
        deadline = time.monotonic() + 120
        while not finished.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, errors
    assert "finished results are kept" in errors
    assert "Traceback" not in errors
    assert {file.name for file in finished.iterdir()} == FILES
    parts, shown = (
        [path.name for path in tmp_path.iterdir() if path.name.startswith(".") is hidden]
        for hidden in (True, False)
    )
    assert sorted(shown) == ["1.png", "1.png.oremap", "2.tif"]
    assert all(name.startswith(".2.tif.oremap-") and "-part-" in name for name in parts), "to go on with"


@pytest.mark.parametrize("arguments", [["--help"], ["classify", "--help"], ["--version"]])
def test_help_does_not_load_torch(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from napari_ore_minerals import cli\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n    cli.main()\n"
        "except SystemExit as end:\n    code = end.code or 0\n"
        "heavy = {'torch', 'timm', 'napari', 'pandas', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


PREPARED_FIRST = """
import sys
from napari_ore_minerals import cli
from napari_ore_minerals.models import devices

def look():
    sys.exit(3 if "torch" in sys.modules else 4)

devices.prepare_process = look
sys.argv[0] = "ore-minerals"
cli.main()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--out", "demo"],
        ["classify", "a.png"],
        ["cells", "classify", "cells", "a.png"],
        ["learn", "--corrections", "a.jsonl"],
    ],
    ids=["demo", "classify", "cells", "learn"],
)
def test_the_process_is_prepared_before_torch_is_there(arguments: list[str], tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", PREPARED_FIRST, *arguments], cwd=tmp_path, check=False)
    assert ended.returncode == 4


@pytest.mark.slow
def test_help_is_quick() -> None:
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run(command("--help"), capture_output=True, check=True)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 1.5


def test_another_calibration_of_a_model_is_not_taken_for_the_same_result(
    pictures: list[Path], micro_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("classify", pictures[0], "--model", micro_model) == 0
    calibrated = shutil.copytree(micro_model, tmp_path / "calibrated")
    card = json.loads((calibrated / "card.json").read_text(encoding="utf-8"))
    (calibrated / "card.json").write_text(json.dumps(card | {"temperature": 0.25}), encoding="utf-8")
    assert call("classify", pictures[0], "--model", calibrated) == 2
    assert "differs in calibration" in capsys.readouterr().err
