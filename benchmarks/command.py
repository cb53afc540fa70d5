"""What the benchmarks' command lines share: where rows go, one thread, and the columns that say how a row was made."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import torch

from nas.records.provenance import provenance


def benchmark_parser(text: str | None, out: str) -> argparse.ArgumentParser:
    """A parser whose help is `text`, with --out, the CSV file that rows are appended to; from here on torch takes one thread."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(out), help=f"the CSV file to append to (default: {out})")
    return parser


def made_by() -> dict[str, str]:
    """The columns of commit, versions and time, and the command as it was typed."""
    return {**provenance(), "command": shlex.join(["python", *sys.argv])}
