"""The executors by name: where the runs of a command are done."""

from __future__ import annotations

from nas.executors.executor import Executor
from nas.executors.local import Local
from nas.executors.ray_cluster import Ray
from spaces.notation.table import Table

EXECUTORS: Table[Executor] = Table("executor", {"local": Local, "ray": Ray}, makes=Executor)
