"""A command for each name that uses it, and that runs once its data, or what is yours, is there."""

from __future__ import annotations

from collections.abc import Callable

from nas.catalogue.kinds import Kind
from nas.tasks.text_sets import TEXT_SETS
from spaces.named import builtin_keys
from spaces.notation.component import Component

Words = list[str]
TEXT_BACKBONES = ("linear", "lstm", "transformer")
_SMALL = ["--space", "small", "--task", "digits"]
_EVALUATE = ["evaluate", *_SMALL, "--decoupling", "even(3)", "--seeds", "1", "--iterations", "200"]
_SEARCH = ["search", "--space", "small", "--task", "digits(validation=0.4)", "--iterations", "200"]
_GIVEN = {  # names with settings that have to be given, or without which they are of no use
    "backbones": {"module": "module(path=my_package.make_net)"},
    "rules": {"even": "even(3)", "balanced": "balanced(3)", "published": "published(4)"},
    "side inputs": {"text": "text(dim=[89,88])"},
    "strategies": {
        "sedona": "sedona(pretrain=150,meta_steps=30,inner_steps=3,memory=20,meta_lr=0.05)",
        "supernet": "supernet(iterations=200,candidates=20,tune=5,trials=2)",
    },
    "evaluators": {"tabular": "tabular(path=results/digits/all.csv)"},
    "executors": {"ray": "ray(address=local)"},
    "tasks": {
        "arrays": "arrays(root=mine)",
        "folders": "folders(root=mine)",
        "hf_images": "hf_images(name=ylecun/mnist,crop=0)",
        "loader": "loader(path=my_package.make_data)",
        "texts": "texts(root=mine)",
        "hf_texts": "hf_texts(name=stanfordnlp/imdb)",
    },
    "class limits": {"classes": "classes(num=5)"},
}


def example(kind: Kind, name: str) -> Words:
    """The words behind the program's own name."""
    return _EXAMPLES[kind.name](_GIVEN.get(kind.name, {}).get(name, name))


def _space(text: str) -> Words:
    if text == "small":
        return ["search", *_SMALL[:3], "digits(validation=0.4)", "--strategy", "random(trials=5)", "--iterations", "200"]
    backbone = Component.parse(str(builtin_keys(Component(text))["backbone"])).name
    task = "ag_news" if backbone in TEXT_BACKBONES else "digits(validation=0.4)" if backbone == "prefix" else "cifar10"
    given = "module(path=my_package.make_net)" if backbone == "module" else text
    return ["search", "--space", given, "--task", task, "--strategy", "random(trials=20)", "--epochs", "10"]


def _backbone(text: str) -> Words:
    name = text.partition("(")[0]
    task = "ag_news" if name in TEXT_BACKBONES else "digits" if name in ("small", "prefix") else "cifar10"
    return ["profile", "--space", f"space(backbone={text},heads=[linear])", "--task", task, "--decoupling", "even(2)"]


def _head(text: str) -> Words:
    if text == "none":
        return ["evaluate", *_SMALL, "--methods", "al", "--decoupling", "3:none", "--seeds", "1", "--iterations", "200"]
    if text == "dense":  # of networks with an output a pixel
        space = "torchvision(name=deeplabv3_resnet50)"
        return ["profile", "--space", space, "--task", "folders(root=mine)", "--decoupling", "even(2,head=dense)"]
    method = {"auglocal": "auglocal", "predsim": "predsim"}.get(text, "dgl")
    return ["evaluate", *_SMALL, "--methods", method, "--decoupling", f"3:{text}", "--seeds", "1", "--iterations", "200"]


def _rule(text: str) -> Words:
    if text.startswith("published"):
        return ["profile", "--space", "vgg19", "--task", "cifar10", "--decoupling", text]
    return ["profile", *_SMALL, "--decoupling", text, *(["--method", "backprop"] if text == "uncut" else [])]


def _side(text: str) -> Words:
    given = {"conv": _SMALL, "features": ["--space", "small", "--task", "arrays(root=mine,features=True)"]}.get(
        text, ["--space", "lstm", "--task", "ag_news"]
    )
    return ["evaluate", *given, "--methods", "dgl", "--decoupling", "even(2)", "--side", text]


def _task(text: str) -> Words:
    name = text.partition("(")[0]
    space = "lstm" if name in (*TEXT_SETS, "texts", "hf_texts") else "small" if name == "digits" else "resnet18"
    shortened = ["--seeds", "1", "--epochs", "5"] if name == "digits" else ["--scale", "0.1"]
    return ["evaluate", "--space", space, "--task", text, "--methods", "dgl", "backprop", "--decoupling", "even(2)", *shortened]


def _method(text: str) -> Words:
    others = [] if text == "backprop" else ["backprop"]
    cuts = ["3:none"] if text == "al" else ["even(3)"]
    return [
        "evaluate", *_SMALL, "--methods", text, *others, "--decoupling", *cuts, "--seeds", "1", "--iterations", "200",
    ]  # fmt: skip


_EXAMPLES: dict[str, Callable[[str], Words]] = {
    "spaces": _space,
    "backbones": _backbone,
    "heads": _head,
    "rules": _rule,
    "methods": _method,
    "side inputs": _side,
    "strategies": lambda text: [*_SEARCH, "--strategy", text],
    "evaluators": lambda text: [*_SEARCH, "--strategy", "random(trials=5)", "--evaluator", text],
    "executors": lambda text: [*_EVALUATE, "--methods", "dgl", "backprop", "--executor", text],
    "tasks": _task,
    "confidence rules": lambda text: ["predict", "runs/0123456789abcdef", "mine.npz", "--threshold", "0.9", "--rule", text],
    "figures": lambda text: [*_EVALUATE, "--methods", "dgl", "--measure", text],
    "export formats": lambda text: ["export", "runs/0123456789abcdef", "--to", text, "--out", "exported"],
    "optimizers": lambda text: [*_EVALUATE, "--methods", "dgl", "--optimizer", text],
    "schedules": lambda text: [*_EVALUATE, "--methods", "dgl", "--schedule", text],
    "growths": lambda text: [*_EVALUATE, "--methods", "dgl", "--grow", text],
    "class limits": lambda text: [*_EVALUATE, "--methods", "dgl", "--class-batches", text],
    "parallels": lambda text: [*_EVALUATE, "--methods", "dgl", "--parallel", text],
    "experiments": lambda text: ["evaluate", "--config", text, "--scale", "0.1"],
}
