"""Ray: what is refused without a cluster, and runs on a cluster of two nodes of which one is killed."""

import socket
import threading
import time

import pandas as pd
import pytest

import nas
from nas.executors import EXECUTORS
from nas.executors.ray_cluster import Ray
from nas.executors.ray_task import Sent, do
from nas.notice import notice
from nas.problem import silent
from spaces.notation.errors import UserError

SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.mark.parametrize(
    "text, told",
    [
        ("ray(gpus=1.5)", "a share of one or a whole number, got 1.5"),
        ("ray(cpus=0)", "above 0, got 0"),
        ("ray(node=1)", "unknown setting"),
    ],
)
def test_settings_without_meaning_are_refused(text, told):
    with pytest.raises(UserError, match=told):
        EXECUTORS.build(text)


@pytest.mark.parametrize("device, gpus", [("cuda:1", 1), ("cuda", 0), ("cpu", 0.5)])
def test_ray_chooses_the_gpu(device, gpus):
    with pytest.raises(UserError, match="leave --device out"):
        Ray(gpus=gpus).open(lambda report: None, silent, device)


def answering(report):
    def work(job):
        notice("mind the gap")
        if isinstance(job, Exception):
            raise job
        return job

    return work


def test_a_task_answers_with_what_was_said_and_its_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = Sent(answering, None, str(tmp_path))
    assert do(sent, 3) == ("answer", 3, ["mind the gap"])
    kind, error, notices = do(sent, UserError("no such"))
    assert (kind, type(error), str(error), notices) == ("error", UserError, "no such", ["mind the gap"])
    kind, error, _ = do(Sent(answering, None, str(tmp_path / "away")), 3)
    assert kind == "error" and "every node of Ray needs the folder" in str(error)


def test_a_cluster_that_is_not_there_is_told_at_once():
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=f"got '{address}': .*refused"), Ray(address=address).open(answering, silent, "auto"):
            pass


@pytest.mark.slow
def test_a_run_whose_node_is_killed_goes_on_on_another(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from ray.cluster_utils import Cluster

    monkeypatch.chdir(tmp_path)
    cluster = Cluster(initialize_head=True, connect=False, head_node_args={"num_cpus": 0, **SMALL})
    told = []
    try:
        nodes = [cluster.add_node(num_cpus=1, **SMALL) for _ in range(2)]

        def kill_one():
            until = time.monotonic() + 120
            while len(list(tmp_path.glob("runs/*/run.json"))) < 2 and time.monotonic() < until:
                time.sleep(0.05)
            cluster.remove_node(nodes[1], allow_graceful=False)

        killing = threading.Thread(target=kill_one)
        killing.start()
        table = nas.evaluate(
            "small(width=0.25)",
            "digits",
            methods=["dgl"],
            decoupling=["even(2)"],
            seeds=2,
            iterations=150,
            executor=f"ray(address='{cluster.address}')",
            retries=2,
            progress=lambda what, done, total, **figures: told.append((what, done, total)),
        )
        killing.join()
    finally:
        cluster.shutdown()
    assert list(table["status"]) == ["ok", "ok"] and sorted(table["seed"]) == [0, 1]
    assert [done for what, done, _ in told if what == "runs"] == [0, 1, 2], told
    rows = pd.read_csv("results/evaluate.csv", keep_default_na=False, dtype=str)
    failed = rows[rows["status"] != "ok"]
    assert len(rows) == 3 and list(failed["attempts"]) == ["1"] and failed["status"].iloc[0].startswith("killed: ")
    again = rows[(rows["status"] == "ok") & (rows["seed"] == failed["seed"].iloc[0])]
    assert list(again["attempts"]) == ["2"] and not list(tmp_path.glob("runs/*/checkpoint.pt"))
