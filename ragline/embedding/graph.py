"""BERT and XLM-RoBERTa encoders as OpenVINO graphs, built straight from the weights.

The two families cover the embedders people use here (MiniLM, BGE, E5, GTE, BGE-M3). Building the graph
by hand takes 0.3 s and no torch, where an export takes torch, transformers and an ONNX file
(docs/decisions/0003). Architecture after Devlin et al. 2018 (arXiv:1810.04805), post-layer-norm;
tensor names as in Hugging Face's `BertModel`.

Inputs of one call all have the same length, so there is no padding and no mask, and a text's vector
does not depend on the texts beside it: it is the same bit for bit in any batch.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from ragline.embedding.model import EmbeddingModel
from ragline.errors import ModelError

FAMILIES = frozenset({"bert", "xlm-roberta", "roberta"})
"""The values of `model_type` that `encoder_graph` can build."""

Tensor = Callable[[str], np.ndarray]


def encoder_graph(model: EmbeddingModel) -> ov.Model:
    """Return the graph of `model`: `input_ids` int64 [batch, length] to `embeddings` float32 [batch, dimensions].

    Raises:
        ModelError: another architecture, or a tensor is missing.
    """
    if model.config["model_type"] not in FAMILIES:
        raise ModelError(f"embedder {model.name!r}: architecture {model.config['model_type']!r} has no CPU graph")
    weights = _load_weights(model)
    prefix = next((p for p in ("", "bert.", "roberta.") if f"{p}embeddings.LayerNorm.weight" in weights), "")

    def tensor(key: str) -> np.ndarray:
        try:
            return np.ascontiguousarray(weights[prefix + key], dtype=np.float32)
        except KeyError:
            raise ModelError(f"embedder {model.name!r}: {model.weights} has no tensor {key!r}") from None

    return _Encoder(model, tensor).graph()


class _Encoder:
    """Puts the layers together; one method per part of the architecture."""

    def __init__(self, model: EmbeddingModel, tensor: Tensor) -> None:
        self._model = model
        self._tensor = tensor
        self._epsilon = float(model.config.get("layer_norm_eps", 1e-12))
        self._heads = int(model.config["num_attention_heads"])
        self._hidden = model.dimensions
        activation = model.config.get("hidden_act", "gelu")
        if activation != "gelu":
            raise ModelError(f"embedder {model.name!r}: activation {activation!r} is not supported")
        positions = model.config.get("position_embedding_type", "absolute")
        if positions != "absolute":
            raise ModelError(f"embedder {model.name!r}: positions {positions!r} are not supported")
        if self._hidden % self._heads:
            raise ModelError(
                f"embedder {model.name!r}: {self._hidden} dimensions do not divide into {self._heads} heads"
            )

    def graph(self) -> ov.Model:
        ids = ops.parameter([-1, -1], np.int64, name="input_ids")
        states = self._embeddings(ids)
        for index in range(int(self._model.config["num_hidden_layers"])):
            states = self._layer(states, f"encoder.layer.{index}.")
        return ov.Model([self._pooled(states)], [ids], "encoder")

    def _embeddings(self, ids: Any) -> Any:
        length = ops.squeeze(ops.gather(ops.shape_of(ids), _ints(1), _ints(0)), _ints(0))
        words = ops.gather(ops.constant(self._tensor("embeddings.word_embeddings.weight")), ids, _ints(0))
        table = (
            self._tensor("embeddings.position_embeddings.weight")
            + self._tensor("embeddings.token_type_embeddings.weight")[:1]
        )
        positions = ops.range(_scalar(0), length, _scalar(1), output_type="i64")
        placed = ops.gather(ops.constant(np.ascontiguousarray(table[self._first_position() :])), positions, _ints(0))
        return self._norm(ops.add(words, placed), "embeddings.LayerNorm")

    def _first_position(self) -> int:
        """RoBERTa counts positions from behind the padding index."""
        return 0 if self._model.config["model_type"] == "bert" else int(self._model.config.get("pad_token_id", 1)) + 1

    def _layer(self, states: Any, prefix: str) -> Any:
        attended = self._dense(self._attention(states, prefix), prefix + "attention.output.dense")
        states = self._norm(ops.add(states, attended), prefix + "attention.output.LayerNorm")
        inner = ops.gelu(self._dense(states, prefix + "intermediate.dense"), "erf")
        return self._norm(ops.add(states, self._dense(inner, prefix + "output.dense")), prefix + "output.LayerNorm")

    def _attention(self, states: Any, prefix: str) -> Any:
        parts = [prefix + f"attention.self.{part}" for part in ("query", "key", "value")]
        shape = _ints(0, 0, self._heads, self._hidden // self._heads)
        joined = ops.split(self._dense(states, *parts), _scalar(2), 3)
        query, key, value = (
            ops.transpose(ops.reshape(part, shape, True), _ints(0, 2, 1, 3)) for part in joined.outputs()
        )
        heads = ops.transpose(ops.scaled_dot_product_attention(query, key, value), _ints(0, 2, 1, 3))
        return ops.reshape(heads, _ints(0, 0, self._hidden), True)

    def _dense(self, states: Any, *parts: str) -> Any:
        """Return states @ W^T + b; several parts become one product, cut apart by the caller."""
        weight = np.concatenate([self._tensor(f"{part}.weight") for part in parts])
        bias = np.concatenate([self._tensor(f"{part}.bias") for part in parts])
        return ops.add(ops.matmul(states, ops.constant(weight), False, True), ops.constant(bias))

    def _norm(self, states: Any, part: str) -> Any:
        scaled = ops.mvn(states, _ints(-1), True, self._epsilon, "inside_sqrt")
        weighted = ops.multiply(scaled, ops.constant(self._tensor(f"{part}.weight")))
        return ops.add(weighted, ops.constant(self._tensor(f"{part}.bias")))

    def _pooled(self, states: Any) -> Any:
        if self._model.pooling == "cls":
            pooled = ops.squeeze(ops.slice(states, _ints(0), _ints(1), _ints(1), _ints(1)), _ints(1))
        else:
            pooled = ops.reduce_mean(states, _ints(1), False)
        return ops.normalize_l2(pooled, _ints(1), 1e-12, "max")


def _ints(*values: int) -> Any:
    return ops.constant(np.array(values, dtype=np.int64))


def _scalar(value: int) -> Any:
    return ops.constant(np.int64(value))


def _load_weights(model: EmbeddingModel) -> Mapping[str, np.ndarray]:
    if model.weights.suffix == ".safetensors":
        from safetensors.numpy import load_file

        try:
            return load_file(model.weights)
        except Exception as exc:  # safetensors raises its own SafetensorError, a plain Exception
            raise ModelError(f"embedder {model.name!r}: {model.weights} is damaged ({exc})") from exc
    return _load_pickled(model, model.weights)


def _load_pickled(model: EmbeddingModel, path: Path) -> Mapping[str, np.ndarray]:
    try:
        import torch
    except ImportError as exc:
        raise ModelError(
            f"embedder {model.name!r}: {path.name} needs torch to be read; run: pip install 'ragline[train]', "
            "or convert it to model.safetensors"
        ) from exc
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        return {key: value.float().numpy() for key, value in weights.items()}
    except Exception as exc:  # pickle, zipfile and torch each have their own
        raise ModelError(f"embedder {model.name!r}: {path} is damaged ({exc})") from exc
