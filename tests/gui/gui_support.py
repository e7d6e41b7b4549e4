"""What the tests of the viewer share that is no fixture."""

from __future__ import annotations

import os

import psutil

SECONDS = 1000
PATIENCE = float(os.environ.get("ORE_MINERALS_PATIENCE", "1"))  # more where a computer is very busy
LONG = int(90 * SECONDS * PATIENCE)  # a process that loads torch


def gone(process_id: int | None) -> bool:
    """Whether a process has ended."""
    if process_id is None or not psutil.pid_exists(process_id):
        return True
    try:
        return bool(psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
