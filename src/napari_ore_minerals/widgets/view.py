"""``ore-minerals view``: napari with the Classify dock, and a picture or a sample in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ore_minerals.errors import OreMineralsError
from napari_ore_minerals.images.pixels import PictureAnswers

if TYPE_CHECKING:
    from napari import Viewer

PLUGIN = "napari-ore-minerals"


def main(arguments: list[str]) -> int:
    """Open the viewer; returns the exit code after it was closed."""
    try:
        import napari
    except ImportError:
        sys.stderr.write("napari is not installed: pip install 'napari-ore-minerals[all]'\n")
        return 1
    viewer = napari.Viewer(title="Ore minerals")
    viewer.window.add_plugin_dock_widget(PLUGIN, "Classify")
    for argument in arguments:
        if argument == "--sample":
            from napari_ore_minerals.widgets.sample_data import SAMPLE_KEYS

            viewer.open_sample(PLUGIN, SAMPLE_KEYS[0])
        else:
            _open(viewer, Path(argument))
    napari.run()
    return 0


def _open(viewer: Viewer, path: Path) -> None:
    """Show a picture as it is classified; stacks, results and what only napari reads as napari shows them."""
    from napari_ore_minerals.widgets.picture_files import layer_of

    try:
        data, arguments, _ = layer_of(path, PictureAnswers())
    except (OreMineralsError, OSError):
        viewer.open(path)
        return
    viewer.add_image(data, **arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
