"""``ore-minerals dataset sort``: napari with the Sort tiles dock, and a dataset in it."""

from __future__ import annotations

import sys
from pathlib import Path

PLUGIN = "napari-ore-minerals"


def main(arguments: list[str]) -> int:
    """Open the viewer; returns the exit code after it was closed."""
    try:
        import napari
    except ImportError:
        sys.stderr.write("napari is not installed: pip install 'napari-ore-minerals[all]'\n")
        return 1
    viewer = napari.Viewer(title="Sort tiles")
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Sort tiles")
    for argument in arguments[:1]:
        dock.open(Path(argument))
    napari.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
