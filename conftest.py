"""Every test runs on one thread and finds the packages from the root."""

import sys
from pathlib import Path

import torch

ROOT = str(Path(__file__).parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
torch.set_num_threads(1)
