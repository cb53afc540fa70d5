"""A transformer of Hugging Face in blocks inside its Trainer: backward a block, in one training step. Seconds on one core.

python examples/hugging_face_trainer.py
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import nas


class LocalTrainer(Trainer):
    """Each block learns from its own loss, whose backward pass runs before the next block's forward pass."""

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        inputs = self._prepare_inputs(inputs)
        labels = inputs.pop("labels")
        with self.compute_loss_context_manager():
            losses = self.model.losses(inputs, labels)
        total = torch.zeros((), device=labels.device)
        for loss in losses:
            loss = loss / self.current_gradient_accumulation_steps
            self.accelerator.backward(loss)
            total += loss.detach()
        return total


class Texts(torch.utils.data.Dataset):
    """Token numbers of texts of 8 to 16 words about four topics: half of the words are the topic's own, and 0 is padding."""

    def __init__(self, size: int, seed: int) -> None:
        drawn = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(size) % 4
        ids = torch.randint(41, 101, (size, 16), generator=drawn)
        own = 1 + 10 * self.labels[:, None] + torch.randint(10, (size, 16), generator=drawn)
        ids = ids.where(torch.rand(size, 16, generator=drawn) < 0.5, own)
        self.mask = (torch.arange(16) < torch.randint(8, 17, (size, 1), generator=drawn)).long()
        self.ids = ids * self.mask

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[index], "attention_mask": self.mask[index], "labels": self.labels[index]}


def bert() -> BertForSequenceClassification:
    """A small BERT with weights of its own, as `from_pretrained` would give a large one."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=101,
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=16,
            num_labels=4,
        )
    )


def accuracy(folder: Path, steps: int = 100) -> float:
    """Of BERT in two blocks, trained by Hugging Face's Trainer."""
    set_seed(0)
    model = bert()
    training, validation = Texts(1000, seed=0), Texts(200, seed=1)
    example = {
        name: torch.stack([sample[name] for sample in (training[0], training[1])]) for name in ("input_ids", "attention_mask")
    }
    net = nas.decouple(model, "even(2)", example=example, method="dgl(label_smoothing=0)", head="linear")
    trainer = LocalTrainer(
        model=net,
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=64,
            learning_rate=3e-3,
            lr_scheduler_type="cosine",
            remove_unused_columns=False,
            label_names=["labels"],
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=training,
        eval_dataset=validation,
        compute_metrics=lambda given: {"accuracy": float((given.predictions.argmax(-1) == given.label_ids).mean())},
    )
    trainer.train()
    model.save_pretrained(folder)  # a BERT like any other, for from_pretrained
    return float(trainer.evaluate()["eval_accuracy"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(f"accuracy: {accuracy(Path(folder)):.3f}")
