"""From napari's layers to what the core takes: pictures, their place in the world, and parts of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.utils.transforms import Affine

from napari_ore_minerals.errors import PictureError
from napari_ore_minerals.images.pixels import PictureAnswers, ReadOptions
from napari_ore_minerals.widgets.layer_scale import um_per_px_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_ore_minerals.images.micrograph import Micrograph

LAYER_SCALE, BY_USER = "layer scale", "given by the user"
FILE_KEY = (
    "ore_minerals_file"  # of layers that show what this program reads from a file: its path, and whose id
)
ANSWERS_KEY = "ore_minerals_answers"  # with which such a file was opened, a PictureAnswers
BROWSED_KEY = "ore_minerals_browsed"  # of layers whose coarser levels are for the eye alone
ASKED = ("bit_depth", "value_range", "channel_order")  # of the user; the other answers follow from a layer
_UNANSWERED = PictureAnswers()


class Told(NamedTuple):
    """The scale that a picture's file tells, and what in it does."""

    um_per_px: float
    source: str


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in the world, as its layer had it: enough to lay other layers over it exactly.

    Attributes
    ----------
    transform : dict
        scale, translate, rotate, shear, affine, units and axis labels of the picture's layer.
    plane : tuple of int
        Index on each axis in front of rows and columns.
    pixel : (float, float)
        Height and width of a pixel of the read pyramid level, in pixels of the finest one.
    """

    transform: dict[str, Any]
    plane: tuple[int, ...] = ()
    pixel: tuple[float, float] = (1.0, 1.0)

    def of_cells(self, side_px: float) -> dict[str, Any]:
        """Transform of a layer whose pixels are squares of `side_px` of the picture, from its first corner.

        napari puts whole numbers at the centres of pixels, so the first cell's centre is
        (side - 1) / 2 of the finest level.
        """
        size = np.array([1.0] * len(self.plane) + [side_px * length for length in self.pixel])
        first = np.array([*self.plane, *((size[-2:] - 1) / 2)])
        own = {key: self.transform[key] for key in ("scale", "translate", "rotate", "shear")}
        return {
            **self.transform,
            "scale": np.asarray(self.transform["scale"]) * size,
            "translate": np.asarray(Affine(**own)(first)),
        }

    def shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        """`values` (rows, columns) with the leading axes that the layer needs."""
        return values.reshape((1,) * len(self.plane) + values.shape)


@dataclass(frozen=True)
class LayerPicture:
    """The picture of an image layer; nothing is read before `micrograph` is called.

    Attributes
    ----------
    data : array or sequence of arrays
        The layer's data as they are now.
    options : ReadOptions
    name : str
    height_px, width_px : int
        Of the level that is read.
    um_per_px : float or None
    um_per_px_source : str
    path : Path or None
    placement : Placement
    from_file : bool
        Whether the pixels are read from the file, of which the layer is only a view.
    """

    data: Any
    options: ReadOptions
    name: str
    height_px: int
    width_px: int
    um_per_px: float | None
    um_per_px_source: str
    path: Path | None
    placement: Placement
    from_file: bool = False

    def micrograph(self) -> Micrograph:
        """Open it, which may look at samples of the pixels; may be called from any thread."""
        from dataclasses import replace

        from napari_ore_minerals.images.micrograph import Micrograph

        if self.from_file and self.path is not None:
            opened = replace(Micrograph.open(self.path, options=self.options), name=self.name)
        else:
            opened = Micrograph.from_array(self.data, name=self.name, options=self.options)
        if self.um_per_px is not None:
            opened = opened.with_scale(self.um_per_px, self.um_per_px_source)
        return replace(opened, path=self.path)


def picture_of(
    layer: Image,
    step: Sequence[int] = (),
    *,
    um_per_px: float | None = None,
    model_um_per_px: float | None = None,
    answers: PictureAnswers | None = None,
    told: Told | None = None,
) -> LayerPicture:
    """Picture of an image layer.

    Parameters
    ----------
    layer
        The layer; its contrast, colormap and opacity make no difference.
    step
        Index on each axis of the layer, for the plane of a stack: `parts.step_in_view`.
    um_per_px
        Given by the user; goes before the layer's scale. Of the finest level.
    model_um_per_px
        Of the model; the level of a pyramid that is nearest to it, but not coarser, is read.
    answers
        The user's, to what the pixels leave open; plane and level follow from the layer. None for those with
        which the layer was opened.
    told
        By the layer's file; counts where neither the user nor the layer gives a scale.

    Raises
    ------
    PictureError
        If the layer is no picture of rows and columns.
    """
    if layer.ndim < 2:
        raise PictureError(f"{layer.name}: has one axis; a picture has rows and columns.")
    shapes = [tuple(shape) for shape in layer.level_shapes] if layer.multiscale else [_shape(layer)]
    finest, source = _scale(layer, um_per_px, told)
    browsed = layer.metadata.get(BROWSED_KEY, False)
    level = 0 if browsed else _level(shapes, layer.ndim, finest, model_um_per_px)
    rows, columns = layer.ndim - 2, layer.ndim - 1
    pixel = (shapes[0][rows] / shapes[level][rows], shapes[0][columns] / shapes[level][columns])
    lead = layer.ndim - 2
    steps = [0] * max(0, layer.ndim - len(step)) + list(step)
    plane = tuple(
        min(max(int(at), 0), shapes[0][axis] - 1) for axis, at in enumerate(steps[-layer.ndim :][:lead])
    )
    from_file, path = _file_of(layer)
    opened_with = answers_of(layer)
    given = opened_with if answers is None else answers
    options = opened_with.model_copy(update={name: getattr(given, name) for name in ASKED}).salvaging()
    if not from_file:
        options = options.model_copy(update={"rgb": bool(layer.rgb), "plane": plane or None, "level": level})
    return LayerPicture(
        data=list(layer.data) if layer.multiscale else layer.data,
        options=options,
        name=layer.name,
        height_px=shapes[level][rows],
        width_px=shapes[level][columns],
        um_per_px=None if finest is None else finest * pixel[1],
        um_per_px_source="" if finest is None else source,
        path=path,
        placement=Placement(transform_of(layer), plane, pixel),
        from_file=from_file,
    )


def answers_of(layer: Layer) -> PictureAnswers:
    """Answers with which the file was opened that a layer shows; unanswered for all other layers."""
    found = layer.metadata.get(ANSWERS_KEY)
    return found if isinstance(found, PictureAnswers) else _UNANSWERED


def transform_of(layer: Layer) -> dict[str, Any]:
    """Copies of all that puts a layer in its place in the world."""
    return {
        "scale": np.array(layer.scale),
        "translate": np.array(layer.translate),
        "rotate": np.array(layer.rotate),
        "shear": np.array(layer.shear),
        "affine": np.array(layer.affine.affine_matrix),
        "units": tuple(layer.units),
        "axis_labels": tuple(layer.axis_labels),
    }


def resized(transform: dict[str, Any], factor: float, units: str | None = None) -> dict[str, Any]:
    """Scale, translate, affine and units of a layer whose rows and columns become `factor` times as long.

    Parameters
    ----------
    transform
        As of `transform_of`; what else is in it stays.
    factor
        New by old length.
    units
        Of rows and columns; None leaves them.
    """
    lead = len(transform["scale"]) - 2
    size = np.array([1.0] * lead + [factor] * 2)
    affine = np.array(transform["affine"], float)
    affine[:-1, -1] *= size
    named = tuple(transform["units"])
    return {
        **transform,
        "scale": np.asarray(transform["scale"]) * size,
        "translate": np.asarray(transform["translate"]) * size,
        "affine": affine,
        "units": named if units is None else (*named[:lead], units, units),
    }


def _scale(layer: Image, given: float | None, told: Told | None) -> tuple[float | None, str]:
    """Micrometres per pixel of the finest level, and where they come from."""
    if given is not None:
        return given, BY_USER
    of_layer = um_per_px_of(layer)
    if told is not None and (of_layer is None or math.isclose(of_layer, told.um_per_px, rel_tol=1e-6)):
        return told
    return of_layer, LAYER_SCALE


def _file_of(layer: Image) -> tuple[bool, Path | None]:
    """Whether a layer is only a view of a file, and its file if there is one with its pixels."""
    viewed, shown = layer.metadata.get(FILE_KEY, (None, 0))
    finest = layer.data[0] if layer.multiscale else layer.data
    if viewed is not None and shown == id(finest) and Path(viewed).exists():
        return True, Path(viewed)
    path = layer.source.path
    known = path is not None and not layer.multiscale and Path(path).is_file()
    return False, Path(path) if known else None


def _shape(layer: Image) -> tuple[int, ...]:
    return tuple(int(length) for length in layer.data.shape)


def _level(
    shapes: list[tuple[int, ...]], ndim: int, finest: float | None, model_um_per_px: float | None
) -> int:
    """Coarsest level that is not coarser than the model's pictures; the finest where a scale is not known."""
    if finest is None or model_um_per_px is None:
        return 0
    width = shapes[0][ndim - 1]
    scales = [finest * width / shape[ndim - 1] for shape in shapes]
    fine_enough = [number for number, scale in enumerate(scales) if scale <= model_um_per_px * 1.01]
    return max(fine_enough, default=0)
