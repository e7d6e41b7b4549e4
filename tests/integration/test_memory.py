"""A large picture takes little more memory than a small one; benchmarks/memory.py does the full size."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"


@pytest.mark.slow
@pytest.mark.alone
def test_a_picture_of_16_times_the_size_takes_little_more(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("memory_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    memory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(memory)
    assert memory.difference_mb(2_000, 8_000, tmp_path) < 150
