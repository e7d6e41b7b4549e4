"""The commands of ``ore-minerals``."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter, validators

from napari_ore_minerals import __version__
from napari_ore_minerals.cli import (
    areas,
    cells,
    classify,
    dataset,
    evaluate,
    foreign,
    learn,
    models,
    report,
    train,
)
from napari_ore_minerals.cli.console import (
    fail,
    print_areas,
    sentence,
    stoppable,
    tell,
    with_bar,
    write_png,
    wrong_call,
)
from napari_ore_minerals.errors import ModelError, OreMineralsError
from napari_ore_minerals.maps.records import ClassifyOptions

if TYPE_CHECKING:
    from napari_ore_minerals.progress import Steps

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
NO_SCREEN = "napari cannot open its window; where there is no screen, use ore-minerals classify"

_DEFAULTS = ClassifyOptions()
_Count = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100_000))]
_Scale = Annotated[float, Parameter(validator=validators.Number(gt=0))]
_Seed = Annotated[int, Parameter(validator=validators.Number(gte=0, lt=2**31))]
_Side = Annotated[int, Parameter(validator=validators.Number(gte=64, lte=16_384))]

app = App(
    name="ore-minerals",
    version=__version__,
    help="Which ore minerals are in a photograph of a polished section, and how much of each.",
    suppress_keyboard_interrupt=False,
)
models_app = App(name="models", help="The models that can be used.")
app.command(models_app)
for part in (classify, areas, report, dataset, train, evaluate, cells, foreign, learn, models):
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
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.images.simulation import SAMPLES
    from napari_ore_minerals.images.simulation import simulate as simulated
    from napari_ore_minerals.maps.batch import Reading, batch_steps
    from napari_ore_minerals.maps.files import read_result

    name, (seed, what) = next(iter(SAMPLES.items()))
    sample = simulated(seed, what)
    path = out / "sample.png"
    write_png(path, sample.rgb)
    print(f"Simulated micrograph: {name} ({path})")
    classifier = classify.loaded(None, options)
    steps = batch_steps(
        [path], classifier, options, out=out, reading=Reading(sample.um_per_px), overwrite=True
    )
    (outcome,) = with_bar(steps)
    if outcome.problem:
        return fail(outcome.problem)
    print_areas(read_result(outcome.folder), truth=sample.mask)
    print(f"\nLook at {outcome.folder / 'overlay.png'}")
    print("Next: ore-minerals classify YOUR_PICTURE, or ore-minerals view YOUR_PICTURE for napari.")
    return 0


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
        if not picture.exists():
            sys.stderr.write(f"ore-minerals: {picture} is not there: name a picture, or give --sample\n")
            return 1
        arguments.append(str(picture))
    if sys.platform == "linux" and not any(name in os.environ for name in SCREENS):
        return fail(NO_SCREEN)
    code = subprocess.call([sys.executable, "-m", "napari_ore_minerals.widgets.view", *arguments])  # noqa: S603
    return fail(NO_SCREEN) if code == -signal.SIGABRT else code  # so Qt ends where it can use no screen


@app.command
def simulate(
    *, out: Path, count: _Count = 10, seed: _Seed = 0, height_px: _Side = 1024, width_px: _Side = 1024
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
        f"{count} picture{'s' * (count != 1)} with exact masks (values are mineral codes, "
        f"see `ore-minerals models show`) in {out}"
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
            code = app(sys.argv[1:], result_action="return_value", exit_on_error=False, print_error=False)
    except CycloptsError as error:
        code = fail(wrong_call(error))
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
