"""Training BGE-M3's three heads with FlagEmbedding: they are kept, and everyone reads the same vectors from them."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("FlagEmbedding", reason="trains BGE-M3: pip install 'ragline[train]'")

import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from ragline.embedding.embedder import Embedder
from ragline.embedding.model import read_model
from ragline.errors import ModelError, PipelineError, SettingError
from ragline.finetune.trainers.checkpoints import Checkpoints
from ragline.finetune.trainers.launch import command
from ragline.finetune.trainers.m3_trainer import m3_flags, train_m3
from ragline.finetune.trainers.training import M3_HEADS, Task, Training, TrainingPlan, train, uses_m3
from tests.embedding.conftest import cosines, tiny_model, tokenizer
from tests.finetune.trainers.training_rows import write_pairs

pytestmark = pytest.mark.filterwarnings("default")  # those of the trainers are not ours
PLAN = TrainingPlan(batch=8, epochs=2, learning_rate=1e-3, seed=3, negatives=2, temperature=0.1)
TEXTS = ["the release", "roll back the release abc"]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with BGE-M3's heads."""
    return m3_model(tmp_path_factory.mktemp("base"))


def m3_model(folder: Path) -> Path:
    """Write a tiny model with BGE-M3's heads and a tokenizer as transformers writes it; return the folder."""
    tiny_model(folder)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer(), model_max_length=32, **special).save_pretrained(folder)
    torch.manual_seed(5)
    for head, size in zip(M3_HEADS, (1, 32), strict=True):
        torch.save(torch.nn.Linear(32, size).state_dict(), folder / head)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of training pairs."""
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.parquet", negatives=2)


def plan_for(base: Path, **changes: object) -> TrainingPlan:
    """Return the plan of a quick training of a tiny model."""
    return replace(PLAN, base_model=str(base), **changes)  # type: ignore[arg-type]


def task_for(base: Path, pairs: Path, folder: Path, **changes: object) -> Task:
    """Return a task as `train` makes it."""
    plan = plan_for(base, **changes)
    return Task(plan, read_model("base", base), [], folder, Checkpoints(folder / "checkpoints"), pairs)


@pytest.fixture(scope="module")
def trained(base: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A training without an interruption."""
    return train(plan_for(base), pairs, tmp_path_factory.mktemp("trained") / "model")


@pytest.mark.slow
def test_all_heads_are_trained_and_kept(trained: Training, base: Path) -> None:
    """The loss falls, and encoder and both heads differ from the base's."""
    assert (trained.trainer, trained.steps, trained.planned) == ("flagembedding", 16, 16)
    losses = [point["loss"] for point in trained.curve]
    assert len(losses) == 16
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    for head in M3_HEADS:
        before, after = (torch.load(folder / head, weights_only=True) for folder in (base, trained.folder))
        assert before.keys() == after.keys()
        assert not torch.equal(before["weight"], after["weight"])


FLAGEMBEDDING = """
import json, sys
from FlagEmbedding import BGEM3FlagModel
model = BGEM3FlagModel(sys.argv[1], use_fp16=False, devices="cpu")
made = model.encode(json.loads(sys.argv[2]), return_dense=True, return_sparse=True, return_colbert_vecs=True)
print(json.dumps({
    "dense": made["dense_vecs"].tolist(),
    "terms": [len(weights) for weights in made["lexical_weights"]],
    "vectors": [list(vectors.shape) for vectors in made["colbert_vecs"]],
}))
"""


@pytest.mark.slow
def test_everyone_reads_the_same_vectors(trained: Training) -> None:
    """FlagEmbedding, sentence-transformers and ragline agree to cosine 1.0; the other heads work in FlagEmbedding."""
    from sentence_transformers import SentenceTransformer

    program = [sys.executable, "-W", "ignore", "-c", FLAGEMBEDDING, str(trained.folder), json.dumps(TEXTS)]
    output = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    flag = json.loads(output.rstrip().rsplit("\n", 1)[-1])
    dense = np.array(flag["dense"])
    model = read_model("trained", trained.folder)
    assert cosines(Embedder(model).embed(TEXTS), dense).min() > 0.9999
    assert cosines(SentenceTransformer(str(trained.folder), device="cpu").encode(TEXTS), dense).min() > 0.999999
    assert min(flag["terms"]) > 0
    assert [shape[1] for shape in flag["vectors"]] == [32, 32]
    assert model.pooling == "cls"


PROGRAM = """
import sys
from pathlib import Path
from ragline.finetune.trainers.training import TrainingPlan, train
plan, pairs, folder = sys.argv[1:]
Path(folder + ".json").write_text(train(TrainingPlan.from_json(plan), Path(pairs), Path(folder)).to_json())
"""


@pytest.mark.slow
def test_killed_training_goes_on_as_if_uninterrupted(base: Path, pairs: Path, tmp_path: Path) -> None:
    """Both processes killed with SIGKILL after a checkpoint, and run again: same weights as without, to 1e-5."""
    plan = plan_for(base, epochs=5, checkpoint_steps=8, dropout=True)
    whole = train(plan, pairs, tmp_path / "whole")
    folder = tmp_path / "killed"
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, plan.to_json(), str(pairs), str(folder)]
    with subprocess.Popen(words, start_new_session=True) as process:
        while not list(tmp_path.glob("killed.checkpoints/*/checkpoint-*/whole.json")):
            assert process.poll() is None
            time.sleep(0.01)
        subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=True)
    assert process.returncode == -signal.SIGKILL
    assert not folder.exists()
    subprocess.run(words, check=True)
    for name in ("model.safetensors", *M3_HEADS):
        one, other = (weights_of(at / name) for at in (whole.folder, folder))
        assert max(float((one[key] - other[key]).abs().max()) for key in one) <= TOLERANCE


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file."""
    weights: dict[str, torch.Tensor] = load_file(path) if path.suffix == ".safetensors" else torch.load(path)
    return weights


@pytest.mark.slow
def test_small_batches_in_memory(base: Path, pairs: Path, tmp_path: Path) -> None:
    """Sub-batches of different lengths are put together: all are padded to the longest text."""
    assert train(plan_for(base, mini_batch=3, epochs=0.5), pairs, tmp_path / "model").steps == 4


@pytest.mark.slow
def test_loss_that_is_no_number_stops(base: Path, pairs: Path, tmp_path: Path) -> None:
    """The error of the other process arrives here, and no model is written."""
    with pytest.raises(
        PipelineError, match=r"the (loss|gradient) is (nan|inf) at step \d+ of 16 .*lower learning rate"
    ):
        train(plan_for(base, learning_rate=1e30, warmup_share=0), pairs, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_heads_decide_the_trainer(base: Path, tmp_path: Path) -> None:
    """A model with BGE-M3's heads is trained with FlagEmbedding, another only when asked for."""
    m3, plain = read_model("m3", base), read_model("plain", tiny_model(tmp_path / "plain"))
    plan = plan_for(base)
    assert uses_m3(plan, m3)
    assert not uses_m3(plan, plain)
    assert not uses_m3(replace(plan, trainer="sentence-transformers"), m3)
    assert uses_m3(replace(plan, trainer="flagembedding"), plain)


def test_flags_avoid_the_traps(base: Path, pairs: Path, tmp_path: Path) -> None:
    """Sub-batches are padded alike; flags that transformers 5 refuses are not there."""
    task = task_for(base, pairs, tmp_path, mini_batch=4)
    flags = m3_flags({"max_steps": 7}, task, rows=tmp_path / "rows.jsonl", longest=128, group=3)
    values = dict(zip(flags[::2], flags[1::2], strict=True))
    assert values["--max_steps"] == "7"
    assert (values["--sub_batch_size"], values["--pad_to_multiple_of"], values["--passage_max_len"]) == (
        "4",
        "128",
        "128",
    )
    assert values["--train_group_size"] == "3"
    assert {"--overwrite_output_dir", "--warmup_ratio"} & values.keys() == set()


def test_several_gpus_through_torchrun(tmp_path: Path) -> None:
    """One process for each GPU."""
    task = tmp_path / "task.json"
    assert command("module", task, gpus=1) == [sys.executable, "-m", "module", str(task)]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=4", "-m", "module", str(task)]
    assert command("module", task, gpus=4) == [sys.executable, *torchrun]


def test_model_of_another_architecture(tmp_path: Path, pairs: Path) -> None:
    """A model with mean pooling is refused, with what to do."""
    folder = tiny_model(tmp_path / "mean")
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    with pytest.raises(ModelError, match=r"with mean pooling; .*Use trainer sentence-transformers"):
        train_m3(task_for(folder, pairs, tmp_path))


def test_matryoshka_is_refused(base: Path, tmp_path: Path, pairs: Path) -> None:
    """FlagEmbedding cannot do it for M3."""
    with pytest.raises(SettingError, match="no Matryoshka dimensions"):
        train_m3(task_for(base, pairs, tmp_path, dimensions=(16,)))
