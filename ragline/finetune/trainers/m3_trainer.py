"""Trains BGE-M3 with FlagEmbedding: dense, sparse and multi-vector heads together, with self-distillation.

FlagEmbedding sets up logging, arguments and devices for a process of its own, so it gets one, or one for each GPU:
this module, which adds to FlagEmbedding's runner what it lacks (see `train_in_process`).
"""

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ragline.errors import ModelError, SettingError
from ragline.finetune.trainers import hardware
from ragline.finetune.trainers.launch import run_task, serve_task
from ragline.finetune.trainers.rows import Columns, columns_of, longest_text, order_of
from ragline.finetune.trainers.training import M3_HEADS, Task, Training

NAME = "flagembedding"
MODULE = "ragline.finetune.trainers.m3_trainer"


def train_m3(task: Task) -> Training:
    """Train a task in a process of its own, or one for each GPU.

    Raises:
        ModelError: the base model is not of BGE-M3's architecture.
        SettingError: the plan asks for what FlagEmbedding cannot do.
        PipelineError: the loss is not a number, or the process ended.
    """
    if task.base.config["model_type"] != "xlm-roberta" or task.base.pooling != "cls":
        raise ModelError(
            f"base model {task.base.name!r} is {task.base.config['model_type']} with {task.base.pooling} pooling; the "
            "flagembedding trainer needs BGE-M3's architecture: xlm-roberta with cls. Use trainer sentence-transformers"
        )
    if task.plan.dimensions:
        raise SettingError(
            "training plan: the flagembedding trainer has no Matryoshka dimensions; leave dimensions empty, or use "
            "trainer sentence-transformers, which trains the dense vectors only"
        )
    return run_task(task, MODULE, gpus=hardware.gpus())


def m3_flags(settings: dict[str, Any], task: Task, *, rows: Path, longest: int, group: int) -> list[str]:
    """Return FlagEmbedding's command line.

    Args:
        settings: arguments of the trainer.
        task: what is trained.
        rows: JSONL of query, pos and neg.
        longest: tokens of a text.
        group: texts a query: the positive and its negatives.
    """
    plan = task.plan
    flags: dict[str, Any] = settings | {
        "model_name_or_path": task.base.folder,
        "train_data": rows,
        "cache_path": rows.with_name("cache"),
        "train_group_size": group,
        "query_max_len": longest,
        "passage_max_len": longest,
        # Sub-batches that are padded to different lengths cannot be put together: pad all to the same.
        "pad_to_multiple_of": longest if plan.mini_batch else 8,
        "sub_batch_size": plan.mini_batch or -1,
        "gradient_checkpointing": bool(plan.mini_batch),
        "train_sampling_strategy": "sequential",  # the rows are in the order of the batches
        "dataloader_drop_last": True,
        "temperature": plan.temperature,
        "sentence_pooling_method": "cls",
        "normalize_embeddings": True,
        "kd_loss_type": "m3_kd_loss",
        "unified_finetuning": True,
        "use_self_distill": True,
        "fix_encoder": False,
    }
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


def write_rows(columns: Columns, order: Sequence[Sequence[int]], path: Path) -> None:
    """Write the rows of all batches in the order of the training, as FlagEmbedding reads them."""
    negatives = [name for name in columns if name.startswith("negative_")]
    written = path.with_name(f".{path.name}.{random.SystemRandom().getrandbits(64):x}")  # other processes write it too
    with written.open("w", encoding="utf-8") as file:
        for row in (row for batch in order for row in batch):
            line = {
                "query": columns["anchor"][row],
                "pos": [columns["positive"][row]],
                "neg": [columns[name][row] for name in negatives],
            }
            file.write(json.dumps(line) + "\n")
    written.replace(path)


def train_in_process(task: Task) -> Training:
    """Train in this process with FlagEmbedding's runner, which is given what it lacks.

    That is: batches without duplicates, an end in time, whole checkpoints and going on from them, no training on
    with a loss that is no number, and a folder that sentence-transformers reads right.
    """
    from ragline.finetune.trainers.course import prepare_body, run_course, settings_of, training_of
    from ragline.finetune.trainers.model_folder import written_model_folder

    where = hardware.device()
    precision = hardware.precision(where)
    longest = longest_text(task.base, task.pairs, task.plan)
    runner = _runner(task, settings_of(task, where, precision), longest)
    trainer, model = runner.trainer, runner.model
    prepare_body(model.model, dropout=task.plan.dropout)
    trainer.train_dataset = _SteadyRows(trainer.train_dataset)
    trainer._load_from_checkpoint = lambda checkpoint, _=None: restore(model, Path(checkpoint))
    watch = run_course(trainer, task)
    if trainer.is_world_process_zero():
        with written_model_folder(task.folder, task.base) as folder:
            model.save(str(folder))
    return training_of(trainer, task, watch, name=NAME, where=where, precision=precision, longest=longest)


def _runner(task: Task, settings: dict[str, Any], longest: int) -> Any:
    from FlagEmbedding.finetune.embedder.encoder_only.m3 import (
        EncoderOnlyEmbedderM3DataArguments,
        EncoderOnlyEmbedderM3ModelArguments,
        EncoderOnlyEmbedderM3Runner,
        EncoderOnlyEmbedderM3TrainingArguments,
    )
    from transformers import HfArgumentParser

    kinds = (EncoderOnlyEmbedderM3ModelArguments, EncoderOnlyEmbedderM3DataArguments)
    processes = max(1, hardware.gpus())
    columns = columns_of(task.pairs, task.plan.negatives, task.plan.seed, least=1)  # it divides by their number
    order = order_of(task.pairs, columns, task.plan, processes)
    rows = task.checkpoints.folder / "rows.jsonl"
    rows.parent.mkdir(parents=True, exist_ok=True)
    write_rows(columns, order, rows)
    settings |= {
        "max_steps": len(order) // processes,
        "per_device_train_batch_size": min(map(len, order)),
        "negatives_cross_device": processes > 1,
    }
    flags = m3_flags(settings, task, rows=rows, longest=longest, group=len(columns) - 1)
    parser = HfArgumentParser((*kinds, EncoderOnlyEmbedderM3TrainingArguments))
    return EncoderOnlyEmbedderM3Runner(*parser.parse_args_into_dataclasses(flags))


def restore(model: Any, checkpoint: Path) -> None:
    """Load encoder and heads of a checkpoint; transformers would look for them under other names and find none."""
    from safetensors.torch import load_file

    model.model.load_state_dict(load_file(checkpoint / "model.safetensors"))
    for head in M3_HEADS:
        state = torch.load(checkpoint / head, map_location="cpu", weights_only=True)
        getattr(model, Path(head).stem).load_state_dict(state)


class _SteadyRows:
    """A dataset that draws from `random`, so that a row is the same whenever and however often it is read."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Any:
        state = random.getstate()
        random.seed(row)
        try:
            return self._rows[row]
        finally:
            random.setstate(state)


if __name__ == "__main__":
    sys.exit(serve_task(sys.argv[1:], train_in_process))
