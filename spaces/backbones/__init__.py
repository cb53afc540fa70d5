"""The backbones by name."""

from __future__ import annotations

from spaces.backbone import Backbone
from spaces.backbones.al_images import al_cnn, al_resnet18, al_vgg
from spaces.backbones.cifar_resnet import resnet32, resnet56, resnet110
from spaces.backbones.dgl_cnn import dgl_cnn
from spaces.backbones.own_module import own_module
from spaces.backbones.prefix import prefix
from spaces.backbones.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from spaces.backbones.small import small
from spaces.backbones.text_linear import text_linear
from spaces.backbones.text_lstm import text_lstm
from spaces.backbones.text_transformer import text_transformer
from spaces.backbones.timm_model import timm_model
from spaces.backbones.torchvision_model import torchvision_model
from spaces.backbones.vgg import vgg11, vgg13, vgg16, vgg19
from spaces.backbones.vgg11b import vgg11b
from spaces.heads import HEADS
from spaces.notation.table import Table

BACKBONES: Table[Backbone] = Table(
    "backbone",
    {
        "vgg11": vgg11,
        "vgg13": vgg13,
        "vgg16": vgg16,
        "vgg19": vgg19,
        "resnet18": resnet18,
        "resnet34": resnet34,
        "resnet50": resnet50,
        "resnet101": resnet101,
        "resnet152": resnet152,
        "resnet32": resnet32,
        "resnet56": resnet56,
        "resnet110": resnet110,
        "small": small,
        "dgl_cnn": dgl_cnn,
        "vgg11b": vgg11b,
        "al_cnn": al_cnn,
        "al_vgg": al_vgg,
        "al_resnet18": al_resnet18,
        "linear": text_linear,
        "lstm": text_lstm,
        "transformer": text_transformer,
        "prefix": prefix,
        "torchvision": torchvision_model,
        "timm": timm_model,
        "module": own_module,
    },
    nested={"of": None, "head": HEADS},
    makes=Backbone,
)
