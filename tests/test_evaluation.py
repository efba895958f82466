"""Metrics agree with trec_eval; BEIR folders and question files are read, and their faults named."""

import gzip
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragline.errors import DocumentsError, InputError
from ragline.evaluation import (
    Beir,
    Question,
    mrr_at,
    ndcg_at,
    read_beir,
    read_questions,
    recall_at,
    score_questions,
    score_run,
)

documents = st.text("abcdefghijklmno", min_size=1, max_size=1)
rankings = st.lists(documents, unique=True, max_size=15)
judgments = st.dictionaries(documents, st.integers(-1, 4).map(float), max_size=10)
metrics = pytest.mark.parametrize("metric", [ndcg_at, mrr_at, recall_at], ids=lambda metric: metric.__name__)


def lines(*rows: Any) -> str:
    """Return JSON Lines."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


@pytest.fixture
def question_file(tmp_path: Path) -> Callable[..., Path]:
    """Write rows into a file of questions."""

    def write(*rows: Any) -> Path:
        path = tmp_path / "questions.jsonl"
        path.write_text(lines(*rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A small retrieval set."""
    (tmp_path / "corpus.jsonl").write_text(lines({"_id": "d1", "title": "", "text": "one"}), encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text(
        lines({"_id": "q1", "text": "first"}, {"_id": "q2", "text": "second"}), encoding="utf-8"
    )
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n", encoding="utf-8")
    return tmp_path


def test_ndcg_has_linear_gain_and_log2_discount() -> None:
    """Grades 3, 0, 2 at ranks 1 to 3, and a grade 1 not found, by hand."""
    found = 3 / math.log2(2) + 2 / math.log2(4)
    best = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at(["a", "x", "b"], {"a": 3, "b": 2, "c": 1}) == pytest.approx(found / best)


def test_ndcg_cuts_the_ideal_order_too() -> None:
    """With more relevant documents than places, a full page of them is perfect."""
    assert ndcg_at(["a", "b"], {"a": 1, "b": 1, "c": 1}, k=2) == 1.0


def test_ndcg_of_a_published_example() -> None:
    """Grades 3 2 3 0 1 2 in this order: DCG 6.861, ideal 7.141 (6 places, all judged)."""
    grades = {"a": 3.0, "b": 2.0, "c": 3.0, "d": 0.0, "e": 1.0, "f": 2.0}
    assert ndcg_at(list("abcdef"), grades, k=6) == pytest.approx(0.9608, abs=1e-4)


def test_mrr_looks_at_the_first_relevant_document_within_the_cut() -> None:
    """Rank 3 gives 1/3, rank 11 gives nothing."""
    ranked = list("xyabcdefghijk")
    assert [mrr_at(ranked, {"a": 1, "b": 1}), mrr_at(ranked, {"i": 1}), mrr_at(ranked, {"x": 0})] == [1 / 3, 0, 0]


def test_recall_counts_relevant_documents_only() -> None:
    """Two of three relevant ones are found; a judged but irrelevant one does not matter."""
    assert recall_at(["a", "z", "b"], {"a": 1, "b": 2, "c": 1, "z": 0}) == pytest.approx(2 / 3)


@metrics
@given(ranked=rankings, relevant=judgments, k=st.integers(1, 12))
def test_metrics_stay_between_0_and_1(
    metric: Callable[..., float], ranked: list[str], relevant: dict[str, float], k: int
) -> None:
    """Whatever is ranked and judged, also with scores below 0."""
    assert 0.0 <= metric(ranked, relevant, k) <= 1.0 + 1e-12


@metrics
@given(relevant=judgments.filter(lambda scores: any(score > 0 for score in scores.values())))
def test_the_ideal_order_is_perfect(metric: Callable[..., float], relevant: dict[str, float]) -> None:
    """Sorting by score scores 1 where all relevant documents have a place."""
    ranked = sorted(relevant, key=lambda document: -relevant[document])
    assert metric(ranked, relevant, len(ranked)) == pytest.approx(1.0)


@metrics
@given(ranked=rankings, relevant=judgments, k=st.integers(1, 12))
def test_what_is_below_the_cut_does_not_matter(
    metric: Callable[..., float], ranked: list[str], relevant: dict[str, float], k: int
) -> None:
    """A ranking and its first k places score the same, and so does one with repeated ids."""
    assert metric(ranked, relevant, k) == metric(ranked[:k], relevant, k)
    doubled = [document for document in ranked for _ in range(2)]
    assert metric(ranked, relevant, k) == metric(doubled, relevant, k)


@given(ranked=rankings.filter(lambda ranked: len(ranked) > 1), relevant=judgments, data=st.data())
def test_moving_a_better_document_up_never_lowers_ndcg(
    ranked: list[str], relevant: dict[str, float], data: st.DataObject
) -> None:
    """Swapping two places in favour of the higher score."""
    low = data.draw(st.integers(0, len(ranked) - 2))
    high = data.draw(st.integers(low + 1, len(ranked) - 1))
    better = list(ranked)
    if relevant.get(ranked[high], 0) > relevant.get(ranked[low], 0):
        better[low], better[high] = better[high], better[low]
    assert ndcg_at(better, relevant) >= ndcg_at(ranked, relevant) - 1e-12


def test_score_run_averages_over_queries_with_relevant_documents() -> None:
    """A judged query without a ranking scores 0; one without relevant documents is left out."""
    qrels = {"q1": {"a": 1.0}, "q2": {"b": 1.0}, "q3": {"c": 0.0}, "q4": {"d": 1.0}}
    run = {"q1": ["a"], "q2": ["x", "b"], "q3": ["c"], "unjudged": ["a"]}
    assert score_run(run, qrels) == {
        "ndcg@10": pytest.approx((1 + 1 / math.log2(3)) / 3),
        "mrr@10": pytest.approx(0.5),
        "recall@10": pytest.approx(2 / 3),
        "queries": 3,
    }


def test_score_run_names_the_cut() -> None:
    """Metrics at another k say so."""
    assert score_run({"q": ["x", "a"]}, {"q": {"a": 1.0}}, k=1) == {
        "ndcg@1": 0.0,
        "mrr@1": 0.0,
        "recall@1": 0.0,
        "queries": 1,
    }


def test_score_run_refuses_to_average_nothing() -> None:
    """No relevant document at all is a mistake, not a zero."""
    with pytest.raises(InputError, match="no relevant document"):
        score_run({"q": ["a"]}, {"q": {"a": 0.0}})


def test_a_beir_folder_is_read_with_the_judged_queries(beir: Path) -> None:
    """Queries of other splits are left out; judgments keep their scores."""
    assert read_beir(beir) == Beir(beir / "corpus.jsonl", {"q1": "first"}, {"q1": {"d1": 2.0, "d2": 0.0}})


def test_a_beir_folder_may_be_packed_and_its_judgments_headless(beir: Path) -> None:
    """corpus.jsonl.gz and queries.jsonl.gz are found; a first line of numbers is a judgment."""
    for name in ("corpus.jsonl", "queries.jsonl"):
        (beir / f"{name}.gz").write_bytes(gzip.compress((beir / name).read_bytes()))
        (beir / name).unlink()
    (beir / "qrels" / "train.tsv").write_text("q2\td1\t1\n\n", encoding="utf-8")
    assert read_beir(beir, "train") == Beir(beir / "corpus.jsonl.gz", {"q2": "second"}, {"q2": {"d1": 1.0}})


def test_a_missing_beir_folder_is_named(tmp_path: Path) -> None:
    """The message has the path and what should be there."""
    with pytest.raises(DocumentsError, match=re.escape(f"no BEIR folder at {tmp_path / 'absent'}: it should hold")):
        read_beir(tmp_path / "absent")


def test_a_missing_split_names_those_there(beir: Path) -> None:
    """A wrong split is answered with the right ones."""
    with pytest.raises(InputError, match=r"no judgments for split 'dev' at .*dev\.tsv; splits there: test"):
        read_beir(beir, "dev")


@pytest.mark.parametrize(
    ("name", "error"), [("corpus.jsonl", DocumentsError), ("queries.jsonl", InputError)], ids=["corpus", "queries"]
)
def test_a_missing_beir_file_is_named(beir: Path, name: str, error: type[InputError]) -> None:
    """The file and the folder are in the message."""
    (beir / name).unlink()
    with pytest.raises(error, match=re.escape(f"{name} (or {name}.gz) is missing in the BEIR folder {beir}")):
        read_beir(beir)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq1\td1\n", "test.tsv, line 2: expected query-id, corpus-id"),
        ("qrels/test.tsv", b"q1\td1\t1\nq1\td2\tgood\n", "test.tsv, line 2: expected query-id, corpus-id"),
        ("qrels/test.tsv", b"q9\td1\t1\n", "judges query 'q9' (1 such), which queries.jsonl does not hold"),
        (
            "queries.jsonl",
            b'{"_id": "q1"}\n',
            'queries.jsonl, line 1: a query needs "_id" and "text"; it has only: _id',
        ),
        ("queries.jsonl", b'{"_id": "q1", "text": "a"}\n{oops\n', "queries.jsonl, line 2: not JSON"),
        ("queries.jsonl", b"[1]\n", "queries.jsonl, line 1: expected a JSON object, found [1]"),
        ("queries.jsonl", b"\xff\xfe\xfa", "cannot read"),
    ],
    ids=["short", "score", "unknown-query", "no-text", "not-json", "not-object", "not-text"],
)
def test_a_wrong_line_of_a_beir_folder_is_named(beir: Path, name: str, content: bytes, message: str) -> None:
    """File, line and fault, one error for all of them."""
    (beir / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)):
        read_beir(beir)


def test_a_damaged_archive_is_named(beir: Path) -> None:
    """A .gz that cannot be unpacked is one clear error."""
    packed = gzip.compress((beir / "queries.jsonl").read_bytes())
    (beir / "queries.jsonl").unlink()
    (beir / "queries.jsonl.gz").write_bytes(packed[:12] + b"\xff\xff\xff" + packed[15:])
    with pytest.raises(InputError, match=r"cannot read .*queries\.jsonl\.gz"):
        read_beir(beir)


BY_SNAPSHOT = {
    "id": "det-1",
    "question": "Which port?",
    "answer_any_of": ["8080"],
    "answerable": True,
    "status": "only-new",
    "gold_files": {"old": [], "new": ["a.rst", "b.rst"], "newer": ["b.rst", "c.rst"]},
}


@pytest.mark.parametrize(
    ("snapshot", "gold", "answerable"),
    [
        ("new", ("a.rst", "b.rst"), True),
        ("old", (), False),
        ("elsewhere", ("a.rst", "b.rst", "c.rst"), True),
        ("", ("a.rst", "b.rst", "c.rst"), True),
    ],
)
def test_gold_files_are_those_of_the_snapshot(
    question_file: Callable[..., Path], snapshot: str, gold: tuple[str, ...], answerable: bool
) -> None:
    """An unknown snapshot takes the union; a snapshot without gold files makes the question unanswerable."""
    expected = [Question("det-1", "Which port?", ("8080",), gold, answerable)]
    assert read_questions(question_file(BY_SNAPSHOT), snapshot) == expected


def test_all_forms_of_questions_are_read(question_file: Callable[..., Path]) -> None:
    """Passages with their document, plain lists of files, and the bare minimum with defaults."""
    passage = {"id": "w", "question": "Who?", "answers": ["A", "B"], "doc_id": "Warsaw", "passage_id": "Warsaw#3"}
    path = question_file(
        passage | {"answerable": True, "lang": "en"},
        {"id": 7, "question": "Where?", "answerable": False, "answers": [], "doc_id": "Warsaw"},
        "",
        {"question": "When?", "answer_any_of": ["now"], "gold_files": ["a.md"]},
        {"question": "What?", "gold_files": []},
    )
    assert read_questions(path) == [
        Question("w", "Who?", ("A", "B"), ("Warsaw#3", "Warsaw"), True),
        Question("7", "Where?", (), ("Warsaw",), False),
        Question("4", "When?", ("now",), ("a.md",), True),
        Question("5", "What?", (), (), False),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{oops", "line 2: not JSON"),
        ({"text": "x"}, 'line 2: "question" should be a text that is not empty; it is None'),
        ({"question": " "}, "line 2: \"question\" should be a text that is not empty; it is ' '"),
        ({"question": "x", "answerable": "no"}, "line 2: \"answerable\" should be true or false; it is 'no'"),
        ({"question": "x", "answers": "A"}, 'line 2: "answers" should be a list of texts; it is A'),
        ({"question": "x", "gold_files": {"new": [1]}}, 'line 2, gold_files: "new" should be a list of texts'),
        ({"question": "x", "gold_files": "a"}, 'line 2: "gold_files" should be a list of texts; it is a'),
    ],
)
def test_a_wrong_line_of_questions_is_named(question_file: Callable[..., Path], row: Any, message: str) -> None:
    """File, line and fault."""
    path = question_file({"question": "fine?"}, row)
    with pytest.raises(InputError, match=re.escape(f"{path}, {message}")):
        read_questions(path)


def test_a_file_without_questions_is_an_error(question_file: Callable[..., Path], tmp_path: Path) -> None:
    """Empty and missing files are told apart."""
    with pytest.raises(InputError, match="holds no question"):
        read_questions(question_file())
    with pytest.raises(InputError, match="no file of questions at"):
        read_questions(tmp_path / "absent.jsonl")


def reply(answer: str, *sources: str) -> dict[str, Any]:
    """Return an answer with citations of these sources."""
    return {"found": True, "answer": answer, "citations": [{"source": source} for source in sources]}


REFUSAL: Mapping[str, Any] = {"found": False, "answer": "", "citations": []}


def source_hit(gold: Sequence[str], *sources: str) -> float | None:
    """Return the share of hits for one question."""
    question = Question("1", "q", ("a",), tuple(gold))
    return score_questions([question], lambda _: reply("a", *sources))["source_hit@4"]


@pytest.mark.parametrize(
    "source",
    [
        "passages.jsonl#Warsaw#39",
        "passages.jsonl#Warsaw%2339",
        "documents.jsonl#Warsaw",
        "Warsaw",
        "passages/Warsaw#39.txt",
        "passages/Warsaw%2339.txt",
        "all/Warsaw.md",
    ],
)
def test_a_source_is_found_by_its_row_or_file(source: str) -> None:
    """The whole id, the row's id after '#' (escaped or not), or the file's stem."""
    assert source_hit(("Warsaw#39", "Warsaw"), "other.md", source) == 1.0


@pytest.mark.parametrize("source", ["passages.jsonl#Warsaw#3", "passages.jsonl#Warsaw%2340", "Warsaw-2.md", "x/y.md"])
def test_another_passage_of_the_right_document_is_no_hit(source: str) -> None:
    """Where passages are cited, the document alone does not count."""
    assert source_hit(("Warsaw#39", "Warsaw"), source) == 0.0


def test_gold_files_are_compared_by_their_whole_path() -> None:
    """A file of the same name in another folder is no hit."""
    assert [source_hit(("a/index.rst",), "a/index.rst"), source_hit(("a/index.rst",), "b/index.rst")] == [1.0, 0.0]


def test_only_the_first_four_citations_count() -> None:
    """A gold source in fifth place is a miss."""
    assert [source_hit(("g",), "a", "b", "c", "g"), source_hit(("g",), "a", "b", "c", "d", "g")] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("answer", "wanted", "held"),
    [
        ("Defaults to ``100``.", "100", 1.0),
        ("the **Momus\n  cabaret**", "momus Cabaret", 1.0),
        ("use max_slots", "`max_slots`", 1.0),
        ("STRASSE", "straße", 1.0),
        ("something else", "Momus", 0.0),
        ("anything", "**", 0.0),
    ],
)
def test_an_answer_is_contained_regardless_of_case_space_and_emphasis(answer: str, wanted: str, held: float) -> None:
    """Back quotes and asterisks are dropped on both sides; an answer without characters is never held."""
    question = Question("1", "q", (wanted,), ("s",))
    assert score_questions([question], lambda _: reply(answer, "s"))["answer_contained"] == held


def test_scores_separate_answerable_and_unanswerable_questions() -> None:
    """A refused answerable question is a miss; refusing an unanswerable one is counted apart."""
    questions = [
        Question("1", "good", ("yes",), ("a",)),
        Question("2", "refused", ("yes",), ("a",)),
        Question("3", "wrong", ("yes",), ("a",)),
        Question("4", "source only", ("yes",), ("a",)),
        Question("5", "off", answerable=False),
        Question("6", "tricked", answerable=False),
    ]
    replies = {
        "good": reply("oh yes", "a"),
        "refused": {"found": False, "answer": "yes", "citations": [{"source": "a"}]},
        "wrong": reply("no", "b"),
        "source only": reply("no", "a"),
        "off": REFUSAL,
        "tricked": reply("no", "a"),
    }
    assert score_questions(questions, replies.__getitem__) == {
        "questions": 6,
        "answerable": 4,
        "source_hit@4": 0.5,
        "answer_contained": 0.25,
        "refused": pytest.approx(1 / 3),
        "refused_answerable": 0.25,
        "refused_unanswerable": 0.5,
    }


def test_shares_of_no_questions_are_none() -> None:
    """A file of unanswerable questions has no share of answerable ones."""
    scores = score_questions([Question("1", "q", answerable=False)], lambda _: REFUSAL)
    assert scores == {
        "questions": 1,
        "answerable": 0,
        "source_hit@4": None,
        "answer_contained": None,
        "refused": 1.0,
        "refused_answerable": None,
        "refused_unanswerable": 1.0,
    }


@pytest.mark.parametrize(
    ("name", "snapshot", "counts"),
    [
        ("docs-determined", "snapshot-2024-05-31", (35, 28)),
        ("docs-determined", "snapshot-2023-08-31", (35, 21)),
        ("docs-determined", "", (35, 30)),
        ("qa-wiki", "", (400, 300)),
        ("qa-multilingual/en", "", (594, 594)),
    ],
)
def test_the_question_files_of_the_data_are_read(
    shared: Path, name: str, snapshot: str, counts: tuple[int, int]
) -> None:
    """All questions, and as many answerable ones as the data's description says; each has a gold source."""
    questions = read_questions(shared / "data" / name / "questions.jsonl", snapshot)
    answerable = [question for question in questions if question.answerable]
    assert (len(questions), len(answerable)) == counts
    assert all(question.gold and question.answers for question in answerable)


@pytest.mark.parametrize(("split", "queries", "judged"), [("test", 300, 339), ("train", 809, 919)])
def test_scifact_is_read(shared: Path, split: str, queries: int, judged: int) -> None:
    """The counts of the data's description; the packed corpus is found."""
    scifact = read_beir(shared / "data" / "retrieval-scifact", split)
    assert scifact.corpus.name == "corpus.jsonl.gz"
    assert (len(scifact.queries), sum(map(len, scifact.qrels.values()))) == (queries, judged)
