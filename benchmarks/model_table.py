"""Which networks of torchvision, timm and Hugging Face can be cut, and what works on each: a row a network.

    python benchmarks/model_table.py --out results/any_network/models.csv [--only resnet18]

Each is made at a small size with 10 classes and random weights, cut at the units that are found, and tried:

points       how many places in its traced graph have one activation alive, in training and at inference
outputs, gradients, statistics, inference
             of the recombined network beside the original, in float64: `yes` is equal to the bit; the outputs and gradients of
             a training step with the same random numbers, BatchNorm's statistics after it, the outputs in evaluation mode
checkpointing, exits, balanced
             a step with checkpointed units has the gradients of one without (to 1e-9 of the largest) and leaves the same
             statistics; exits after every block, the last of which is the original's output; balanced(4) or fewer finds cuts
the rest     a method, a head, an engine of SEDONA: `yes`, if a step gives finite losses and gradients for all that it trains
             (engines: finite, and the exact ones agree to 1e-6), or why not

Networks that the CSV holds already are left out. Takes about half an hour on one thread.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from benchmarks.command import benchmark_parser, made_by
from methods.method import Method
from methods.table import METHODS, traits
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture, Relaxation
from spaces.decoupling import Decoupling
from spaces.heads import HEADS, NO_HEAD
from spaces.model_space import ModelSpace
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.torchvision_import import torchvision
from spaces.traced.outputs import outputs_of
from spaces.traced.plan import Plan

NUM_CLASSES = 10
YES = "yes"
EXACT = 1e-9  # of the largest, where what is compared is computed in another order
METHODS_TRIED = [name for name in METHODS if name != "backprop"]
HEADS_TRIED = [name for name in HEADS if name not in (NO_HEAD, "dense")]  # dense is for outputs at every pixel


@dataclass(frozen=True)
class Network:
    """A network by its library and name; `make` makes it, `example` gives a batch of so many samples."""

    library: str
    name: str
    make: Callable[[], nn.Module]
    example: Callable[[int], Any]
    batch_size: int = 4

    def model(self) -> nn.Module:
        """The same weights at every call."""
        torch.manual_seed(0)
        return self.make()

    def batch(self, dtype: torch.dtype = torch.float32, seed: int = 1) -> tuple[Any, torch.Tensor]:
        """Random inputs and labels."""
        torch.manual_seed(seed)
        x = self.example(self.batch_size)
        if isinstance(x, torch.Tensor):
            x = x.to(dtype)
        return x, torch.arange(self.batch_size) % NUM_CLASSES


def images(side: int) -> Callable[[int], torch.Tensor]:
    """Batches of noise."""
    return lambda size: torch.randn(size, 3, side, side)


def networks() -> Iterator[Network]:
    """All that are tried, smallest inputs that each takes."""
    models = torchvision().models

    def of_torchvision(name: str, side: int = 64, **settings: Any) -> Network:
        return Network("torchvision", name, lambda: getattr(models, name)(num_classes=NUM_CLASSES, **settings), images(side))

    for name in [
        "resnet18",
        "resnet50",
        "resnext50_32x4d",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "efficientnet_b0",
        "convnext_tiny",
        "regnet_y_400mf",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
    ]:
        yield of_torchvision(name)
    yield of_torchvision("googlenet", aux_logits=False, init_weights=False)
    yield of_torchvision("vit_b_16", side=32, image_size=32)
    yield of_torchvision("swin_t")

    import timm

    def of_timm(name: str, **settings: Any) -> Network:
        return Network("timm", name, lambda: timm.create_model(name, num_classes=NUM_CLASSES, **settings), images(64))

    for name in [
        "resnet10t",
        "seresnext26t_32x4d",
        "efficientnet_lite0",
        "tf_efficientnetv2_b0",
        "convnext_atto",
        "convnextv2_atto",
        "nf_resnet26",
        "eca_nfnet_l0",
        "regnetx_002",
        "regnety_002",
    ]:
        yield of_timm(name)
    for name in [
        "vit_tiny_patch16_224",
        "vit_small_patch32_224",
        "deit_tiny_patch16_224",
        "deit_tiny_distilled_patch16_224",
        "swin_tiny_patch4_window7_224",
        "swinv2_tiny_window8_256",
        "mixer_s32_224",
        "gmixer_12_224",
    ]:
        yield of_timm(name, img_size=64)
    yield Network("transformers", "BertForSequenceClassification", bert, texts)
    yield Network("own", "benchmarks.model_table.Skipping", Skipping, images(32))
    for name in ("densenet121", "wide_resnet50_2", "vgg16_bn"):  # the slow ones last
        yield of_torchvision(name)
    yield replace(of_torchvision("maxvit_t", side=224), batch_size=2)  # a size that is fixed by its windows


def bert() -> nn.Module:
    """A small encoder with BERT's code."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, num_labels=NUM_CLASSES
    )
    return BertForSequenceClassification(config)


def texts(size: int) -> dict[str, torch.Tensor]:
    """Ids with padding behind shorter texts, and the mask that says so."""
    mask = (torch.arange(12) < torch.randint(6, 13, (size, 1))).long()
    return {"input_ids": torch.randint(1, 50, (size, 12)) * mask, "attention_mask": mask}


class Skipping(nn.Module):
    """A chain of six stages, in which the fourth is also given what the second makes: between these two are no cuts."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 8, 16, 16, 32, 32, 32]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())
            for inputs, outputs in pairwise(widths)
        )
        self.classifier = nn.Linear(widths[-1], NUM_CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, classes)."""
        skipped = x
        for number, stage in enumerate(self.stages):
            x = stage(x + skipped if number == 3 else x)
            skipped = x if number == 1 else skipped
        return self.classifier(x.mean((2, 3)))


def main() -> None:
    parser = benchmark_parser(__doc__, "results/any_network/models.csv")
    parser.add_argument("--only", default="", help="a part of the names of the networks that are tried")
    arguments = parser.parse_args()
    log = ResultsLog(arguments.out)
    for network in networks():
        named: dict[str, Cell] = {"library": network.library, "network": network.name}
        if arguments.only not in network.name or log.find(named) is not None:
            continue
        row = named | tried(network)
        log.append_all([row | made_by()])
        print(network.library, network.name, {name: cell for name, cell in row.items() if cell != YES}, flush=True)


def tried(network: Network) -> dict[str, Cell]:
    """All columns of a network."""
    space = ModelSpace(network.model(), network.example(2), heads=["linear", "mlp"])
    doubled = ModelSpace(copy.deepcopy(space.model).double(), network.example(2), heads=space.heads, plan=space.plan)
    row: dict[str, Cell] = {
        "units": space.num_units,
        "gaps": len(space.gaps),
        "activation": "x".join(map(str, space.template.shapes[space.num_units // 2])),
    }
    row |= beside_the_original(network, space.plan)
    row |= {"checkpointing": answer(lambda: checkpointing(network, doubled)), "exits": answer(lambda: exits(network, space))}
    row["balanced"] = answer(lambda: balanced(space))
    for name in METHODS_TRIED:
        row[f"method_{name}"] = answer(lambda name=name: trains(network, space, name))  # type: ignore[misc]
    for head in HEADS_TRIED:
        row[f"head_{head}"] = answer(lambda head=head: trains(network, space, "dgl", head))  # type: ignore[misc]
    gradients: dict[str, torch.Tensor] = {}
    for engine in ENGINES:
        row[f"engine_{engine}"] = answer(lambda engine=engine: searches(network, doubled, engine, gradients))  # type: ignore[misc]
    return row


def answer(trial: Callable[[], str]) -> str:
    """What a trial says; a refusal's rule."""
    try:
        return trial()
    except UserError as error:
        return str(error).partition(";")[0]


def beside_the_original(network: Network, plan: Plan) -> dict[str, Cell]:
    """A training step and an answer of the recombined network and of the original, both in float64."""
    original, model = network.model().double(), network.model().double()
    x, y = network.batch(torch.float64)
    cut = ModelSpace(model, network.example(2), plan=plan).build_backbone()
    made = []
    for run in (lambda: outputs_of(called(original, x), network.name), lambda: cut(x)):
        torch.manual_seed(2)
        outputs = run()
        nn.functional.cross_entropy(outputs, y).backward()
        made.append(outputs)
    gradients = [(p.grad, q.grad) for p, q in zip(original.parameters(), model.parameters(), strict=True) if p.grad is not None]
    statistics = list(zip(original.buffers(), model.buffers(), strict=True))
    original.eval(), cut.eval(), model.eval()
    with torch.no_grad():
        answers = outputs_of(called(original, x), network.name), cut(x)
    return {
        "outputs": compared([(made[0], made[1])]),
        "gradients": compared(gradients),
        "statistics": compared(statistics),
        "inference": compared([answers]),
    }


def called(model: nn.Module, x: Any) -> Any:
    """The model's own outputs."""
    return model(**x) if isinstance(x, dict) else model(x)


def compared(pairs: list[tuple[Any, Any]]) -> str:
    """`yes`, or by how much the second of each pair differs, beside the largest number."""
    if any(one is None or other is None for one, other in pairs):
        return "some are missing"
    if all(torch.equal(one, other) for one, other in pairs):
        return YES
    largest = max(one.detach().abs().max().item() for one, _ in pairs)
    return f"differ by {max((one - other).detach().abs().max().item() for one, other in pairs) / largest:.0e}"


def decoupled(
    space: ModelSpace, method: str, head: str | None = None, *, dtype: torch.dtype = torch.float32, **settings: Any
) -> Method:
    """The method on up to three blocks of the space's network."""
    torch.manual_seed(0)
    kind = traits(method)
    cuts = read_decoupling(f"even({min(3, space.num_units)})", space, head or kind.default_head or "linear")
    if head:
        cuts = Decoupling(cuts.cuts, (str(HEADS.resolve(head)),) * len(cuts.cuts))
    net = space.build(kind.adapt(cuts), head_lookahead=kind.head_lookahead, **settings)
    method_on_it = METHODS.build(method, net).to(dtype).train()
    method_on_it.zero_grad()
    return method_on_it


def step(method: Method, x: Any, y: torch.Tensor) -> list[torch.Tensor]:
    """The losses of a training step, whose gradients are left in the parameters."""
    torch.manual_seed(2)
    losses = []
    for loss in method.losses(x, y):
        loss.backward()
        losses.append(loss.detach())
    return losses


def trains(network: Network, space: ModelSpace, name: str, head: str | None = None) -> str:
    """Whether a step gives finite losses and gradients, and some to each stage."""
    method = decoupled(space, name, head)
    if not all(loss.isfinite() for loss in step(method, *network.batch())):
        return "a loss is not finite"
    for k in range(method.num_stages):
        gradients = [p.grad for p in method.stage_parameters(k) if p.grad is not None]
        if not gradients or not all(bool(gradient.isfinite().all()) for gradient in gradients):
            return f"stage {k} has no finite gradients"
    return YES


def checkpointing(network: Network, space: ModelSpace) -> str:
    """Whether checkpointed units change neither gradients nor statistics."""
    held, batch = [], network.batch(torch.float64)
    for again in (False, True):
        own = ModelSpace(copy.deepcopy(space.model), network.example(2), heads=space.heads, plan=space.plan)
        method = decoupled(own, "dgl", "linear", dtype=torch.float64, checkpoint_units=again)
        step(method, *batch)
        held.append([*(p.grad for p in method.parameters()), *method.buffers()])
    pairs = [pair for pair in zip(*held, strict=True) if pair[0] is not None]
    for one, other in pairs:
        if other is None or not torch.allclose(one, other, rtol=0, atol=EXACT * max(1.0, float(one.abs().max()))):
            return f"differs: {compared(pairs)}"
    return YES


def exits(network: Network, space: ModelSpace) -> str:
    """Whether every block has an exit with finite logits, and the last is the original's output."""
    method = decoupled(space, "dgl").eval()
    x, _ = network.batch()
    with torch.no_grad():
        logits = list(method.exits(x))
        original = outputs_of(called(space.model.eval(), x), network.name)
    if not all(bool(each.isfinite().all()) for each in logits):
        return "not finite"
    return YES if torch.equal(logits[-1], original) else "the last is not the original's output"


def balanced(space: ModelSpace) -> str:
    """Whether cuts are found that balance memory."""
    num_blocks = min(4, space.num_units)
    found = read_decoupling(f"balanced({num_blocks})", space, "linear")
    return YES if found.num_blocks == num_blocks else f"{found.num_blocks} blocks"


def searches(network: Network, space: ModelSpace, engine: str, gradients: dict[str, torch.Tensor]) -> str:
    """Whether an engine differentiates two steps of a search over two gaps; what it found is kept in `gradients`."""
    gaps = sorted({space.gaps[0], space.gaps[len(space.gaps) // 2]})
    torch.manual_seed(0)
    backbone = space.build_backbone()
    candidates = [[HEADS.build(head, space.site(gap, backbone)).double() for head in space.heads] for gap in gaps]
    relaxation = Relaxation(backbone, gaps, candidates).train()
    relaxation.zero_grad()
    optimizer = torch.optim.SGD(relaxation.parameters(), 1e-3, momentum=0.9)
    architecture = Architecture(torch.zeros(len(gaps), 2).double(), torch.zeros(len(gaps), 2).double())
    first, second, outer = (network.batch(torch.float64, seed) for seed in range(3))
    torch.manual_seed(3)
    found = ENGINES[engine](Bilevel(relaxation, optimizer, architecture, [first, second], outer))
    gradients[engine] = torch.cat([found.alpha_grad.flatten(), found.beta_grad.flatten()])
    if not bool(gradients[engine].isfinite().all()):
        return "not finite"
    if engine != "identity" and {"adjoint", "unroll"} <= gradients.keys():
        one, other = gradients["adjoint"], gradients["unroll"]
        if not torch.allclose(one, other, rtol=0, atol=1e-6 * float(other.abs().max())):
            return f"the exact engines differ: {compared([(other, one)])}"
    return YES


if __name__ == "__main__":
    main()
