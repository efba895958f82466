"""Runs a training in processes of its own: one for each GPU, or one because its library wants that.

The processes are given a task as a file, and answer with `training.json`, or with `error.json` that says why not.
"""

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ragline import errors
from ragline.embedding.model import EmbeddingModel, read_model
from ragline.errors import PipelineError, RaglineError
from ragline.finetune.examples.pair import read_pairs
from ragline.finetune.trainers.checkpoints import Checkpoints
from ragline.finetune.trainers.training import Task, Training, TrainingPlan
from ragline.object_store import open_store

_TASK, _TRAINING, _ERROR = "task.json", "training.json", "error.json"


def command(module: str, task: Path, *, gpus: int) -> list[str]:
    """Return the command line that trains a task: torchrun's for several GPUs."""
    words = ["-m", module, str(task)]
    if gpus > 1:
        words = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={gpus}", *words]
    return [sys.executable, *words]


def run_task(task: Task, module: str, *, gpus: int) -> Training:
    """Train a task in other processes, whose output is shown as it comes.

    Raises:
        RaglineError: the one that the training raised.
        PipelineError: it ended without saying why.
    """
    task.checkpoints.last_whole()  # cleans up and fetches once, before several processes look
    with tempfile.TemporaryDirectory(prefix="ragline-training-") as scratch:
        path = Path(scratch) / _TASK
        path.write_text(_to_json(task), encoding="utf-8")
        status = subprocess.run(command(module, path, gpus=gpus), check=False).returncode
        if status:
            raise _reason(path.with_name(_ERROR), module, status)
        return Training.from_json(path.with_name(_TRAINING).read_text(encoding="utf-8"), task.folder)


def serve_task(argv: Sequence[str], trainer: Callable[[Task], Training]) -> int:
    """Train the task in the file that the command line names; return the exit status of the process."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    path = Path(argv[0])
    try:
        training = trainer(_from_json(path.read_text(encoding="utf-8")))
    except RaglineError as exc:
        _write(path.with_name(_ERROR), json.dumps({"kind": type(exc).__name__, "message": str(exc)}))
        return exc.exit_code
    _write(path.with_name(_TRAINING), training.to_json())
    return 0


def _write(path: Path, text: str) -> None:
    """Write a file at once: every process of a training writes the same."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    Path(file.name).replace(path)


def _reason(path: Path, module: str, status: int) -> RaglineError:
    if not path.is_file():
        killed = "it was killed, often for want of memory: " if status < 0 else ""
        return PipelineError(
            f"training: {module} ended with status {status}; {killed}see its output above, and run it again: it "
            "goes on from the last whole checkpoint"
        )
    error = json.loads(path.read_text(encoding="utf-8"))
    kind: type[RaglineError] = getattr(errors, error["kind"], PipelineError)
    return kind(error["message"])


def _to_json(task: Task) -> str:
    kept = task.checkpoints
    return json.dumps(
        {
            "plan": task.plan.to_json(),
            "base": {"name": task.base.name, "folder": str(task.base.folder)},
            "folder": str(task.folder),
            "table": str(task.table),
            "begun": task.begun,
            "checkpoints": {
                "folder": str(kept.folder),
                "store": kept.store.uri if kept.store else "",
                "prefix": kept.prefix,
            },
        }
    )


def _from_json(text: str) -> Task:
    values = json.loads(text)
    kept = values["checkpoints"]
    store = open_store(kept["store"]) if kept["store"] else None
    table = Path(values["table"])
    return Task(
        plan=TrainingPlan.from_json(values["plan"]),
        base=_base(**values["base"]),
        pairs=list(read_pairs(table, "train")),
        folder=Path(values["folder"]),
        checkpoints=Checkpoints(Path(kept["folder"]), store, kept["prefix"]),
        table=table,
        begun=values["begun"],
    )


def _base(name: str, folder: str) -> EmbeddingModel:
    return read_model(name, Path(folder))
