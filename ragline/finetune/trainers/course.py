"""The course of a training in a Hugging Face trainer: the same for every trainer that is built on one."""

from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback

from ragline.finetune.trainers.checkpoints import seconds_of
from ragline.finetune.trainers.schedule import Schedule
from ragline.finetune.trainers.training import Task, Training
from ragline.finetune.trainers.watch import Watch


def settings_of(task: Task, where: str, precision: str) -> dict[str, Any]:
    """Return the trainer's arguments that all trainers share."""
    return {
        "output_dir": str(task.checkpoints.folder),
        "learning_rate": task.plan.learning_rate,
        "num_train_epochs": 1,  # the order of the rows spans all epochs
        "bf16": precision == "bf16",
        "use_cpu": where == "cpu",
        "seed": task.plan.seed,
        "logging_steps": 1 if where == "cpu" else 10,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",  # Watch decides
        "save_total_limit": 2,  # the newest may not be whole
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": where != "cpu",
        "ddp_find_unused_parameters": False,
    }


def prepare_body(body: Any, *, dropout: bool) -> None:
    """Turn off what does not train the vectors.

    The pooler is no part of an embedding, so it has no gradient. Dropout's random numbers take half of a step on a
    CPU and keep attention off its fast path.
    """
    for name, parameter in body.named_parameters():
        if name.startswith("pooler."):
            parameter.requires_grad_(False)
    if not dropout:
        for module in body.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0


def run_course(trainer: Any, task: Task) -> Watch:
    """Train to the end, from the last whole checkpoint if there is one.

    Args:
        trainer: knows its `max_steps`.
        task: what is trained.

    Returns:
        The watch, which knows the time.

    Raises:
        PipelineError: the loss is not a number.
    """
    plan = task.plan
    last = task.checkpoints.last_whole()
    steps = int(trainer.args.max_steps)
    schedule = Schedule(steps, int(plan.warmup_share * steps))
    watch = Watch(
        schedule,
        task.checkpoints,
        begun=task.begun - seconds_of(last),
        max_seconds=plan.max_minutes * 60,
        checkpoint_steps=plan.checkpoint_steps,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    trainer.create_optimizer()
    trainer.lr_scheduler = LambdaLR(trainer.optimizer, schedule)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    return watch


def training_of(
    trainer: Any, task: Task, watch: Watch, *, name: str, where: str, precision: str, longest: int
) -> Training:
    """Return what a trainer did."""
    points = (entry for entry in trainer.state.log_history if "loss" in entry)
    return Training(
        folder=task.folder,
        steps=int(trainer.state.global_step),
        planned=int(trainer.args.max_steps),
        pairs=len(task.pairs),
        seconds=round(watch.seconds, 3),
        curve=[{key: point[key] for key in ("step", "loss", "learning_rate", "seconds")} for point in points],
        trainer=name,
        precision=precision,
        device=where,
        max_tokens=longest,
    )
