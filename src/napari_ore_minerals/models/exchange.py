"""A model as one zip file: for a colleague, with its card and without private paths."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from napari_ore_minerals.errors import ModelError

from .card import CARD_NAME, MAX_CARD_BYTES, ModelCard, parse_card, read_card
from .durable import hidden_beside, sync, sync_folder
from .store import (
    MAX_MEMORY_BYTES,
    MEMORY_NAME,
    WEIGHTS_NAME,
    checked_memory,
    checked_weights,
    most_bytes,
    network_of,
    read_memory,
    read_weights,
)

if TYPE_CHECKING:
    from .versions import ModelStore, StoredVersion

LARGEST_ARCHIVE_BYTES = 2 << 30
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same model gives the same file
_DAMAGE = (BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OverflowError, RuntimeError)
_QUOTED_PATH = re.compile(
    r"(?P<quote>['\"])(?:~|[A-Za-z]:)?[\\/][^'\"]*?(?P<name>[^'\"\\/]*)[\\/]?(?P=quote)"
)
_FOLDER = r"[^\s\\/'\",;]+(?: (?![-~])[^\s\\/'\",;:=]+){0,8}"  # its name may have spaces
_SLASH = r"(?:(?<!\bum)(?<!\band)[\\/])+"  # not that of um/px and and/or
_PATH = re.compile(
    rf"(?<![\w.:/\\~])(?:file://|~|[A-Za-z]:)?(?:{_SLASH}{_FOLDER})*{_SLASH}"
    r"(?P<name>[^\s\\/'\",;]+)[\\/]?"
)


def export_model(folder: Path, archive: Path) -> Path:
    """Write a model folder as one zip file.

    Parameters
    ----------
    folder
        The model; its weights are checked first.
    archive
        Must not exist.

    Returns
    -------
    Path
        The archive.

    Raises
    ------
    ModelError
        If the model must not be used, the file exists or the disk refuses.
    """
    card, archive = read_card(folder), Path(archive)
    weights = read_weights(Path(folder), card, network_of(card))
    checked_weights(weights, card, where=str(Path(folder) / WEIGHTS_NAME))
    memory = read_memory(Path(folder), card)
    if archive.exists():
        raise ModelError(f"{archive} exists: choose another name")
    fresh = hidden_beside(archive)
    try:
        with fresh.open("xb") as file:
            with ZipFile(file, "w") as zipped:
                _put(zipped, CARD_NAME, without_paths(card).to_json().encode(), ZIP_DEFLATED)
                _put(zipped, WEIGHTS_NAME, weights, ZIP_STORED)
                if memory is not None:
                    _put(zipped, MEMORY_NAME, memory, ZIP_DEFLATED)
            file.flush()
            sync(file.fileno())
        os.rename(fresh, archive)
        sync_folder(archive.parent)
    except OSError as error:
        raise ModelError(f"{archive} could not be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return archive


def import_model(store: ModelStore, archive: Path, *, activate: bool = False) -> StoredVersion:
    """Take a model from a zip file into the store.

    Parameters
    ----------
    store
        A model that it has already is not saved again.
    archive
        Of `export_model`: it holds ``card.json``, ``model.safetensors`` and, where the card names one,
        ``memory.safetensors``, and nothing else.
    activate
        Make it the current one.

    Raises
    ------
    ModelError
        If the archive holds anything else, is damaged or too large, or the model must not be used.
    """
    card, weights, memory = _opened(Path(archive))
    for version in store.versions():
        if not version.removed and without_paths(version.card) == card:
            if activate:
                store.activate(version.number)
            return version
    return store.add_packed(card, weights, activate=activate, memory=memory)


def without_paths(card: ModelCard) -> ModelCard:
    """Return a card in whose texts folders of this computer are left out; of a path its last part stays."""
    fields = card.model_dump()
    for name in ("provenance", "training", "metrics"):
        fields[name] = _shortened(fields[name])
    if card.replay is not None and card.replay.dataset is not None:
        fields["replay"]["dataset"]["folder"] = ""
    return ModelCard.model_validate(fields)


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        home = str(Path.home())
        value = value.replace(home, "~") if len(home) > 1 else value
        return _PATH.sub(r"\g<name>", _QUOTED_PATH.sub(r"\g<quote>\g<name>\g<quote>", value))
    if isinstance(value, dict):
        return {_shortened(key): _shortened(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_shortened(part) for part in value)
    return value


def _put(zipped: ZipFile, name: str, content: bytes, method: int) -> None:
    info = ZipInfo(name, _LONG_AGO)
    info.compress_type, info.external_attr = method, 0o644 << 16
    zipped.writestr(info, content)


def _opened(archive: Path) -> tuple[ModelCard, bytes, bytes | None]:
    """Card, weights and memory of an archive, read into memory within the bounds of the card's architecture."""
    try:
        if archive.stat().st_size > LARGEST_ARCHIVE_BYTES:
            raise ModelError(f"{archive} has more bytes than any model of this program can have")
        with ZipFile(archive) as zipped:
            names = sorted(info.filename for info in zipped.infolist())
            if names not in ([CARD_NAME, WEIGHTS_NAME], [CARD_NAME, MEMORY_NAME, WEIGHTS_NAME]):
                raise ModelError(
                    f"{archive} is no model of this program: it must hold {CARD_NAME} and {WEIGHTS_NAME} and "
                    f"nothing else, and holds {len(names)} files"
                )
            card = parse_card(_member(zipped, CARD_NAME, MAX_CARD_BYTES), where=f"{CARD_NAME} in {archive}")
            weights = _member(zipped, WEIGHTS_NAME, most_bytes(network_of(card)))
            memory = _member(zipped, MEMORY_NAME, MAX_MEMORY_BYTES) if MEMORY_NAME in names else None
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{archive} cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise ModelError(f"{archive} is no zip file, or it is damaged: {str(error)[:200]}") from error
    checked_weights(weights, card, where=f"{WEIGHTS_NAME} in {archive}")
    if (memory is None) != (card.replay is None or card.replay.memory_sha256 is None):
        raise ModelError(f"{archive} and its card do not agree on whether the model has a memory")
    if memory is not None:
        checked_memory(memory, card, where=f"{MEMORY_NAME} in {archive}")
    return card, weights, memory


def _member(zipped: ZipFile, name: str, most: int) -> bytes:
    with zipped.open(name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ModelError(f"{name} in {zipped.filename} has more than the {most} bytes that it can have")
    return content
