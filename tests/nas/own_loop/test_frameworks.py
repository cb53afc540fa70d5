"""Lightning and Hugging Face's Trainer in several processes train what one process trains on the joined batch."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import start_processes
from torch.utils.data import DataLoader, SequentialSampler, TensorDataset

import nas
from nas.own_loop.decoupled import Decoupled
from spaces.torchvision_import import torchvision
from tests.nas.own_loop.models import batch, conv_net

PROCESSES = 2
BATCH = 16


class Model(nn.Module):
    """conv_net, which takes its images by name and has outputs as the library's models have."""

    def __init__(self) -> None:
        super().__init__()
        self.net = conv_net()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.net(pixels)


def decoupled() -> Decoupled:
    return nas.decouple(Model(), "even(3)", example={"pixels": batch()[0]}, method="dgl(label_smoothing=0)", head="linear")


def sgd(parameters: list[nn.Parameter]) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=0.1)


def by_lightning(rank: int, size: int, folder: Path) -> Decoupled:
    """As the documentation has it, with what each process is given written out."""
    import lightning
    from lightning.pytorch.strategies import DDPStrategy

    class Local(lightning.LightningModule):
        def __init__(self, net: Decoupled) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.net = net

        def training_step(self, given: Any, index: int) -> None:
            x, y = given
            for optimizer, loss in zip(self.optimizers(), self.net.losses({"pixels": x}, y), strict=True):  # type: ignore[arg-type]
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()

        def configure_optimizers(self) -> Any:
            return self.net.optimizers(sgd)

    net, (x, y) = decoupled(), batch(3 * BATCH)
    strategy = DDPStrategy(process_group_backend="gloo", find_unused_parameters=True) if size > 1 else "auto"
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=size,
        strategy=strategy,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Local(net), DataLoader(TensorDataset(x[rank::size], y[rank::size]), batch_size=BATCH // size))
    return net


def by_hugging_face(rank: int, size: int, folder: Path) -> Decoupled:
    """The same, with two batches an update."""
    from transformers import Trainer, TrainingArguments

    class Local(Trainer):
        def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
            model.train()
            inputs = self._prepare_inputs(inputs)
            labels = inputs.pop("labels")
            with self.compute_loss_context_manager():
                losses: Iterable[torch.Tensor] = self.model.losses(inputs, labels)  # type: ignore[operator]
            total = torch.zeros(())
            for loss in losses:
                loss = loss / self.current_gradient_accumulation_steps
                self.accelerator.backward(loss)
                total += loss.detach()
            return total

        def _get_train_sampler(self, *given: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    net, (x, y) = decoupled(), batch(4 * BATCH)
    trainer = Local(
        model=net,
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=2,
            gradient_accumulation_steps=2,
            per_device_train_batch_size=BATCH // size,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=0.0,
            remove_unused_columns=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            ddp_backend="gloo" if size > 1 else None,
        ),
        train_dataset=[{"pixels": image, "labels": label} for image, label in zip(x, y, strict=True)],
    )
    if size > 1:
        net.data_parallel()
    trainer.train()
    return net


WAYS = {way.__name__: way for way in (by_lightning, by_hugging_face)}


def process(rank: int, way: str, port: int, folder: str) -> None:
    """One of several processes, as torchrun starts them; the weights of each are written down."""
    torch.set_num_threads(1)
    torchvision()
    named = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "NODE_RANK": 0,
        "WORLD_SIZE": PROCESSES,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    os.environ.update({name: str(value) for name, value in named.items()})
    net = WAYS[way](rank, PROCESSES, Path(folder))
    torch.save(net.state_dict(), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_processes_train_what_one_trains_on_the_joined_batch(way: Callable[..., Decoupled], tmp_path: Path) -> None:
    torchvision()
    alone, before = way(0, 1, tmp_path / "alone").state_dict(), decoupled().state_dict()
    start_processes(process, (way.__name__, free_port(), str(tmp_path)), nprocs=PROCESSES, start_method="spawn")
    for rank in range(PROCESSES):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, tensor in alone.items():
            torch.testing.assert_close(together[name], tensor, rtol=1e-9, atol=1e-12)
            assert not torch.equal(tensor, before[name]), f"{name} is trained"
