"""The networks of torchvision."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from spaces.backbone import Backbone
from spaces.construction import Construction
from spaces.layers.layers import image_shape
from spaces.notation.errors import UserError, unknown
from spaces.torchvision_import import torchvision
from spaces.traced.library_model import library_backbone


def torchvision_model(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    name: str = "resnet18",
    pretrained: bool = False,
    weights: str | None = None,
    digest: str | None = None,
    units: str | None = None,
) -> Backbone:
    """A network of torchvision by its name there: resnet50, vit_b_16, swin_t, ...; its units are found.

    `pretrained=True` starts from the library's own weights, which it downloads; `weights` from a file of a state dict, whose
    digest is put beside it. Auxiliary classifiers are off. `units` is a pattern of the modules with which units end, such as
    `features.*`. An unknown name, weights that do not fit and images that are too small are UserErrors.
    """
    image_shape(f"backbone torchvision(name={name})", input_shape)
    models: Any = torchvision().models
    known = models.list_models(module=models) + models.list_models(module=models.segmentation)
    if name not in known:
        raise unknown("network of torchvision:", name, known)
    builder = models.get_model_builder(name)
    settings: dict[str, Any] = {}
    parameters = inspect.signature(builder).parameters
    if "weights_backbone" in parameters:
        settings["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        settings |= {"aux_logits": False, "init_weights": False} if not pretrained else {}
    if name.startswith("vit_"):
        settings["image_size"] = _square(name, input_shape)

    plain = Construction("torchvision.models.get_model", (name,), {"weights": None, "num_classes": num_classes, **settings})

    def make() -> nn.Module:
        if not pretrained:
            return plain.make()
        try:
            return _as_built_here(builder(weights="DEFAULT", **settings))
        except OSError as error:
            raise UserError(
                f"pretrained=True downloads the weights of {name}, which failed ({error}); give a file, weights=FILE"
            ) from None

    return library_backbone(
        f"torchvision's {name}",
        make,
        input_shape,
        num_classes,
        construction=plain,
        trained=pretrained,
        weights=weights,
        digest=digest,
        units=units,
        settings=(pretrained,),
    )


def _as_built_here(model: nn.Module) -> nn.Module:
    """A trained network like the one that is made without weights: torchvision turns on auxiliary classifiers, and a scaling of
    inputs, which the task scales already."""
    for name, off in (("transform_input", False), ("aux_logits", False), ("AuxLogits", None), ("aux1", None), ("aux2", None)):
        if hasattr(model, name):
            setattr(model, name, off)
    return model


def _square(name: str, input_shape: tuple[int, ...]) -> int:
    _, height, columns = input_shape
    if height != columns:
        raise UserError(f"{name} takes square images, got {height} x {columns}; crop or resize them")
    return height
