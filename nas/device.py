"""The device that a command computes on, and torch's switches for it: the one place that sets them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from methods.training.settings import Precision
from nas.cores import usable_cores
from spaces.notation.errors import UserError


@contextmanager
def switches_restored() -> Iterator[None]:
    """torch's threads and switches are afterwards as they were."""
    matmul, cudnn, threads = torch.backends.cuda.matmul, torch.backends.cudnn, torch.get_num_threads()
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    deterministic, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
        torch.use_deterministic_algorithms(deterministic, warn_only=warns)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def read_device(text: str) -> torch.device:
    """The device that the text names, checked to be there."""
    name = ("cuda" if torch.cuda.is_available() else "cpu") if text == "auto" else text
    try:
        device = torch.device(name if name.startswith(("cpu", "cuda")) else "")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"--device is auto, cpu, cuda or cuda:N and must be on this machine, got {text!r}") from None
    return device


def use_threads(count: int) -> None:
    """Compute with so many CPU threads."""
    num_cores = usable_cores()
    if not 1 <= count <= num_cores:
        raise UserError(f"--threads is a number of threads in 1..{num_cores} on this machine, got {count}")
    torch.set_num_threads(count)


def check_switches(device: torch.device, precision: Precision, *, deterministic: bool) -> None:
    """Refuse what has no effect on the device."""
    if device.type != "cuda" and precision == "tf32":
        raise UserError(f"--precision tf32 is of a GPU's tensor cores, but the device is {device}; take fp32 or bf16")
    if device.type != "cuda" and deterministic:
        raise UserError(
            f"--deterministic chooses a GPU's kernels, but the device is {device}, where equal seeds give equal "
            "bits without it; leave it out"
        )


def set_switches(precision: Precision, *, deterministic: bool) -> None:
    """How GPUs compute from now on; a CPU knows none of this.

    fp32 is float32 in convolutions, in recurrent layers and in products alike, tf32 TensorFloat32 in all of them; left to
    itself torch has one here and the other there. Deterministic: equal seeds give equal bits on the same GPU, where torch has
    such kernels, and it warns where not; else cuDNN takes the fastest kernels that it finds.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS begins
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads memory that nobody wrote
