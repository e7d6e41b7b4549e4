"""The commands of ``ore-minerals``."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter, validators

from napari_ore_minerals import __version__
from napari_ore_minerals.cli import areas, dataset, evaluate, foreign, learn, models, report, train
from napari_ore_minerals.cli.console import (
    as_json,
    fail,
    print_areas,
    sentence,
    stoppable,
    tell,
    with_bar,
    write_png,
)
from napari_ore_minerals.errors import ModelError, OreMineralsError
from napari_ore_minerals.maps.records import ClassifyOptions

if TYPE_CHECKING:
    from napari_ore_minerals.models.classifier import Classifier
    from napari_ore_minerals.progress import Steps

SOME_FAILED = 2
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
for part in (areas, report, dataset, train, evaluate, foreign, learn, models):
    part.register(app, models_app)


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
    from napari_ore_minerals.images.simulation import SAMPLES
    from napari_ore_minerals.images.simulation import simulate as simulated
    from napari_ore_minerals.maps.batch import batch_steps
    from napari_ore_minerals.maps.files import read_result

    name, (seed, what) = next(iter(SAMPLES.items()))
    sample = simulated(seed, what)
    path = out / "sample.png"
    write_png(path, sample.rgb)
    print(f"Simulated micrograph: {name} ({path})")
    classifier = _load(None, options)
    steps = batch_steps([path], classifier, options, out=out, um_per_px=sample.um_per_px, overwrite=True)
    (outcome,) = with_bar(steps)
    if outcome.problem:
        return fail(outcome.problem)
    print_areas(read_result(outcome.folder), truth=sample.mask)
    print(f"\nLook at {outcome.folder / 'overlay.png'}")
    print("Next: ore-minerals classify YOUR_PICTURE, or ore-minerals view YOUR_PICTURE for napari.")
    return 0


@app.command
def classify(  # noqa: PLR0913 - a command's flags
    pictures: list[Path],
    /,
    *,
    out: Path | None = None,
    model: str | None = None,
    um_per_px: _Scale | None = None,
    overwrite: bool = False,
    table: Path | None = None,
    reports: Annotated[bool, Parameter(name="--report", negative="")] = False,
    grains: Annotated[bool, Parameter(negative="")] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    options: Annotated[ClassifyOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """Classify photographs of polished sections and write a result folder for each.

    A picture whose result is there already, of the same model and options, is not classified again; a large one
    that was interrupted goes on where it was.

    Example: ore-minerals classify PS-07.tif --um-per-px 0.5 --out results

    Example: ore-minerals classify photographs --out results --table areas.csv

    Parameters
    ----------
    pictures
        PNG, JPEG, BMP or TIFF files, Zarr folders, or folders of them.
    out
        Where the result folders go; by default beside each picture.
    model
        Model folder, number of a version of yours, or bundled; by default your current model.
    um_per_px
        Micrometres per pixel, for pictures that do not tell.
    overwrite
        Classify anew and replace older results.
    table
        CSV file to write with the areas of all pictures; it must not exist.
    reports
        Write an HTML report and an Excel workbook beside each result, as `ore-minerals report` does.
    grains
        Find the grains for these reports.
    json_output
        Print the results as JSON instead of tables.
    """
    paths = list(_pictures(pictures))
    if not paths:
        return fail("no pictures (PNG, JPEG, BMP, TIFF) were found in what was named")
    if table is not None and table.exists():
        return fail(f"{table} exists: name another file for the table")
    from napari_ore_minerals.maps.batch import Outcome, area_table, batch_steps
    from napari_ore_minerals.maps.files import write_areas

    found: list[dict[str, Any]] = []
    damaged: list[str] = []

    def show(outcome: Outcome) -> None:
        for guess in outcome.guesses:
            tell(f"{outcome.picture.name}: assumed {guess}")
        if outcome.map is None:
            tell(f"{outcome.picture.name}: {outcome.problem}")
            found.append({"picture": str(outcome.picture), "error": outcome.problem})
            return
        found.append(as_json(outcome.map, outcome.picture, outcome.folder))
        damaged.extend([outcome.picture.name] * (outcome.map.run.damaged_chunks > 0))
        if not json_output:
            before = " (done before)" if outcome.done_before else ""
            print(f"\n{outcome.picture.name} -> {outcome.folder}{before}")
            print_areas(outcome.map)

    steps = batch_steps(
        paths, _load(model, options), options, out=out, um_per_px=um_per_px, overwrite=overwrite
    )
    outcomes = with_bar(steps, update=show)
    if json_output:
        print(json.dumps(found, indent=2))
    if table is not None:
        write_areas(area_table(outcomes), table)
    failures = sum(bool(outcome.problem) for outcome in outcomes)
    if failures:
        tell(f"{failures} of {len(paths)} pictures failed")
    if reports or grains:
        done = [outcome.folder for outcome in outcomes if not outcome.problem]
        failures += report.report_classified(done, grains=grains, overwrite=overwrite, quiet=json_output)
    if damaged:
        tell(f"damaged, and not processed where they are: {', '.join(damaged)}")
    return SOME_FAILED if failures or damaged else 0


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
            write_png(out / f"{number:05d}.png", micrograph.rgb, replace=False)
            write_png(out / f"{number:05d}-mask.png", micrograph.mask, replace=False)
            yield Progress(number - seed + 1, count, "pictures", "simulating")

    with_bar(steps())
    print(
        f"{count} pictures and their masks (values are mineral codes, see `ore-minerals models show`) in {out}"
    )
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
    """Run the command line; exit code 0, 1 for a wrong call, 2 where some pictures failed, 130 or 143 when stopped."""
    logging.getLogger("tifffile").setLevel(
        logging.CRITICAL
    )  # what is wrong with a file is said in a sentence
    try:
        with stoppable():
            code = app(sys.argv[1:], result_action="return_value", exit_on_error=False)
    except CycloptsError:  # it was printed already
        code = 1
    except OreMineralsError as error:
        code = fail(sentence(error))
    except MemoryError as error:
        code = fail(
            f"there is not enough memory ({sentence(error)}): close other programs or take a smaller part"
        )
    except KeyboardInterrupt as stop:
        tell("stopped; finished results are kept")
        code = 128 + getattr(stop, "number", signal.SIGINT)
    sys.exit(code if isinstance(code, int) else 0)


def _load(model: str | None, options: ClassifyOptions) -> Classifier:
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.models.classifier import Classifier

    return Classifier.load(models.model_named(model), device=options.device, precision=options.precision)


def _pictures(named: list[Path]) -> Iterator[Path]:
    """Yield the files that were named and the pictures in the folders that were named."""
    from napari_ore_minerals.images.kinds import is_picture

    for path in named:
        if path.is_dir() and not is_picture(path):
            yield from sorted(found for found in path.iterdir() if is_picture(found))
        else:
            yield path
