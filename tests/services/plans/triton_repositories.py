"""Model repositories with the names and types of TensorRT-LLM's, made of the stand-ins in triton_models/."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

MODELS = Path(__file__).parent / "triton_models"

ENSEMBLE_INPUTS = {
    "text_input": "STRING [1]",
    "max_tokens": "INT32 [1]",
    "stop_words": "STRING [-1] o",
    "bad_words": "STRING [-1] o",
    "exclude_input_in_output": "BOOL [1] o",
    "top_k": "INT32 [1] o",
    "top_p": "FP32 [1] o",
    "temperature": "FP32 [1] o",
    "repetition_penalty": "FP32 [1] o",
    "seed": "UINT64 [1] o",
    "stream": "BOOL [1] o",
}

_ENGINE_INPUTS = {
    "input_ids": "INT32 [-1]",
    "input_lengths": "INT32 [1]",
    "request_output_len": "INT32 [1]",
    "exclude_input_in_output": "BOOL [1] o",
    "runtime_top_k": "INT32 [1] o",
    "runtime_top_p": "FP32 [1] o",
    "temperature": "FP32 [1] o",
    "repetition_penalty": "FP32 [1] o",
    "seed": "UINT64 [1] o",
    "streaming": "BOOL [1] o",
}

_ENGINE_NAMES = {"runtime_top_k": "top_k", "runtime_top_p": "top_p", "streaming": "stream"}

_WORDS = {"STOP_WORDS_DICT": "stop_words", "BAD_WORDS_DICT": "bad_words"}

LLMAPI_INPUTS = {
    "text_input": "STRING [-1]",
    "streaming": "BOOL [1] o",
    "sampling_param_temperature": "FP32 [1] o",
    "sampling_param_top_k": "INT32 [1] o",
    "sampling_param_top_p": "FP32 [1] o",
    "sampling_param_max_tokens": "INT32 [1] o",
    "sampling_param_stop": "STRING [-1] o",
    "sampling_param_seed": "UINT64 [1] o",
    "sampling_param_exclude_input_from_output": "BOOL [1] o",
    "return_finish_reason": "BOOL [1] o",
    "stop": "BOOL [1] o",
}


def write_ensemble(
    repository: Path,
    *,
    suffix: str = "",
    without: Iterable[str] = (),
    detokenizers: int = 1,
    decoupled: bool = True,
) -> list[str]:
    """Write the three models and their ensemble; return all names, the ensemble last.

    Args:
        repository: folder of the repository.
        suffix: of all names, for several in one repository.
        without: inputs that this version of the ensemble does not have.
        detokenizers: instances of `postprocessing`.
        decoupled: whether the engine sends more than one response.
    """
    inputs = {name: kind for name, kind in ENSEMBLE_INPUTS.items() if name not in set(without)}
    engine = {name: kind for name, kind in _ENGINE_INPUTS.items() if _ENGINE_NAMES.get(name, name) not in set(without)}
    words = {name: key for name, key in _WORDS.items() if key in inputs}
    _write(
        repository,
        f"preprocessing{suffix}",
        {"QUERY": "STRING [1]", "REQUEST_OUTPUT_LEN": "INT32 [1]", **dict.fromkeys(words, "STRING [-1] o")},
        {"INPUT_ID": "INT32 [-1]", "REQUEST_INPUT_LEN": "INT32 [1]", "REQUEST_OUTPUT_LEN": "INT32 [1]"},
    )
    _write(
        repository,
        f"tensorrt_llm{suffix}",
        engine,
        {"output_ids": "INT32 [-1, -1]", "sequence_length": "INT32 [-1]"},
        more="model_transaction_policy { decoupled: true }" if decoupled else "",
    )
    _write(
        repository,
        f"postprocessing{suffix}",
        {"TOKENS_BATCH": "INT32 [-1, -1]", "SEQUENCE_LENGTH": "INT32 [-1]"},
        {"OUTPUT": "STRING [-1]"},
        instances=detokenizers,
    )
    mapped = {name: _ENGINE_NAMES.get(name, name) for name in list(engine)[3:]}
    steps = [
        _step(
            f"preprocessing{suffix}",
            {"QUERY": "text_input", "REQUEST_OUTPUT_LEN": "max_tokens", **words},
            {"INPUT_ID": "_ids", "REQUEST_INPUT_LEN": "_length", "REQUEST_OUTPUT_LEN": "_most"},
        ),
        _step(
            f"tensorrt_llm{suffix}",
            {"input_ids": "_ids", "input_lengths": "_length", "request_output_len": "_most", **mapped},
            {"output_ids": "_tokens", "sequence_length": "_tokens_length"},
        ),
        _step(
            f"postprocessing{suffix}",
            {"TOKENS_BATCH": "_tokens", "SEQUENCE_LENGTH": "_tokens_length"},
            {"OUTPUT": "text_output"},
        ),
    ]
    folder = repository / f"ensemble{suffix}"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(
        f'name: "ensemble{suffix}"\nplatform: "ensemble"\nmax_batch_size: 8\n{_tensors("input", inputs)}'
        f"{_tensors('output', {'text_output': 'STRING [-1]'})}"
        f"ensemble_scheduling {{ step [ {', '.join(steps)} ] }}\n"
    )
    return [f"{name}{suffix}" for name in ("preprocessing", "tensorrt_llm", "postprocessing", "ensemble")]


def write_llmapi(repository: Path, *, without: Iterable[str] = (), name: str = "tensorrt_llm") -> list[str]:
    """Write the one model of the llmapi; return its name in a list."""
    inputs = {key: kind for key, kind in LLMAPI_INPUTS.items() if key not in set(without)}
    outputs = {"text_output": "STRING [-1]", "finish_reason": "STRING [-1]"}
    policy = "model_transaction_policy { decoupled: true }"
    _write(repository, name, inputs, outputs, more=policy, batch=0, code="llmapi")
    return [name]


def _write(
    repository: Path,
    name: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    *,
    more: str = "",
    instances: int = 1,
    batch: int = 8,
    code: str = "",
) -> None:
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    shutil.copy(MODELS / f"{code or name.partition('-')[0]}.py", folder / "1" / "model.py")
    (folder / "config.pbtxt").write_text(
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: {batch}\n{_tensors("input", inputs)}'
        f"{_tensors('output', outputs)}instance_group [ {{ kind: KIND_CPU count: {instances} }} ]\n{more}\n"
    )


def _tensors(direction: str, tensors: Mapping[str, str]) -> str:
    rows = []
    for name, kind in tensors.items():
        data_type, _, rest = kind.partition(" ")
        optional = " optional: true" if rest.endswith(" o") else ""
        rows.append(f'{{ name: "{name}" data_type: TYPE_{data_type} dims: {rest.removesuffix(" o")}{optional} }}')
    return f"{direction} [\n  " + ",\n  ".join(rows) + "\n]\n"


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    maps = [f'input_map {{ key: "{key}" value: "{value}" }}' for key, value in inputs.items()]
    maps += [f'output_map {{ key: "{key}" value: "{value}" }}' for key, value in outputs.items()]
    return f'{{ model_name: "{model}" model_version: -1 {" ".join(maps)} }}'
