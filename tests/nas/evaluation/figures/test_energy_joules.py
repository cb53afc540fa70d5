"""Energy from counters of a made-up folder, and from a made-up GPU."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from nas.evaluation.figures import energy_joules as energy
from nas.evaluation.figures.training_run import TrainingRun
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def counter(powercap: Path, zone: str, name: str, count: int) -> Path:
    folder = powercap / zone
    folder.mkdir(parents=True)
    for file, text in (("name", name), ("max_energy_range_uj", 9_999_999), ("energy_uj", count)):
        (folder / file).write_text(f"{text}\n")
    return folder / "energy_uj"


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "powercap")
    return tmp_path / "powercap"


def run(device: torch.device = CPU, *, resumed: bool = False) -> TrainingRun:
    return TrainingRun(torch.nn.Identity(), device, resumed=resumed)  # type: ignore[arg-type]


def test_packages_and_their_memory_count_and_nothing_twice(powercap: Path) -> None:
    package, core, dram, whole = (
        counter(powercap, *zone, 1_000_000)
        for zone in [
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:0:0", "core"),
            ("intel-rapl:0:1", "dram"),
            ("intel-rapl:1", "psys"),
        ]
    )
    with energy.energy_joules(run()) as reading:
        for file, count in ((package, 3_500_000), (core, 3_000_000), (dram, 1_250_000), (whole, 9_000_000)):
            file.write_text(str(count))
        assert reading() == 2.75


def test_a_counter_begins_again_at_0(powercap: Path) -> None:
    file = counter(powercap, "intel-rapl:0", "package-0", 9_500_000)
    meter = energy.EnergyCounters.of(powercap)
    assert meter
    for count, joules in ((9_900_000, 0.4), (100_000, 0.6), (300_000, 0.8)):
        file.write_text(str(count))
        assert meter.read() == pytest.approx(joules)


def test_it_is_read_while_training_goes_on(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = counter(powercap, "intel-rapl:0", "package-0", 0)
    monkeypatch.setattr(energy.EnergyCounters, "interval", 0.001)
    read, counts = energy.EnergyCounters.read, iter(range(4_000_000, 40_000_000, 4_000_000))

    def wrapping(meter: energy.EnergyCounters) -> float:  # four joules a reading, of ten until it begins again
        file.write_text(str(next(counts, 36_000_000) % 10_000_000))
        joules = read(meter)
        if joules >= 36:
            finished.set()
        return joules

    finished = energy.Event()
    monkeypatch.setattr(energy.EnergyCounters, "read", wrapping)
    with energy.energy_joules(run()) as reading:
        assert finished.wait(10)
        assert reading() == 36


@pytest.mark.parametrize("broken", ["none", "unreadable", "resumed"])
def test_where_nothing_measures_it_the_cell_is_empty(powercap: Path, broken: str) -> None:
    if broken != "none":
        file = counter(powercap, "intel-rapl:0", "package-0", 0)
        if broken == "unreadable":
            file.unlink()
            file.mkdir()
    with energy.energy_joules(run(resumed=broken == "resumed")) as reading:
        assert reading() is None


@pytest.mark.parametrize("while_training", [False, True])
def test_a_counter_that_goes_away_loses_the_figure_and_no_run(
    powercap: Path, monkeypatch: pytest.MonkeyPatch, while_training: bool
) -> None:
    file = counter(powercap, "intel-rapl:0", "package-0", 0)
    read, tried = energy.EnergyCounters.read, energy.Event()

    def telling(meter: energy.EnergyCounters) -> float:
        try:
            return read(meter)
        finally:
            tried.set()

    monkeypatch.setattr(energy.EnergyCounters, "read", telling)
    monkeypatch.setattr(energy.EnergyCounters, "interval", 0.001 if while_training else 60.0)
    with energy.energy_joules(run()) as reading:
        if while_training:
            file.unlink()
            assert tried.wait(10)
            tried.clear()
            for thread in threading.enumerate():
                if thread.name.endswith("(_read_on)"):
                    thread.join(10)
            file.write_text("0")  # there again, but how often it began again nobody knows
        else:
            file.unlink()
        assert reading() is None


def test_a_gpus_power_is_summed_up_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, watts = iter([0.0, 1.0, 3.0]), iter([100_000, 200_000, 400_000])
    monkeypatch.setattr(energy.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(torch.cuda, "power_draw", lambda device: next(watts))
    meter = energy.GpuPower(GPU)
    assert [meter.read(), meter.read()] == [150, 750]


def test_a_gpu_without_nvml_leaves_the_cell_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(device: torch.device) -> int:
        raise ModuleNotFoundError("pynvml does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "power_draw", missing)
    with energy.energy_joules(run(GPU)) as reading:
        assert reading() is None


def test_a_row_has_it_where_it_was_asked_for(tmp_path: Path, powercap: Path) -> None:
    counter(powercap, "intel-rapl:0", "package-0", 5)
    assert make(make_problem(tmp_path, figures=("energy_joules",))).run(POINT)["energy_joules"] == "0.0"
