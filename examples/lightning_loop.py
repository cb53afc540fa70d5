"""One's own network in blocks inside Lightning: manual optimisation, an optimizer and a scheduler a block. Seconds on one core.

python examples/lightning_loop.py
"""

from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nas


class LocalLearning(lightning.LightningModule):
    """Each block learns from its own loss, whose backward pass runs before the next block's forward pass."""

    def __init__(self, net: nas.Decoupled, lr: float) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net, self.lr = net, lr

    def training_step(self, batch: list[torch.Tensor], index: int) -> None:
        for optimizer, loss in zip(self.optimizers(), self.net.losses(*batch), strict=True):
            optimizer.zero_grad()
            self.manual_backward(loss)
            self.clip_gradients(optimizer, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
            optimizer.step()
        for scheduler in self.lr_schedulers():
            scheduler.step()

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        x, y = batch
        self.log("accuracy", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self) -> Any:
        optimizers = self.net.optimizers(lambda parameters: torch.optim.SGD(parameters, self.lr, momentum=0.9))
        steps = int(self.trainer.estimated_stepping_batches)
        return optimizers, [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) for optimizer in optimizers]


def network() -> nn.Sequential:
    """A convolutional network for 8 x 8 digits, as anyone would write it."""
    widths = [(1, 16), (16, 16), (16, 32), (32, 32)]
    layers = [nn.Sequential(nn.Conv2d(*pair, 3, padding=1), nn.BatchNorm2d(pair[1]), nn.ReLU()) for pair in widths]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def digits() -> tuple[DataLoader, DataLoader]:
    """Batches of 1,500 digits to train on, and of the others."""
    data = load_digits()
    x, y = torch.tensor(data.images[:, None] / 16, dtype=torch.float32), torch.tensor(data.target)
    loaders = TensorDataset(x[:1500], y[:1500]), TensorDataset(x[1500:], y[1500:])
    return DataLoader(loaders[0], batch_size=50, shuffle=True), DataLoader(loaders[1], batch_size=50)


def accuracy(epochs: int = 5) -> float:
    """Of the network in three blocks, trained by Lightning."""
    lightning.seed_everything(0, verbose=False)
    model = network()
    net = nas.decouple(model, "balanced(3)", example=torch.zeros(2, 1, 8, 8), method="dgl")
    training, validation = digits()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(LocalLearning(net, lr=0.05), training, validation)
    return float(trainer.callback_metrics["accuracy"])


if __name__ == "__main__":
    print(f"accuracy: {accuracy():.3f}")
