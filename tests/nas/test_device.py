"""Torch's switches for a GPU: what is asked for is what is set, and what has no effect is refused."""

from collections.abc import Iterator

import pytest
import torch

import run
from methods.training.settings import Precision, TrainingSettings
from nas.cli.config import parse
from nas.cli.search import next_words
from nas.device import check_switches, set_switches
from spaces.decoupling import Decoupling
from spaces.layers.lean_unit import _parts
from spaces.notation.errors import UserError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def switches() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.backends.cuda.matmul.allow_tf32,
        cudnn.allow_tf32,
        cudnn.benchmark,
        cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before, warns = switches(), torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    (
        torch.backends.cuda.matmul.allow_tf32,
        cudnn.allow_tf32,
        cudnn.benchmark,
        cudnn.deterministic,
        enabled,
        torch.utils.deterministic.fill_uninitialized_memory,
    ) = before
    torch.use_deterministic_algorithms(enabled, warn_only=warns)


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("bf16", False), ("fp16", False), ("tf32", True)])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_precision_is_the_same_in_convolutions_and_products(
    precision: Precision, tf32: bool, deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the last command of the process has left."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for before in (True, False):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = before
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = True
        set_switches(precision, deterministic=deterministic)
        assert switches() == (tf32, tf32, not deterministic, deterministic, deterministic, False)


def test_what_has_no_effect_is_refused() -> None:
    with pytest.raises(UserError, match="tf32 is of a GPU's tensor cores, but the device is cpu"):
        check_switches(CPU, "tf32", deterministic=False)
    with pytest.raises(UserError, match="--deterministic chooses a GPU's kernels, but the device is cpu"):
        check_switches(CPU, "fp32", deterministic=True)
    check_switches(GPU, "tf32", deterministic=True)
    check_switches(CPU, "bf16", deterministic=False)


@pytest.mark.parametrize("flag", [("--precision", "tf32"), ("--deterministic",)])
def test_the_command_line_refuses_them_before_it_trains(flag: tuple[str, ...], tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("search", "evaluate", "profile"):
        assert run.main([command, "--device", "cpu", *flag]) == 2
        assert "the device is cpu" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_deterministic_is_a_part_of_what_a_run_is_and_not_asking_is_no_cell() -> None:
    assert TrainingSettings(deterministic=True).deterministic is True
    assert TrainingSettings(deterministic=False) == TrainingSettings() and TrainingSettings().deterministic is None


def test_a_next_command_asks_for_it_too() -> None:
    options = parse(["search", "--deterministic"]).options
    assert "--deterministic" in next_words(options, Decoupling.parse("3:linear"))
    assert "--deterministic" not in next_words(parse(["search"]).options, Decoupling.parse("3:linear"))


class OnGpu:
    """A tensor's length and size, and where it lies."""

    is_cuda = True

    def __len__(self) -> int:
        return 64

    def numel(self) -> int:
        return 2**24


def test_a_gpu_gets_no_pieces() -> None:
    whole = OnGpu()
    assert _parts(whole) == (whole,)  # type: ignore[arg-type, comparison-overlap]
    assert len(_parts(torch.empty(64, 2**18, device="meta"))) == 32


@pytest.mark.cuda
@pytest.mark.parametrize(("precision", "least", "most"), [("fp32", 0, 1e-6), ("tf32", 1e-5, 1e-2)])
def test_a_gpu_rounds_as_the_precision_says(gpu: torch.device, precision: Precision, least: float, most: float) -> None:
    set_switches(precision, deterministic=False)
    x = torch.randn(64, 64, 32, 32, device=gpu)
    weight = torch.randn(64, 64, 3, 3, device=gpu)
    for function, *given in ((torch.nn.functional.conv2d, x, weight), (torch.matmul, x[0, 0], x[0, 1])):
        exact = function(*(part.double() for part in given))
        error = float((function(*given) - exact).norm() / exact.norm())
        assert least <= error < most
