"""The tasks by name: data, its splits and its augmentation."""

from nas.data.task_data import TaskData
from nas.data.task_parts import TaskParts
from nas.tasks.arrays import arrays
from nas.tasks.digits import digits
from nas.tasks.folders import folders
from nas.tasks.hf_images import hf_images
from nas.tasks.hf_texts import hf_texts
from nas.tasks.imagenet import imagenet
from nas.tasks.loader import loader
from nas.tasks.text_files import texts
from nas.tasks.text_sets import TEXT_SETS
from nas.tasks.tiny_imagenet import tiny_imagenet
from nas.tasks.torchvision_sets import cifar10, cifar100, fashion_mnist, stl10, svhn
from spaces.notation.table import Table

TASKS: Table[TaskData] = Table(
    "task",
    {
        "digits": digits,
        "cifar10": cifar10,
        "cifar100": cifar100,
        "fashion_mnist": fashion_mnist,
        "svhn": svhn,
        "stl10": stl10,
        "tiny_imagenet": tiny_imagenet,
        "imagenet": imagenet,
        "arrays": arrays,
        "folders": folders,
        "hf_images": hf_images,
        "loader": loader,
        **TEXT_SETS,
        "texts": texts,
        "hf_texts": hf_texts,
    },
    makes=TaskParts,
)
