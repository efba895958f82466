"""BERT and XLM-RoBERTa encoders as ONNX files, with pooling and normalisation inside.

The graph is built from the weights, as `ragline.embedding.graph` does for OpenVINO (docs/decisions/0003): the same file
from the same weights whatever the version of torch, and every product has a name by which a variant can choose it. In
contrast to that graph, texts of several lengths go through at once, so there is a mask.

    input_ids       int64   [batch, length]
    attention_mask  int64   [batch, length]     1 for a token, 0 behind the text's end
    embeddings      float32 [batch, dimensions], each of length 1
    token_weights   float32 [batch, length]     with sparse_linear.pt: a weight for each token, 0 in the padding
    multi_vectors   float32 [batch, length - 1, dimensions], each of length 1, 0 in the padding
                                                with colbert_linear.pt: a vector for each token but the first
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ragline.embedding.model import EmbeddingModel
from ragline.errors import ModelError
from ragline.export.weights import Weights, linear

FAMILIES = frozenset({"bert", "xlm-roberta", "roberta"})
"""The values of `model_type` that can be exported."""

OPSET = 17
"""The first with LayerNormalization; old enough for every ONNX Runtime that a Triton image of these years holds."""

INLINE_BYTES = 1_900_000_000
"""Weights above this go to a file beside the graph: a protobuf message ends at 2 GB."""

SPARSE, MULTI_VECTOR = "sparse", "multi_vector"


@dataclass(frozen=True, slots=True)
class Head:
    """A head of BGE-M3 besides the dense one: the file of its layer, and the graph's output that it makes."""

    file: str
    output: str


HEADS = {SPARSE: Head("sparse_linear.pt", "token_weights"), MULTI_VECTOR: Head("colbert_linear.pt", "multi_vectors")}
"""Heads by name; the product of a head has the same name in the graph."""

_FLOAT, _INT64 = TensorProto.FLOAT, TensorProto.INT64


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """An exported encoder.

    Attributes:
        path: the ONNX file.
        files: all files that belong to it, itself first.
        heads: "sparse" and "multi_vector", where the model has them.
    """

    path: Path
    files: tuple[Path, ...]
    heads: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(path.stat().st_size for path in self.files)


def heads_of(model: EmbeddingModel) -> tuple[str, ...]:
    """Return the heads that a BGE-M3 folder has besides the dense one."""
    return tuple(name for name, head in HEADS.items() if (model.folder / head.file).is_file())


def export_onnx(model: EmbeddingModel, path: Path, *, inline_bytes: int = INLINE_BYTES) -> OnnxModel:
    """Write `model` as an ONNX file.

    Args:
        model: the folder to export.
        path: the file to write; its folder exists.
        inline_bytes: weights above this many bytes are written to `path` + ".data".

    Raises:
        ModelError: another architecture, or the folder is damaged.
    """
    _check(model)
    outside = path.with_name(path.name + ".data")
    with Weights(model) as weights, _Tensors(outside, inline=_size(model) <= inline_bytes) as tensors:
        graph = _Encoder(model, weights, tensors).graph()
    opsets = [helper.make_opsetid("", OPSET)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="ragline"), path)
    files = (path, outside) if outside.is_file() else (path,)
    return OnnxModel(path, files, heads_of(model))


def _check(model: EmbeddingModel) -> None:
    config, where = model.config, f"embedder {model.name!r}"
    if config["model_type"] not in FAMILIES:
        families = ", ".join(sorted(FAMILIES))
        raise ModelError(
            f"{where}: architecture {config['model_type']!r} cannot be exported to ONNX; these can: {families}"
        )
    if config.get("hidden_act", "gelu") != "gelu":
        raise ModelError(f"{where}: activation {config['hidden_act']!r} is not supported")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ModelError(f"{where}: positions {config['position_embedding_type']!r} are not supported")
    if model.dimensions % int(config["num_attention_heads"]):
        raise ModelError(
            f"{where}: {model.dimensions} dimensions do not divide into {config['num_attention_heads']} heads"
        )


def _size(model: EmbeddingModel) -> int:
    """Return about how many bytes the weights have as float32."""
    hidden, inner = model.dimensions, int(model.config["intermediate_size"])
    layers = int(model.config["num_hidden_layers"]) * (4 * hidden + 2 * inner) * hidden
    return 4 * (layers + (int(model.config["vocab_size"]) + int(model.config["max_position_embeddings"])) * hidden)


class _Tensors:
    """Collects the constants of a graph, in the graph or in a file beside it."""

    def __init__(self, outside: Path, *, inline: bool) -> None:
        self.protos: list[TensorProto] = []
        outside.unlink(missing_ok=True)
        self._path = outside
        self._file: BinaryIO | None = None if inline else outside.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, name: str, value: np.ndarray) -> str:
        """Keep a constant; return its name."""
        value = np.asarray(value, order="C")  # ascontiguousarray would make a number a list of one
        if self._file is None or value.nbytes < 1024:
            self.protos.append(numpy_helper.from_array(value, name))
            return name
        proto = TensorProto(name=name, data_type=_FLOAT, dims=value.shape, data_location=TensorProto.EXTERNAL)
        place = {"location": self._path.name, "offset": self._file.tell(), "length": value.nbytes}
        for key, entry in place.items():
            proto.external_data.add(key=key, value=str(entry))
        self._file.write(value.tobytes())
        self.protos.append(proto)
        return name


class _Encoder:
    """Puts the layers together; one method per part of the architecture."""

    def __init__(self, model: EmbeddingModel, weights: Weights, tensors: _Tensors) -> None:
        self._model, self._weights, self._tensors = model, weights, tensors
        self._nodes: list[onnx.NodeProto] = []
        self._hidden = model.dimensions
        self._heads = int(model.config["num_attention_heads"])
        self._epsilon = float(model.config.get("layer_norm_eps", 1e-12))

    def graph(self) -> onnx.GraphProto:
        states = self._embeddings()
        bias = self._mask_bias()
        for index in range(int(self._model.config["num_hidden_layers"])):
            states = self._layer(states, bias, f"encoder.layer.{index}.")
        outputs = [self._dense_head(states)]
        heads = heads_of(self._model)
        if SPARSE in heads:
            outputs.append(self._sparse_head(states))
        if MULTI_VECTOR in heads:
            outputs.append(self._multi_vector_head(states))
        inputs = [
            helper.make_tensor_value_info(name, _INT64, ["batch", "length"]) for name in ("input_ids", "attention_mask")
        ]
        return helper.make_graph(self._nodes, "encoder", inputs, outputs, self._tensors.protos)

    def _embeddings(self) -> str:
        words = self._constant("words", self._weights["embeddings.word_embeddings.weight"])
        first = self._first_position()
        positions = self._weights["embeddings.position_embeddings.weight"][first:]
        placed = self._constant("positions", positions + self._weights["embeddings.token_type_embeddings.weight"][:1])
        length = self._node("Slice", self._node("Shape", "input_ids"), self._ints(1), self._ints(2))
        used = self._node("Slice", placed, self._ints(0), length, self._ints(0))
        summed = self._node("Add", self._node("Gather", words, "input_ids"), used)
        return self._norm(summed, "embeddings.LayerNorm")

    def _first_position(self) -> int:
        """RoBERTa counts positions from behind the padding index."""
        return 0 if self._model.config["model_type"] == "bert" else int(self._model.config.get("pad_token_id", 1)) + 1

    def _mask_bias(self) -> str:
        """Return what is added to attention scores: 0 for a token, a great negative number for padding."""
        self._mask = self._node("Cast", "attention_mask", to=_FLOAT)
        # A constant beyond float16's and bfloat16's range would be infinite there, and infinity times zero no number.
        missing = self._node("Mul", self._node("Sub", self._mask, self._float(1)), self._float(30_000))
        return self._node("Unsqueeze", missing, self._ints(1, 2))

    def _layer(self, states: str, bias: str, prefix: str) -> str:
        attended = self._linear(self._attention(states, bias, prefix), prefix + "attention.output.dense")
        states = self._norm(self._node("Add", attended, states), prefix + "attention.output.LayerNorm")
        inner = self._gelu(self._linear(states, prefix + "intermediate.dense"))
        outer = self._linear(inner, prefix + "output.dense")
        return self._norm(self._node("Add", outer, states), prefix + "output.LayerNorm")

    def _attention(self, states: str, bias: str, prefix: str) -> str:
        joined = self._linear(states, *(f"{prefix}attention.self.{part}" for part in ("query", "key", "value")))
        parts = self._nodes_of("Split", 3, joined, axis=-1)
        shape = self._ints(0, 0, self._heads, self._hidden // self._heads)
        query, key, value = (
            self._node("Transpose", self._node("Reshape", part, shape), perm=perm)
            for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = self._node("Mul", self._node("MatMul", query, key), self._float((self._hidden / self._heads) ** -0.5))
        shares = self._node("Softmax", self._node("Add", scores, bias), axis=-1)
        heads = self._node("Transpose", self._node("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self._node("Reshape", heads, self._ints(0, 0, self._hidden))

    def _linear(self, states: str, *parts: str) -> str:
        """Return states @ W^T + b; several parts become one product, cut apart by the caller."""
        weight = np.concatenate([self._weights[f"{part}.weight"] for part in parts]).T
        bias = np.concatenate([self._weights[f"{part}.bias"] for part in parts])
        return self._product(states, weight, bias, parts[0])

    def _product(self, states: str, weight: np.ndarray, bias: np.ndarray, name: str) -> str:
        product = self._node("MatMul", states, self._constant(name + ".weight", weight), name=name)
        return self._node("Add", product, self._constant(name + ".bias", bias))

    def _gelu(self, states: str) -> str:
        """Return x/2 * (1 + erf(x / sqrt 2)), in the form that runtimes recognise and fuse."""
        inner = self._node("Erf", self._node("Div", states, self._float(2**0.5)))
        return self._node("Mul", self._node("Mul", states, self._node("Add", inner, self._float(1))), self._float(0.5))

    def _norm(self, states: str, part: str) -> str:
        scale, bias = (self._constant(f"{part}.{kind}", self._weights[f"{part}.{kind}"]) for kind in ("weight", "bias"))
        return self._node("LayerNormalization", states, scale, bias, axis=-1, epsilon=self._epsilon)

    def _dense_head(self, states: str) -> onnx.ValueInfoProto:
        if self._model.pooling == "cls":
            pooled = self._node("Gather", states, self._constant("first", np.int64(0)), axis=1)
        else:
            kept = self._node("Mul", states, self._node("Unsqueeze", self._mask, self._ints(2)))
            count = self._node("ReduceSum", self._mask, self._ints(1), keepdims=1)
            pooled = self._node("Div", self._node("ReduceSum", kept, self._ints(1), keepdims=0), count)
        return self._output("embeddings", self._unit(pooled), ["batch", self._hidden])

    def _sparse_head(self, states: str) -> onnx.ValueInfoProto:
        weight, bias = linear(self._model.folder / HEADS[SPARSE].file)
        weights = self._node("Relu", self._product(states, weight.T, bias, SPARSE))
        flat = self._node("Mul", self._node("Squeeze", weights, self._ints(2)), self._mask)
        return self._output(HEADS[SPARSE].output, flat, ["batch", "length"])

    def _multi_vector_head(self, states: str) -> onnx.ValueInfoProto:
        weight, bias = linear(self._model.folder / HEADS[MULTI_VECTOR].file)
        end = self._ints(2**31)
        behind = self._node("Slice", states, self._ints(1), end, self._ints(1))
        mask = self._node(
            "Unsqueeze", self._node("Slice", self._mask, self._ints(1), end, self._ints(1)), self._ints(2)
        )
        vectors = self._node("Mul", self._unit(self._product(behind, weight.T, bias, MULTI_VECTOR)), mask)
        return self._output(HEADS[MULTI_VECTOR].output, vectors, ["batch", "length_1", len(bias)])

    def _unit(self, vectors: str) -> str:
        length = self._node("ReduceL2", vectors, axes=[-1], keepdims=1)
        return self._node("Div", vectors, self._node("Max", length, self._float(1e-12)))

    def _output(self, name: str, value: str, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        return helper.make_tensor_value_info(name, _FLOAT, shape)

    def _node(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        return self._nodes_of(kind, 1, *inputs, name=name, **attributes)[0]

    def _nodes_of(self, kind: str, count: int, *inputs: str, name: str = "", **attributes: Any) -> list[str]:
        name = name or f"{kind.lower()}_{len(self._nodes)}"
        outputs = [f"{name}:{index}" for index in range(count)]
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, name, **attributes))
        return outputs

    def _constant(self, name: str, value: np.ndarray | np.generic) -> str:
        return self._tensors.add(name, np.asarray(value))

    def _ints(self, *values: int) -> str:
        return self._constant(f"ints_{len(self._tensors.protos)}", np.array(values, dtype=np.int64))

    def _float(self, value: float) -> str:
        return self._constant(f"float_{len(self._tensors.protos)}", np.float32(value))
