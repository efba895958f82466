"""Runs an encoder with torch: on a GPU, or on the CPU for architectures that have no OpenVINO graph."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModel

from ragline.embedding.model import EmbeddingModel
from ragline.errors import ModelError

BATCH_TOKENS = 1 << 16
"""Padded tokens per forward pass on a GPU; one text at a time on a CPU."""


class TorchBackend:
    """Token ids to vectors; bf16 on a GPU, float32 on a CPU."""

    def __init__(self, model: EmbeddingModel) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = "bf16" if self._device.type == "cuda" else "f32"
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        try:
            body = AutoModel.from_pretrained(model.folder, dtype=dtype, local_files_only=True, trust_remote_code=False)
        except Exception as exc:  # OSError, ValueError, RuntimeError for shapes, or a plain one of safetensors
            raise ModelError(f"embedder {model.name!r}: {model.folder} does not load with transformers: {exc}") from exc
        self._body = body.to(self._device).eval()
        self._model = model
        self._batch_tokens = BATCH_TOKENS if self._device.type == "cuda" else 1

    @torch.inference_mode()
    def encode(self, inputs: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the vectors of token id sequences: float32 [len(inputs), dimensions]."""
        vectors = np.empty((len(inputs), self._model.dimensions), dtype=np.float32)
        order = sorted(range(len(inputs)), key=lambda row: -len(inputs[row]))
        while order:
            size = max(1, self._batch_tokens // max(1, len(inputs[order[0]])))
            rows, order = order[:size], order[size:]
            vectors[rows] = self._forward([inputs[row] for row in rows])
        return vectors

    def _forward(self, inputs: Sequence[Sequence[int]]) -> np.ndarray:
        length = max(map(len, inputs))
        ids = torch.zeros((len(inputs), length), dtype=torch.long)
        mask = torch.zeros((len(inputs), length), dtype=torch.long)
        pad = int(self._model.config.get("pad_token_id") or 0)
        ids.fill_(pad)
        for row, tokens in enumerate(inputs):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        mask = mask.to(self._device)
        hidden = self._body(input_ids=ids.to(self._device), attention_mask=mask).last_hidden_state.float()
        if self._model.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            weight = mask.unsqueeze(-1).float()
            pooled = (hidden * weight).sum(1) / weight.sum(1)
        vectors: np.ndarray = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors
