"""Exports: the map that is shown, in the forms that papers, plants and colleagues use."""
