"""Processes for `test_versions`: some save, some are killed while they do.

python store_victims.py kill ROOT     # saves once per operation, killed before and after it
python store_victims.py save ROOT COUNT
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

from napari_ore_minerals.minerals import DEFAULT_MINERALS
from napari_ore_minerals.models.architectures import build_network
from napari_ore_minerals.models.card import ModelCard
from napari_ore_minerals.models.store import load_network
from napari_ore_minerals.models.versions import ModelStore

CARD = ModelCard(name="m", architecture="ore_swin_micro", minerals=DEFAULT_MINERALS.minerals, input_px=32)
OPERATIONS = ("fsync", "rename", "replace", "mkdir", "unlink", "open")


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network("ore_swin_micro", len(DEFAULT_MINERALS))


def die_at(call: int) -> None:
    """Kill this process before its n-th operation on the disk."""
    seen = 0

    def wrapped(real):
        def operation(*arguments, **options):
            nonlocal seen
            seen += 1
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return operation

    for name in OPERATIONS:
        setattr(os, name, wrapped(getattr(os, name)))


def kill_everywhere(root: Path) -> list[dict[str, object]]:
    """Save with a kill at each operation in turn, until one comes through; tell what each left behind."""
    store, saved = ModelStore(root), network(0)
    store.add(CARD, saved, activate=True)
    found: list[dict[str, object]] = []
    killed = True
    while killed:
        before, current = store.versions(), store.current()
        child = os.fork()
        if child == 0:
            die_at(len(found) + 1)
            store.add(CARD, saved, activate=True)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        after, now = store.versions(), store.current()
        if len(after) > len(before):
            load_network(after[-1].folder)
        found.append(
            {
                "killed": killed,
                "before": [version.number for version in before],
                "after": [version.number for version in after],
                "current_before": current.version.number,
                "current_after": now.version.number,
                "notice": now.notice,
            }
        )
    return found


def main() -> None:
    command, root = sys.argv[1], Path(sys.argv[2])
    if command == "kill":
        json.dump(kill_everywhere(root), sys.stdout)
        return
    for number in range(int(sys.argv[3])):
        ModelStore(root).add(CARD, network(os.getpid() * 1000 + number), activate=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
