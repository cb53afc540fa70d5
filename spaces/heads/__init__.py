"""The heads by name."""

from __future__ import annotations

from torch import nn

from spaces.heads.auglocal import auglocal
from spaces.heads.conv import conv
from spaces.heads.conv_fc import linear_or_embedding, one_conv, two_convs
from spaces.heads.dense import dense
from spaces.heads.linear import linear
from spaces.heads.mlp import mlp
from spaces.heads.mlp_sr import mlp_sr
from spaces.heads.none import NO_HEAD, none
from spaces.heads.predsim import PredSimHead
from spaces.notation.table import Table

__all__ = ["HEADS", "NO_HEAD"]

HEADS: Table[nn.Module] = Table(
    "head",
    {
        "conv": conv,
        "mlp_sr": mlp_sr,
        "predsim": PredSimHead,
        "linear": linear,
        "mlp": mlp,
        "dense": dense,
        "auglocal": auglocal,
        "0c1f": linear_or_embedding,
        "1c2f": one_conv,
        "2c2f": two_convs,
        NO_HEAD: none,
    },
    makes=nn.Module,
)
