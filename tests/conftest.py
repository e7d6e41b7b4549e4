"""What all tests share: small real models and pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

LUMENSTONE = Path(
    os.environ.get("ORE_MINERALS_LUMENSTONE", Path(__file__).parents[2] / "shared" / "data" / "lumenstone")
)


@pytest.fixture(scope="session", autouse=True)
def _nobodys_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep models and corrections of whoever runs the tests out of them, in child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("user-data")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _working_bf16() -> None:
    """Keep torch from instructions that this processor only claims to have."""
    from napari_ore_minerals.models.devices import prepare_process

    prepare_process()


@pytest.fixture(scope="session")
def remember_processor() -> Callable[[Path], None]:
    """Puts into an empty cache folder what bf16 was found to be worth here, or each process would try it again."""
    from napari_ore_minerals.models import devices

    tried = devices._memory_file()

    def remember(cache: Path) -> None:
        if tried.exists():
            folder = cache / tried.parent.name
            folder.mkdir(parents=True)
            shutil.copy(tried, folder)

    return remember


@pytest.fixture(scope="session")
def micro_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real but untrained model folder: a Swin of 19 thousand parameters for tiles of 64 px."""
    import torch

    from napari_ore_minerals.minerals import DEFAULT_MINERALS
    from napari_ore_minerals.models.architectures import build_network
    from napari_ore_minerals.models.card import ModelCard
    from napari_ore_minerals.models.store import save_model

    torch.manual_seed(1)
    network = build_network("ore_swin_micro", len(DEFAULT_MINERALS))
    with torch.no_grad():  # an untrained head gives nearly the same answer everywhere
        network.get_classifier().weight.mul_(40)
    folder = tmp_path_factory.mktemp("models") / "micro"
    card = ModelCard(
        name="micro",
        architecture="ore_swin_micro",
        minerals=DEFAULT_MINERALS.minerals,
        tile_px=64,
        input_px=32,
        min_confidence=0.3,
    )
    save_model(folder, card, network)
    return folder


@pytest.fixture
def picture() -> np.ndarray:
    """Coloured fields with noise, 200 x 330 px."""
    random = np.random.default_rng(5)
    fields = random.integers(20, 240, (5, 7, 3)).repeat(40, axis=0).repeat(48, axis=1)[:200, :330]
    return np.clip(fields + random.normal(0, 6, fields.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def lumenstone() -> Path:
    """Folder of the real photographs; skips where they are absent."""
    if not (LUMENSTONE / "S1" / "images").is_dir():
        pytest.skip("the LumenStone photographs are not here (set ORE_MINERALS_LUMENSTONE)")
    return LUMENSTONE
