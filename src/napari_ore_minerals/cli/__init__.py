"""``ore-minerals``: the same as in napari, without a screen."""

from napari_ore_minerals.cli.commands import app, main

__all__ = ["app", "main"]
