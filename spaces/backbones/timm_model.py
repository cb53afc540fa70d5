"""The networks of timm."""

from __future__ import annotations

from typing import Any

from torch import nn

from spaces.backbone import Backbone
from spaces.construction import Construction
from spaces.layers.layers import image_shape
from spaces.notation.errors import UserError, unknown
from spaces.torchvision_import import torchvision
from spaces.traced.library_model import library_backbone


def timm_model(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    name: str = "resnet18",
    pretrained: bool = False,
    weights: str | None = None,
    digest: str | None = None,
    units: str | None = None,
) -> Backbone:
    """A network of timm by its name there: vit_tiny_patch16_224, nf_resnet50, ...; its units are found.

    Made for the task's channels, classes and image size. `pretrained=True` starts from the library's own weights, which it
    downloads; `weights` from a file of a state dict, whose digest is put beside it. `units` is a pattern of the modules with
    which units end, such as `blocks.*`. An unknown name, weights that do not fit and images that are too small are UserErrors.
    """
    channels, height, columns = image_shape(f"backbone timm(name={name})", input_shape)
    timm = _timm()
    if name.partition(".")[0] not in timm.list_models():  # no name that would be looked up elsewhere
        raise unknown("network of timm:", name, timm.list_models())
    settings: dict[str, Any] = {"num_classes": num_classes, "in_chans": 3 if weights else channels}
    config = timm.models.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size and tuple(config.input_size[1:]) != (height, columns):
        settings["img_size"] = (height, columns)

    def make() -> nn.Module:
        try:
            return timm.create_model(name, pretrained=pretrained, **settings)
        except OSError as error:
            said = " ".join(str(error).split())[:80]
            raise UserError(
                f"pretrained=True downloads the weights of {name}, which failed ({said}); give a file, weights=FILE"
            ) from None

    return library_backbone(
        f"timm's {name}",
        make,
        input_shape,
        num_classes,
        construction=Construction("timm.create_model", (name,), settings),
        trained=pretrained,
        weights=weights,
        digest=digest,
        units=units,
    )


def _timm() -> Any:
    torchvision()
    try:
        import timm
    except ImportError:
        raise UserError("networks of timm need it installed; pip install 'decoupled-nas[timm]'") from None
    return timm
