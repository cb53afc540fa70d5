"""Weights that a network of a library starts from, out of a file: read as data, and named by what is in it."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spaces.notation.component import Component
from spaces.notation.errors import UserError

SETTINGS = ("pretrained", "weights", "digest")  # of the backbones that take such weights


def pinned(backbone: Component) -> Component:
    """The backbone with the digest of its file of weights, so that what is in the file, too, is a part of what a row says."""
    settings = dict(backbone.settings)
    if settings.get("weights") is None or settings.get("digest") is not None:
        return backbone
    return Component(backbone.name, (*backbone.settings, ("digest", file_digest(str(settings["weights"])))), backbone.positional)


def without_weights(backbone: Component) -> Component:
    """The backbone as it is built where other weights are loaded into it."""
    return Component(backbone.name, tuple((k, v) for k, v in backbone.settings if k not in SETTINGS), backbone.positional)


def file_digest(path: str) -> str:
    """The first 12 digits of the file's SHA-256."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise UserError(f"weights is a file of weights, got {path}, which cannot be read ({error.strerror})") from None


def read_weights(path: str, digest: str | None) -> dict[str, torch.Tensor]:
    """The tensors of a state dict, from a .safetensors file or one of `torch.save`; nothing in it is unpickled but tensors.

    A file that was changed since its digest was taken is a UserError.
    """
    if digest is not None and file_digest(path) != digest:
        raise UserError(
            f"the weights in {path} are those of the digest {digest}, got {file_digest(path)}; give the file as it was"
        )
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            held: Any = load_file(path)
        else:
            held = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise UserError(f"{path} is read with safetensors; pip install 'decoupled-nas[export]'") from None
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"weights is a state dict of tensors, got {path}, which is none ({_line(error)})") from None
    for key in ("state_dict", "model"):  # as training scripts wrap it
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
    if not (isinstance(held, dict) and held and all(isinstance(tensor, torch.Tensor) for tensor in held.values())):
        raise UserError(f"weights is a state dict, names with tensors, got {path}, which holds something else")
    return held


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: str) -> tuple[str, ...]:
    """Load all that fits; the names of the last layer's tensors where their number of classes differs, which stay as drawn.

    Names that are missing, or more, or any other shape are a UserError.
    """
    own = model.state_dict()
    missing, more = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or more:
        said = [f"has no {name}" for name in missing[:1]] + [f"has a {name} too" for name in more[:1]]
        raise UserError(f"weights are those of a {type(model).__name__}, got {path}, which {' and '.join(said)}")
    other = [name for name in own if own[name].shape != weights[name].shape]
    layers = {name.rpartition(".")[0] for name in other}
    if len(layers) > 1 or any(own[name].shape[1:] != weights[name].shape[1:] for name in other):
        name = other[0]
        raise UserError(
            f"weights fit the network but for its number of classes, got {path}, whose {name} is {tuple(weights[name].shape)} "
            f"and not {tuple(own[name].shape)}"
        )
    if not any(tensor.is_meta for tensor in own.values()):  # of shapes alone there is nothing to load
        model.load_state_dict({name: tensor for name, tensor in weights.items() if name not in other}, strict=False)
    return tuple(other)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]
