"""The user's store of models: numbered versions that never change, and a pointer to the current one.

``v0001``, ``v0002`` ... are model folders, ``CURRENT`` holds the name of one of them or ``bundled``.
A version is staged, verified and synced before it gets its name, and the pointer is replaced after
that, so that whoever reads, and whoever is killed at whatever moment, finds the state before or after.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import ModelError

from .card import ModelCard, read_card
from .durable import rename_synced, replace_synced
from .store import MEMORY_NAME, WEIGHTS_NAME, packed, try_out, write_staging
from .store_lock import ORPHAN_HOURS, one_writer, sweep_orphans
from .user_folder import MODELS, user_folder

if TYPE_CHECKING:
    from torch import nn

CURRENT_NAME = "CURRENT"
BUNDLED_NAME = "bundled"
_VERSION = re.compile(r"v(\d{4,6})")
_LONGEST_POINTER = 64


@dataclass(frozen=True)
class StoredVersion:
    """A version in the store.

    Attributes
    ----------
    number : int
        1, 2, 3 ... in the order of saving; never given twice.
    folder, card
    removed : bool
        The weights were deleted to free space; the card stays for the history.
    """

    number: int
    folder: Path
    card: ModelCard
    removed: bool


@dataclass(frozen=True)
class CurrentModel:
    """The model to work with: a version, or None for the bundled one; ``notice`` if it is not what was chosen."""

    version: StoredVersion | None
    notice: str = ""


class ModelStore:
    """The models that a user has trained or imported.

    Parameters
    ----------
    root
        Folder of the store; None for the user's own.  It is made when something is saved.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else Path(root)

    def versions(self) -> list[StoredVersion]:
        """All versions in the order of saving; folders whose card cannot be read are left out."""
        found = []
        for number, folder in self._numbered():
            try:
                card = read_card(folder)
            except ModelError:
                continue
            found.append(StoredVersion(number, folder, card, not (folder / WEIGHTS_NAME).is_file()))
        return found

    def version(self, number: int) -> StoredVersion:
        """One version; `ModelError` if the store has none of this number."""
        for found in self.versions():
            if found.number == number:
                return found
        raise ModelError(f"{self.root} has no version {number} that can be read: choose one that is listed")

    def current(self) -> CurrentModel:
        """The model to work with.

        Returns
        -------
        CurrentModel
            What `CURRENT` names; if that is damaged or its weights are not what they were, the newest
            version that can be used, else the bundled model, with a notice that says so.
        """
        name, damage = self._pointer()
        if name == BUNDLED_NAME:
            return CurrentModel(None)
        versions = {version.folder.name: version for version in self.versions()}
        if name in versions:
            damage = _damage(versions[name])
            if not damage:
                return CurrentModel(versions[name])
        elif name is not None:
            damage = f"version {name} is missing or its card cannot be read"
        for version in sorted(versions.values(), key=lambda version: -version.number):
            if version.folder.name != name and not version.removed and not _damage(version):
                return CurrentModel(version, f"{damage}: version {version.number} is used instead")
        return CurrentModel(None, f"{damage}: the bundled model is used instead")

    def add(
        self,
        card: ModelCard,
        network: nn.Module,
        *,
        activate: bool = False,
        half: bool = False,
        memory: bytes | None = None,
    ) -> StoredVersion:
        """Save a network as the next version.

        Parameters
        ----------
        card, network, half
            As for `store.save_model`.
        memory
            Of tiles that it learnt from; the card names its hash.
        activate
            Make it the current one.

        Raises
        ------
        ModelError
            If the network does not fit its card or computes nonsense, another process holds the store, or the
            disk refuses; then the store is as it was.
        """
        return self.add_packed(*packed(card, network, half=half), activate=activate, memory=memory)

    def add_packed(
        self, card: ModelCard, weights: bytes, *, activate: bool = False, memory: bytes | None = None
    ) -> StoredVersion:
        """Save the bytes of a weights file with their card as the next version; see `add`."""
        with self._failures("saved"):
            self._make_root()
            self._check_space(len(weights) + len(memory or b""))
            staging = self.root / f".staging-{uuid.uuid4().hex}"
            try:
                write_staging(staging, card, weights, memory)
                try_out(staging)
                with self._locked():
                    number = max((number for number, _ in self._numbered()), default=0) + 1
                    folder = self.root / f"v{number:04d}"
                    rename_synced(staging, folder)
                    if activate:
                        self._point_to(folder.name)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return StoredVersion(number, folder, card, removed=False)

    def activate(self, number: int | None) -> None:
        """Make a version the current one, None the bundled model; `ModelError` if it cannot be used."""
        name = BUNDLED_NAME
        if number is not None:
            version = self.version(number)
            if damage := _damage(version):
                raise ModelError(f"version {number} cannot be made the current one: {damage}")
            name = version.folder.name
        with self._failures("changed"):
            self._make_root()
            with self._locked():
                self._point_to(name)

    def remove(self, number: int) -> None:
        """Delete the weights of a version; its card stays, so that the history and its numbers do.

        Raises
        ------
        ModelError
            If it is the current version or the one that this was trained from.
        """
        with self._failures("changed"), self._locked():
            version = self.version(number)
            current = self.current().version
            kept = set() if current is None else {current.card.weights_sha256, current.card.parent}
            if version.card.weights_sha256 in kept:
                raise ModelError(
                    f"version {number} is the current one or its parent and is kept: go to another version first"
                )
            for name in (WEIGHTS_NAME, MEMORY_NAME):
                (version.folder / name).unlink(missing_ok=True)

    def sweep(self, older_than_hours: float = ORPHAN_HOURS) -> int:
        """Delete what killed processes left behind; returns how many things were deleted."""
        if not self.root.is_dir():
            return 0
        with self._failures("swept"), one_writer(self.root):
            return sweep_orphans(self.root, older_than_hours)

    def _numbered(self) -> list[tuple[int, Path]]:
        try:
            paths = list(self.root.iterdir())
        except OSError:
            return []
        found = [(int(match[1]), path) for path in paths if (match := _VERSION.fullmatch(path.name))]
        return sorted(found)

    def _pointer(self) -> tuple[str | None, str]:
        """What `CURRENT` says, or None and what is wrong with it."""
        try:
            with (self.root / CURRENT_NAME).open("rb") as file:
                name = file.read(_LONGEST_POINTER).decode("ascii").strip()
        except FileNotFoundError:
            return BUNDLED_NAME, ""
        except (OSError, UnicodeDecodeError):
            return None, "which model is the current one cannot be read"
        if name == BUNDLED_NAME or _VERSION.fullmatch(name):
            return name, ""
        return None, "which model is the current one cannot be read"

    def _point_to(self, name: str) -> None:
        replace_synced(self.root / CURRENT_NAME, f"{name}\n".encode())

    def _make_root(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _check_space(self, size: int) -> None:
        free = shutil.disk_usage(self.root).free
        if free < 2 * size:
            raise ModelError(
                f"{self.root} has {free / 1e6:.0f} MB free and {2 * size / 1e6:.0f} MB are needed to save a "
                "model: make room, or remove older versions"
            )

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ModelError(
                f"the model could not be {what} in {self.root} ({error.strerror or error}); what is there is "
                "as it was: check the disk or choose another folder"
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with one_writer(self.root):
            with suppress(OSError):  # what killed processes left stands in nobody's way
                sweep_orphans(self.root)
            yield


def default_root() -> Path:
    """Return the user's store."""
    return user_folder() / MODELS


def _damage(version: StoredVersion) -> str:
    """Say what is wrong with the files of a version; empty if nothing is."""
    if version.removed:
        return f"the weights of version {version.number} were removed"
    try:
        with (version.folder / WEIGHTS_NAME).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"the weights of version {version.number} cannot be read ({error.strerror or error})"
    if digest != version.card.weights_sha256:
        return f"the weights of version {version.number} are not those that were saved (sha256 differs)"
    return ""
