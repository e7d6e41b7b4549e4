"""The manifest: valid, in the package, linked at the top, and every command can be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import npe2
import pytest

import napari_ore_minerals
from napari_ore_minerals.maps.records import ClassifyOptions

PACKAGE = Path(napari_ore_minerals.__file__).parent
MANIFEST = PACKAGE / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManifest:
    return npe2.PluginManifest.from_file(MANIFEST)


def test_npe2_finds_nothing_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "napari-ore-minerals", "--imports"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_at_the_top_is_a_link_to_the_one_in_the_package() -> None:
    link = PACKAGE.parents[1] / "napari.yaml"
    assert MANIFEST.is_file()
    assert not MANIFEST.is_symlink()
    if not (PACKAGE.parents[1] / "pyproject.toml").is_file():
        pytest.skip("not a checkout")
    assert link.is_symlink()
    assert link.resolve() == MANIFEST.resolve()


def test_menus(manifest: npe2.PluginManifest) -> None:
    menus = manifest.contributions.menus
    assert [item.submenu for item in menus["napari/layers/classify"]] == ["ore_minerals"]
    assert [item.command for item in menus["ore_minerals"]] == ["napari-ore-minerals.classify_dock"]
    assert [item.command for item in menus["napari/layers/measure"]] == [
        "napari-ore-minerals.measure_dock",
        "napari-ore-minerals.export_areas",
    ]
    commands = {command.id: command for command in manifest.contributions.commands}
    assert commands["napari-ore-minerals.export_areas"].enablement == "num_selected_labels_layers == 1"


def test_settings_agree_with_the_options_of_the_core(manifest: npe2.PluginManifest) -> None:
    properties = manifest.contributions.configurations["ore_inference"].properties
    assert set(properties) <= set(ClassifyOptions.model_fields)
    for name in properties["device"].enum:
        ClassifyOptions(device=name)
    for bound in (properties["batch_size"].maximum, properties["min_confidence"].maximum):
        assert bound is not None
    ClassifyOptions(batch_size=int(properties["batch_size"].maximum))


def test_the_reader_claims_no_other_files(manifest: npe2.PluginManifest) -> None:
    (reader,) = manifest.contributions.readers
    assert reader.filename_patterns == ["*.oremap"]
    assert reader.accepts_directories
