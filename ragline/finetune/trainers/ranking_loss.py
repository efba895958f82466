"""The ranking loss of sentence-transformers, computed without padding where that is what takes the time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from torch.nn.utils.rnn import pad_sequence

GROUP_TOKENS = 2048
"""Padded tokens of one forward pass on a CPU: its activations stay in the cache."""

Features = dict[str, torch.Tensor]


class GroupedRankingLoss(MultipleNegativesRankingLoss):  # type: ignore[misc]  # its types are not read
    """MultipleNegativesRankingLoss with the same value; the texts of a batch are embedded in groups of one length.

    In a batch, a title of 8 tokens stands beside a passage of 250, and each column is padded to its longest text.
    Here all texts of a batch, whichever column they stand in, are sorted by length and embedded in groups that are
    padded to their own longest only. No gradient is cached and nothing is computed twice: one backward pass goes
    through all groups.
    """

    def __init__(self, model: Any, *, scale: float, bf16: bool, padding: int) -> None:
        super().__init__(model, scale=scale)
        self._padding = padding
        self._bf16 = bf16

    def forward(self, sentence_features: Iterable[Features], labels: torch.Tensor | None) -> torch.Tensor:
        """Return the loss of a batch: columns of tokenised texts."""
        columns = list(sentence_features)
        with self._autocast():  # around all groups, so that the weights are rounded once
            vectors = self._embed(columns)
        rows = [len(column["input_ids"]) for column in columns]
        return self.compute_loss_from_embeddings(list(vectors.float().split(rows)), labels)

    def _autocast(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = torch.autocast("cpu", torch.bfloat16, enabled=self._bf16)
        return context

    def _embed(self, columns: Sequence[Features]) -> torch.Tensor:
        texts = [
            ids[mask.bool()]
            for column in columns
            for ids, mask in zip(column["input_ids"], column["attention_mask"], strict=True)
        ]
        found, order = [], []
        for group in _groups([len(text) for text in texts]):
            found.append(self.model(_padded([texts[row] for row in group], self._padding))["sentence_embedding"])
            order += group
        return torch.cat(found)[torch.tensor(order).argsort()]


def ranking_loss(
    model: Any, *, scale: float, mini_batch: int, dimensions: Sequence[int], padding: int, device: str, bf16: bool
) -> Any:
    """Return the loss to train with.

    Args:
        model: the SentenceTransformer.
        scale: what cosines are multiplied with; 1 / temperature.
        mini_batch: texts of which activations are held at once (gradient caching); 0: all of a batch.
        dimensions: shorter vectors that must rank well too (Matryoshka); () for none.
        padding: the id of the padding token.
        device: "cpu" or "cuda".
        bf16: whether matrices are multiplied in bf16.
    """
    if mini_batch:
        loss = CachedMultipleNegativesRankingLoss(model, scale=scale, mini_batch_size=mini_batch)
    elif device == "cpu":
        loss = GroupedRankingLoss(model, scale=scale, bf16=bf16, padding=padding)
    else:
        loss = MultipleNegativesRankingLoss(model, scale=scale)
    return MatryoshkaLoss(model, loss, matryoshka_dims=sorted(dimensions, reverse=True)) if dimensions else loss


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the rows in groups of about one length, longest first."""
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while rows:
        size = max(1, GROUP_TOKENS // max(1, lengths[rows[0]]))
        group, rows = rows[:size], rows[size:]
        yield group


def _padded(texts: Sequence[torch.Tensor], padding: int) -> Features:
    ids = pad_sequence(list(texts), batch_first=True, padding_value=padding)
    mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    return {"input_ids": ids, "attention_mask": mask}
