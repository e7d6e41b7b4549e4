"""Commands of ``ore-minerals models``: which models there are, which one is used, and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_ore_minerals.cli.console import tell

if TYPE_CHECKING:
    from cyclopts import App

    from napari_ore_minerals.models.versions import ModelStore

BUNDLED = "bundled"


def model_named(name: Path | str | None, store: Path | None = None) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name
        A folder, the number of a version in the store, ``"bundled"`` or that model's own name where no folder
        has it, or None for the current model, which is said on standard error where it is not the bundled one.
    store
        Folder of the store; None for the user's own.
    """
    from napari_ore_minerals.models.classifier import bundled

    if name is None:
        current = store_at(store).current()
        if current.notice:
            tell(f"Note: {current.notice}")
        if current.version is None:
            return bundled()
        tell(f"Model: version {current.version.number} of yours, {current.version.card.name}")
        return current.version.folder
    if str(name) == BUNDLED or (str(name) == bundled().name and not Path(name).exists()):
        return bundled()
    return store_at(store).version(int(str(name))).folder if str(name).isdigit() else Path(name)


def store_at(root: Path | None) -> ModelStore:
    """Return the store at a folder; None for the user's own."""
    from napari_ore_minerals.models.versions import ModelStore

    return ModelStore(root)


def list_models(*, store: Path | None = None) -> int:
    """List the models as a tree: each below the one it was taught from, * marks the current one.

    Parameters
    ----------
    store
        Folder of the models; by default your own.
    """
    from napari_ore_minerals.models.card import read_card
    from napari_ore_minerals.models.classifier import bundled
    from napari_ore_minerals.models.history import history, read_note

    here = store_at(store)
    current = here.current()
    card = read_card(bundled())
    names = ", ".join(mineral.name for mineral in card.minerals)
    print(f"{_mark(current.version is None)} bundled  {card.name}  {card.architecture}  {names}")
    for entry in history(here.versions()):
        version = entry.version
        note = read_note(here, version)
        mine = current.version is not None and current.version.number == version.number
        print(
            f"{_mark(mine)} {'  ' * (entry.depth + 1)}{version.number}  {version.card.name}  "
            f"{version.card.created[:16].replace('T', ' ')}"
            + "".join(f"  {name} {value:.3f}" for name, value in version.card.metrics.items())
            + ("  (weights removed)" if version.removed else "")
            + (f"\n{'  ' * (entry.depth + 3)}{note}" if note else "")
        )
    if current.notice:
        tell(f"Note: {current.notice}")
    return 0


def show(model: str | None = None, /, *, store: Path | None = None) -> int:
    """Print a model's card.

    Parameters
    ----------
    model
        Model folder, number of a version, or bundled; by default the bundled model.
    store
        Folder of the models; by default your own.
    """
    from napari_ore_minerals.models.card import read_card

    print(read_card(model_named(model or BUNDLED, store)).to_json(), end="")
    return 0


def use(model: str, /, *, store: Path | None = None) -> int:
    """Make a version the current model, with which pictures are classified.

    Example: ore-minerals models use 3

    Parameters
    ----------
    model
        Number of the version, or bundled.
    store
        Folder of the models; by default your own.
    """
    store_at(store).activate(None if model == BUNDLED else _number(model))
    print(f"The current model is {'the bundled one' if model == BUNDLED else f'version {model}'}.")
    return 0


def remove(version: str, /, *, store: Path | None = None) -> int:
    """Delete the weights of a version to free space; its card stays in the history.

    Parameters
    ----------
    version
        Its number; the current one and its parent are kept.
    store
        Folder of the models; by default your own.
    """
    store_at(store).remove(_number(version))
    print(f"The weights of version {version} were deleted.")
    return 0


def note(version: str, text: str, /, *, store: Path | None = None) -> int:
    """Write a note beside a version.

    Parameters
    ----------
    version
        Its number.
    text
        The note; an older one is replaced.
    store
        Folder of the models; by default your own.
    """
    from napari_ore_minerals.models.history import write_note

    here = store_at(store)
    write_note(here, here.version(_number(version)), text)
    return 0


def export(model: str, archive: Path, /, *, store: Path | None = None) -> int:
    """Write a model as one zip file for a colleague, with its card and without folders of this computer.

    Example: ore-minerals models export 3 my-mine.zip

    Parameters
    ----------
    model
        Number of a version, model folder, or bundled.
    archive
        The file; it must not exist.
    store
        Folder of the models; by default your own.
    """
    from napari_ore_minerals.models.exchange import export_model

    print(export_model(model_named(model, store), archive))
    return 0


def add(archive: Path, /, *, store: Path | None = None) -> int:
    """Add a model that a colleague exported as a zip file.

    Example: ore-minerals models add my-mine.zip

    Parameters
    ----------
    archive
        Made by `ore-minerals models export`.
    store
        Folder of the models; by default your own.
    """
    from napari_ore_minerals.models.exchange import import_model

    version = import_model(store_at(store), archive)
    print(
        f"Version {version.number}, {version.card.name}; `ore-minerals models use {version.number}` uses it."
    )
    return 0


def register(app: App, models_app: App) -> None:
    """Add the commands."""
    models_app.default(list_models)
    models_app.command(list_models, name="list")
    for command in (show, use, remove, note, export, add):
        models_app.command(command)


def _mark(current: bool) -> str:
    return "*" if current else " "


def _number(text: str) -> int:
    from napari_ore_minerals.errors import ModelError

    if not text.isdigit():
        raise ModelError(f"{text!r} is no number of a version: `ore-minerals models` lists them")
    return int(text)
