"""torchvision, also where its compiled operators cannot be loaded."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_MISSING = "operator torchvision::nms does not exist"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a library that is freed takes its schemas with it


def torchvision() -> ModuleType:
    """The torchvision package, imported when first asked for.

    A wheel built for CUDA beside a CPU-only torch cannot load its operators and then fails on `import torchvision`
    itself, since two of them are registered without asking whether they exist. Declaring these two is enough for data
    sets, transforms and models; torchvision's own operators (box suppression, image decoding) stay missing. Where the
    plain import works nothing is declared.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + _SCHEMA)
    _declared.append(library)
    return importlib.import_module("torchvision")
