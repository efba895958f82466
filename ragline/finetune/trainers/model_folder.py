"""The folder of a trained model: new weights in the layout that sentence-transformers and ragline read alike."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ragline.embedding.model import EmbeddingModel

_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "sentencepiece.bpe.model",
)
_MODULES = ("Transformer", "Pooling", "Normalize")
_PATHS = ("", "1_Pooling", "2_Normalize")


@contextmanager
def written_model_folder(folder: Path, base: EmbeddingModel) -> Iterator[Path]:
    """Write a model folder under another name and rename it in the end: it is whole or not there.

    Yields:
        The folder to write weights and `config.json` to; the rest is added.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    yield unfinished
    complete_model_folder(unfinished, base)
    if folder.is_dir():
        folder.rmdir()
    unfinished.rename(folder)


def complete_model_folder(folder: Path, base: EmbeddingModel) -> None:
    """Write all but the weights and `config.json` of a model trained from `base`.

    Tokenizer, pooling and longest input stay the base's, whatever lengths were trained with. Without this layout
    sentence-transformers would take the mean of the token vectors for a model that was trained with CLS.

    Args:
        folder: holds `config.json` and `model.safetensors`.
        base: what was trained.
    """
    for name in _TOKENIZER:
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, folder / name)
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{module}"}
        for index, (path, module) in enumerate(zip(_PATHS, _MODULES, strict=True))
    ]
    _write(folder / "modules.json", modules)
    _write(folder / "1_Pooling" / "config.json", _pooling(base))
    _write(folder / "sentence_bert_config.json", {"max_seq_length": base.max_tokens, "do_lower_case": False})
    _write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})
    (folder / "2_Normalize").mkdir(exist_ok=True)


def _pooling(base: EmbeddingModel) -> dict[str, Any]:
    return {
        "word_embedding_dimension": base.dimensions,
        "pooling_mode_cls_token": base.pooling == "cls",
        "pooling_mode_mean_tokens": base.pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
