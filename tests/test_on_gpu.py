"""On a GPU: what a CPU computes, as exactly as the precision allows, without waiting for the host, in the memory that was
predicted, resumed and repeated to the bit, and side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import nas
from benchmarks.gpu_parts.memory import EVERY, peak, predicted_bytes
from benchmarks.local_methods import Loop
from benchmarks.meta_step import made
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.device import set_switches, switches_restored
from spaces.decoupling import Decoupling
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

pytestmark = pytest.mark.cuda
CPU = torch.device("cpu")
TOLERANCE = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 8e-2, "fp16": 3e-2}  # of losses after some steps
SPACE = SearchSpace("vgg11(width=0.5)", ["linear"], input_shape=(3, 32, 32), num_classes=10)
METHOD_NAMES = [*sorted(METHODS), "infopro(loss=contrast)", "contsup(context=R1E)", "man(base=infopro)"]


@pytest.fixture(autouse=True)
def switches():
    """torch's switches are afterwards as they were, and what was allocated is free."""
    with switches_restored():
        yield


def loop(name: str, space: SearchSpace = SPACE, rule: str = "even(4)") -> Loop:
    full = str(METHODS.resolve(name))
    asked = Decoupling() if name == "backprop" else read_decoupling(rule, space, traits(full).default_head)
    return Loop(full, traits(full).adapt(asked))


def batch(step: int, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(size, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    return x, torch.arange(size) % 10


def losses(name: str, device: torch.device, precision: str, steps: int = 3, **settings: Any) -> torch.Tensor:
    """Of all stages in the first steps, from the same weights; dropout, which each device draws for itself, is off."""
    set_switches(precision, deterministic=True)  # type: ignore[arg-type]
    method = loop(name).build(SPACE)
    for module in method.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    how = TrainingSettings(iterations=9, lr=0.01, precision=precision, **settings)  # type: ignore[arg-type]
    trainer = Trainer(method, how, seed=0, device=device)
    found = [trainer.step(*(part.to(device) for part in batch(step)), step) for step in range(steps)]
    return torch.stack([torch.stack([loss.float() for loss in row]) for row in found]).cpu()


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_every_method_computes_what_it_does_on_a_cpu(gpu: torch.device, name: str) -> None:
    expected, found = losses(name, CPU, "fp32"), losses(name, gpu, "fp32")
    torch.testing.assert_close(found, expected, rtol=TOLERANCE["fp32"], atol=TOLERANCE["fp32"])


@pytest.mark.parametrize("name", ["backprop", "dgl", "infopro(loss=contrast)"])
@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_a_lower_precision_stays_near(gpu: torch.device, name: str, precision: str) -> None:
    """In the first step: loss scaling leaves the updates of the next ones out, until its factor is small enough."""
    expected, found = losses(name, CPU, "fp32", steps=1), losses(name, gpu, precision, steps=1)
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[precision], atol=TOLERANCE[precision])


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_stages_compute_the_same(gpu: torch.device, precision: str, mode: str) -> None:
    found = losses("dgl", gpu, precision, steps=6, compile=mode)  # CUDA graphs are recorded in the first steps, and then replayed
    expected = losses("dgl", gpu, precision, steps=6)
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[precision], atol=TOLERANCE[precision])


@pytest.mark.parametrize("name", METHOD_NAMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_training_step_waits_for_nothing(gpu: torch.device, name: str, precision: str) -> None:
    set_switches("fp32", deterministic=False)
    trainer = Trainer(loop(name).build(SPACE), TrainingSettings(precision=precision), seed=0, device=gpu)  # type: ignore[arg-type]
    x, y = (part.to(gpu) for part in batch(0))
    for _ in range(2):
        trainer.step(x, y, 0)
    if gpu.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.step(x, y, 1)
    finally:
        if gpu.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["backprop", *EVERY])
def test_a_step_takes_the_memory_that_was_predicted(gpu: torch.device, name: str) -> None:
    """torch.cuda.max_memory_allocated, less what was there; kernels have workspaces beside, and the allocator rounds."""
    size = 256 if gpu.type == "cuda" else 16
    space = SearchSpace("resnet32", ["linear"], input_shape=(3, 32, 32), num_classes=10)
    case = loop(name, space, "published(4)")
    set_switches("fp32", deterministic=False)
    torch.backends.cudnn.benchmark = False  # what is tried for speed has larger workspaces
    trainer = Trainer(case.build(space), TrainingSettings(batch_size=size), seed=0, device=gpu)
    x, y = (part.to(gpu) for part in batch(0, size))
    for _ in range(2):
        trainer.step(x, y, 0)
    measured, predicted = peak(trainer, x, y)[0], predicted_bytes(case, space, size)
    assert 0.85 * predicted <= measured <= 1.25 * predicted + 2**27


def test_four_blocks_take_less_memory_than_one(gpu: torch.device) -> None:
    size, found = 256 if gpu.type == "cuda" else 8, []
    set_switches("fp32", deterministic=True)
    for name in ("backprop", "dgl"):
        trainer = Trainer(loop(name).build(SPACE), TrainingSettings(batch_size=size), seed=0, device=gpu)
        x, y = (part.to(gpu) for part in batch(0, size))
        for _ in range(2):
            trainer.step(x, y, 0)
        found.append(peak(trainer, x, y)[0])
        del trainer
    assert found[1] < 0.9 * found[0]


@pytest.mark.parametrize("objective", ["validation", "train"])
def test_engines_of_sedona_agree(gpu: torch.device, objective: str) -> None:
    """adjoint and unroll, in float32 on a GPU; both are exact."""
    set_switches("fp32", deterministic=True)
    exact, other = (made("vgg11", f"{engine} for {objective}", 2, (8, 16), gpu)() for engine in ("unroll", "adjoint"))
    for one, two in ((exact.alpha_grad, other.alpha_grad), (exact.beta_grad, other.beta_grad)):
        assert (one - two).norm() <= 1e-2 * one.norm() and one.norm() > 0


# ---- whole runs


class Stopped(Exception):
    pass


def evaluated(folder: Path, gpu: torch.device, stop_at: int | None = None, **options: Any) -> pd.DataFrame:
    """The rows of DGL on digits, 60 steps; interrupted after so many, if that is asked for."""

    def progress(what: str, step: int, steps: int, **figures: float) -> None:
        if stop_at is not None and step >= stop_at:
            raise Stopped

    return nas.evaluate(
        "small(width=0.5)",
        "digits",
        methods=options.pop("methods", ["dgl"]),
        decoupling=["even(3)"],
        seeds=1,
        iterations=60,
        batch_size=64,
        lr=0.05,
        results=folder / "results",
        runs=folder / "runs",
        device=str(gpu),
        deterministic=gpu.type == "cuda",
        progress=progress,
        **options,
    )


def test_equal_seeds_give_equal_bits(gpu: torch.device, tmp_path: Path) -> None:
    first, second = (evaluated(tmp_path / name, gpu) for name in ("one", "two"))
    assert first["weights_digest"].tolist() == second["weights_digest"].tolist()
    assert first["test_error"].item() < 0.9


def test_a_run_that_was_interrupted_goes_on_to_the_bit(gpu: torch.device, tmp_path: Path) -> None:
    whole = evaluated(tmp_path / "whole", gpu)
    with pytest.raises(Stopped):
        evaluated(tmp_path / "part", gpu, stop_at=50)
    assert list((tmp_path / "part").rglob("*.pt")), "there is a checkpoint to go on from"
    assert evaluated(tmp_path / "part", gpu)["weights_digest"].tolist() == whole["weights_digest"].tolist()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_row_says_what_computed_it(gpu: torch.device, precision: str, tmp_path: Path) -> None:
    (row,) = evaluated(tmp_path, gpu, precision=precision).to_dict("records")
    assert row["status"] == "ok" and row["precision"] == precision and row["step_seconds"] > 0
    if gpu.type == "cuda":
        assert row["device"] == torch.cuda.get_device_name(gpu)


def test_a_search_finds_a_decoupling(gpu: torch.device, tmp_path: Path) -> None:
    found = nas.search(
        "small(width=0.25)",
        "digits(validation=0.4)",
        strategy="sedona(pretrain=8,meta_steps=2,inner_steps=2,memory=2)",
        iterations=4,
        results=tmp_path / "results",
        runs=tmp_path / "runs",
        device=str(gpu),
    )
    assert found.decoupling.cuts


@pytest.mark.slow
def test_stages_on_two_gpus_give_the_rows_of_one(gpu: torch.device, tmp_path: Path) -> None:
    """NCCL between processes with a GPU each."""
    if gpu.type == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    alone = evaluated(tmp_path / "alone", gpu)
    beside = evaluated(tmp_path / "beside", gpu, parallel="stages(processes=2)")
    assert beside["weights_digest"].tolist() == alone["weights_digest"].tolist()
