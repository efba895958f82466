"""Training an embedder on pairs: the plan, what came out, and the choice of the trainer."""

import json
import logging
import platform
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, Protocol, Self

from ragline import digests
from ragline.embedding.model import DEFAULT, EmbeddingModel, find_model
from ragline.errors import InputError, SettingError
from ragline.finetune.examples.pair import Pair, read_pairs
from ragline.finetune.trainers.checkpoints import Checkpoints
from ragline.object_store import open_store

TrainerName = Literal["auto", "sentence-transformers", "flagembedding"]

TRAINERS: tuple[TrainerName, ...] = ("auto", "sentence-transformers", "flagembedding")
M3_HEADS = ("sparse_linear.pt", "colbert_linear.pt")
"""Files of a BGE-M3 model beside those of every encoder: what makes sparse and multiple vectors."""

_PACKAGES = ("torch", "transformers", "sentence-transformers", "FlagEmbedding", "accelerate", "tokenizers", "ragline")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes:
        base_model: folder or name of the model to start from.
        epochs: how often each pair is seen.
        batch: pairs a step, over all GPUs; each is a negative of the others.
        mini_batch: texts of which activations are held at once (gradient caching), for large batches on small
            memory; 0: all.
        learning_rate: the highest.
        warmup_share: share of the steps on which it rises to that.
        max_tokens: longest text while training, special tokens included; 0: so that 95 % of the texts are whole.
            The trained model reads as much as the base model.
        temperature: what cosines are divided by.
        dimensions: shorter vectors that must rank well too (Matryoshka), () for none.
        negatives: mined negatives a pair.
        seed: decides the order of the pairs.
        max_minutes: the training is planned to end within this time; 0: no limit.
        trainer: "auto" takes FlagEmbedding for a model with BGE-M3's heads.
        dropout: whether the base model's dropout is on.
        allow_cpu: permits a model with more than 200 million parameters on a CPU.
        checkpoint_steps: steps between two checkpoints; 0: every two minutes.
    """

    base_model: str = DEFAULT
    epochs: float = 1.0
    batch: int = 32
    mini_batch: int = 0
    learning_rate: float = 3e-5
    warmup_share: float = 0.1
    max_tokens: int = 0
    temperature: float = 0.05
    dimensions: tuple[int, ...] = ()
    negatives: int = 1
    seed: int = 0
    max_minutes: float = 0.0
    trainer: TrainerName = "auto"
    dropout: bool = False
    allow_cpu: bool = False
    checkpoint_steps: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no training can have.

        Raises:
            SettingError: names the value and what it may be.
        """
        positive = ("epochs", "batch", "learning_rate", "temperature")
        natural = ("mini_batch", "max_tokens", "negatives", "max_minutes", "checkpoint_steps")
        wrong = [f"{name} = {getattr(self, name)} (above 0)" for name in positive if not getattr(self, name) > 0]
        wrong += [f"{name} = {getattr(self, name)} (0 or more)" for name in natural if not getattr(self, name) >= 0]
        if self.batch == 1:
            wrong.append("batch = 1 (2 or more: the other pairs of a batch are the negatives)")
        if not 0 <= self.warmup_share < 1:
            wrong.append(f"warmup_share = {self.warmup_share} (from 0 to below 1)")
        if self.trainer not in TRAINERS:
            wrong.append(f"trainer = {self.trainer!r} (one of {', '.join(TRAINERS)})")
        if wrong:
            raise SettingError(f"training plan: {'; '.join(wrong)}")

    def to_json(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the plan that `to_json` wrote."""
        values = json.loads(text)
        return cls(**values | {"dimensions": tuple(values["dimensions"])})


@dataclass
class Training:
    """What a training did.

    Attributes:
        folder: the trained model.
        steps: steps made.
        planned: steps that the plan asked for; more than `steps` when the time was short.
        pairs: training pairs.
        seconds: time worked, over all attempts.
        curve: for each logged step: step, loss, learning_rate, seconds.
        environment: versions of what computed it.
        trainer: "sentence-transformers" or "flagembedding".
        precision: "bf16" or "f32".
        device: "cpu" or "cuda".
        max_tokens: longest text trained with.
    """

    folder: Path
    steps: int
    planned: int
    pairs: int
    seconds: float
    curve: list[dict[str, float]]
    trainer: str
    precision: str
    device: str
    max_tokens: int
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def ended_early(self) -> bool:
        """Whether the time allowed was over before the plan."""
        return self.steps < self.planned

    def to_json(self) -> str:
        """Return all but the folder as JSON."""
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self) if f.name != "folder"}, indent=1)

    @classmethod
    def from_json(cls, text: str, folder: Path) -> Self:
        """Return the training that `to_json` wrote, whose model is in `folder`."""
        return cls(folder=folder, **json.loads(text))


@dataclass(frozen=True)
class Task:
    """One training as a trainer gets it: all checked.

    Attributes:
        plan: how to train.
        base: the model to start from.
        pairs: the training pairs.
        folder: where the model goes; absent or empty.
        checkpoints: of this task alone.
        table: the file of the pairs, for processes that read it again.
        begun: when the work began, as `time.monotonic` tells it: the time allowed counts from here.
    """

    plan: TrainingPlan
    base: EmbeddingModel
    pairs: list[Pair]
    folder: Path
    checkpoints: Checkpoints
    table: Path
    begun: float = field(default_factory=time.monotonic)


class Trainer(Protocol):
    """Trains a model; knows nothing of where pairs come from or whether the model is any good."""

    def __call__(self, task: Task, /) -> Training:
        """Train, write the model folder, and return what was done."""


def train(plan: TrainingPlan, pairs: Path, folder: Path, *, checkpoints: str = "") -> Training:
    """Train a model; a training that was killed goes on from its last whole checkpoint.

    Args:
        plan: how to train.
        pairs: Parquet of pairs; those of the split "train" are used.
        folder: where the model goes, as `ragline.embedding.model.read_model` takes it; absent or empty.
        checkpoints: URI of a folder or of an object store; default: beside `folder`. Checkpoints are found again
            by plan and pairs, and removed when the training has ended.

    Raises:
        ModelError: the base model is none.
        InputError: too few pairs, `folder` is not empty, or the model needs a GPU.
        PipelineError: the loss is not a number, or the trainer failed.
    """
    begun = time.monotonic()
    base = find_model(plan.base_model)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"training: {folder} is not empty; name a new folder for the model")
    rows = _training_pairs(pairs)
    trainer = _trainer(plan, base, rows)
    with ExitStack() as stack:
        kept = _checkpoints(plan, base, pairs, checkpoints or f"{folder}.checkpoints", stack)
        training = trainer(Task(plan, base, rows, folder, kept, pairs, begun))
        kept.remove()
    if not checkpoints:
        shutil.rmtree(f"{folder}.checkpoints", ignore_errors=True)
    training.environment = _environment()
    _log.info("trained %d steps in %.1f s: %s", training.steps, training.seconds, folder)
    return training


def uses_m3(plan: TrainingPlan, base: EmbeddingModel) -> bool:
    """Return whether FlagEmbedding trains this model: asked for, or the model has BGE-M3's heads."""
    if plan.trainer != "auto":
        return plan.trainer == "flagembedding"
    return all((base.folder / head).is_file() for head in M3_HEADS)


def _trainer(plan: TrainingPlan, base: EmbeddingModel, pairs: list[Pair]) -> Trainer:
    # torch and its trainers take seconds to import: not for those who only read a plan.
    from ragline.finetune.trainers import hardware, m3_trainer, sentence_trainer

    longest = plan.max_tokens or min(base.max_tokens, 256)
    passages = len(pairs) * plan.epochs * (1 + plan.negatives)
    hardware.check_hardware(base, tokens=int(passages * longest), allow_cpu=plan.allow_cpu)
    return m3_trainer.train_m3 if uses_m3(plan, base) else sentence_trainer.train_sentences


def _training_pairs(path: Path) -> list[Pair]:
    pairs = list(read_pairs(path, "train"))
    if len(pairs) < 2:
        raise InputError(
            f"training: {path} holds {len(pairs)} training pair(s), and at least 2 are needed: each pair is the "
            "other's negative; give more documents or pairs"
        )
    return pairs


def _checkpoints(plan: TrainingPlan, base: EmbeddingModel, pairs: Path, uri: str, stack: ExitStack) -> Checkpoints:
    """Return the place of this training's checkpoints: another plan, model or table has another."""
    same = {"plan": json.loads(plan.to_json()), "base": base.digest, "pairs": digests.of_file(pairs)}
    key = digests.of_json(same)[:16]
    store = open_store(uri)
    store.check(write=True)
    if not uri.startswith("s3:"):
        return Checkpoints(Path(store.uri) / key)
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="ragline-checkpoints-"))
    return Checkpoints(Path(scratch) / key, store, f"{key}/")


def _environment() -> dict[str, str]:
    versions = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
