"""How good an index is: ranking metrics over BEIR folders, and answers over question files.

    metric    gain    meaning, per query
    ndcg@k    score   sum of score / log2(rank + 1), relative to the best possible order
    mrr@k     0 or 1  1 / rank of the first relevant document, 0 when it is not among the first k
    recall@k  0 or 1  share of the relevant documents that are among the first k

They agree with trec_eval's `ndcg_cut`, `recip_rank` (cut at k) and `recall`, and so with what BEIR reports: a document
is relevant when its score is above 0, and only queries with a relevant document count.
"""

import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from ragline.errors import DocumentsError, InputError
from ragline.object_store import fetched_file

__all__ = [
    "Beir",
    "Question",
    "fetch_questions",
    "mrr_at",
    "ndcg_at",
    "read_beir",
    "read_questions",
    "recall_at",
    "score_questions",
    "score_run",
]

CITATIONS = 4


def ndcg_at(ranked: Sequence[str], relevant: Mapping[str, float], k: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first `k`, with linear gain.

    Args:
        ranked: document ids, best first; a repeated id counts once, at its first place.
        relevant: score per document id; a missing one, and one below 0, counts as 0.
        k: how many places are looked at.

    Returns:
        A number from 0 to 1; 0 when nothing is relevant.
    """
    ideal = _discounted(sorted(relevant.values(), reverse=True)[:k])
    return _discounted(relevant.get(document, 0.0) for document in _first(ranked, k)) / ideal if ideal else 0.0


def mrr_at(ranked: Sequence[str], relevant: Mapping[str, float], k: int = 10) -> float:
    """Return 1 / rank of the first relevant document among the first `k`, or 0; arguments as for `ndcg_at`."""
    places = (place for place, document in enumerate(_first(ranked, k), 1) if relevant.get(document, 0.0) > 0)
    return 1 / next(places, math.inf)


def recall_at(ranked: Sequence[str], relevant: Mapping[str, float], k: int = 10) -> float:
    """Return the share of the relevant documents among the first `k`, or 0; arguments as for `ndcg_at`."""
    wanted = {document for document, score in relevant.items() if score > 0}
    return len(wanted.intersection(_first(ranked, k))) / len(wanted) if wanted else 0.0


def _first(ranked: Sequence[str], k: int) -> list[str]:
    return list(dict.fromkeys(ranked))[:k]


def _discounted(gains: Iterable[float]) -> float:
    return sum(max(gain, 0.0) / math.log2(place + 1) for place, gain in enumerate(gains, 1))


def score_run(
    run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, float]], k: int = 10
) -> dict[str, float]:
    """Average the metrics over the queries that have a relevant document.

    Args:
        run: ranked document ids per query id; a judged query that is missing scores 0.
        qrels: score per document id, per query id.
        k: how many places are looked at.

    Returns:
        `ndcg@k`, `mrr@k`, `recall@k` and `queries`, the number averaged over.

    Raises:
        InputError: no query has a relevant document.
    """
    judged = {query: scores for query, scores in qrels.items() if any(score > 0 for score in scores.values())}
    if not judged:
        raise InputError("the relevance judgments name no relevant document for any query: nothing can be scored")
    metrics = {"ndcg": ndcg_at, "mrr": mrr_at, "recall": recall_at}
    means = {
        f"{name}@{k}": sum(metric(run.get(query, ()), scores, k) for query, scores in judged.items()) / len(judged)
        for name, metric in metrics.items()
    }
    return means | {"queries": len(judged)}


@dataclass(frozen=True, slots=True)
class Beir:
    """A retrieval set in the BEIR layout.

    Attributes:
        corpus: the file of documents (`corpus.jsonl` or `corpus.jsonl.gz`); it may be large and is not read here.
        queries: text per query id, judged queries only.
        qrels: score per document id, per query id.
    """

    corpus: Path
    queries: dict[str, str]
    qrels: dict[str, dict[str, float]]


def read_beir(folder: Path, split: str = "test") -> Beir:
    """Read queries and judgments of a BEIR folder, and find its corpus.

    Args:
        folder: holds `corpus.jsonl`, `queries.jsonl` (either may end in `.gz`) and `qrels/<split>.tsv`.
        split: which judgments.

    Raises:
        DocumentsError: the folder or its corpus is missing.
        InputError: another file is missing, or a line of it is wrong.
    """
    if not folder.is_dir():
        raise DocumentsError(f"no BEIR folder at {folder}: it should hold corpus.jsonl, queries.jsonl and qrels/")
    corpus = _find(folder, "corpus.jsonl", DocumentsError)
    queries = _read_queries(_find(folder, "queries.jsonl", InputError))
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.tsv"))) or "none"
        raise InputError(f"no judgments for split {split!r} at {path}; splits there: {there}")
    qrels = _read_qrels(path)
    unknown = [query for query in qrels if query not in queries]
    if unknown:
        raise InputError(f"{path} judges query {unknown[0]!r} ({len(unknown)} such), which queries.jsonl does not hold")
    return Beir(corpus, {query: queries[query] for query in qrels}, qrels)


def _find(folder: Path, name: str, error: type[InputError]) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise error(f"{name} (or {name}.gz) is missing in the BEIR folder {folder}")


def _read_queries(path: Path) -> dict[str, str]:
    queries: dict[str, str] = {}
    for number, row in _read_rows(path):
        if not {"_id", "text"} <= row.keys():
            raise InputError(f'{path}, line {number}: a query needs "_id" and "text"; it has only: {", ".join(row)}')
        queries[str(row["_id"])] = str(row["text"])
    return queries


def _read_qrels(path: Path) -> dict[str, dict[str, float]]:
    qrels: dict[str, dict[str, float]] = {}
    for number, line in _read_lines(path):
        fields = line.split("\t")
        try:
            query, document, score = fields[0], fields[1], float(fields[2])
        except (IndexError, ValueError) as exc:
            if number == 1 and len(fields) == 3:  # the header
                continue
            message = (
                f"{path}, line {number}: expected query-id, corpus-id, score with tabs between; found {line[:200]!r}"
            )
            raise InputError(message) from exc
        qrels.setdefault(query, {})[document] = score
    return qrels


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what a good answer to it is.

    Attributes:
        id: from the file, or the line number.
        text: what is asked.
        answers: strings, one of which a right answer holds.
        gold: ids of the right sources; one of them suffices. For a question about a passage of a document these are
            the passage's id and the document's: in an index of passages only the first can be cited, in an index of
            whole documents only the second.
        answerable: whether the documents hold the answer.
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()
    gold: tuple[str, ...] = ()
    answerable: bool = True


def read_questions(path: Path, snapshot: str = "") -> list[Question]:
    """Read a JSON Lines file of questions.

    Each line has `question`; further `id`, `answerable`, the answers as `answers` or `answer_any_of`, and the sources
    as `gold_files` (a list, or lists by snapshot) or as `passage_id` and `doc_id`.

    Args:
        path: the file.
        snapshot: which lists of `gold_files` by snapshot count, usually the name of the documents folder; a name that
            a question does not have takes the files of all snapshots. Without a gold file there it is unanswerable.

    Raises:
        InputError: the file is missing or empty, or a line is wrong; it names the line.
    """
    if not path.is_file():
        raise InputError(f"no file of questions at {path}")
    questions = [_to_question(row, f"{path}, line {number}", number, snapshot) for number, row in _read_rows(path)]
    if not questions:
        raise InputError(f"{path} holds no question: one JSON object a line is expected")
    return questions


def fetch_questions(uri: str) -> list[Question]:
    """Read questions from a file or an s3:// object; for all snapshots, see `read_questions`.

    Raises:
        InputError: there is not one file there, or `read_questions` refuses it.
        StoreError: the store cannot be used.
    """
    with fetched_file(uri, "questions") as path:
        return read_questions(path)


def _to_question(row: Mapping[str, Any], where: str, number: int, snapshot: str) -> Question:
    text = row.get("question")
    if not isinstance(text, str) or not text.strip():
        raise InputError(f'{where}: "question" should be a text that is not empty; it is {text!r}')
    answerable = row.get("answerable", True)
    if not isinstance(answerable, bool):
        raise InputError(f'{where}: "answerable" should be true or false; it is {answerable!r}')
    answers = _strings(row, "answers" if "answers" in row else "answer_any_of", where)
    gold = _gold(row, where, snapshot)
    if "gold_files" in row:
        answerable = answerable and bool(gold)
    return Question(str(row.get("id", number)), text, answers, gold, answerable)


def _gold(row: Mapping[str, Any], where: str, snapshot: str) -> tuple[str, ...]:
    files = row.get("gold_files")
    if isinstance(files, dict):
        chosen = [snapshot] if snapshot in files else list(files)
        return tuple(dict.fromkeys(name for key in chosen for name in _strings(files, key, f"{where}, gold_files")))
    if "gold_files" in row:
        return _strings(row, "gold_files", where)
    return tuple(str(row[key]) for key in ("passage_id", "doc_id") if row.get(key) is not None)


def _strings(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f'{where}: "{key}" should be a list of texts; it is {str(value)[:200]}')
    return tuple(value)


def score_questions(questions: Iterable[Question], ask: Callable[[str], Any]) -> dict[str, float | None]:
    """Ask all questions and say how good the answers are.

    Args:
        questions: what to ask.
        ask: answers a text; its result, an object or a mapping, has `found`, `answer` and `citations`, and each
            citation has `source`.

    Returns:
        Counts: `questions`, `answerable`. Shares of the answerable ones, a refused one counting as a miss:
        `source_hit@4` (a gold source among the first 4 citations) and `answer_contained` (a right answer inside the
        answer, regardless of case, white space and emphasis). Shares refused: `refused` of all questions,
        `refused_answerable` and `refused_unanswerable`. A share of no questions is None.
    """
    asked = [(question, ask(question.text)) for question in questions]
    answerable = [pair for pair in asked if pair[0].answerable]
    refused = [(question, not _field(reply, "found")) for question, reply in asked]
    return {
        "questions": len(asked),
        "answerable": len(answerable),
        f"source_hit@{CITATIONS}": _share(_hits_source(*pair) for pair in answerable),
        "answer_contained": _share(_holds_answer(*pair) for pair in answerable),
        "refused": _share(no for _, no in refused),
        "refused_answerable": _share(no for question, no in refused if question.answerable),
        "refused_unanswerable": _share(no for question, no in refused if not question.answerable),
    }


def _share(outcomes: Iterable[bool]) -> float | None:
    values = list(outcomes)
    return sum(values) / len(values) if values else None


def _field(record: Any, name: str) -> Any:
    return record[name] if isinstance(record, Mapping) else getattr(record, name)


def _hits_source(question: Question, reply: Any) -> bool:
    citations = _field(reply, "citations")[:CITATIONS] if _field(reply, "found") else ()
    return any(not names_of(_field(citation, "source")).isdisjoint(question.gold) for citation in citations)


def names_of(source: str) -> set[str]:
    """Return what a gold id may call a source: itself, its row's id, or the name of its file."""
    spellings = {source, unquote(source)}  # a row's id may be escaped: passages.jsonl#Warsaw%2339
    rows = {text[match.end() :] for text in spellings for match in re.finditer("#", text)}
    path = PurePosixPath(source)
    return spellings | rows | {path.name, path.stem, unquote(path.name), unquote(path.stem)}


def _holds_answer(question: Question, reply: Any) -> bool:
    answer = _plain(_field(reply, "answer")) if _field(reply, "found") else ""
    return any(wanted in answer for wanted in map(_plain, question.answers) if wanted)


def _plain(text: str) -> str:
    return " ".join(re.sub("[`*]", "", text).casefold().split())


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of each line of a JSON Lines file."""
    for number, line in _read_lines(path):
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise InputError(f"{path}, line {number}: not JSON ({exc})") from exc
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected a JSON object, found {line[:200]}")
        yield number, row


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank, unpacking `.gz`."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc
