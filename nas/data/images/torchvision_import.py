"""torchvision for data sets and images; `spaces.torchvision_import` says how, for a user's own networks too."""

from spaces.torchvision_import import torchvision

__all__ = ["torchvision"]
