"""What a training runs on: device, precision, and whether that is enough for the model."""

import json
import struct
from math import prod
from pathlib import Path

import torch

from ragline.embedding.model import EmbeddingModel
from ragline.errors import InputError, ModelError

CPU_PARAMETERS = 200_000_000
"""Models with more parameters are trained on a CPU only with explicit permission."""

_FLOPS_PER_CORE = {"bf16": 250e9, "f32": 150e9}  # of a training step, measured with MiniLM (AVX-512)


def device() -> str:
    """Return "cuda" or "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def gpus() -> int:
    """Return the number of GPUs."""
    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def precision(where: str) -> str:
    """Return "bf16" where the device multiplies it faster than float32, else "f32"."""
    if where == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "f32"


def check_hardware(model: EmbeddingModel, *, tokens: int, allow_cpu: bool) -> None:
    """Prove that the model can be trained here.

    Args:
        model: what is to be trained.
        tokens: how many tokens the training will read, about.
        allow_cpu: permits a model of any size on a CPU.

    Raises:
        ModelError: the weights are damaged or do not belong to the configuration.
        InputError: the model needs a GPU, and there is none.
    """
    parameters = count_parameters(model)
    where = device()
    if where != "cpu" or allow_cpu or parameters <= CPU_PARAMETERS:
        return
    hours = training_hours(parameters, tokens, precision(where))
    raise InputError(
        f"base model {model.name!r} has {parameters / 1e6:,.0f} million parameters and there is no GPU: about "
        f"{hours:,.0f} hours on this machine's {torch.get_num_threads()} cores; train on a GPU, take a smaller base "
        f"model (up to {CPU_PARAMETERS / 1e6:,.0f} million), or allow the CPU explicitly (allow_cpu)"
    )


def training_hours(parameters: int, tokens: int, precise: str) -> float:
    """Estimate how long a training takes on this CPU: 6 operations for each parameter and token."""
    cores = max(1, int(torch.get_num_threads()))
    return 6 * parameters * tokens / (_FLOPS_PER_CORE[precise] * cores) / 3600


def count_parameters(model: EmbeddingModel) -> int:
    """Return the number of parameters, from the header of the weights: nothing is loaded.

    Raises:
        ModelError: the file is damaged, or holds no encoder of this configuration.
    """
    if model.weights.suffix != ".safetensors":
        return model.weights.stat().st_size // 4
    shapes = _shapes(model)
    layers = model.config.get("num_hidden_layers")
    if layers and not any(f".{int(layers) - 1}." in name for name in shapes):
        raise ModelError(
            f"base model {model.name!r}: {model.weights} holds no layer {int(layers) - 1}, but config.json names "
            f"{layers} layers; the weights belong to another model"
        )
    return sum(map(prod, shapes.values()))


def _shapes(model: EmbeddingModel) -> dict[str, list[int]]:
    path = model.weights
    try:
        header, end = _header(path)
        shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
        size = end + max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, struct.error) as exc:
        raise ModelError(f"base model {model.name!r}: {path} is no safetensors file; fetch the model again") from exc
    if size != path.stat().st_size:
        raise ModelError(
            f"base model {model.name!r}: {path} has {path.stat().st_size:,} bytes, its header promises {size:,}; "
            "it is damaged: fetch the model again"
        )
    return shapes


def _header(path: Path) -> tuple[dict[str, dict[str, list[int]]], int]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            raise ValueError(length)
        return json.loads(file.read(length)), 8 + length
