"""What is said of each classified picture, on the terminal and once more as JSON, table and exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ore_minerals.cli.console import as_json, print_areas, tell

if TYPE_CHECKING:
    from napari_ore_minerals.maps.batch import Outcome


class Told:
    """What has been said so far.

    Parameters
    ----------
    quiet
        Print no areas: they are printed as JSON.

    Attributes
    ----------
    found : list of dict
        Of each picture, for JSON.
    facts : dict
        By picture that was classified, for tables.
    damaged : list of str
        Names of pictures that have damaged chunks.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self.found: list[dict[str, Any]] = []
        self.facts: dict[Path, dict[str, str]] = {}
        self.damaged: list[str] = []

    def tell(self, outcome: Outcome) -> None:
        """Say what became of a picture."""
        picture = outcome.picture
        for guess in outcome.guesses:
            tell(f"{picture.name}: assumed {guess}")
        if outcome.map is None:
            named = outcome.problem.startswith(picture.name)
            tell(outcome.problem if named else f"{picture.name}: {outcome.problem}")
            self.found.append({"picture": str(picture), "error": outcome.problem})
            return
        self.found.append(as_json(outcome.map, picture, outcome.folder))
        self.facts[picture] = self.found[-1]["facts"]
        if outcome.map.run.damaged_chunks > 0:
            self.damaged.append(picture.name)
        if not self._quiet:
            before = " (done before)" if outcome.done_before else ""
            print(f"\n{picture.name} -> {outcome.folder}{before}")
            print_areas(outcome.map)

    def failures(self, pictures: int) -> int:
        """Say how many of so many pictures failed; returns the number."""
        failed = sum("error" in one for one in self.found)
        if failed:
            tell(f"{failed} of {pictures} picture{'s' * (pictures != 1)} failed")
        return failed
