"""Images in a table, read when they are asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import torch

from nas.data.digest import digest
from nas.data.images.folder_samples import AT_ONCE, CPU, UnreadImages
from nas.data.images.image_reader import ImageBytes, ImageSource
from spaces.notation.errors import UserError


@dataclass(frozen=True, eq=False)
class TableImages(UnreadImages):
    """The images in the rows `rows`, int64 (N,), of a table's column; `name` is what messages call the table."""

    table: Any
    column: str
    name: str
    rows: torch.Tensor
    labels: torch.Tensor
    size: int
    channels: int = 3
    device: torch.device = CPU

    @classmethod
    def of(cls, table: Any, column: str, name: str, labels: torch.Tensor, size: int, channels: int) -> Self:
        """All images of a table of the library `datasets`, which leaves them encoded."""
        import datasets

        encoded = table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        return cls(encoded, column, name, torch.arange(len(labels)), labels, size, channels)

    @cached_property
    def digest(self) -> str:
        """Of the images as they are encoded, and the labels; of those that are files of their own, by path, size and time."""
        found = blake2b(digest_size=8)
        for places in torch.arange(len(self)).split(AT_ONCE):
            for source in self.sources(places):
                if isinstance(source, Path):
                    status = os.stat(source)
                    found.update(f"{source.name} {status.st_size} {status.st_mtime_ns}\n".encode())
                else:
                    found.update(f"{len(source.content)}\n".encode() + source.content)
        return digest(found.hexdigest(), self.labels)

    def at(self, index: torch.Tensor) -> Self:
        """The part at these places, in this order."""
        return replace(self, rows=self.rows[index], labels=self.labels[index])

    def to(self, device: torch.device) -> Self:
        """Batches of it come on the device."""
        return replace(self, device=device)

    def sources(self, index: torch.Tensor) -> list[ImageSource]:
        """What the table holds, or the files that it names."""
        rows = self.rows[index].tolist()
        cells = self.table[rows][self.column]
        return [self._source(cell, f"in row {row} of {self.name}") for row, cell in zip(rows, cells, strict=True)]

    def _source(self, cell: dict[str, Any] | None, name: str) -> ImageSource:
        content, path = (cell["bytes"], cell["path"]) if cell else (None, None)
        if content is not None:
            return ImageBytes(name, content)
        if path and os.path.isfile(path):
            return Path(path)
        raise UserError(f"an image is missing {name}, got {f'the missing file {path}' if path else 'none'}; remove the row")
