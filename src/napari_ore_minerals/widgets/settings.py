"""napari's preferences for this plugin, as the first values of the dock's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.settings import get_plugin_settings

if TYPE_CHECKING:
    from napari_ore_minerals.widgets.options_form import OptionsForm

PLUGIN = "napari-ore-minerals"


def apply_settings(form: OptionsForm) -> None:
    """Set device, least confidence and batch to what File > Preferences says; 0 leaves a choice to the program."""
    try:
        inference = get_plugin_settings(PLUGIN).ore_inference
    except (KeyError, AttributeError):
        return  # the manifest was not found: the dock was made by hand
    form.set_value("device", inference.device)
    form.set_value("min_confidence", inference.min_confidence or None)
    form.set_value("batch_size", inference.batch_size or None)
