"""What is exported: the map as it is shown, what was measured on it, and where it all comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_ore_minerals import __version__
from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.exports.grain_areas import disagreement
from napari_ore_minerals.maps.grain_areas import with_grains
from napari_ore_minerals.maps.grain_tables import GrainTables, grain_tables
from napari_ore_minerals.maps.measuring import Measurement, measure
from napari_ore_minerals.maps.places import follows, said_by_user
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.maps.grains import GrainMap
    from napari_ore_minerals.maps.mineral_map import MineralMap

PROGRAM = f"napari-ore-minerals {__version__}"
NOT_KNOWN = "not known"
POOLED = "pooled"
WHOLE = 0.999  # share of a map that is all of it, but for rounding


@dataclass(frozen=True)
class Shown:
    """A map as it is shown, with what was measured on it.

    Attributes
    ----------
    mineral_map : MineralMap
        As shown: with corrections in its labels, and with the scale that the user gave.
    measured : tuple of Measurement
        Of the picture; or of its regions, and last of all of them together where there are several; or of the
        planes of a stack.
    grains : GrainMap or None
    grain_tables : GrainTables or None
        Of `grains`.
    micrograph : Micrograph or None
        The picture, where it is here.
    corrections : int
        Cells whose label a user gave or confirmed.
    painted : int
        Values of the grain map that a user painted.
    name : str
        Of the picture.
    pooled : pandas.DataFrame or None
        Of `maps.pooling.pool`, where `measured` are planes of a stack.
    view : int
        Which of `measured` belongs to the map: the plane that is shown.
    doubts : tuple of str
        Further reasons to mind, beyond what was found in measuring.
    erring : str
        Pictures on which it is known how the classifier errs, of `maps.adjusting.Reference`; empty where it is not.
    result_sha256, made_of : str
        Of the run record of the result, and of all that a report is made of, see `exports.made_of`; empty where it
        is made of what is on the screen.
    """

    mineral_map: MineralMap
    measured: tuple[Measurement, ...]
    grains: GrainMap | None = None
    grain_tables: GrainTables | None = None
    micrograph: Micrograph | None = None
    corrections: int = 0
    painted: int = 0
    name: str = ""
    pooled: pd.DataFrame | None = None
    view: int = -1
    doubts: tuple[str, ...] = ()
    erring: str = ""
    result_sha256: str = ""
    made_of: str = ""

    @property
    def seen(self) -> Measurement:
        """What was measured on the map: of all its regions together, or on the plane that is shown."""
        return self.measured[self.view]

    @property
    def together(self) -> pd.DataFrame:
        """Table of all that was measured: of the planes pooled, or that of the map."""
        return self.seen.table if self.pooled is None else self.pooled

    @property
    def of_regions(self) -> bool:
        """Whether less than the whole map was measured."""
        if len(self.measured) > 1 and self.pooled is None:
            return True
        processed = self.mineral_map.grid.cell_area_px()[self.mineral_map.processed].sum()
        return bool(self.seen.totals_px.sum() < WHOLE * processed)

    def __post_init__(self) -> None:
        if not self.measured:
            raise OptionError("there is nothing to export: measure the map first")

    @classmethod
    def of(
        cls,
        mineral_map: MineralMap,
        measured: tuple[Measurement, ...] = (),
        *,
        labels: NDArray[np.integer] | None = None,
        grains: GrainMap | None = None,
        micrograph: Micrograph | None = None,
    ) -> Shown:
        """Gather what is shown.

        Parameters
        ----------
        mineral_map
            As it was classified, or read from its folder.
        measured
            What was measured on it; by default the whole picture is, without the classifier's error.
        labels : (rows, columns) int array, optional
            Corrected labels; values that are no mineral of the map are unclassified.
        grains, micrograph
            Of the same picture, where they are here.

        Raises
        ------
        OptionError
            If the grains or the picture are of another size than the map's.
        """
        grid = mineral_map.grid
        for what in (grains, micrograph):
            if what is not None and (what.height_px, what.width_px) != (grid.height_px, grid.width_px):
                raise OptionError(
                    f"the map is of {grid.height_px} x {grid.width_px} px, what was to be exported with it is of "
                    f"{what.height_px} x {what.width_px}: take the picture that was classified"
                )
        shown = mineral_map
        if labels is not None:
            known = np.isin(labels, mineral_map.minerals.codes)
            shown = replace(mineral_map, labels=np.where(known, labels, UNCLASSIFIED).astype(np.uint8))
        if not measured:
            measured = (measure(shown),)
            measured = measured if grains is None else with_grains(measured, grains, shown)
        return cls(
            mineral_map=shown,
            measured=measured,
            grains=grains,
            grain_tables=None if grains is None else grain_tables(grains),
            micrograph=micrograph,
            corrections=int(said_by_user(shown).sum()),
            name=mineral_map.picture.name,
        )


def facts(shown: Shown) -> dict[str, str]:
    """Where an export comes from, in words: what stands in every one of them."""
    seen = shown.seen
    names = [*(mineral.name for mineral in seen.minerals), "unclassified"]
    parts, blocks = (
        ", ".join(one.name for one in shown.measured),
        f"{seen.blocks} blocks of {seen.block_px:.0f} px",
    )
    found = {
        "fractions of": ", ".join(name for name, counts in zip(names, seen.whole, strict=True) if counts),
        "regions": parts,
        "intervals from": blocks,
        "classifier's error from": shown.erring,
        "grains": _grains_in_words(shown),
        "result sha256": shown.result_sha256,
        "made of": shown.made_of,
    }
    if shown.pooled is not None:
        found |= {"regions": "", "planes": f"{parts}; map, fingerprint and corrections are of {seen.name}"}
        found["intervals from"] = (
            f"{blocks} ({seen.name}); how {len(shown.measured)} planes differ ({POOLED})"
        )
    return origin(shown.mineral_map, shown.corrections) | _told(found)


def origin(mineral_map: MineralMap, corrections: int | None = None) -> dict[str, str]:
    """Where a map comes from, in words; None for the corrections that can be told from the map."""
    picture, model, run, grid = mineral_map.picture, mineral_map.model, mineral_map.run, mineral_map.grid
    corrected = int(said_by_user(mineral_map).sum()) if corrections is None else corrections
    found = {
        "program": PROGRAM,
        "picture": picture.name,
        "picture size": f"{picture.width_px} x {picture.height_px} px",
        "picture fingerprint": picture.fingerprint,
        "assumed of the picture": "; ".join(picture.guesses),
        "scale": scale_in_words(mineral_map),
        "model": f"{model.name} version {model.version} ({model.architecture})",
        "model sha256": model.weights_sha256,
        "minerals": ", ".join(
            f"{mineral.code} {mineral.name} ({mineral.symbol})" for mineral in mineral_map.minerals
        ),
        "tiles": f"{grid.tile_px} px, every {grid.stride_px} px",
        "least confidence": f"{run.min_confidence:g}",
        "temperature": f"{run.temperature:g}",
        "options": run.options.model_dump_json(exclude_none=True),
        "computed": f"{run.device}, {run.precision}, {run.created}"
        + ("" if run.complete else ", stopped early"),
        "software": ", ".join(f"{name} {version}" for name, version in run.software.items()),
        "corrections": f"{corrected:,} of {grid.rows * grid.columns:,} cells given or confirmed by a user"
        + (", and the map follows them" if follows(mineral_map) else ""),
    }
    return _told(found)


def notes(shown: Shown) -> tuple[str, ...]:
    """What speaks against trusting the figures, each once."""
    doubts = dict.fromkeys(shown.mineral_map.warnings)
    doubts |= dict.fromkeys(doubt for one in shown.measured for doubt in one.warnings)
    doubts |= dict.fromkeys(shown.doubts)
    if shown.pooled is not None:
        doubts[f"the map shows one of {len(shown.measured)} planes, {shown.seen.name}"] = None
    if not shown.mineral_map.run.complete:
        doubts["the classification was stopped before its end"] = None
    if shown.grains is not None and not shown.grains.complete:
        doubts["the grains were stopped before their end"] = None
    if shown.grains is not None and shown.of_regions:
        doubts["tables and pictures of grains are of the whole picture, not of the regions"] = None
    doubts |= dict.fromkeys(filter(None, [disagreement(shown)]))
    return tuple(doubts)


def scale_in_words(mineral_map: MineralMap) -> str:
    """Micrometres per pixel, and who says so."""
    if mineral_map.um_per_px is None:
        return NOT_KNOWN
    return f"{mineral_map.um_per_px:.6g} um/px ({mineral_map.um_per_px_source or 'source ' + NOT_KNOWN})"


def _told(found: dict[str, str]) -> dict[str, str]:
    return {name: _printable(text) for name, text in found.items() if text}


def _printable(text: str) -> str:
    """Text without what XML forbids and what would turn its direction; names of files may hold anything."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _grains_in_words(shown: Shown) -> str:
    grains = shown.grains
    if grains is None:
        return ""
    text = f"every {grains.factor} px, learnt with {grains.corrections} corrected cells"
    if shown.painted:
        text += f", {shown.painted:,} of {grains.codes.size:,} pixels of the grain map painted by a user"
    if shown.of_regions:
        text += ", of the whole picture"
    return text if grains.complete else text + ", stopped early"
