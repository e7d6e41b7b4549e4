"""ImageNet weights: from timm's repositories on the Hugging Face hub, where a training asks for them.

At a fixed revision and with a known hash.  Where the hash is not known it is noted
beside the file when the file is first seen, and held to from then on.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import ModelError, OptionError

from .checkpoints import replace_file

if TYPE_CHECKING:
    from napari_ore_minerals.models.architectures import Architecture

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]

IMAGENET_NORMALISATION: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FETCH_SECONDS = 10.0


@dataclass(frozen=True)
class Published:
    """ImageNet weights on the hub: ``model.safetensors`` of a repository of timm's.

    Attributes
    ----------
    name : str
        Of the repository, which is that of the weights in timm.
    revision : str
        Commit of the repository; ``"main"`` where none is known.
    sha256 : str or None
        None where it is not known.
    megabytes : float
    normalisation : Normalisation
        Mean and standard deviation that the weights were trained with.
    """

    name: str
    revision: str
    sha256: str | None
    megabytes: float
    normalisation: Normalisation = IMAGENET_NORMALISATION

    @property
    def url(self) -> str:
        """Where the file is; ``HF_ENDPOINT`` names a mirror of the hub."""
        hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return f"{hub}/timm/{self.name}/resolve/{self.revision}/model.safetensors"

    @property
    def path(self) -> Path:
        """Where the file is kept on this computer."""
        return weights_folder() / f"{self.name}.safetensors"


# Revisions and hashes as public projects state them that pin the same files; sizes fit timm's networks.
IMAGENET: dict[str, Published] = {
    "swin_base_patch4_window7_224": Published(
        "swin_base_patch4_window7_224.ms_in1k",
        "160443c7878650977f11a3a89d4ed685b001a304",
        "6544e46498082f24e90b3e5269d909dad03aa016db8711777313c162e136420c",
        352.7,
    ),
    "swin_small_patch4_window7_224": Published(
        "swin_small_patch4_window7_224.ms_in1k",
        "b59828b00f6fac85d99c8eac48094b605b6e7ec3",
        "8fa31b116680e02e4ad6ad06eb29a1b9ca56bd93a2e88510a0bc7e82e0e2024f",
        200.0,
    ),
    "swin_tiny_patch4_window7_224": Published(
        "swin_tiny_patch4_window7_224.ms_in1k",
        "4cc3a7275b50b53a7bec45f32c236ebe64227cff",
        "fb01861f793143135fa0d6cd97b1631e4b33eaa3ee162bbea9e62de1c76ebac1",
        114.3,
    ),
    "resnet50": Published(
        "resnet50.a1_in1k",
        "767268603ca0cb0bfe326fa87277f19c419566ef",
        "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
        102.5,
    ),
    "mobilenetv2_100": Published(
        "mobilenetv2_100.ra_in1k",
        "5afa12513b048c79b9147a5d210e9bdc50035481",
        "55ea4fb3a96010b933710ebf44fc965b070d5cd054d3f35e44f2d1320b4a714e",
        14.2,
    ),
    "tf_efficientnet_lite0": Published(
        "tf_efficientnet_lite0.in1k", "main", None, 18.8, ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    ),
}


def weights_folder() -> Path:
    """Folder of the weights that were fetched or put there by hand, in the user's data."""
    from platformdirs import user_data_path

    return Path(user_data_path("napari-ore-minerals"), "weights")


def normalisation_of(architecture: Architecture) -> Normalisation:
    """Mean and standard deviation with which weights of an architecture are trained."""
    known = IMAGENET.get(architecture)
    return known.normalisation if known else IMAGENET_NORMALISATION


def imagenet_file(architecture: Architecture) -> Path:
    """Return the file of an architecture's ImageNet weights, fetched if it is not there yet.

    Raises
    ------
    OptionError
        If there are none.
    ModelError
        If they cannot be fetched or are not what is expected.
    """
    if architecture not in IMAGENET:
        raise OptionError(
            f"there are no ImageNet weights for {architecture}: choose the weights 'none' or a file, "
            f"or one of {', '.join(IMAGENET)}"
        )
    published = IMAGENET[architecture]
    if not published.path.exists():
        _fetch(published)
    _check_hash(published)
    return published.path


def file_sha256(path: Path) -> str:
    """sha256 of a file; `ModelError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"the weights {path} cannot be read: {error.strerror or error}") from error


def _fetch(published: Published) -> None:
    import pooch

    path, known = published.path, published.sha256
    try:
        pooch.retrieve(
            published.url,
            known_hash=f"sha256:{known}" if known else None,
            path=path.parent,
            fname=path.name,
            downloader=pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 20, timeout=FETCH_SECONDS),
        )
    except (OSError, ValueError) as error:
        reason = str(error).partition(" with url")[0].partition("\n")[0][:200] or type(error).__name__
        raise ModelError(
            f"the ImageNet weights {published.name} could not be fetched ({reason}): get {published.url} "
            f"({published.megabytes:.0f} MB, sha256 {known or 'not known'}) on a computer that reaches it and put it "
            f"at {path}, or name a copy as the weights"
        ) from error


def _check_hash(published: Published) -> None:
    """Hold the file to its hash or, where none is known, to that of the first time."""
    path, found = published.path, file_sha256(published.path)
    note = path.with_suffix(".json")
    if published.sha256 is None and not note.exists():
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        facts = {"name": published.name, "url": published.url, "sha256": found, "first seen": today}
        replace_file(note, json.dumps(facts, indent=2).encode())
    expected = published.sha256 or json.loads(note.read_text(encoding="utf-8"))["sha256"]
    if found != expected:
        raise ModelError(
            f"{path} is not the file {published.name} of timm (sha256 {found[:12]}..., not {expected[:12]}...): "
            "remove it to have it fetched again"
        )
