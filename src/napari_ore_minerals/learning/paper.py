"""The figures that the paper printed, to stand beside ours.

From its Tables 2 and 3, its text and its Figures 6 and 9 (test set of 906 tiles, five minerals).  A figure
that was not printed is absent here.
"""

from __future__ import annotations

from typing import NamedTuple

from napari_ore_minerals.models.architectures import Architecture


class PrintedScore(NamedTuple):
    """Precision, recall and F1 of one mineral, 0 to 1, as printed with two decimals."""

    precision: float
    recall: float
    f1: float


class PrintedModel(NamedTuple):
    """What was printed of one model.

    Attributes
    ----------
    title : str
    accuracy : float
        On the test set.
    first_validation_accuracy : float
        After the first epoch, with ImageNet weights.
    scores : dict of str to PrintedScore
        By mineral.
    """

    title: str
    accuracy: float
    first_validation_accuracy: float
    scores: dict[str, PrintedScore]


MINERALS = ("arsenopyrite", "chalcopyrite", "gold", "pyrite", "stibnite")
TILES: dict[str, tuple[int, ...]] = {
    "training": (548, 505, 490, 574, 596),
    "validation": (182, 170, 164, 191, 198),
    "test": (183, 169, 163, 192, 199),
}
TRAINING_AFTER_AUGMENTATION = 18_991


def _scores(*printed: tuple[float, float, float]) -> dict[str, PrintedScore]:
    return {name: PrintedScore(*values) for name, values in zip(MINERALS, printed, strict=True)}


PRINTED: dict[Architecture, PrintedModel] = {
    "swin_base_patch4_window7_224": PrintedModel(
        "Swin Transformer",
        0.92,
        0.74,
        _scores(
            (0.85, 0.99, 0.91), (0.83, 0.97, 0.89), (0.96, 1.0, 0.98), (1.0, 0.81, 0.9), (0.99, 0.84, 0.91)
        ),
    ),
    "resnet50": PrintedModel(
        "ResNet50",
        0.91,
        0.40,
        _scores(
            (0.97, 0.98, 0.97), (0.78, 0.89, 0.84), (0.88, 0.99, 0.93), (0.94, 0.7, 0.8), (0.97, 0.98, 0.98)
        ),
    ),
    "mobilenetv2_100": PrintedModel(
        "MobileNetV2",
        0.81,
        0.34,
        _scores(
            (0.64, 1.0, 0.78), (0.77, 0.9, 0.83), (0.91, 0.99, 0.95), (0.98, 0.61, 0.75), (1.0, 0.62, 0.76)
        ),
    ),
}
SWIN_FROM_SCRATCH = (0.56, 0.88)  # validation accuracy after the first epoch, and the best
