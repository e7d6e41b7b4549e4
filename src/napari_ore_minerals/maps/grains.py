"""From tiles to grain boundaries: which mineral each pixel is, by its colour, its place and its company.

A tile answers for a square, minerals do not end at squares.  The mineral map says what is where, roughly;
from it the colours of each mineral are learnt in this photograph (`maps.grain_colours`), and each pixel is
judged by its own colour, by what the map says of its place, and by the pixels around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from napari_ore_minerals.errors import OptionError
from napari_ore_minerals.maps.grain_colours import PATCH, REACH, ColourModel, Taught, calmness, pixel_values
from napari_ore_minerals.maps.grain_places import PlaceShares, corrected_cells
from napari_ore_minerals.maps.grain_windows import ReducedPicture
from napari_ore_minerals.progress import Progress, Steps, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph
    from napari_ore_minerals.images.pixels import Window
    from napari_ore_minerals.images.tiles import TileGrid
    from napari_ore_minerals.maps.mineral_map import MineralMap
    from napari_ore_minerals.minerals import MineralTable

LEAST_SHARE = 0.02  # of a mineral at any place: the map is never taken to be surer than this
LEAST_COLOUR = 0.001  # the same for colours
PLACE_POWER = 0.7
COMPANY_PX, COMPANY_POWER, LEAST_COMPANY = 12.0, 0.5, 0.01
LEAST_GANGUE = 0.1  # the same anywhere and in any company: cracks and pits are too small for cells
SMOOTH_PX = 1.3
LEARNT_PX, LEARNT_WINDOWS, LEARNT_STEP = 256, 48, 3
COMPANY_REACH, SMOOTH_REACH = 36, 4
FINEST, LONGEST = 2, 4096  # reduction, and longest side of a grain map, which is to be counted and painted
HALO = REACH + COMPANY_REACH + SMOOTH_REACH


class GrainOptions(BaseModel):
    """How a map is refined to grains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: Annotated[int, Field(ge=1, le=64)] = Field(
        FINEST, title="Reduction", description="Side of a pixel of the grain map in pixels of the picture"
    )
    min_confidence: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0,
        title="Least confidence",
        description="Pixels whose best probability is below it are left unclassified",
    )
    block_px: Annotated[int, Field(ge=16, le=16_384)] = Field(
        512, title="Block", description="Side of the blocks worked on at once, in pixels of the grain map"
    )


@dataclass(frozen=True)
class GrainMap:
    """Which mineral each pixel of a picture is, perhaps of the picture made smaller.

    Attributes
    ----------
    codes : (rows, columns) uint8 array
        Mineral codes; 0 is unclassified: no data, not processed, or below the least confidence.
    factor : int
        Each value answers for factor x factor pixels of the picture, beginning at its upper left corner.
    height_px, width_px : int
        Size of the picture.
    minerals : MineralTable
    um_per_px : float or None
        Of the picture.
    fingerprint : str
        Of the picture.
    corrections : int
        Corrected cells that it was learnt with.
    complete : bool
        False if it was stopped before its end.
    """

    codes: NDArray[np.uint8]
    factor: int
    height_px: int
    width_px: int
    minerals: MineralTable
    um_per_px: float | None
    fingerprint: str
    corrections: int = 0
    complete: bool = True

    @property
    def um_per_place(self) -> float | None:
        """Side of a value in micrometres; None where the picture's scale is not known."""
        return None if self.um_per_px is None else self.um_per_px * self.factor

    def sides_px(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Heights of the rows and widths of the columns in pixels of the picture; the last may be smaller."""
        rows, columns = (
            np.minimum(np.arange(1, count + 1) * self.factor, length) - np.arange(count) * self.factor
            for count, length in zip(self.codes.shape, (self.height_px, self.width_px), strict=True)
        )
        return rows, columns

    def area_px(self) -> dict[int, int]:
        """Pixels of the picture of each code, 0 among them; they add up to the picture."""
        heights, widths = self.sides_px()
        found = dict.fromkeys((*self.minerals.codes, 0), 0)
        for code in found:
            found[code] = int(heights @ (self.codes == code).astype(np.int64) @ widths)
        return found


@dataclass(frozen=True)
class GrainUpdate:
    """A block that became known: its place in the grain map, and its codes."""

    window: Window
    codes: NDArray[np.uint8]


def options_for(grid: TileGrid) -> GrainOptions:
    """Options for a picture: reduced further where counting its grains would take gigabytes, and painting be slow."""
    longest = max(grid.height_px, grid.width_px)
    return GrainOptions(factor=max(FINEST, -(-longest // LONGEST)))


def grain_map(
    mineral_map: MineralMap, micrograph: Micrograph, options: GrainOptions | None = None
) -> GrainMap:
    """Refine a map to grains; see `grain_map_steps`."""
    return run(grain_map_steps(mineral_map, micrograph, options))


def grain_map_steps(
    mineral_map: MineralMap, micrograph: Micrograph, options: GrainOptions | None = None
) -> Steps[GrainMap]:
    """Refine a map to grains, block by block; the blocks' size does not matter for the result.

    Parameters
    ----------
    mineral_map
        With its corrections: cells whose label is not the map's own answer, or that follow the user with
        probability 1, count as corrected.
    micrograph
        The picture that the map was made from; it is read window by window.
    options
        How; None for `options_for` the picture.

    Yields
    ------
    Progress
        In blocks; its ``update`` is a `GrainUpdate` once colours are learnt.  Sending True stops: what is
        not done by then stays unclassified.

    Returns
    -------
    GrainMap

    Raises
    ------
    OptionError
        If the picture is not the map's.
    PictureError
        If the picture turns out to be damaged.
    """
    grid = mineral_map.grid
    if (micrograph.height_px, micrograph.width_px) != (grid.height_px, grid.width_px):
        raise OptionError(
            f"the map is of a picture of {grid.height_px} x {grid.width_px} pixels, {micrograph.name} has "
            f"{micrograph.height_px} x {micrograph.width_px}: choose the picture that was classified"
        )
    options = options or options_for(grid)
    picture = ReducedPicture(micrograph, options.factor)
    corrected = corrected_cells(mineral_map)
    places = PlaceShares(mineral_map, options.factor, corrected)
    learnt, blocks = list(_spread(picture)), list(picture.blocks(options.block_px))
    total = len(learnt) + len(blocks)
    codes = np.zeros(picture.shape, np.uint8)
    samples: list[_Sample] = []
    complete = True
    for done, window in enumerate(learnt):
        samples.append(_sampled(picture, places, window))
        if (yield Progress(done + 1, total, "blocks", "learning colours")):
            complete = False
            break
    model = _learnt(samples, _taught(picture, mineral_map, corrected)) if complete else None
    for done, window in enumerate(blocks):
        if model is None:  # stopped, or nothing is known of any pixel
            break
        row, column, height, width = window
        part = _judged(picture, places, model, window, options.min_confidence)
        codes[row : row + height, column : column + width] = part
        update = GrainUpdate(window, part)
        progress = Progress(len(learnt) + done + 1, total, "blocks", "following grains", "", update)
        if (yield progress) and done + 1 < len(blocks):
            complete = False
            break
    return GrainMap(
        codes=codes,
        factor=options.factor,
        height_px=grid.height_px,
        width_px=grid.width_px,
        minerals=mineral_map.minerals,
        um_per_px=mineral_map.um_per_px,
        fingerprint=mineral_map.picture.fingerprint,
        corrections=int((corrected > 0).sum()),
        complete=complete,
    )


def _spread(picture: ReducedPicture) -> Iterator[Window]:
    """Windows to learn colours from: all of a small picture, else some that are spread over it."""
    windows = list(picture.blocks(LEARNT_PX))
    chosen = np.linspace(0, len(windows) - 1, min(LEARNT_WINDOWS, len(windows))).round().astype(int)
    yield from (windows[number] for number in chosen)


class _Sample(NamedTuple):
    """Some pixels of a window."""

    values: NDArray[np.float32]
    squares: NDArray[np.intp]
    said: NDArray[np.float32]
    weights: NDArray[np.float32]


def _sampled(picture: ReducedPicture, places: PlaceShares, window: Window) -> _Sample:
    """Values, squares and weights of some pixels of a window, and what the map says of their places."""
    rgb, finite, inner = picture.read(window, REACH)
    some = (slice(1, None, LEARNT_STEP), slice(1, None, LEARNT_STEP))
    values, weights = pixel_values(rgb)[inner][some], calmness(rgb)[inner][some]
    shares, known = places.of(window)
    rows, columns = (
        np.arange(start, start + length)[some[0]] // PATCH
        for start, length in ((window.row, window.height), (window.column, window.width))
    )
    squares = rows[:, np.newaxis] * (picture.shape[1] // PATCH + 1) + columns
    usable = (known & finite[inner])[some]
    return _Sample(values[usable], squares[usable], shares[some][usable], weights[usable])


def _taught(picture: ReducedPicture, mineral_map: MineralMap, corrected: NDArray[np.uint8]) -> list[Taught]:
    """Pixels of the cells that the user spoke of."""
    found = []
    for row, column in np.argwhere(corrected > 0):
        window = picture.window_of(mineral_map.grid.cell_window(int(row), int(column)))
        rgb, finite, inner = picture.read(window, REACH)
        values = pixel_values(rgb)[inner][finite[inner]]
        if len(values):
            found.append(Taught(values, mineral_map.minerals.codes.index(int(corrected[row, column]))))
    return found


def _learnt(samples: list[_Sample], taught: list[Taught]) -> ColourModel | None:
    values, squares, said, weights = (np.concatenate(parts) for parts in zip(*samples, strict=True))
    return ColourModel(values, squares, said, weights, taught) if len(values) else None


def _judged(
    picture: ReducedPicture,
    places: PlaceShares,
    model: ColourModel,
    window: Window,
    min_confidence: float,
) -> NDArray[np.uint8]:
    """Codes of a block: colour times place, times what is around, softened a little."""
    rgb, finite, inner = picture.read(window, HALO)
    shares, known = places.of(picture.grown(window, HALO))
    values = pixel_values(rgb)
    colour = model.probabilities(values.reshape(-1, values.shape[2])).reshape(shares.shape)
    anywhere, alone = (_least(places.minerals, ore) for ore in (LEAST_SHARE, LEAST_COMPANY))
    found = _normal((colour + LEAST_COLOUR) * (shares + anywhere) ** PLACE_POWER)
    company = _blurred(found, COMPANY_PX, COMPANY_REACH)
    found = _normal(found * (company + alone) ** COMPANY_POWER)
    found = _blurred(found, SMOOTH_PX, SMOOTH_REACH)[inner]
    codes = np.array(places.minerals.codes, np.uint8)[found.argmax(axis=2)]
    sure = known[inner] & finite[inner] & (found.max(axis=2) >= min_confidence)
    return np.where(sure, codes, np.uint8(0))


def _least(minerals: MineralTable, ore: float) -> NDArray[np.float32]:
    """What each mineral is given at least, `ore` or `LEAST_GANGUE`."""
    return np.array([LEAST_GANGUE if one.kind == "gangue" else ore for one in minerals], np.float32)


def _normal(values: NDArray[np.float32]) -> NDArray[np.float32]:
    whole: NDArray[np.float32] = (values / values.sum(axis=2, keepdims=True)).astype(np.float32)
    return whole


def _blurred(values: NDArray[np.float32], sigma: float, reach: int) -> NDArray[np.float32]:
    side = 2 * reach + 1
    soft: NDArray[np.float32] = cv2.GaussianBlur(values, (side, side), sigma, borderType=cv2.BORDER_REFLECT)
    return soft.reshape(values.shape)  # OpenCV drops the last axis where there is one mineral
