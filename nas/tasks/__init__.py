"""The tasks by name: data, its splits and its augmentation."""

from nas.images import Images
from nas.tasks.arrays import arrays
from nas.tasks.digits import digits
from nas.tasks.torchvision_sets import cifar10, cifar100, fashion_mnist
from spaces.component import Table

TASKS: Table[Images] = Table("task", {
    "digits": digits,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "fashion_mnist": fashion_mnist,
    "arrays": arrays,
})
