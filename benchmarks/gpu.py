"""What only a GPU can tell, in parts of minutes that go on where they stopped; `make gpu` runs the CUDA tests and then this.

    python benchmarks/gpu.py list
    python benchmarks/gpu.py --minutes 9
    python benchmarks/gpu.py --part throughput memory --minutes 9
    python benchmarks/gpu.py --rehearse

throughput      images a second: plain PyTorch, our loop uncut and in blocks, at fp32, tf32 and bf16, and how busy the GPU is
compiled        the same, compiled, which takes minutes for each
memory          peak memory of a step of every method, measured and predicted
meta_step       a meta-step of SEDONA by each engine
at_once         several runs on one GPU in processes, against one after another
sedona_vgg19, contsup_table1, infopro_table2
                rows of experiments/, the most telling first, with the papers' values beside; NAS_DATA_DIR has CIFAR-10

Each writes results/gpu/NAME.csv, where rows of another GPU may stand too. The same command again makes what is missing; a run
that the time interrupts goes on from its last step. --rehearse does all of it in tiny sizes on whatever device there is, in a
folder of its own that is removed. The exit code is 0 where all is made, 75 where the same command goes on, 1 where something
failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu_parts import at_once, memory, meta_step, published, throughput
from benchmarks.gpu_parts.part import Part, Setup
from nas.budget import TRY_AGAIN_LATER, TimeUp
from nas.device import read_device

THROUGHPUT, COMPILED = throughput.PARTS
PARTS: dict[str, Part] = {
    part.name: part for part in (THROUGHPUT, memory.PART, meta_step.PART, at_once.PART, *published.PARTS, COMPILED)
}


def main(argv: list[str] | None = None) -> int:
    """Do what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", default="run", choices=["run", "list"], help="list shows how far each part is")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="which (default: all)")
    parser.add_argument(
        "--minutes", type=float, default=9.0, help="begin nothing after this time, and save what runs (default: 9)"
    )
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on any device, into a folder that is removed")
    parser.add_argument("--device", type=read_device, default="auto", help="cuda or cuda:N")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="the folder of the CSVs (default: results/gpu)")
    parser.add_argument("--runs", type=Path, default=Path("runs/gpu"), help="where unfinished runs lie (default: runs/gpu)")
    parser.add_argument("--commit", help="of this copy of the code, where git is not there to tell")
    asked = parser.parse_args(argv)
    if asked.rehearse:
        with tempfile.TemporaryDirectory() as folder:
            asked.out, asked.runs = Path(folder) / "results", Path(folder) / "runs"
            return do(asked)
    if asked.device.type != "cuda" and asked.action == "run":
        print("gpu.py: there is no GPU here; --rehearse tries all of it in tiny sizes", file=sys.stderr)
        return 2
    return do(asked)


def do(asked: argparse.Namespace) -> int:
    """List the parts, or run them until all is made or the time is up."""
    until = time.monotonic() + 60 * asked.minutes
    setup = Setup(asked.device, asked.out, asked.runs, until, asked.rehearse, asked.commit)
    parts = [PARTS[name] for name in dict.fromkeys(asked.part)]
    if asked.action == "run":
        for part in parts:
            if setup.seconds_left <= 0:
                break
            print(f"{part.name}: {part.what}", flush=True)
            try:
                part.run(setup)
            except TimeUp:
                break
    return told(parts, setup)


def told(parts: list[Part], setup: Setup) -> int:
    """Print what was measured, and where it is; the exit code."""
    print()
    complete = True
    for part in parts:
        done = part.progress(setup)
        complete &= done.is_complete
        place = f"in {done.file}" if done.done else "not measured"
        print(f"{part.name:16}{done.done:4} of {done.total:3}  {place}: {part.what}")
    for failure in setup.failed:
        print(f"failed: {failure}")
    if not complete and not setup.failed:
        print("the same command goes on")
    return 1 if setup.failed else 0 if complete else TRY_AGAIN_LATER


if __name__ == "__main__":
    sys.exit(main())
