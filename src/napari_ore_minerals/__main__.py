"""``python -m napari_ore_minerals`` is ``ore-minerals``."""

from napari_ore_minerals.cli import main

main()
