"""A way out where a GPU lacks an operation, as Apple's MPS does for some."""

from __future__ import annotations

import copy

from .classifier import Classifier


def on_cpu(classifier: Classifier, error: NotImplementedError) -> Classifier:
    """Copy a classifier to the CPU because its device cannot do what the network asks for.

    Returns
    -------
    Classifier
        Its last notice says what was lacking.

    Raises
    ------
    NotImplementedError
        The same one, if it was raised on the CPU.
    """
    if classifier.device.torch_device.type == "cpu":
        raise error
    found = type(classifier)(
        classifier.card, copy.deepcopy(classifier.network), device="cpu", precision="fp32"
    )
    lacking = (str(error).splitlines() or ["an operation is missing"])[0][:200]
    found.notices.append(
        f"{classifier.device.title} cannot run this model ({lacking}): going on with the CPU"
    )
    return found
