"""Images read from files by worker processes, against torchvision's transforms in this process."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp

from nas.data.images import folder_samples as folder_split
from nas.data.images.augmentation import Augmentation
from nas.data.images.folder_samples import CHUNK, FolderSplit
from nas.data.images.images import Batches, Images, eval_batches
from nas.data.images.torchvision_import import torchvision
from nas.data.worker_process import this_module_path
from spaces.notation.errors import UserError

COUNT, SIZE = 2 * CHUNK + 5, 12  # three runs of files
ROOT = Path(__file__).resolve().parents[4]
RESIZED = Augmentation(resized_crop=True)


def smooth(number: int, width: int, height: int) -> np.ndarray:
    """An image whose places all differ."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, np.full((height, width), 5 * number)], -1).astype(np.uint8)


@pytest.fixture
def split(tmp_path: Path) -> FolderSplit:
    files = []
    for number in range(COUNT):
        files.append(f"{number}.png")
        Image.fromarray(smooth(number, 20 + number, 40 - number // 2)).save(tmp_path / files[-1])
    return FolderSplit(tmp_path, files, torch.arange(COUNT) % 4, SIZE)


def task(split: FolderSplit, augmentation: Augmentation = RESIZED) -> Images:
    """Its batches hold the pixels themselves."""
    return Images(split, split, lambda: split, 4, (0.0,) * 3, (1 / 255,) * 3, augmentation)


def pixels(x: torch.Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).round().numpy().astype(np.uint8)


def test_evaluation_takes_the_middle_of_every_image_in_order(split: FolderSplit) -> None:
    transforms = torchvision().transforms
    change = transforms.Compose([transforms.Resize(round(SIZE * 256 / 224)), transforms.CenterCrop(SIZE)])
    expected = np.stack([np.asarray(change(Image.open(split.folder / file))) for file in split.files])
    for batch_size in (3, COUNT, 50):
        batches = list(eval_batches(task(split), split, batch_size))
        assert torch.equal(torch.cat([y for _, y in batches]), split.labels)
        np.testing.assert_array_equal(np.concatenate([pixels(x) for x, _ in batches]), expected)
    x, y = Batches(task(split), COUNT, augmentation=Augmentation()).batch(0, 0)
    order = pixels(x)[:, 0, 0, 2] // 5
    np.testing.assert_array_equal(pixels(x), expected[order])
    assert torch.equal(y, split.labels[torch.from_numpy(order).long()])


def extents(found: np.ndarray) -> np.ndarray:
    """(N, 2): what share of its image's width and height each of the smooth (N, H, W, 3) spans."""
    return np.stack([found[..., axis].max((1, 2)).astype(float) - found[..., axis].min((1, 2)) for axis in (0, 1)], 1) / 255


def test_training_cuts_out_what_torchvision_would(split: FolderSplit) -> None:
    """The distributions of width, height and area, which are told by the smooth colours."""
    change = torchvision().transforms.RandomResizedCrop(SIZE)
    batches, own, reference = Batches(task(split), COUNT), [], []
    torch.manual_seed(0)
    for iteration in range(16):
        x, y = batches.batch(0, iteration)
        number = pixels(x)[:, 0, 0, 2] // 5
        assert sorted(number) == list(range(COUNT)) and torch.equal(y, split.labels[torch.from_numpy(number).long()])
        own.append(extents(pixels(x)))
        reference.append(extents(np.stack([np.asarray(change(Image.open(split.folder / file))) for file in split.files])))
    assert len({tuple(one) for one in np.concatenate(own)}) > 400, "every crop is drawn anew"
    for measure in (lambda e: e[:, 0], lambda e: e[:, 1], lambda e: e.prod(1)):
        assert ks_2samp(measure(np.concatenate(own)), measure(np.concatenate(reference))).pvalue > 1e-3


def test_a_batch_is_the_same_whenever_and_by_whomever_it_is_read(split: FolderSplit) -> None:
    images = task(split, Augmentation(flip=True, resized_crop=True, cutout=3))
    once = [Batches(images, 10).batch(4, iteration) for iteration in range(7)]
    again, travelled = Batches(images, 10), Batches(replace(images, train=pickle.loads(pickle.dumps(split))), 10)
    for batches in (again, travelled):
        for iteration in (5, 0, 1, 2, 6, 3, 4, 4):
            x, y = batches.batch(4, iteration)
            assert torch.equal(x, once[iteration][0]) and torch.equal(y, once[iteration][1])
    assert not torch.equal(again.batch(5, 0)[0], once[0][0])


def test_what_is_in_grey_or_has_transparency_is_read_as_rgb(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P", "1", "CMYK"):
        Image.new(mode, (20, 20)).save(tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}")
    files = sorted(path.name for path in tmp_path.iterdir())
    split = FolderSplit(tmp_path, files, torch.arange(5), SIZE)
    read, _ = split.request(torch.arange(5), None)()
    assert read.shape == (5, SIZE, SIZE, 3) and read.dtype == torch.uint8


def test_a_damaged_image_is_named_when_its_batch_comes(split: FolderSplit) -> None:
    path = split.folder / split.files[CHUNK + 3]
    Image.fromarray(smooth(3, 60, 60)).save(path, format="JPEG")
    whole, random, refused = path.read_bytes(), np.random.default_rng(0), 0
    damaged = [whole[:length] for length in range(0, len(whole), 40)]
    damaged += [whole[:place] + bytes([random.integers(256)]) + whole[place + 1 :] for place in range(0, len(whole), 9)]
    for content in (b"", b"not an image", *damaged):
        path.write_bytes(content)
        try:
            split.request(torch.tensor([CHUNK + 3]), (0, 3, 0))()
        except UserError as error:
            refused += 1
            assert str(path) in str(error) and "damaged" in str(error) and "\n" not in str(error)
    assert refused >= len(whole) // 40
    path.unlink()
    with pytest.raises(UserError, match=f"{path.name} is missing"):
        list(eval_batches(task(split), split, 10))


@pytest.mark.slow
def test_signals_to_all_processes_leave_the_workers_and_one_that_is_killed_is_one_line(split: FolderSplit) -> None:
    """Batch systems and `kill -- -GROUP` send a signal to every process; then this one still has a step to finish. Of a worker
    that is killed the pool tells the others to end, or leaving would wait for them."""
    program = (
        "import os, signal, subprocess, torch; from multiprocessing import forkserver; from pathlib import Path\n"
        "from nas.data.images.folder_samples import FolderSplit, _workers; from spaces.notation.errors import UserError\n"
        f"split = FolderSplit(Path({str(split.folder)!r}), ['0.png'] * 64, torch.zeros(64).long(), 8)\n"
        "read = lambda: split.request(torch.arange(64), None)()\n"
        "read()\n"
        "workers = list(_workers()._processes)\n"
        "for name in ('-TERM', '-HUP', '-INT'):\n"
        "    subprocess.run(['kill', name, *map(str, [*workers, forkserver._forkserver._forkserver_pid])], check=True)\n"
        "read()\n"
        "assert list(_workers()._processes) == workers\n"
        "os.kill(workers[0], signal.SIGKILL)\n"
        "try:\n"
        "    while True: read()  # the others may read until it is noticed\n"
        "except UserError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "killed" in ended.stdout and ended.stdout.count("\n") == 1 and ended.stderr == ""


@pytest.mark.slow
def test_workers_do_not_outlive_a_process_that_is_killed(split: FolderSplit) -> None:
    program = (
        "import sys, time, torch; from pathlib import Path\n"
        "from nas.data.images.folder_samples import FolderSplit, _workers\n"
        f"split = FolderSplit(Path({str(split.folder)!r}), ['0.png'], torch.zeros(1).long(), 8)\n"
        "split.request(torch.tensor([0]), None)()\n"
        "print(*_workers()._processes, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    workers = [int(word) for word in process.stdout.readline().split()]
    assert workers and all(alive(worker) for worker in workers)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(300):
        if not any(alive(worker) for worker in workers):
            return
        time.sleep(0.1)
    raise AssertionError("workers are left")


def alive(number: int) -> bool:
    """Whether a process runs; one that has ended and waits to be noticed does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True).stdout.strip()
    return state != "" and not state.startswith("Z")


class Recorded:
    """Stands for a tensor, or for the workers, and takes down what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def pin_memory(self) -> Recorded:
        self.asked.append("pinned")
        return self

    def to(self, device: torch.device, non_blocking: bool = False) -> Recorded:
        self.asked.append((device.type, non_blocking))
        return self

    def submit(self, read: object, paths: list[Path], first: int) -> None:
        self.asked.append((first, len(paths)))


def test_a_gpu_is_sent_page_locked_memory_and_waits_for_nothing() -> None:
    for device, asked in (("cuda", ["pinned", ("cuda", True)]), ("cpu", [("cpu", False)])):
        tensor = Recorded()
        folder_split._sent(tensor, torch.device(device))  # type: ignore[arg-type]
        assert tensor.asked == asked


@pytest.mark.parametrize("cores, count, runs", [(4, 8, 4), (4, 200, 13), (64, 64, 64), (64, 10, 10), (1, 40, 3)])
def test_a_batch_is_shared_among_all_workers(monkeypatch: pytest.MonkeyPatch, cores: int, count: int, runs: int) -> None:
    workers = Recorded()
    monkeypatch.setattr(folder_split, "_workers", lambda: workers)
    monkeypatch.setattr(folder_split, "usable_cores", lambda: cores)
    folder_split.in_parallel(folder_split.read_plain, [Path("a")] * count)
    assert len(workers.asked) == runs and sum(number for _, number in workers.asked) == count  # type: ignore[misc]
    assert [first for first, _ in workers.asked] == list(range(0, count, workers.asked[0][1]))  # type: ignore[misc,index]


def test_worker_processes_look_for_no_module_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "signal.py").write_text("open('canary', 'w')")
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    with this_module_path():
        subprocess.run([sys.executable, "-c", "import signal, nas"], check=True)  # as multiprocessing starts its server
    assert not (tmp_path / "canary").exists() and os.environ == before
