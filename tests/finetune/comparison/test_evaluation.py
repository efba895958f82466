"""Models are compared on the same questions, over the same passages, by the rules that the modules state."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ragline.documents import Chunk, Document, Loaded
from ragline.embedding.embedder import Embedder
from ragline.embedding.model import EmbeddingModel
from ragline.errors import InputError, ModelError
from ragline.finetune.comparison import contender
from ragline.finetune.comparison.corpus import Entry, HeldOut
from ragline.finetune.comparison.evaluation import ROLES, Evaluation, evaluate_models
from ragline.finetune.comparison.ranking import Ranking
from ragline.finetune.examples.pair import Pair, PairWriter
from ragline.tables import ChunkWriter, DocumentWriter
from tests.embedding.conftest import tiny_model

CHUNKS = [
    Chunk("a1", "a.md", "Rolling back", "", 0, 9, "go to the release before", 6, "1"),
    Chunk("a2", "a.md", "Rolling back", "Limits", 9, 19, "at most ten releases are kept", 7, "2"),
    Chunk("b1", "b.md", "Snapshots", "", 0, 9, "a snapshot holds all files", 6, "3"),
    Chunk("b2", "b.md", "Snapshots", "", 9, 19, "files may be large", 4, "4"),
    Chunk("c1", "c/d.md", "", "", 0, 9, "rolling back is for the brave", 7, "5"),
    Chunk("c2", "c/d.md", "", "", 9, 19, "files may be large and many of them are kept for a year at least", 7, "6"),
]
TESTED = [
    Pair("rolling back", "go to the release before", "a1", "a.md", "title", "test"),
    Pair("how many releases", "Rolling back > Limits\nat most ten are kept", "a2", "a.md", "question", "test"),
    Pair(
        "which may be big", "files may be large and many of them are kept for a year at least", "", "", "user", "test"
    ),
]
TRAINED = [Pair("snapshots", "a snapshot holds files", "b1", "b.md", "title", "train")]
# What stands beside each answer: a2 has the title of a.md, so it does not count for that title, but that of c1 does.
B1, B2, C1 = "a snapshot holds files", "Snapshots\nfiles may be large", "rolling back is for the brave"
COUNTED = [
    [TESTED[2].positive, B1, B2, C1],
    [TESTED[0].positive, TESTED[2].positive, B1, B2, C1],
    [TESTED[0].positive, TESTED[1].positive, B1, B2, C1],
]


@dataclass(frozen=True)
class Files:
    """What `evaluate_models` reads."""

    pairs: Path
    chunks: Path
    documents: Path


def _written(folder: Path, pairs: Sequence[Pair], chunks: Sequence[Chunk] = CHUNKS) -> Files:
    files = Files(*(folder / f"{name}.parquet" for name in ("pairs", "chunks", "documents")))
    with PairWriter(files.pairs) as writer:
        for pair in pairs:
            writer.write(pair)
    with ChunkWriter(files.chunks) as rows:
        for chunk in chunks:
            rows.write(chunk)
    with DocumentWriter(files.documents) as table:
        for name in [*dict.fromkeys(chunk.document for chunk in chunks), "empty.md"]:
            table.write(Document(name, "0", Loaded("")))
    return files


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three tiny models of random weights."""
    return [tiny_model(tmp_path_factory.mktemp(f"model{seed}"), seed=seed, positions=130) for seed in (1, 2, 3)]


def _evaluate(files: Files, models: Sequence[Path], questions: Path | None = None) -> Evaluation:
    base, champion, challenger = map(str, models)
    return evaluate_models(
        files.pairs,
        files.chunks,
        files.documents,
        base=base,
        champion=champion,
        challenger=challenger,
        questions_uri=str(questions or ""),
    )


def _rank(embedder: Embedder, query: str, gold: str, others: Sequence[str]) -> tuple[int, float, float]:
    """Return the answer's rank and score and the best other passage's score, from the vectors of all texts."""
    scores = embedder.embed([gold, *others]) @ embedder.embed([query])[0]
    return 1 + int((scores[1:] >= scores[0] - 1e-6).sum()), float(scores[0]), float(scores[1:].max())


def test_ranks_are_those_of_exact_search(tmp_path: Path, models: list[Path]) -> None:
    """Every rank, score and metric of three models is what plain cosines over the passages that count give."""
    evaluation = _evaluate(_written(tmp_path, TESTED + TRAINED), models)
    assert [outcome.query for outcome in evaluation.outcomes] == [pair.query for pair in TESTED]
    for role, folder in zip(ROLES, models, strict=True):
        embedder = Embedder.named(str(folder))
        expected = [
            _rank(embedder, pair.query, pair.positive, others) for pair, others in zip(TESTED, COUNTED, strict=True)
        ]
        assert [o.ranks[role] for o in evaluation.outcomes] == [rank for rank, *_ in expected]
        assert [o.scores[role] for o in evaluation.outcomes] == pytest.approx([own for _, own, _ in expected], abs=2e-5)
        assert [o.others[role] for o in evaluation.outcomes] == pytest.approx([best for *_, best in expected], abs=2e-5)
        assert evaluation.means[role]["all"] == pytest.approx(
            {
                "ndcg@10": np.mean([1 / np.log2(1 + rank) for rank, *_ in expected]),
                "mrr@10": np.mean([1 / rank for rank, *_ in expected]),
                "recall@10": 1.0,
                "recall@100": 1.0,
            },
            abs=1e-5,
        )
    assert (evaluation.passages, evaluation.documents) == (6, 4)


def test_differences_are_those_of_the_means(tmp_path: Path, models: list[Path]) -> None:
    """Each gain is the challenger's mean minus the other's, over the champion and over the base, by kind."""
    evaluation = _evaluate(_written(tmp_path, TESTED), models)
    kinds = ["all", "title", "question", "user"]
    assert {(g.over, g.kind) for g in evaluation.gains} == {(o, kind) for o in ("champion", "base") for kind in kinds}
    for gain in evaluation.gains:
        before, after = (evaluation.means[role][gain.kind][gain.metric] for role in (gain.over, "challenger"))
        assert (gain.before, gain.after, gain.mean) == pytest.approx((before, after, after - before), abs=2e-6)
        assert gain.low <= gain.mean <= gain.high


def test_corpus_holds_each_passage_once_and_as_its_positive(tmp_path: Path) -> None:
    """A chunk with pairs stands there without the words of its query, one that a user's answer repeats not at all."""
    files = _written(tmp_path, TESTED + TRAINED)
    held_out = HeldOut(files.pairs, files.chunks)
    assert [entry.text for entry in held_out.golds] == [pair.positive for pair in TESTED]
    assert list(held_out.others()) == [Entry(B1, "b1", "b.md"), Entry(B2, "b2", "b.md"), Entry(C1, "c1", "c/d.md")]


def test_golden_questions_are_asked_over_the_chunks_as_indexed(tmp_path: Path, models: list[Path]) -> None:
    """The rank of a golden question is that among all chunks with their headings; any of its files suffices."""
    questions = tmp_path / "golden.jsonl"
    rows = [
        {"question": "which files are large", "gold_files": ["gone.md", "d.md", "b.md"]},
        {"question": "who knows", "answerable": False},
    ]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    evaluation = _evaluate(_written(tmp_path, TESTED + TRAINED), models, questions)
    (outcome,) = evaluation.of_kind("golden")
    texts = [
        "Rolling back\ngo to the release before", "Rolling back > Limits\nat most ten releases are kept",
        "Snapshots\na snapshot holds all files", "Snapshots\nfiles may be large",
        "rolling back is for the brave", CHUNKS[5].text,
    ]  # fmt: skip
    for role, folder in zip(ROLES, models, strict=True):
        embedder = Embedder.named(str(folder))
        scores = embedder.embed(texts) @ embedder.embed(["which files are large"])[0]
        order = [CHUNKS[place].document for place in np.argsort(-scores)]
        rank = 1 + next(place for place, document in enumerate(order) if document != "a.md")
        assert (outcome.document, outcome.ranks[role]) == ("b.md, c/d.md", rank)
        assert outcome.metrics[role]["hit@4"] == 1.0


def test_model_in_two_roles_is_run_once(tmp_path: Path, models: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """When the champion is the base, it is embedded with once, and nothing is said twice."""
    made: list[str] = []

    def counted(model: EmbeddingModel) -> Embedder:
        made.append(model.name)
        return Embedder(model)

    monkeypatch.setattr(contender, "Embedder", counted)
    evaluation = _evaluate(_written(tmp_path, TESTED), [models[0], models[0], models[1]])
    assert made == [str(models[0]), str(models[1])]
    assert evaluation.models["base"] == evaluation.models["champion"]
    assert {gain.over for gain in evaluation.gains} == {"champion"}
    assert evaluation.gain("base") == evaluation.gain("champion")


def test_same_models_differ_by_nothing(tmp_path: Path, models: list[Path]) -> None:
    """A copy of the champion gains exactly 0, for sure, and speed and sizes are measured."""
    evaluation = _evaluate(_written(tmp_path, TESTED), [models[0]] * 3)
    assert {(g.mean, g.low, g.high, g.better, g.worse) for g in evaluation.gains if g.kind == "all"} == {
        (0, 0, 0, 0, 0)
    }
    model = evaluation.models["challenger"]
    assert (model.dimensions, model.vector_bytes) == (32, 128_000)
    assert model.model_bytes == (models[0] / "model.safetensors").stat().st_size
    assert min(model.texts_per_cpu_second, model.texts_per_second, model.query_ms) > 0


def test_json_gives_the_evaluation_back(tmp_path: Path, models: list[Path]) -> None:
    """An evaluation travels between pipeline steps as JSON."""
    evaluation = _evaluate(_written(tmp_path, TESTED), models)
    assert Evaluation.from_json(evaluation.to_json()) == evaluation


def test_unknown_gold_file_is_refused_before_any_embedding(
    tmp_path: Path, models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A golden question none of whose files is in the corpus is named, with what to do."""
    questions = tmp_path / "golden.jsonl"
    questions.write_text('{"id": "q7", "question": "what?", "gold_files": ["manual/setpu.md"]}\n', encoding="utf-8")
    monkeypatch.setattr(contender, "Embedder", None)
    with pytest.raises(
        InputError, match=r"question 'q7' .*'manual/setpu.md' is nowhere in the corpus; correct the name"
    ):
        _evaluate(_written(tmp_path, TESTED), models, questions)


def test_golden_file_without_sources_is_refused(tmp_path: Path, models: list[Path]) -> None:
    """Questions that name no source cannot measure a ranking."""
    questions = tmp_path / "golden.jsonl"
    questions.write_text('{"question": "what?", "answers": ["that"]}\n', encoding="utf-8")
    with pytest.raises(InputError, match="no question names its source; give gold_files"):
        _evaluate(_written(tmp_path, TESTED), models, questions)


def test_nothing_to_measure_with_is_refused(tmp_path: Path, models: list[Path]) -> None:
    """Without test pairs there is no evaluation."""
    with pytest.raises(InputError, match="holds no pair to measure with"):
        _evaluate(_written(tmp_path, TRAINED), models)


def test_model_whose_vectors_are_no_numbers_is_refused(tmp_path: Path, models: list[Path]) -> None:
    """A failed training does not end as a perfect ranking."""
    safetensors = pytest.importorskip("safetensors.numpy", reason="writes the broken weights")
    broken = tiny_model(tmp_path / "broken", seed=4, positions=130)
    weights = safetensors.load_file(broken / "model.safetensors")
    key = next(name for name in weights if name.endswith("output.LayerNorm.weight"))
    safetensors.save_file(weights | {key: weights[key] * np.nan}, broken / "model.safetensors")
    with pytest.raises(ModelError, match="hold no numbers"):
        _evaluate(_written(tmp_path, TESTED), [models[0], models[0], broken])


def test_several_answers_of_one_question_count_together(tmp_path: Path, models: list[Path]) -> None:
    """A user's question with two answers is one question; recall and nDCG are over both."""
    pairs = [replace(TESTED[2], positive="files may be large"), replace(TESTED[2], positive="ten of them at once")]
    evaluation = _evaluate(_written(tmp_path, pairs), models)
    (outcome,) = evaluation.outcomes
    assert (outcome.metrics["base"]["recall@10"], outcome.gold) == (1.0, "files may be large")
    embedder = Embedder.named(str(models[0]))
    texts = ["ten of them at once", "files may be large", *_others(tmp_path)]
    scores = embedder.embed(texts) @ embedder.embed([TESTED[2].query])[0]
    places = np.argsort(np.argsort(-scores))[:2] + 1
    ideal = 1 + 1 / np.log2(3)
    assert outcome.metrics["base"]["ndcg@10"] == pytest.approx(sum(1 / np.log2(places + 1)) / ideal, abs=1e-6)


def _others(folder: Path) -> list[str]:
    files = Files(*(folder / f"{name}.parquet" for name in ("pairs", "chunks", "documents")))
    return [entry.text for entry in HeldOut(files.pairs, files.chunks).others()]


def test_one_vector_for_all_texts_finds_nothing() -> None:
    """Equal scores count against the answer, so that a collapsed model is the worst, not the best."""
    queries, passages = np.ones((2, 4), dtype=np.float32) / 2, np.ones((150, 4), dtype=np.float32) / 2
    ranking = Ranking(queries, np.ones(2, dtype=np.float32))
    ranking.add(np.arange(150), passages)
    assert ranking.above.tolist() == [150, 150]
    assert 900 not in ranking.with_answers(0, [(900, 1.0)])


def test_blocks_find_what_one_search_finds() -> None:
    """Ranks do not depend on how the passages are cut into blocks; what is hidden is not found."""
    generator = np.random.default_rng(0)
    queries, passages = generator.normal(size=(5, 8)).astype("f4"), generator.normal(size=(400, 8)).astype("f4")
    wanted = np.full(5, 1.5, dtype=np.float32)
    ranking = Ranking(queries, wanted)
    for start in range(0, 400, 30):
        numbers = np.arange(start, min(start + 30, 400))
        ranking.add(numbers, passages[numbers], [(2, place) for place in range(len(numbers)) if numbers[place] < 50])
    scores = queries @ passages.T
    scores[2, :50] = -np.inf
    assert ranking.above.tolist() == (scores >= 1.5 - 1e-6).sum(axis=1).tolist()
    assert [ranking.best(row)[0] for row in range(5)] == np.argsort(-scores, axis=1, kind="stable")[:, :100].tolist()
