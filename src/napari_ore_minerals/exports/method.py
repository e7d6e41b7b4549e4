"""How the figures came about, in words fit for the methods section of a paper, and what to cite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ore_minerals.exports.shown import PROGRAM
from napari_ore_minerals.maps.places import follows
from napari_ore_minerals.minerals import UNCLASSIFIED

if TYPE_CHECKING:
    from napari_ore_minerals.exports.shown import Shown
    from napari_ore_minerals.maps.measuring import Measurement

PAPER = (
    "Cai, Qiu, Petrelli and others (2024). The application of “transfer learning” in optical microscopy: the "
    "petrographic classification of metallic minerals. American Mineralogist 109, 2060-2072."
)
CLASS_MAPS = (
    "Zhou, B., Khosla, A., Lapedriza, A., Oliva, A., Torralba, A. (2016). Learning deep features for discriminative "
    "localization. IEEE Conference on Computer Vision and Pattern Recognition, 2921-2929."
)
SWIN = (
    "Liu, Z., Lin, Y., Cao, Y., Hu, H., Wei, Y., Zhang, Z., Lin, S., Guo, B. (2021). Swin Transformer: hierarchical "
    "vision transformer using shifted windows. IEEE/CVF International Conference on Computer Vision, 10012-10022."
)
SAMPLING = "Cochran, W. G. (1977). Sampling Techniques, 3rd edition. Wiley, New York."
ADJUSTING = (
    "Saerens, M., Latinne, P., Decaestecker, C. (2002). Adjusting the outputs of a classifier to new a priori "
    "probabilities: a simple procedure. Neural Computation 14, 21-41."
)
POOLING = (
    "Zou, G. Y., Donner, A. (2008). Construction of confidence limits about effect measures: a general approach. "
    "Statistics in Medicine 27, 1693-1702."
)
SYMBOLS = "Warr, L. N. (2021). IMA-CNMNC approved mineral symbols. Mineralogical Magazine 85, 291-320."
_FAMILIES = (
    ("swin", "Swin Transformer"),
    ("resnet", "ResNet"),
    ("mobilenet", "MobileNet"),
    ("efficientnet", "EfficientNet"),
)


def method(shown: Shown) -> tuple[str, ...]:
    """Paragraphs: how tiles were classified, how areas were measured, and how grains were found."""
    found = [_classified(shown), _measured(shown)]
    return tuple(found if shown.grains is None else [*found, _grains(shown)])


def citations(shown: Shown) -> tuple[str, ...]:
    """What a paper that uses these figures should cite: the software, the paper, and the sources of the method."""
    sources = [f"{PROGRAM}, software for ore microscopy (BSD-3-Clause); see its CITATION.cff.", PAPER]
    if "swin" in shown.mineral_map.model.architecture:
        sources.append(SWIN)
    sources += [CLASS_MAPS, SAMPLING]
    if _adjusted(shown):
        sources.append(ADJUSTING)
    return (*sources, SYMBOLS) if shown.pooled is None else (*sources, POOLING, SYMBOLS)


def _classified(shown: Shown) -> str:
    mineral_map = shown.mineral_map
    picture, model, grid, run = mineral_map.picture, mineral_map.model, mineral_map.grid, mineral_map.run
    scale = mineral_map.um_per_px
    side = f"{grid.tile_px} px" if scale is None else f"{grid.tile_px} px ({grid.tile_px * scale:.3g} µm)"
    apart = "side by side" if grid.overlap == 1 else f"every {grid.stride_px} px"
    family = next((title for part, title in _FAMILIES if part in model.architecture), "neural network")
    text = (
        f"The reflected-light photograph {picture.name}{_plane(shown)} ({picture.width_px} x {picture.height_px} px, "
        f"{'of unknown scale' if scale is None else f'{scale:.4g} µm per pixel'}) was classified with {PROGRAM}, "
        f"after Cai et al. (2024): square tiles of {side}, {apart}, were given to a {family} "
        f"({model.architecture}; model “{model.name}”, version {model.version}, weights SHA-256 "
        f"{model.weights_sha256[:12]}…) that knows {_listed([mineral.name for mineral in mineral_map.minerals])}. "
    )
    if run.min_confidence > 0:
        text += f"Cells whose likeliest mineral had a probability below {run.min_confidence:.2g} are unclassified. "
    if shown.corrections:
        text += f"{shown.corrections:,} of {grid.rows * grid.columns:,} cells were named or confirmed by hand"
        text += ", and the other cells follow these." if follows(mineral_map) else "."
    else:
        text += "No cell was corrected by hand."
    return text if run.complete else text + " The classification was stopped before its end."


def _plane(shown: Shown) -> str:
    return "" if shown.pooled is None else f", {shown.seen.name} of {len(shown.measured)},"


def _measured(shown: Shown) -> str:
    mineral_map, last = shown.mineral_map, shown.seen
    m, temperature = mineral_map.places_per_cell, mineral_map.run.temperature
    text = (
        f"Areas were measured below the tiles: class activation maps (Zhou et al. 2016) give the evidence for each "
        f"mineral at {m} x {m} places of every {mineral_map.grid.stride_px} px cell, which was turned into shares that "
        f"add up to one (softmax{'' if temperature == 1 else f', temperature {temperature:.3g}'}); "
        f"cells named by hand count whole. Area fractions are of {whole_in_words(last)}. "
    )
    if shown.pooled is not None:
        text += (
            f"Each of {len(shown.measured)} planes of the stack was measured; the figures of all planes together weigh "
            "each by its area, and their intervals come from how the planes differ (the farther end of Student's t "
            "and of the same on the scale of the logit; put together with the classifier's error after Zou and Donner "
            f"2008). What follows is of {last.name}. "
        )
    elif len(shown.measured) > 1:
        text += f"They were measured in {len(shown.measured) - 1} regions, and in all of them together. "
    text += (
        f"95 % confidence intervals are from Student's t of the ratio over {last.blocks} blocks of "
        f"{last.block_px:.0f} px (Cochran 1977; grains measure about {last.grain_px:.0f} px)"
    )
    return text + _erring(shown) + _beside(shown)


def _erring(shown: Shown) -> str:
    if not shown.seen.table["classifier_error"].notna().any():
        return "; the classifier's own error is not included. "
    known = shown.erring or "pictures whose minerals are known"
    return f", and include the classifier's error as it was found on these pictures: {known}. "


def _beside(shown: Shown) -> str:
    """Figures that stand beside the fractions in tables."""
    text = (
        "Beside them stand “effective n”, the number of points counted at random that would be as sure, and “by "
        "cells”, the share of whole cells by their label, for comparison alone: it is biased where grains are small."
    )
    if _adjusted(shown):
        text += (
            " “Adjusted” fractions are those for which the classifier, by what it is known to confuse, would be "
            "expected to answer what it answered (expectation maximization, Saerens et al. 2002); measured fractions "
            "and their intervals are not adjusted."
        )
    return text


def _adjusted(shown: Shown) -> bool:
    return bool(shown.seen.table["fraction_adjusted"].notna().any())


def whole_in_words(measured: Measurement) -> str:
    """What fractions are of."""
    names = [*(mineral.name for mineral in measured.minerals), "what is unclassified"]
    there = set(measured.table["code"])
    codes = (*measured.minerals.codes, UNCLASSIFIED)
    left = [
        name
        for name, code, counts in zip(names, codes, measured.whole, strict=True)
        if not counts and code in there
    ]
    return f"all that was measured but {_listed(left)}" if left else "all that was measured"


def _grains(shown: Shown) -> str:
    if shown.grains is None or shown.grain_tables is None:
        return ""
    scale = shown.grains.um_per_place
    step = f"{shown.grains.factor} px" if scale is None else f"{shown.grains.factor} px ({scale:.3g} µm)"
    grains = shown.grain_tables.grains
    whole = grains[~grains["cut"].astype(bool)]
    share = whole["area_px"].sum() / max(float(grains["area_px"].sum()), 1.0)
    where = "in the whole picture, not in the regions alone, " if shown.of_regions else ""
    return (
        f"Boundaries of grains were followed {where}on a grid of {step}: the colours of each mineral were learnt "
        "in this photograph from the map, and each pixel was judged by its colour, by what the map says of its place, "
        f"and by the pixels around it. {_painted(shown)}{len(grains):,} grains were counted, "
        f"of which {len(whole):,} are not cut by the edge of the picture and entered the distributions of sizes. "
        f"These hold {share:.0%} of the area of all; large grains are cut more often than small ones. Diameters are "
        "those of circles of the same area; they are sizes of sections through grains, which are smaller than the "
        "grains."
    )


def _painted(shown: Shown) -> str:
    if shown.grains is None or not shown.painted:
        return ""
    share = shown.painted / shown.grains.codes.size
    return f"{shown.painted:,} pixels of this grid ({share:.2%}) were then painted by hand. "


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
