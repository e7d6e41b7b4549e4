"""Classifier and devices: batch sizes, precision, and what is said when hardware is missing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_ore_minerals.errors import DeviceError, ModelError, OptionError
from napari_ore_minerals.models import classifier as classifier_module
from napari_ore_minerals.models import devices
from napari_ore_minerals.models.batch_size import BatchSize
from napari_ore_minerals.models.classifier import Classifier, bundled
from napari_ore_minerals.models.devices import choose_device, choose_precision
from napari_ore_minerals.widgets.short_batches import ShortBatches, WaitedForClassifier


@pytest.fixture(scope="module")
def fp32(micro_model: Path) -> Classifier:
    return Classifier.load(micro_model, device="cpu", precision="fp32")


def tiles(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_evidence_has_logits_and_maps_of_all_classes(fp32: Classifier) -> None:
    evidence = fp32.predict(tiles(3))
    assert evidence.logits.shape == (3, 6)
    assert evidence.class_maps.shape == (3, 6, 4, 4)
    np.testing.assert_allclose(evidence.class_maps.mean(axis=(2, 3)), evidence.logits, atol=1e-5)


def test_normalisation_is_that_of_the_card(fp32: Classifier) -> None:
    white = fp32.normalised(np.full((1, 32, 32, 3), 255, np.uint8))
    expected = (1 - np.array(fp32.card.mean)) / np.array(fp32.card.std)
    np.testing.assert_allclose(white[0, :, 0, 0], expected, rtol=1e-5)


def test_a_batch_gives_what_its_tiles_give_alone(fp32: Classifier) -> None:
    together = fp32.predict(tiles(5)).logits
    alone = np.concatenate([fp32.predict(tile[np.newaxis]).logits for tile in tiles(5)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_probabilities_are_a_softmax_with_temperature(micro_model: Path) -> None:
    cold = Classifier.load(micro_model, precision="fp32")
    cold.card = cold.card.model_copy(update={"temperature": 2.0})
    shares = cold.probabilities(np.array([[2.0, 0.0, 0.0, 0.0, 0.0, 0.0]], np.float32))
    assert shares[0, 0] == pytest.approx(np.e / (np.e + 5), rel=1e-5)
    assert shares.sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 31, 31, 3), np.uint8), np.zeros((1, 32, 32, 3)), np.zeros((32, 32, 3), np.uint8)]
)
def test_tiles_of_another_form_are_refused(fp32: Classifier, wrong: np.ndarray) -> None:
    with pytest.raises(OptionError, match="uint8"):
        fp32.predict(wrong)


def test_explain_names_a_mineral(fp32: Classifier) -> None:
    heat = fp32.explain(tiles(1)[0], mineral="gold", method="layercam")
    assert heat.shape == (32, 32)


def test_the_fastest_batch_size_is_found() -> None:
    batch = BatchSize(largest=64)
    for _ in range(20):
        batch.record(batch.size, seconds=batch.size / min(batch.size, 16))  # no faster above 16
    assert batch.settled
    assert batch.size == 16


def test_the_first_batch_of_a_size_is_not_what_decides() -> None:
    batch, seen = BatchSize(largest=8), set()
    for _ in range(20):
        slow_start = 1.0 if batch.size not in seen else 0.0
        seen.add(batch.size)
        batch.record(batch.size, seconds=slow_start + 0.1)
    assert batch.size == 8


def test_a_size_is_tried_again_before_it_is_given_up() -> None:
    batch, disturbed = BatchSize(largest=16), 4
    for _ in range(40):
        busy = batch.size == 8 and disturbed > 0
        disturbed -= busy
        batch.record(batch.size, seconds=3.0 if busy else 1.0)
    assert (batch.size, batch.settled) == (16, True)


def test_batches_halve_down_to_one() -> None:
    batch = BatchSize(largest=4, size=4)
    assert [batch.halve(), batch.size, batch.halve(), batch.size, batch.halve()] == [True, 2, True, 1, False]
    batch.record(1, 0.1)
    assert batch.size == 1


def test_bf16_agrees_with_fp32_where_it_is_used(micro_model: Path, fp32: Classifier) -> None:
    quick = Classifier.load(micro_model, device="cpu", precision="bf16")
    if quick.precision == "fp32":
        assert quick.notices
        pytest.skip(quick.notices[0])
    difference = quick.probabilities(quick.predict(tiles(8)).logits) - fp32.probabilities(
        fp32.predict(tiles(8)).logits
    )
    assert np.abs(difference).max() < classifier_module.LARGEST_DIFFERENCE


def test_the_batch_size_is_found_once_for_all_pictures(micro_model: Path) -> None:
    classifier = WaitedForClassifier.load(micro_model, device="cpu")
    first = classifier.batch_size()
    assert isinstance(first, ShortBatches)
    assert not first.settled
    first.record(first.size, 0.01)
    assert classifier.batch_size().rates, "small pictures find it together"
    while not first.settled:
        first.record(first.size, 0.01 * first.size)  # as fast at any size
    again = classifier.batch_size()
    assert again is not first
    assert (again.size, again.settled, again.largest) == (first.size, True, first.largest)
    assert isinstance(again, ShortBatches), "a computer that has become slow still gets shorter ones"
    assert classifier.batch_size(7).size == 7


def test_a_bf16_that_disagrees_is_not_used(micro_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "choose_precision", lambda device, precision: ("bf16", ""))
    monkeypatch.setattr(classifier_module, "LARGEST_DIFFERENCE", -1.0)
    careful = Classifier.load(micro_model, device="cpu")
    assert careful.precision == "fp32"
    assert "differ" in careful.notices[0]


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(DeviceError, match="no cuda device"):
        choose_device("cuda")
    assert choose_device("auto").torch_device.type in ("cpu", "mps", "xpu")


@pytest.mark.parametrize(
    ("answer", "variable", "expected"),
    [
        ("yes", None, "bf16"),
        ("without AMX", None, "fp32"),
        ("without AMX", "AVX512_CORE_BF16", "bf16"),
        ("no", None, "fp32"),
    ],
)
def test_bf16_is_used_only_where_it_is_safe(
    monkeypatch: pytest.MonkeyPatch, answer: str, variable: str | None, expected: str
) -> None:
    monkeypatch.setattr(devices, "cpu_bf16", lambda: devices.CpuBf16(answer, 0.9))
    monkeypatch.delenv(devices.ISA_VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(devices.ISA_VARIABLE, variable)
    precision, notice = choose_precision(torch.device("cpu"), "bf16")
    assert precision == expected
    assert bool(notice) == (expected == "fp32")


@pytest.mark.parametrize(
    ("answer", "variable", "expected"),
    [
        (("yes", 2.4), None, "bf16"),
        (("yes", 1.1), None, "fp32"),
        (("without AMX", 2.4), None, "fp32"),
        (("without AMX", 2.4), devices.ISA_WITHOUT_AMX, "bf16"),
        (("without AMX", 0.9), devices.ISA_WITHOUT_AMX, "fp32"),
        (("no", 0.0), None, "fp32"),
    ],
)
def test_bf16_is_chosen_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[str, float], variable: str | None, expected: str
) -> None:
    monkeypatch.setattr(devices, "cpu_bf16", lambda: devices.CpuBf16(*answer))
    monkeypatch.delenv(devices.ISA_VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(devices.ISA_VARIABLE, variable)
    assert choose_precision(torch.device("cpu")) == (expected, "")


def test_a_process_that_dies_of_bf16_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    died_with_amx = "import os; os.environ.get('ONEDNN_MAX_CPU_ISA') or os.abort(); print('bf16 works 2.5')"
    monkeypatch.setattr(devices, "_PROBE", died_with_amx)
    monkeypatch.setattr(devices, "_cpu_features", lambda: {"avx512_bf16", "amx_bf16"})
    monkeypatch.setattr(devices, "_memory_file", lambda: tmp_path / "cpu.json")
    monkeypatch.delenv(devices.ISA_VARIABLE, raising=False)
    assert devices.cpu_bf16() == ("without AMX", 2.5)
    monkeypatch.setattr(devices, "_PROBE", "raise SystemExit(1)")
    assert devices.cpu_bf16() == ("without AMX", 2.5), "the answer is remembered"
    devices.prepare_process()
    assert os.environ[devices.ISA_VARIABLE] == devices.ISA_WITHOUT_AMX
    for damaged in ("[]", '{"a": "yes"}', '{"a": ["yes", "fast"]}'):
        (tmp_path / "cpu.json").write_text(damaged)
        assert devices.cpu_bf16() == devices.NO_BF16


def test_threads_wait_asleep_unless_the_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in devices.WAITING_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    devices.prepare_process()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    devices.prepare_process()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    devices.prepare_process()
    assert os.environ["GOMP_SPINCOUNT"] == devices.SPINS


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide for themselves")
@pytest.mark.parametrize("variable", [None, "MALLOC_TRIM_THRESHOLD_"])
def test_memory_that_is_freed_is_kept_for_the_next_layer(variable: str | None) -> None:
    """Else each block is mapped anew, page by page; whoever has set glibc's variables is left alone."""
    program = (
        "import resource\n"
        "from napari_ore_minerals.models.devices import prepare_process\n"
        "prepare_process()\n"
        "import numpy as np\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "np.ones(48 << 20, np.uint8)\n"
        "begun = faults()\n"
        "for _ in range(5): np.ones(48 << 20, np.uint8)\n"
        "print(faults() - begun)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in devices.MALLOC_VARIABLES}
    if variable is not None:
        environment[variable] = "131072"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    if variable is None:
        assert int(done.stdout) < 100
    else:
        assert int(done.stdout) > 100


def test_a_model_can_be_used_in_bf16_in_a_fresh_process(micro_model: Path) -> None:
    """The whole path on this very processor, which must not die of an illegal instruction."""
    program = (
        "import sys, numpy as np\n"
        "from napari_ore_minerals.models.devices import prepare_process\n"
        "prepare_process()\n"
        "from napari_ore_minerals.models.classifier import Classifier\n"
        "c = Classifier.load(sys.argv[1], device='cpu')\n"
        "print(c.precision, np.isfinite(c.predict(np.zeros((4, 32, 32, 3), np.uint8)).logits).all())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != devices.ISA_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", program, str(micro_model)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "True"


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512")
    or not torch.backends.mkl.is_available(),
    reason="only MKL with these instructions promises the same sums for any number of threads",
)
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_answers_do_not_depend_on_the_number_of_threads(precision: devices.Precision) -> None:
    classifier = Classifier.load(bundled(), device="cpu", precision=precision)
    pixels = np.random.default_rng(1).integers(
        0, 256, (2, *[classifier.card.input_px] * 2, 3), dtype=np.uint8
    )
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(classifier.predict(pixels))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].logits, other.logits)
        np.testing.assert_array_equal(found[0].class_maps, other.class_maps)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no model"):
        Classifier.load(tmp_path)
