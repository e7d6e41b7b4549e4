"""Commands of ``ore-minerals``: learn."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_ore_minerals.cli.console import with_bar
from napari_ore_minerals.cli.models import model_named, store_at
from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.fine_tune_options import FineTuneOptions
from napari_ore_minerals.progress import mapped

if TYPE_CHECKING:
    from cyclopts import App

    from napari_ore_minerals.learning.before_after import Figure, Scores
    from napari_ore_minerals.learning.corrected_tiles import CorrectedPicture
    from napari_ore_minerals.progress import Progress

_DEFAULTS = FineTuneOptions()


def learn(  # noqa: PLR0913 - a command's flags
    *,
    corrections: Annotated[list[Path], Parameter(consume_multiple=True, negative="")],
    parent: str | None = None,
    store: Path | None = None,
    name: str | None = None,
    note: str = "",
    use: Annotated[bool, Parameter(negative="--no-use")] = True,
    options: Annotated[FineTuneOptions, Parameter(name="*")] = _DEFAULTS,
) -> int:
    """Fine-tune a model on what was painted, and measure it before and after on the same cells.

    Example: ore-minerals learn --corrections PS-07.tif.oremap PS-08.tif.oremap --name my-mine

    The same corrections, options and seed give the same weights as the dock in napari.

    Parameters
    ----------
    corrections
        Journals of corrections (.jsonl), which the dock writes while you paint, or result folders (.oremap)
        that were saved with corrections.
    parent
        What to fine-tune: a model folder, the number of a version, or bundled; by default the current model.
    store
        Folder of the models; by default your own.
    name
        Of the new version; by default its parent's.
    note
        Kept beside the version; by default why it is not put to use, where it is not.
    use
        Make the new version the current model, if it is better and does not forget.
    """
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()
    from napari_ore_minerals.learning.fine_tuning import fine_tune_steps, keep_version

    folder = model_named(parent, store)
    pictures = [_corrected_picture(path) for path in corrections]
    result = with_bar(mapped(fine_tune_steps(folder, pictures, options), _with_epoch), "learn")
    remark = note or ("" if result.keep else result.why)  # as the dock does
    version = keep_version(result, store_at(store), name=name, note=remark, activate=use and result.keep)
    _print_scores(result.before, result.after)
    print(f"\n{result.why[:1].upper()}{result.why[1:]}.")
    if use and result.keep:
        print(f"Version {version.number} is the current model now; `ore-minerals models use` goes back.")
    else:
        print(f"Version {version.number} is saved and is not the current model.")
    print(version.folder)
    return 0


def register(app: App, models_app: App) -> None:
    """Add the commands."""
    app.command(learn)


def _corrected_picture(path: Path) -> CorrectedPicture:
    """Open a picture with its corrections; `DatasetError` if the file does not tell which picture it is."""
    from napari_ore_minerals.learning.as_taught import open_as_taught
    from napari_ore_minerals.learning.corrected_tiles import CorrectedPicture
    from napari_ore_minerals.learning.journal import read_corrections
    from napari_ore_minerals.learning.painted_results import painted_corrections
    from napari_ore_minerals.minerals import MineralTable

    found = painted_corrections(path) if path.is_dir() else read_corrections(path)
    if found.note is None or found.note.path is None:
        raise DatasetError(
            f"{path} does not tell where its picture lies: corrections of a picture without a file can be learnt "
            "in the dock only"
        )
    micrograph = open_as_taught(Path(found.note.path), found.note.picture, found.note.answers)
    if found.note.um_per_px is not None:
        micrograph = micrograph.with_scale(found.note.um_per_px, found.note.um_per_px_source)
    return CorrectedPicture(micrograph, found.corrections, MineralTable.of(found.note.minerals))


def _print_scores(before: Scores, after: Scores) -> None:
    """Print both side by side."""
    rows = [
        (f"balanced accuracy, {after.cells} held-back corrections", "balanced_accuracy"),
        (f"accuracy, {after.cells} held-back corrections", "accuracy"),
        (f"macro-F1, {after.replay_cells} earlier tiles", "replay_macro_f1"),
    ]
    print(f"{'':44}{'before (95 %)':26}after (95 %)")
    for title, field in rows:
        print(f"{title:44}{_shown(getattr(before, field)):26}{_shown(getattr(after, field))}")


def _shown(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "-"
    interval = "" if math.isnan(figure.low) else f" ({figure.low:.3f} to {figure.high:.3f})"
    return f"{figure.value:.3f}{interval}"


def _with_epoch(progress: Progress) -> Progress:
    from napari_ore_minerals.cli.train import with_epoch

    return replace(with_epoch(progress), update=None)
