"""``ore-minerals``: the same as in napari, without a screen."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import App, CycloptsError, Parameter, validators

from napari_ore_minerals import __version__
from napari_ore_minerals.errors import ModelError, OreMineralsError, ResultError
from napari_ore_minerals.maps.records import ClassifyOptions

if TYPE_CHECKING:
    import pandas as pd

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.models.classifier import Classifier
    from napari_ore_minerals.progress import Progress, Steps

SOME_FAILED = 2
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
Result = TypeVar("Result")
_DEFAULTS = ClassifyOptions()
_Count = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100_000))]
_Scale = Annotated[float, Parameter(validator=validators.Number(gt=0))]
_Side = Annotated[int, Parameter(validator=validators.Number(gte=64, lte=16_384))]

app = App(
    name="ore-minerals",
    version=__version__,
    help="Which ore minerals are in a photograph of a polished section, and how much of each.",
    suppress_keyboard_interrupt=False,
)
models_app = App(name="models", help="The models that can be used.")
app.command(models_app)


@app.command
def demo(
    *, out: Path = Path("demo"), options: Annotated[ClassifyOptions, Parameter(name="*")] = _DEFAULTS
) -> int:
    """Classify a simulated micrograph with the bundled model and show how it is used.

    Parameters
    ----------
    out
        Folder for the picture and its result; what an earlier demo left there is replaced.
    """
    from napari_ore_minerals.images.simulation import sample_micrographs

    name, sample = next(iter(sample_micrographs().items()))
    path = out / "sample.png"
    _write_png(path, sample.rgb)
    print(f"Simulated micrograph: {name} ({path})")
    classifier = _load(None, options)
    micrograph = _open(path, um_per_px=sample.um_per_px)
    mineral_map = _classified(micrograph, classifier, options)
    folder = _written(mineral_map, micrograph, path, out, overwrite=True)
    _print_areas(mineral_map, truth=sample.mask)
    print(f"\nLook at {folder / 'overlay.png'}")
    print("Next: ore-minerals classify YOUR_PICTURE, or ore-minerals view YOUR_PICTURE for napari.")
    return 0


@app.command
def classify(  # noqa: PLR0913 - a command's flags
    pictures: list[Path],
    /,
    *,
    out: Path | None = None,
    model: Path | None = None,
    um_per_px: _Scale | None = None,
    overwrite: bool = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    options: Annotated[ClassifyOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """Classify photographs of polished sections and write a result folder for each.

    Example: ore-minerals classify PS-07.tif --um-per-px 0.5 --out results

    Parameters
    ----------
    pictures
        PNG, JPEG, BMP or TIFF files, or folders of them.
    out
        Where the result folders go; by default beside each picture.
    model
        Model folder; by default the bundled model.
    um_per_px
        Micrometres per pixel, for pictures that do not tell.
    overwrite
        Replace older results.
    json_output
        Print the results as JSON instead of tables.
    """
    paths = list(_pictures(pictures))
    if not paths:
        return _fail("no pictures (PNG, JPEG, BMP, TIFF) were found in what was named")
    classifier = _load(model, options)
    failures, found = 0, []
    for path in paths:
        try:
            micrograph = _open(path, um_per_px=um_per_px)
            mineral_map = _classified(micrograph, classifier, options)
            folder = _written(mineral_map, micrograph, path, out, overwrite=overwrite)
        except (OreMineralsError, OSError, MemoryError) as error:
            failures += 1
            _tell(f"{path.name}: {_sentence(error)}")
            found.append({"picture": str(path), "error": _sentence(error)})
            continue
        found.append(_as_json(mineral_map, path, folder))
        if not json_output:
            print(f"\n{path.name} -> {folder}")
            _print_areas(mineral_map)
    if json_output:
        print(json.dumps(found, indent=2))
    if failures:
        _tell(f"{failures} of {len(paths)} pictures failed")
    return SOME_FAILED if failures else 0


@app.command
def view(picture: Path | None = None, /, *, sample: bool = False) -> int:
    """Open napari with the Classify dock.

    Parameters
    ----------
    picture
        Picture to open.
    sample
        Open a simulated micrograph instead.
    """
    arguments = ["--sample"] if sample else []
    if picture is not None:
        arguments.append(str(picture))
    return subprocess.call([sys.executable, "-m", "napari_ore_minerals.widgets.view", *arguments])  # noqa: S603


@app.command
def simulate(
    *, out: Path, count: _Count = 10, seed: int = 0, height_px: _Side = 1024, width_px: _Side = 1024
) -> int:
    """Write simulated reflected-light micrographs and their exact masks.

    Parameters
    ----------
    out
        Folder for the pictures; files of the same names are not replaced.
    count
        How many.
    seed
        The first picture's seed; the next ones follow it.
    height_px, width_px
        Size of the pictures.
    """
    from napari_ore_minerals.images.simulation import SimulationOptions
    from napari_ore_minerals.images.simulation import simulate as simulated
    from napari_ore_minerals.progress import Progress

    def steps() -> Steps[None]:
        for number in range(seed, seed + count):
            micrograph = simulated(number, SimulationOptions(height_px=height_px, width_px=width_px))
            _write_png(out / f"{number:05d}.png", micrograph.rgb, replace=False)
            _write_png(out / f"{number:05d}-mask.png", micrograph.mask, replace=False)
            yield Progress(number - seed + 1, count, "pictures", "simulating")

    _with_bar(steps())
    print(
        f"{count} pictures and their masks (values are mineral codes, see `ore-minerals models show`) in {out}"
    )
    return 0


@models_app.command(name="list")
def list_models() -> int:
    """List the models that are here."""
    from napari_ore_minerals.models.card import read_card
    from napari_ore_minerals.models.classifier import bundled

    card = read_card(bundled())
    names = ", ".join(mineral.name for mineral in card.minerals)
    print(f"{card.name} {card.version}  (bundled)  {card.architecture}  {names}")
    return 0


@models_app.command
def show(model: Path | None = None, /) -> int:
    """Print a model's card.

    Parameters
    ----------
    model
        Model folder; by default the bundled model.
    """
    from napari_ore_minerals.models.card import read_card
    from napari_ore_minerals.models.classifier import bundled

    print(read_card(bundled() if model is None else model).to_json(), end="")
    return 0


@app.command
def info() -> int:
    """Print versions, devices and what would be used."""
    from importlib.metadata import PackageNotFoundError, version

    from napari_ore_minerals.models.classifier import bundled
    from napari_ore_minerals.models.devices import choose_device, choose_precision, prepare_process

    prepare_process()
    for name in (
        "napari-ore-minerals",
        "torch",
        "timm",
        "grad-cam",
        "scikit-image",
        "tifffile",
        "napari",
        "npe2",
    ):
        try:
            print(f"{name:20} {version(name)}")
        except PackageNotFoundError:
            print(f"{name:20} not installed")
    device = choose_device()
    precision, notice = choose_precision(device.torch_device)
    print(f"{'device':20} {device.title} ({device.why})")
    print(f"{'precision':20} {precision}" + (f" ({notice})" if notice else ""))
    try:
        print(f"{'bundled model':20} {bundled().name}")
    except ModelError:
        print(f"{'bundled model':20} none")
    return 0


def main() -> None:
    """Run the command line; exit code 0, 1 for a wrong call, 2 where some pictures failed, 130 after Ctrl+C."""
    logging.getLogger("tifffile").setLevel(
        logging.CRITICAL
    )  # what is wrong with a file is said in a sentence
    try:
        code = app(sys.argv[1:], result_action="return_value", exit_on_error=False)
    except CycloptsError:  # it was printed already
        code = 1
    except OreMineralsError as error:
        code = _fail(_sentence(error))
    except KeyboardInterrupt:
        _tell("stopped; finished results are kept")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _load(model: Path | None, options: ClassifyOptions) -> Classifier:
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.models.classifier import Classifier

    return Classifier.load(model, device=options.device, precision=options.precision)


def _open(path: Path, *, um_per_px: float | None) -> Micrograph:
    from napari_ore_minerals.images.micrograph import Micrograph

    micrograph = Micrograph.open(path, um_per_px=um_per_px)
    for guess in micrograph.guesses:
        _tell(f"{path.name}: assumed {guess}")
    return micrograph


def _classified(micrograph: Micrograph, classifier: Classifier, options: ClassifyOptions) -> MineralMap:
    from napari_ore_minerals.maps.predict import classify_steps

    return _with_bar(classify_steps(micrograph, classifier, options), title=micrograph.name)


def _written(
    mineral_map: MineralMap, micrograph: Micrograph, path: Path, out: Path | None, *, overwrite: bool
) -> Path:
    from napari_ore_minerals.maps.files import result_folder, write_result

    return write_result(mineral_map, result_folder(path, out), micrograph=micrograph, overwrite=overwrite)


def _with_bar(steps: Steps[Result], title: str = "") -> Result:
    """Drain steps with a bar on standard error."""
    from tqdm import tqdm

    from napari_ore_minerals.progress import run

    with _held_interrupt() as interrupted, tqdm(desc=title, unit=" steps", leave=False, disable=None) as bar:

        def show_step(progress: Progress) -> None:
            if interrupted.is_set():
                raise KeyboardInterrupt
            bar.total, bar.unit = progress.total, f" {progress.unit}"
            bar.update(progress.done - bar.n)
            if progress.notice:
                bar.write(progress.notice, file=sys.stderr)

        return run(steps, show_step)


@contextmanager
def _held_interrupt() -> Iterator[threading.Event]:
    """Hold the first Ctrl+C until the next step, since Python loses one that hits a destructor.

    The second acts at once.
    """
    held = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    usual = signal.getsignal(signal.SIGINT)

    def hold(_number: int, _frame: object) -> None:
        held.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, usual)


def _print_areas(mineral_map: MineralMap, truth: Any = None) -> None:
    from napari_ore_minerals.maps.areas import areas

    table: pd.DataFrame = areas(mineral_map)
    shown = table[["mineral", "symbol", "cells"]].copy()
    shown["% of picture"] = (100 * table["fraction_of_picture"]).map("{:.1f}".format)
    shown["% of ore"] = (
        (100 * table["fraction_of_ore"]).map("{:.1f}".format).where(table["kind"] == "ore", "")
    )
    if truth is not None:
        shown["true % of picture"] = [f"{100 * (truth == code).mean():.1f}" for code in table["code"]]
    if mineral_map.um_per_px is not None:
        shown["area, mm2"] = (table["area_um2"] / 1e6).map("{:.4g}".format)
    print(shown.to_string(index=False))
    for warning in mineral_map.warnings:
        print(f"Note: {warning}")


def _as_json(mineral_map: MineralMap, path: Path, folder: Path) -> dict[str, Any]:
    from napari_ore_minerals.maps.areas import areas

    return {
        "picture": str(path),
        "result": str(folder),
        "areas": json.loads(areas(mineral_map).to_json(orient="records")),
        "um_per_px": mineral_map.um_per_px,
        "model": mineral_map.model.model_dump(),
        "seconds": mineral_map.run.seconds,
        "warnings": list(mineral_map.warnings),
    }


def _pictures(named: list[Path]) -> Iterator[Path]:
    """Yield the files that were named and the pictures in the folders that were named."""
    for path in named:
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
        else:
            yield path


def _write_png(path: Path, values: Any, *, replace: bool = True) -> None:
    from PIL import Image

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb" if replace else "xb") as file:
            Image.fromarray(values).save(file, "PNG")
    except FileExistsError as error:
        raise ResultError(f"{path} exists and is not replaced: choose another folder or seed") from error
    except OSError as error:
        raise ResultError(f"{path} could not be written: {error.strerror or error}") from error


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _fail(text: str) -> int:
    _tell(f"ore-minerals: {text}")
    return 1


if __name__ == "__main__":
    main()
