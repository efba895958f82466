"""Trains any encoder with sentence-transformers' trainer: in-batch and mined negatives, Matryoshka, gradient caching.

On several GPUs it starts itself again, once for each of them, with torchrun.
"""

import sys
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardCallback
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import set_seed

from ragline.embedding.model import EmbeddingModel
from ragline.errors import ModelError, SettingError
from ragline.finetune.trainers import hardware
from ragline.finetune.trainers.course import prepare_body, run_course, settings_of, training_of
from ragline.finetune.trainers.launch import run_task, serve_task
from ragline.finetune.trainers.model_folder import written_model_folder
from ragline.finetune.trainers.ranking_loss import ranking_loss
from ragline.finetune.trainers.rows import columns_of, longest_text, order_of
from ragline.finetune.trainers.training import Task, Training
from ragline.settings import Settings

NAME = "sentence-transformers"
MODULE = "ragline.finetune.trainers.sentence_trainer"


def train_sentences(task: Task) -> Training:
    """Train a task; on several GPUs in as many processes.

    Raises:
        ModelError: the base model does not load.
        SettingError: the plan does not fit the model or the GPUs.
        PipelineError: the loss is not a number.
    """
    gpus = hardware.gpus()
    if gpus > 1 and not torch.distributed.is_torchelastic_launched():
        return run_task(task, MODULE, gpus=gpus)
    return _train(task)


def _train(task: Task) -> Training:
    plan = task.plan
    where = hardware.device()
    precision = hardware.precision(where)
    dimensions = _dimensions(task)
    set_seed(plan.seed)
    if where == "cpu":
        torch.set_num_threads(Settings.from_environment().threads)
    longest = longest_text(task.base, task.pairs, plan)
    model = _load(task.base, longest, where, dropout=plan.dropout)
    loss = ranking_loss(
        model,
        scale=1 / plan.temperature,
        mini_batch=plan.mini_batch,
        dimensions=dimensions,
        padding=int(task.base.config.get("pad_token_id") or 0),
        device=where,
        bf16=precision == "bf16",
    )
    trainer = _trainer(task, model, loss, SentenceTransformerTrainingArguments(**settings_of(task, where, precision)))
    watch = run_course(trainer, task)
    if trainer.is_world_process_zero():
        with written_model_folder(task.folder, task.base) as folder:
            model[0].auto_model.save_pretrained(folder)
    return training_of(trainer, task, watch, name=NAME, where=where, precision=precision, longest=longest)


def _load(base: EmbeddingModel, longest: int, where: str, *, dropout: bool) -> Any:
    try:
        body = Transformer(str(base.folder), model_kwargs={"dtype": torch.float32}, max_seq_length=longest)
    except Exception as exc:  # OSError, ValueError, RuntimeError for shapes, or a plain one of safetensors
        raise ModelError(f"base model {base.name!r}: {base.folder} does not load with transformers: {exc}") from exc
    prepare_body(body.auto_model, dropout=dropout)
    modules = [body, Pooling(base.dimensions, pooling_mode=base.pooling), Normalize()]
    model = SentenceTransformer(modules=modules, device=where)
    model.model_card_data.generate_widget_examples = False
    return model


def _dimensions(task: Task) -> tuple[int, ...]:
    full = task.base.dimensions
    wrong = [size for size in task.plan.dimensions if not 0 < size <= full]
    if wrong:
        raise SettingError(
            f"training plan: dimensions {wrong} are outside 1 to {full}, the length of {task.base.name!r}'s vectors"
        )
    return tuple({full, *task.plan.dimensions}) if task.plan.dimensions else ()


class _Order(DefaultBatchSampler):  # type: ignore[misc]  # its types are not read
    """Yields batches that were made before."""

    order: list[list[int]]

    def __iter__(self) -> Any:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


def _trainer(task: Task, model: Any, loss: Any, arguments: Any) -> Any:
    columns = columns_of(task.pairs, task.plan.negatives, task.plan.seed)
    order = order_of(task.pairs, columns, task.plan, arguments.world_size)

    def sampler(dataset: Any, **settings: Any) -> _Order:
        made = _Order(dataset, **settings)
        made.order = order
        return made

    arguments.max_steps = len(order) // arguments.world_size
    arguments.per_device_train_batch_size = max(map(len, order))
    arguments.batch_sampler = sampler
    rows = Dataset.from_dict(columns)
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=loss)
    trainer.remove_callback(SentenceTransformerModelCardCallback)
    trainer._save = lambda folder, **_: model.save(folder, create_model_card=False)
    return trainer


if __name__ == "__main__":
    sys.exit(serve_task(sys.argv[1:], train_sentences))
