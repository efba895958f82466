"""Training with sentence-transformers: what is learnt, what survives a kill, what is refused."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="trains models: pip install 'ragline[train]'")

import torch
from safetensors.torch import load_file, save_file

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import read_model
from ragline.errors import InputError, ModelError, PipelineError, SettingError
from ragline.finetune.trainers import hardware, watch
from ragline.finetune.trainers import training as training_module
from ragline.finetune.trainers.training import Training, TrainingPlan, train
from tests.embedding.conftest import cosines, tiny_model
from tests.finetune.trainers.training_rows import write_pairs

pytestmark = pytest.mark.filterwarnings("default")  # those of the trainers are not ours
PLAN = TrainingPlan(batch=8, epochs=3, learning_rate=1e-3, seed=3)
TOLERANCE = 1e-5


def plan_for(base: Path, **changes: object) -> TrainingPlan:
    """Return the plan of a quick training of a tiny model."""
    return TrainingPlan(**PLAN.__dict__ | {"base_model": str(base)} | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model to start from."""
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of training pairs."""
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.parquet")


@pytest.fixture(scope="module")
def trained(base: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A training without an interruption."""
    return train(plan_for(base), pairs, tmp_path_factory.mktemp("trained") / "model")


def largest_difference(left: Path, right: Path) -> float:
    """Return the largest difference between weights of two model folders."""
    one, other = (load_file(folder / "model.safetensors") for folder in (left, right))
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_training_lowers_the_loss_and_says_what_it_did(trained: Training) -> None:
    """24 steps of 8 pairs; the curve has every step, and no checkpoint is left."""
    assert (trained.steps, trained.planned, trained.pairs, trained.ended_early) == (24, 24, 64, False)
    assert [point["step"] for point in trained.curve] == list(range(1, 25))
    losses = [point["loss"] for point in trained.curve]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    assert trained.curve[-1]["learning_rate"] < trained.curve[5]["learning_rate"] <= 1e-3
    assert (trained.trainer, trained.device) == ("sentence-transformers", hardware.device())
    assert trained.precision == hardware.precision(trained.device)
    assert trained.environment["sentence-transformers"] == "6.2.0"
    assert [path.name for path in trained.folder.parent.iterdir()] == ["model"]


def test_training_as_json(trained: Training) -> None:
    """The artifact's JSON gives the same training again."""
    assert Training.from_json(trained.to_json(), trained.folder) == trained


def test_trained_folder_reads_alike_everywhere(trained: Training, base: Path) -> None:
    """Ragline's and sentence-transformers' vectors agree; tokenizer, pooling and longest input are the base's."""
    from sentence_transformers import SentenceTransformer

    before, after = read_model("base", base), read_model("trained", trained.folder)
    assert (after.pooling, after.max_tokens, after.dimensions) == (before.pooling, before.max_tokens, before.dimensions)
    assert after.tokenizer.read_bytes() == before.tokenizer.read_bytes()
    assert after.digest != before.digest
    texts = ["the release", "roll back the release abc"]
    theirs = SentenceTransformer(str(trained.folder), device="cpu").encode(texts)
    ours = Embedder(after).embed(texts)
    assert cosines(ours, theirs).min() > 0.9999


def test_same_seed_same_weights(trained: Training, base: Path, pairs: Path, tmp_path: Path) -> None:
    """Plan and pairs decide the weights; another seed gives others."""
    again = train(plan_for(base), pairs, tmp_path / "again")
    other = train(plan_for(base, seed=4), pairs, tmp_path / "other")
    assert largest_difference(trained.folder, again.folder) <= TOLERANCE
    assert largest_difference(trained.folder, other.folder) > TOLERANCE


PROGRAM = """
import sys
from pathlib import Path
from ragline.finetune.trainers.training import TrainingPlan, train
plan, pairs, folder = sys.argv[1:]
Path(folder + ".json").write_text(train(TrainingPlan.from_json(plan), Path(pairs), Path(folder)).to_json())
"""


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [False, True])
def test_killed_training_goes_on_as_if_uninterrupted(base: Path, pairs: Path, tmp_path: Path, dropout: bool) -> None:
    """Killed with SIGKILL after a checkpoint, and run again: same weights and losses as without, to 1e-5."""
    plan = plan_for(base, epochs=4, checkpoint_steps=8, dropout=dropout)
    whole = train(plan, pairs, tmp_path / "whole")
    folder = tmp_path / "killed"
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, plan.to_json(), str(pairs), str(folder)]
    with subprocess.Popen(command) as process:
        while not list(tmp_path.glob("killed.checkpoints/*/checkpoint-*/whole.json")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not folder.exists()
    subprocess.run(command, check=True)
    resumed = Training.from_json((tmp_path / "killed.json").read_text(), folder)
    assert largest_difference(whole.folder, folder) <= TOLERANCE
    assert (resumed.steps, len(resumed.curve)) == (whole.steps, whole.steps)
    losses, expected = ([point["loss"] for point in training.curve] for training in (resumed, whole))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert resumed.seconds > resumed.curve[-1]["seconds"]


def test_time_allowed_ends_the_training_with_a_trained_model(
    base: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan for hours ends when the time is over; the rate has fallen to almost 0, and the model is there."""
    ticks = itertools.count()
    clock = SimpleNamespace(
        monotonic=lambda: next(ticks) / 100
    )  # each look at it takes 10 ms, whatever the machine does
    monkeypatch.setattr(training_module, "time", clock)
    monkeypatch.setattr(watch, "time", clock)
    training = train(plan_for(base, epochs=1000, max_minutes=0.1), pairs, tmp_path / "model")
    assert training.ended_early
    assert training.planned == 8000
    assert 20 < training.steps < 600
    assert training.curve[-1]["learning_rate"] < 0.2 * max(point["learning_rate"] for point in training.curve)
    assert read_model("trained", training.folder).dimensions == 32


def test_gradient_caching_and_matryoshka(base: Path, pairs: Path, tmp_path: Path) -> None:
    """Small mini-batches and shorter vectors train too, and the loss falls."""
    training = train(plan_for(base, batch=16, mini_batch=4, dimensions=(8,)), pairs, tmp_path / "model")
    losses = [point["loss"] for point in training.curve]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_loss_that_is_no_number_stops(base: Path, pairs: Path, tmp_path: Path) -> None:
    """The error says what, at which step, and what to do; no model is written."""
    with pytest.raises(
        PipelineError, match=r"the (loss|gradient) is (nan|inf) at step \d+ of 24 .*lower learning rate"
    ):
        train(plan_for(base, learning_rate=1e30, warmup_share=0), pairs, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("damage", ["missing", "truncated", "other layers", "no model"])
def test_base_model_that_is_none(base: Path, pairs: Path, tmp_path: Path, damage: str) -> None:
    """It is refused before any work."""
    folder = tmp_path / "base"
    if damage == "no model":
        folder.mkdir()
    elif damage != "missing":
        tiny_model(folder)
        weights = folder / "model.safetensors"
        if damage == "truncated":
            weights.write_bytes(weights.read_bytes()[:-100])
        else:
            kept = {name: value for name, value in load_file(weights).items() if "layer.1." not in name}
            save_file(kept, weights)
    with pytest.raises(ModelError, match=str(folder)):
        train(plan_for(folder), pairs, tmp_path / "model")
    assert not (tmp_path / "model.checkpoints").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_model_that_needs_a_gpu(base: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with an estimate, unless the CPU is allowed explicitly."""
    monkeypatch.setattr(hardware, "CPU_PARAMETERS", 1000)
    with pytest.raises(InputError, match=r"million parameters and there is no GPU: about .* hours .*allow_cpu"):
        train(plan_for(base), pairs, tmp_path / "model")
    assert train(plan_for(base, allow_cpu=True, epochs=0.2), pairs, tmp_path / "model").steps == 2


def test_too_few_pairs(base: Path, tmp_path: Path) -> None:
    """One pair has no negatives."""
    with pytest.raises(InputError, match=r"holds 1 training pair\(s\), and at least 2 are needed"):
        train(plan_for(base), write_pairs(tmp_path / "pairs.parquet", 1), tmp_path / "model")


def test_folder_that_is_not_empty(base: Path, pairs: Path) -> None:
    """Nothing is written over."""
    with pytest.raises(InputError, match="is not empty"):
        train(plan_for(base), pairs, base)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 1}, r"batch = 1 \(2 or more"),
        ({"epochs": 0}, r"epochs = 0 \(above 0\)"),
        ({"learning_rate": float("nan")}, r"learning_rate = nan \(above 0\)"),
        ({"max_minutes": -1}, r"max_minutes = -1 \(0 or more\)"),
        ({"warmup_share": 1}, r"warmup_share = 1"),
        ({"trainer": "magic"}, r"trainer = 'magic' \(one of auto,"),
    ],
)
def test_plan_that_cannot_be(base: Path, changes: dict[str, object], message: str) -> None:
    """A value that no training can have is named."""
    with pytest.raises(SettingError, match=message):
        plan_for(base, **changes)


def test_dimensions_longer_than_the_vector(base: Path, pairs: Path, tmp_path: Path) -> None:
    """They are named, with what the model has."""
    with pytest.raises(SettingError, match=r"dimensions \[64\] are outside 1 to 32"):
        train(plan_for(base, dimensions=(64, 16)), pairs, tmp_path / "model")


def test_plan_as_json(base: Path) -> None:
    """The JSON gives the same plan again."""
    plan = plan_for(base, dimensions=(16, 8))
    assert TrainingPlan.from_json(plan.to_json()) == plan
    assert json.loads(plan.to_json())["dimensions"] == [16, 8]
    assert os.fspath(base) == plan.base_model
