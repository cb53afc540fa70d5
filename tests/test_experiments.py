"""Every recipe of experiments/ is read as `run.py evaluate --config` reads it, and each of its networks takes a first step."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

import run
from methods.method import Method
from methods.parts.lambdas import loss_weights
from methods.table import METHODS, traits
from methods.training.optimization import SCHEDULES
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cli.config import parse
from nas.published.values import published_values
from nas.tasks import TASKS
from spaces.activation import TextShape
from spaces.backbones.resnet import Residual
from spaces.decoupling import Decoupling
from spaces.memory.in_place import BatchNormFromShapes
from spaces.named import read_space
from spaces.network import DecoupledNet, PixelScale
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

FOLDER = Path(run.__file__).with_name("experiments")
RECIPES = sorted(FOLDER.glob("*.yaml"))
SHAPES: dict[str, tuple[int, ...]] = {
    "cifar10": (3, 32, 32),
    "cifar100": (3, 32, 32),
    "svhn": (3, 32, 32),
    "stl10": (3, 96, 96),
    "imagenet": (3, 224, 224),
    "tiny_imagenet": (3, 64, 64),
    "ag_news": TextShape(128, 500),
    "dbpedia_14": TextShape(128, 500),
    "imdb": TextShape(256, 500),
}
CLASSES = {
    "cifar10": 10,
    "cifar100": 100,
    "svhn": 10,
    "stl10": 10,
    "imagenet": 1000,
    "tiny_imagenet": 200,
    "ag_news": 4,
    "dbpedia_14": 14,
    "imdb": 2,
}
RUNS = {  # a seed, from the commands of the released code
    "contsup_table1": 4,
    "contsup_table2": 16,
    "contsup_table3_cifar10": 8,
    "contsup_table3_stl10": 8,
    "contsup_table3_svhn": 8,
    "contsup_figure4_resnet32": 4,
    "contsup_figure4_resnet110": 3,
    "contsup_figure5": 44,
    "contsup_table4": 12,
    "contsup_table4_r16": 1,
}


@dataclass(frozen=True)
class Network:
    """What a recipe trains."""

    space: str
    task: str
    method: str
    decoupling: Decoupling
    checkpoint_units: bool

    def build(self, shape: tuple[int, ...]) -> Method:
        """The method on its network for inputs of this shape, on the current default device."""
        net = space_for(self.space, shape, CLASSES[self.task]).build(
            self.decoupling,
            checkpoint_units=self.checkpoint_units,
            pixels=PixelScale((0.5,) * 3, (0.25,) * 3),
            head_lookahead=traits(self.method).head_lookahead,
        )
        return METHODS.build(self.method, net)


@cache
def space_for(text: str, shape: tuple[int, ...], classes: int) -> SearchSpace:
    return read_space(text, shape, classes)


@cache
def networks(path: Path) -> tuple[Network, ...]:
    """Those of a recipe: methods x decouplings, as each method trains them, each once."""
    options = parse(["evaluate", "--config", str(path)]).options
    task = TASKS.resolve(options.task).name
    space = space_for(options.space, SHAPES[task], CLASSES[task])
    found = []
    for method in (str(METHODS.resolve(text)) for text in options.methods):
        points = (read_decoupling(text, space, traits(method).default_head) for text in options.decoupling)
        found += [Network(options.space, task, method, traits(method).adapt(point), options.checkpoint_units) for point in points]
    return tuple(dict.fromkeys(found))


def settings(path: Path) -> TrainingSettings:
    """How a recipe trains."""
    options = parse(["evaluate", "--config", str(path)]).options
    return TrainingSettings(
        batch_size=options.batch_size,
        lr=options.lr[0],
        schedule=options.schedule[0],
        weight_decay=options.weight_decay[0],
        optimizer=options.optimizer,
        precision=options.precision,
    )


BATCH_NORM = 2  # numbers a channel
CONSTANTS = {  # of the released code's transforms, where they are not the data's own
    "^dgl_cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)),
    "^al_cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "^al_cifar10_": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)),
    "^predsim_cifar10$": ((0.424, 0.415, 0.384), (0.283, 0.278, 0.284)),
    "svhn": ((0.5,) * 3, (0.5,) * 3),
    "stl10": ((0.5,) * 3, (0.5,) * 3),
}


def option(path: Path, name: str) -> object:
    """What a recipe gives for an option."""
    return getattr(parse(["evaluate", "--config", str(path)]).options, name)


def built(name: str, shape: tuple[int, ...]) -> list[DecoupledNet]:
    """The networks of a recipe, in its order, without storage."""
    with torch.device("meta"):
        return [network.build(shape).net for network in networks(FOLDER / f"{name}.yaml")]


@pytest.mark.parametrize(
    "path", [path for path in RECIPES if re.match("infopro|contsup|man|auglocal_cifar", path.stem)], ids=lambda path: path.stem
)
def test_the_rate_of_infopro_and_its_kin_is_the_released_loops(path):
    """train.py: half a cosine over all epochs, which 10 epochs of warm-up from 0.01 multiply."""
    lr, epochs = settings(path).lr, option(path, "epochs")
    assert epochs == (400 if re.match("man|auglocal", path.stem) else 160)
    schedule = SCHEDULES.build(settings(path).schedule)
    for epoch in range(1, epochs + 1):
        released = 0.5 * lr * (1 + math.cos(math.pi * epoch / epochs))
        if epoch <= 10:
            released = released * (epoch - 1) / 10 + 0.01 * (11 - epoch) / 10
        assert lr * schedule(epoch / epochs) == pytest.approx(released, abs=1e-12)
        assert lr * schedule((epoch - 0.5) / epochs) == pytest.approx(released, abs=1e-12)
    assert "init=fan_out" in str(option(path, "space"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_pixels_are_normalised_as_released(path):
    given = dict(TASKS.resolve(str(option(path, "task"))).settings)
    mean, std = next((constants for part, constants in CONSTANTS.items() if re.search(part, path.stem)), (None, None))
    assert (given.get("mean"), given.get("std")) == (mean, std)


def test_auglocals_imagenet_recipe_has_a_block_a_unit_and_four_units_a_head():
    net = built("auglocal_imagenet_resnet34", SHAPES["imagenet"])[-1]
    assert net.num_blocks == 17 - 1, "released: 17, the stem by itself"
    units = [sum(isinstance(part, Residual) for part in head.modules()) for head in net.heads]
    assert units[:12] == [4] * 12 and units[12:] == [3, 2, 1, 0], "no pyramid: as many as are left"


def test_dgls_cifar_recipe_has_the_released_channels_and_parameters():
    """auxiliary_nets_study/models.py: Net(depth=6, aux_type="mlp-sr"); its convolutions' biases are left out here."""
    plain, local = built("dgl_cifar10", SHAPES["cifar10"])
    channels = [128, 256, 256, 512, 512, 512]
    found = [m.out_channels for m in local.blocks.modules() if isinstance(m, torch.nn.Conv2d)]
    assert found == channels and local.num_blocks == 6
    for k, c in enumerate(channels[:-1]):  # 3 1x1 convolutions, 3 hidden layers of 4 C, BatchNorm each; 10 classes
        head = 3 * (c * c + BATCH_NORM * c) + 3 * ((4 * c + 1) * 4 * c + BATCH_NORM * 4 * c) + (4 * c + 1) * 10
        assert sum(p.numel() for p in local.heads[k].parameters()) == head
    last = 2 * (2049 * 2048 + BATCH_NORM * 2048) + 2049 * 10
    assert sum(p.numel() for p in plain.heads[-1].parameters()) == sum(p.numel() for p in local.heads[-1].parameters()) == last


def test_dgls_imagenet_recipes_cut_and_classify_as_released():
    """imagenet_dgl/models: no dropout in VGG; ResNet-152's 51 layers are split into 26, the stem among them, and 25."""
    for name, sizes in (("vgg13", [3, 3, 3, 1]), ("vgg19", [4, 4, 4, 4]), ("resnet152", [25, 25])):
        net = built(f"dgl_imagenet_{name}", SHAPES["imagenet"])[1]
        assert [len(list(block.children())) for block in net.blocks] == sizes
        assert not any(isinstance(m, torch.nn.Dropout) and m.p for m in net.modules())
    assert net.shapes[1] == (1024, 14, 14) and next(net.heads[0].children()).output_size == (2, 2)


def test_predsims_recipe_has_vgg11bs_layers_each_a_block():
    """train.py, cfg["vgg11b"] and num_layers=1: a local loss a layer, the last of them of the fully connected layer."""
    net = built("predsim_cifar10", SHAPES["cifar10"])[-1]
    layers = [
        [(type(m).__name__, m.weight.shape[0]) for m in block.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        for block in net.blocks
    ]
    channels = [128, 128, 128, 256, 256, 512, 512, 512, 512]
    assert layers == [*([("Conv2d", c)] for c in channels), [("Linear", 1024)], []]
    assert [head.prediction[-1].in_features for head in list(net.heads)[:-2]] == [2048] * 9, "pooled to dim_in_decoder"
    assert net.heads[-1].weight.shape == (10, 1024)


@pytest.mark.parametrize("name", ["ag_news", "dbpedia_14", "imdb"])
def test_pipeline_als_lstm_drops_nothing(name):
    """One layer a block: PyTorch's LSTM has no dropout then, whatever it is told."""
    net = built(f"al_{name}_lstm", TextShape(16, 50))[-1]
    assert net.num_blocks == 4 and not any(isinstance(m, torch.nn.Dropout) and m.p for m in net.modules())
    assert [head[0].pooling for head in net.heads] == ["state"] * 4


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_reproduces_and_what_deviates(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [sum(line.startswith(f"# {word}:") for line in lines) for word in ("Reproduces", "Deviates")] == [1, 1]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_networks_of_a_recipe_take_their_first_step(path, stepped):
    """On random images of 16 x 16 (VGG: 32 x 32), or on random words; those for ImageNet and Tiny ImageNet as they are, without
    storage.

    A network that differs from one of an earlier recipe only in its task, and so in the lambdas, is not stepped again.
    """
    for network in networks(path):
        if lambdas := dict(METHODS.resolve(network.method).settings).get("lambdas"):
            loss_weights(lambdas, network.decoupling.num_blocks)
        alike = (network.space, re.sub("_(cifar10|stl10|svhn)", "", network.method), network.decoupling, network.checkpoint_units)
        if network.task.endswith("imagenet"):
            shape = SHAPES[network.task]
            with torch.device("meta"), torch.no_grad(), BatchNormFromShapes():
                method = network.build(shape)
                losses = list(method.losses(torch.zeros(2, *shape), torch.zeros(2, dtype=torch.long)))
            assert [loss.shape for loss in losses] == [()] * network.decoupling.num_blocks
        elif alike not in stepped:
            stepped.add(alike)
            take_first_step(network, settings(path))


def take_first_step(network: Network, settings: TrainingSettings) -> None:
    """One iteration: a finite loss a block, and every stage learns."""
    shape = SHAPES[network.task]
    if isinstance(shape, TextShape):
        x = torch.randint(1, shape.num_words, (2, 12))
    else:
        side = 32 if network.space.startswith("vgg") else 16
        shape = (3, side, side)
        x = torch.rand(2, *shape)
    method = network.build(shape)
    trainer = Trainer(method, settings, seed=0, device=torch.device("cpu"))
    before = [[parameter.detach().clone() for parameter in method.stage_parameters(k)] for k in range(method.num_stages)]
    losses = trainer.step(x, torch.ones(2, dtype=torch.long), iteration=0)
    assert len(losses) == network.decoupling.num_blocks and torch.stack(losses).isfinite().all()
    for k, old in enumerate(before):
        moved = [not torch.equal(*pair) for pair in zip(old, method.stage_parameters(k), strict=True)]
        assert any(moved), f"stage {k} of {network.method} on {network.decoupling}"


@pytest.fixture(scope="module")
def stepped() -> set[tuple[str, str, Decoupling]]:
    """The networks that have taken their first step."""
    return set()


def test_contsups_recipes_are_its_commands():
    assert {path.stem: len(networks(path)) for path in RECIPES if path.stem.startswith("contsup")} == RUNS


@pytest.mark.slow
def test_published_values_belong_to_a_recipes_methods_and_blocks():
    for one in published_values():
        found = {(network.method, network.decoupling) for network in networks(one.experiment.path)}
        assert (str(one.method), one.decoupling) in found, one
        assert one.decoupling.num_blocks == one.num_blocks and 0 < one.test_error < 1
        points = one.experiment.points(str(one.method))
        alike = {point for point in points.values() if point.num_blocks == one.num_blocks}
        assert one.rule in points if one.rule else len(alike) == 1, "a rule where several have so many blocks, and only there"
    with open(FOLDER / "published.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["experiment"], row["method"], row["num_blocks"], row["rule"]) for row in rows}) == len(rows)
    assert len(rows) == len(published_values())
